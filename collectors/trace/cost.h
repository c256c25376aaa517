/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_COST_H
#define TRACE_COST_H

#include "trace/load.h"
#include "trace/out.h"

/*
 * What watching costs: time in each program, by the kernel's own account, and the processor
 * time of this process. The account is on from cost__begin() until the process ends; it
 * reads the clock twice per run, which costs, too.
 */
struct cost {
	int stats_fd; /* keeps the account going; -1: there is none */
	int err; /* why not */
	/* of adopted programs, from before */
	__u64 base_ns[MAX_PROBES];
	__u64 base_runs[MAX_PROBES];
	__u64 own_ns; /* of this process, until everything was attached */
};

/* Before the programs are attached; after adopted ones are known. */
void cost__begin(struct cost *c, const struct loaded *l);

/* From here on the process's own time counts: loading is over. */
void cost__started(struct cost *c);

/* Writes a line for each program and one for the process. 0 or -errno, said. */
int cost__put(const struct cost *c, const struct loaded *l, struct out *out);

void cost__end(struct cost *c);

#endif
