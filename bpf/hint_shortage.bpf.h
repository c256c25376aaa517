/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of every populated zone at one instant: what the allocator had
 * and what hinting held. Nothing is locked: the counts are those a lockless
 * watermark test would have seen.
 */
#ifndef HINT_SHORTAGE_BPF_H
#define HINT_SHORTAGE_BPF_H

#include "hint_request.bpf.h"

#define GFP_DMA_BIT	0x1
#define GFP_HIGHMEM_BIT	0x2
#define GFP_DMA32_BIT	0x4

/* gfp_zone() of 64 bit kernels, which have no highmem. */
static __always_inline __u8 gfp__highest_zoneidx(__u32 gfp)
{
	if ((gfp & GFP_DMA_BIT) && bpf_core_enum_value_exists(enum zone_type, ZONE_DMA))
		return bpf_core_enum_value(enum zone_type, ZONE_DMA);
	if ((gfp & GFP_DMA32_BIT) && bpf_core_enum_value_exists(enum zone_type, ZONE_DMA32))
		return bpf_core_enum_value(enum zone_type, ZONE_DMA32);
	if ((gfp & GFP_HIGHMEM_BIT) && (gfp & GFP_MOVABLE_BIT))
		return bpf_core_enum_value(enum zone_type, ZONE_MOVABLE);
	return bpf_core_enum_value(enum zone_type, ZONE_NORMAL);
}

/* Older kernels have no count of the free part and test against the whole reserve. */
struct zone___free_highatomic {
	unsigned long nr_free_highatomic;
} __attribute__((preserve_access_index));

/* With CONFIG_MEMORY_ISOLATION. */
struct zone___isolation {
	unsigned long nr_isolate_pageblock;
} __attribute__((preserve_access_index));

struct zone_snap_held {
	struct zone_snap *snap;
	struct zone_state *st;
};

/* Bounded: after four meetings with a writer the sample is what it is. */
static long zone_snap__try_held(__u32 try, struct zone_snap_held *h)
{
	struct zone_snap *snap = h->snap;
	struct zone_state *st = h->st;
	__u64 seq = *(volatile __u64 *)&st->seq;

	barrier();
	snap->held_pages = st->held_pages;
	snap->uncompensated_pages = st->uncompensated_pages;
	snap->buffer_pages = st->buffer_pages;
	for (int o = 0; o < HINT_NR_ORDERS; o++)
		snap->held_by_order[o] = st->held_by_order[o];
	barrier();
	return !(seq & 1) && seq == *(volatile __u64 *)&st->seq;
}

static __noinline int zone_snap__fill(struct zone_snap *snap, struct zone *zone, __u32 node,
				      __u32 index, __u32 highest)
{
	const __u32 wmark = sizeof(long);
	void *marks = zone__field(zone, _watermark);
	void *area = zone__field(zone, free_area);
	struct zone_snap_held held = { .snap = snap };

	__builtin_memset(snap, 0, sizeof(*snap));
	snap->node = node;
	snap->zone = index;
	snap->free_pages = zone__free_pages(zone);
	snap->min_pages = read_u64(marks);
	snap->low_pages = read_u64(marks + wmark);
	snap->high_pages = read_u64(marks + 2 * wmark);
	snap->boost_pages = BPF_CORE_READ(zone, watermark_boost);
	if (highest < HINT_NR_ZONES)
		snap->reserve_pages = read_u64(zone__field(zone, lowmem_reserve) +
					       highest * sizeof(long));
	if (bpf_core_field_exists(struct zone___free_highatomic, nr_free_highatomic))
		snap->highatomic_pages = BPF_CORE_READ((struct zone___free_highatomic *)zone,
						       nr_free_highatomic);
	else
		snap->highatomic_pages = BPF_CORE_READ(zone, nr_reserved_highatomic);
	if (bpf_core_enum_value_exists(enum zone_stat_item, NR_FREE_CMA_PAGES))
		snap->cma_pages = zone__stat(zone, NR_FREE_CMA_PAGES);
	snap->isolated_pageblocks = ~0U;
	if (bpf_core_field_exists(struct zone___isolation, nr_isolate_pageblock))
		snap->isolated_pageblocks = BPF_CORE_READ((struct zone___isolation *)zone,
							  nr_isolate_pageblock);
	for (int o = 0; o < HINT_NR_ORDERS; o++)
		snap->nr_free_by_order[o] =
			read_u64(area + o * bpf_core_type_size(struct free_area) +
				 bpf_core_field_offset(struct free_area, nr_free));
	held.st = zone_state__at(node, index);
	if (held.st)
		bpf_loop(4, zone_snap__try_held, &held, 0);
	return 0;
}

