/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Zones: where a zone is in the tables, and the state that hinting left in it.
 * The two maps are shared: hint writes them, allocfail reads them. The tracer
 * joins them when it loads; an object loaded alone has its own, all zero.
 */
#ifndef HINT_ZONE_BPF_H
#define HINT_ZONE_BPF_H

#include "hint_probe.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HINT_NR_NODES * HINT_NR_ZONES);
	__type(key, __u32);
	__type(value, struct zone_state);
} zone_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hint_totals);
} hint_totals SEC(".maps");

struct zone___numa {
	int node;
} __attribute__((preserve_access_index));

/*
 * Not by way of its pgdat: with many nodes, as distributions build for, the
 * node_id there lies farther away than a load can say.
 */
static __always_inline __u32 zone__node(struct zone *zone)
{
	struct zone___numa *numa = (void *)zone;

	return bpf_core_field_exists(numa->node) ? numa->node : 0;
}

/* Index of a zone in its node: its distance from the node's first zone. */
static __always_inline __u32 zone__index(struct zone *zone, struct pglist_data *pgdat)
{
	__u64 size = bpf_core_type_size(struct zone);
	__u64 first = (__u64)__builtin_preserve_access_index(&pgdat->node_zones);

	return ((__u64)zone - first) / size;
}

static __always_inline struct zone_state *zone_state__at(__u32 node, __u32 zone)
{
	__u32 key = node * HINT_NR_ZONES + zone;

	if (node >= HINT_NR_NODES || zone >= HINT_NR_ZONES)
		return NULL;
	return bpf_map_lookup_elem(&zone_state, &key);
}

/*
 * An order whose test the verifier remembers: in 64 bits, and hidden from
 * clang, which else tests one copy and uses another.
 */
static __always_inline __u64 order__opaque(__u32 order)
{
	__u64 o = order;

	barrier_var(o);
	return o;
}

static __always_inline struct hint_totals *hint_totals__get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&hint_totals, &zero);
}

#endif
