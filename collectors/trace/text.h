/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_TEXT_H
#define TRACE_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "../bpf/hint_rec.h"

/*
 * A line for people about an event whose record is whole (rec__check()). own: the
 * toolkit asked for it. Bytes of a task's name that a terminal might obey are
 * written as \xNN, and a backslash as two.
 */
void text__event(FILE *to, const struct rec_hdr *hdr, bool own);

/* Bytes up to a NUL, escaped in that way. */
void text__escaped(FILE *to, const char *text, size_t size);

/* Its name, escaped in that way, and its process id. */
void text__task(FILE *to, const char *comm, __u32 pid);

/* What kept a request from a part of memory, with a comma before; or nothing. */
void text__bound(FILE *to, const struct shortage *s);

#endif
