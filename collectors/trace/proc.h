/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_PROC_H
#define TRACE_PROC_H

#include "common/zoneinfo.h"
#include "trace/load.h"

/*
 * Samples read from /proc: the first and the last, taken at once, and all of
 * them on a kernel that does not let the object sample do it. Some 350,000
 * instructions each.
 */
struct proc_sampler {
	int zoneinfo_fd;
	int vmstat_fd;
	char *text;		/* one of the two files at a time */
	struct zoneinfo_zone zones[HINT_SAMPLE_ZONES];	/* as read last */
	size_t nr_zones;
	__u64 nr_torn;		/* zone states that kept changing while they were read */
	bool complained;
};

int proc_sampler__init(struct proc_sampler *s);	/* 0 or -errno, said on stderr */
void proc_sampler__free(struct proc_sampler *s);

/* Takes one. 0 or -errno, said on stderr the first time. */
int proc_sampler__take(struct proc_sampler *s, const struct loaded *l, struct sample_rec *rec);

#endif
