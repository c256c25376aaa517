/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The results folder: whose it is, and what is to lie in it. */
#ifndef RUN_JOBS_OUT_H
#define RUN_JOBS_OUT_H

#include "run/plan/plan.h"

/* Take the folder for this process, until it ends; -EBUSY, said. */
int out__lock(const char *out);
/* Is there room for a run? -ENOSPC, said. */
int out__check_disk(const char *out);

/*
 * Cells of other settings or of an older build leave the folder, so that it
 * holds one experiment and no mixture; out__unpark() brings one back when it is
 * asked for. A folder that is somebody else's is not touched: with it there is
 * no run (-EEXIST). Errors are said.
 */
int out__park_others(const char *out, const struct plan *p);
int out__unpark(const char *out, const char *name);

/* Keep a failed cell aside, the last few of them; they are evidence. */
int out__put_aside(const char *out, const char *name);

#endif
