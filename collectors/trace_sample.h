/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_SAMPLE_H
#define TRACE_SAMPLE_H

#include "trace_load.h"
#include "trace_out.h"

/* The periodic guest sample: zones, what hinting holds, exposure, and vmstat. */
struct sampler {
	int zoneinfo_fd;
	int vmstat_fd;
	char *text;		/* one of the two files at a time */
	__u64 nr_torn;		/* zone states that kept changing while they were read */
	bool complained;
};

int sampler__init(struct sampler *s);	/* 0 or -errno, said on stderr */
void sampler__free(struct sampler *s);

/* One sample line. 0 or -errno, said on stderr the first time. */
int sampler__put(struct sampler *s, const struct loaded *l, struct out *out);

/* The integrals of a zone at t_ns, which may be later than its last change. */
__u64 zone_state__held_at(const struct zone_state *st, __u64 t_ns);
__u64 zone_state__uncompensated_at(const struct zone_state *st, __u64 t_ns);

#endif