struct shortage_walk {
	struct zone_walk at;
	struct shortage *s;
};

static long shortage_walk__step(__u32 i, struct shortage_walk *w)
{
	__u32 node = w->at.node, index = w->at.zone, nr;
	struct shortage *s = w->s;
	struct zone *zone;

	if (zone_walk__ended(&w->at))
		return 1;
	zone = zone_walk__next(&w->at);
	if (!zone)
		return 0;
	nr = s->nr_zones;
	if (nr >= HINT_MAX_SNAP_ZONES) {
		s->zones_missing = 1;
		return 1;
	}
	zone_snap__fill(&s->zones[nr], zone, node, index, s->highest_zoneidx);
	s->nr_zones = nr + 1;
	return 0;
}

/*
 * Writes all of s but its padding, the zones beyond nr_zones and what
 * shortage__ask() writes. A global
 * function: the verifier walks it once and not at each call. Returns 0.
 */
__noinline int shortage__fill(struct shortage *s, __u32 gfp, __u32 order, __u32 highest_zoneidx)
{
	struct hint_totals *totals = hint_totals__get();
	struct shortage_walk w = { .s = s };
	__u64 now = bpf_ktime_get_ns(), start;

	if (!s)
		return 0;
	s->state_ns = now;
	s->gfp = gfp;
	s->order = order;
	s->highest_zoneidx = highest_zoneidx;
	s->nr_zones = 0;
	s->zones_missing = 0;
	s->batch_age_ns = 0;
	if (totals) {
		s->held_pages = totals->held_pages;
		s->uncompensated_pages = totals->uncompensated_pages;
		/* The oldest. It may have begun on a CPU whose clock is a little ahead. */
		for (int i = 0; i < HINT_MAX_BATCHES; i++) {
			start = totals->slots[i].batch.start_ns;
			if (start && start < now && now - start > s->batch_age_ns)
				s->batch_age_ns = now - start;
		}
	}
	if (zone_walk__begin(&w.at))
		bpf_loop(ZONE_WALK_STEPS, shortage_walk__step, &w, 0);
	else
		s->zones_missing = 1;
	return 0;
}

/* Who asked and what for; reserves: whether the task's own flags count. */
static __always_inline void shortage__ask(struct shortage *s, const struct mem_request *r,
					  bool reserves)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 count = context__count();
	bool may = !(count & (COUNT_SOFTIRQ | COUNT_HARDIRQ_NMI)) && !(r->gfp & GFP_NOMEMALLOC_BIT);

	s->allowed_nodes = r->nodes;
	s->constraint = r->constraint;
	s->in_interrupt = !!(count & (COUNT_SERVING_SOFTIRQ | COUNT_HARDIRQ_NMI));
	/* As __gfp_pfmemalloc_flags(): what serves a softirq borrows the flag of the task. */
	s->pf_memalloc = reserves && (BPF_CORE_READ(task, flags) & TASK_MEMALLOC_FLAG) &&
			 (may || ((count & COUNT_SERVING_SOFTIRQ) &&
				  !(count & COUNT_HARDIRQ_NMI) && !(r->gfp & GFP_NOMEMALLOC_BIT)));
	s->oom_victim = may && BPF_CORE_READ(task, signal, oom_mm) != NULL;
}

#endif
