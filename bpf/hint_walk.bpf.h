/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A walk over the zones that have memory, node by node, and reading their
 * counters. Nothing is locked: the counts are those a lockless watermark test
 * would have seen.
 */
#ifndef HINT_WALK_BPF_H
#define HINT_WALK_BPF_H

#include "hint_zone.bpf.h"

/*
 * Data symbols of the kernel: resolved through kallsyms, so they need
 * CONFIG_KALLSYMS_ALL. node_data exists with NUMA, contig_page_data without.
 */
extern const void node_data __ksym __weak;
extern const void node_states __ksym __weak;
extern const void contig_page_data __ksym __weak;

/* Of each node a step for every type of zone, and one for a node without memory. */
#define ZONE_WALK_STEPS	(HINT_NR_NODES * HINT_NR_ZONES)

#define zone__field(zone, field) ((void *)__builtin_preserve_access_index(&(zone)->field))

static __always_inline __u64 read_u64(const void *at)
{
	__u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), at);
	return v;
}

/*
 * A counter that is briefly negative, because its per-CPU parts are folded
 * late, counts as 0. (Without a branch: each would double what the verifier
 * has to walk.)
 */
static __always_inline __u32 pages_u32(__s64 v)
{
	return v & ~(v >> 63);
}

/* A counter of enum zone_stat_item. */
#define zone__stat(zone, item) \
	pages_u32(read_u64(zone__field(zone, vm_stat) + \
			   bpf_core_enum_value(enum zone_stat_item, item) * sizeof(long)))

static __always_inline __u32 zone__free_pages(struct zone *zone)
{
	return zone__stat(zone, NR_FREE_PAGES);
}

/*
 * Always 0. The verifier before 6.7 walks a bpf_loop() callback once, with the
 * constants its caller put on the stack: a walk that starts from a constant
 * loses the tests that are false at its first step (ab5cfac139ab, "bpf: verify
 * callbacks as if they are called unknown number of times").
 */
__u32 walk_from = 0;

struct zone_walk {
	__u64 nodes;		/* this one and those after it, a bit each */
	__u32 node;
	__u32 zone;
};

/* False when this kernel does not show where its nodes are. */
static __always_inline bool zone_walk__begin(struct zone_walk *w)
{
	w->nodes = 1;
	w->node = *(volatile __u32 *)&walk_from;
	w->zone = w->node;
	if (!&node_data && !&contig_page_data)
		return false;
	if (&node_data && &node_states)
		w->nodes = read_u64((void *)&node_states + bpf_core_type_size(nodemask_t) *
				   bpf_core_enum_value(enum node_states, N_MEMORY));
	return true;
}

/* Nothing is left. */
static __always_inline bool zone_walk__ended(const struct zone_walk *w)
{
	return !w->nodes;
}

/* The zone the walk is at, or NULL when there is no memory; goes on to the next. */
static __always_inline struct zone *zone_walk__next(struct zone_walk *w)
{
	__u32 node = w->node, index = w->zone;
	struct pglist_data *pgdat = NULL;
	bool wanted = w->nodes & 1;
	struct zone *zone;

	w->zone++;
	if (!wanted || w->zone >= bpf_core_enum_value(enum zone_type, __MAX_NR_ZONES)) {
		w->nodes >>= 1;
		w->node++;
		w->zone = 0;
	}
	if (!wanted)
		return NULL;
	if (&node_data)
		pgdat = (void *)read_u64((void *)&node_data + node * sizeof(void *));
	else
		pgdat = (void *)&contig_page_data;
	if (!pgdat)
		return NULL;
	zone = (void *)pgdat + bpf_core_field_offset(struct pglist_data, node_zones) +
	       index * bpf_core_type_size(struct zone);
	return BPF_CORE_READ(zone, present_pages) ? zone : NULL;
}

#endif
