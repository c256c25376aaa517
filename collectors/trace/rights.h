/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_RIGHTS_H
#define TRACE_RIGHTS_H

#include <stddef.h>

/* What this kernel and this user allow; the causes are named before a verifier's log hides them. */

/* 0, or -EPERM when the kernel lets no program read its memory; said on stderr. */
int rights__check(void);

/*
 * Names the capabilities that loading may take and this process lacks, each after
 * a blank; "" when it has them all.
 */
void rights__missing(char *buf, size_t size);

#endif
