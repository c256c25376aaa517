/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_MEMORY_H
#define TRACE_MEMORY_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/zoneinfo.h"

/*
 * Is the guest short of memory? While it is, nothing is written: a write asks
 * the kernel for a buffer, and its request could be the one somebody is killed
 * for. Asking allocates nothing, neither here nor in the kernel.
 */
struct memory {
	__u64 enough_bytes;	/* free memory from which on no zone is below its high mark */
	__u64 calm_ns;		/* until then a request that had to wait is recent */
	__u64 short_ns;		/* since when memory is short; 0: it is not */
};

void memory__init(struct memory *m, const struct zoneinfo_zone *zones, size_t nr);

/* At now_ns a request did not find memory. */
void memory__stalled(struct memory *m, __u64 now_ns);

/* Short at now_ns, when so much is free? False again after MEMORY_PATIENCE_NS on end. */
bool memory__is_short_at(struct memory *m, __u64 now_ns, __u64 free_bytes);

/* ... right now. */
bool memory__is_short(struct memory *m);

/* How long after a stall memory is taken to be short. */
#define MEMORY_CALM_NS		100000000ULL
/* A guest that never has enough would else not be heard of: its runner takes it for hung. */
#define MEMORY_PATIENCE_NS	10000000000ULL

#endif
