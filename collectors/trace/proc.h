/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_PROC_H
#define TRACE_PROC_H

#include "trace/load.h"
#include "trace/out.h"

/*
 * Samples read from /proc: the first and the last, taken at once, and all of
 * them on a kernel that does not let the object sample do it. Some 350,000
 * instructions each.
 */
struct proc_sampler {
	int zoneinfo_fd;
	int vmstat_fd;
	char *text;		/* one of the two files at a time */
	__u64 nr_torn;		/* zone states that kept changing while they were read */
	bool complained;
};

int proc_sampler__init(struct proc_sampler *s);	/* 0 or -errno, said on stderr */
void proc_sampler__free(struct proc_sampler *s);

/* One sample line, if anybody wants JSON. 0 or -errno, said on stderr the first time. */
int proc_sampler__put(struct proc_sampler *s, const struct loaded *l, struct out *out);

#endif
