/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_PROC_H
#define COMMON_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* What a process must do to keep working in a guest that runs out of memory. */

#define OOM_SCORE_ADJ_NEVER	(-1000)

/* Sets the caller's oom_score_adj (-1000..1000).  0 or -errno. */
int proc__set_oom_score_adj(int adj);

/*
 * Locks all present and future memory and takes the caller off the OOM
 * killer's list.  Says on stderr what failed, as program `who`.  0 or -errno.
 */
int proc__protect(const char *who);

/*
 * Gives up every capability but @cap, for good. Says on stderr what failed, as
 * program `who`.  0 or -errno.
 */
int proc__keep_only(const char *who, int cap);

/*
 * Writes the `proc_exit` event of docs/record.md for a wait(2) status.
 * round < 0: none.  0 or -errno.
 */
int proc__write_exit(int fd, const char *name, pid_t pid, int wstatus,
		     int64_t round);

#endif
