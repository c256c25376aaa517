/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract between the BPF programs and user space: records in the ring
 * buffers and values of the maps. Fixed-width types, no hidden padding.
 *
 * Page counts are 4 KiB base pages; 32 bits of them are 16 TiB a zone.
 * Times are guest CLOCK_MONOTONIC in ns.
 */
#ifndef HINT_REC_H
#define HINT_REC_H

/* The program holds vmlinux.h, user space <linux/types.h>. */
#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "hint_events.h"

#define HINT_NR_ORDERS		11	/* MAX_PAGE_ORDER 10, inclusive */
#define HINT_NR_ZONES		8	/* zones a node can have, at most 6 in 6.12 */
#define HINT_NR_NODES		64
#define HINT_MAX_SNAP_ZONES	8	/* populated zones in one record */
#define HINT_COMM_LEN		16
#define HINT_CGROUP_LEN		96	/* longest that container managers make is 77 */

#define HINT_SAMPLE_ZONES	64	/* populated zones in one sample */

/* Bytes of the ring buffers; powers of two. */
#define HINT_EVENTS_BYTES	(256 * 1024)
#define ALLOC_EVENTS_BYTES	(4 * 1024 * 1024)
#define KILL_EVENTS_BYTES	(256 * 1024)
#define SAMPLES_BYTES		(256 * 1024)

/* Failed allocations beyond this in one second are counted and not recorded. */
#define ALLOC_FAIL_PER_S	5000

/* ---- counters of each probe: seen = recorded + sum(dropped) ---- */

#define HINT_ENUM_PROBE(id, name)	PROBE_##id,
enum hint_probe { HINT_PROBES(HINT_ENUM_PROBE) NR_PROBES };

#define HINT_ENUM_DROP(id, name)	DROP_##id,
enum hint_drop { HINT_DROPS(HINT_ENUM_DROP) NR_DROPS };

struct probe_stat {
	__u64 seen;
	__u64 recorded;
	__u64 dropped[NR_DROPS];
	/* times that two clocks were in the wrong order, and taken as equal */
	__u64 backward;
};

/* ---- histograms: log-linear as in docs/record.md ---- */

#define HIST_SUB_BITS	5
/* Values up to 2^40 ns (18 minutes); larger ones are counted in the last bucket. */
#define HIST_MAX_BITS	40
#define HIST_NR_SLOTS	((HIST_MAX_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

/* Each object numbers its own, from 0. */
#define HINT_ENUM_HIST(id, name)	HIST_##id,
enum hint_hist { HINT_HISTS(HINT_ENUM_HIST) NR_HINT_HISTS };
enum swap_hist { SWAP_HISTS(HINT_ENUM_HIST) NR_SWAP_HISTS };
enum allocfail_hist { ALLOCFAIL_HISTS(HINT_ENUM_HIST) NR_ALLOCFAIL_HISTS };

/* Value of the per-CPU array "hists", one element a histogram. */
struct hist_cpu {
	__u64 n;
	__u64 sum;
	__u64 max;
	__u64 counts[HIST_NR_SLOTS];
};

/* ---- state of a zone: map "zone_state", index node * HINT_NR_ZONES + zone ---- */

/*
 * All of it changes under the zone lock only. seq is odd while it does, so a
 * reader that sees the same even seq twice has a whole copy. Always:
 * 0 <= uncompensated_pages <= held_pages. Between the two events of an exchange
 * (isolate, exchange) the chunk is held and the buffer has not given one yet.
 */
struct zone_state {
	__u64 seq;
	__u64 changed_ns;		/* the integrals are exact up to here */
	__u64 held_page_ns;
	__u64 uncompensated_page_ns;
	__s64 held_pages;		/* isolated and not yet back */
	__s64 uncompensated_pages;	/* held less what the buffer released for it */
	__s64 held_max_pages;
	__u64 nr_exchanges;
	__u64 exchange_free_delta_pages;	/* sum of |delta| */
	__s64 buffer_pages;		/* change since we attached */
	__u32 held_by_order[HINT_NR_ORDERS];	/* chunks */
	__u32 pad;
};

/* ---- records ---- */

#define HINT_ENUM_REC(id, name, probe, what)	REC_##id,
enum rec_type { REC_NONE, HINT_KINDS(HINT_ENUM_REC) REC_SAMPLE };

struct rec_hdr {
	__u16 type;
	__u16 len;			/* of the whole record */
	__u32 cpu;
	__u64 t_ns;
	__u32 tgid;
	__u32 tid;
	char comm[HINT_COMM_LEN];
};

/* What kept a request from a part of memory; the first four are enum oom_constraint. */
enum hint_constraint {
	HINT_NONE,
	HINT_CPUSET,
	HINT_MEMORY_POLICY,
	HINT_MEMCG,
	HINT_THISNODE,
	HINT_UNKNOWN,			/* also of a flag that may not be known */
};

#define HINT_MEMBER(as, type, name, dimension)	type name dimension;

struct zone_snap {
	ZONE_FIELDS(HINT_MEMBER)
};

struct shortage {
	SHORTAGE_FIELDS(HINT_MEMBER)
	struct zone_snap zones[HINT_MAX_SNAP_ZONES];
};

#define HINT_PLAIN_REC(id, name, probe, what) \
	struct name##_rec { \
		struct rec_hdr hdr; \
		id##_FIELDS(HINT_MEMBER) \
	};
HINT_PLAIN_KINDS(HINT_PLAIN_REC)

#define HINT_SHORTAGE_REC(id, name, probe, what) \
	struct name##_rec { \
		struct rec_hdr hdr; \
		id##_FIELDS(HINT_MEMBER) \
		struct shortage s; \
	};
HINT_SHORTAGE_KINDS(HINT_SHORTAGE_REC)

/* No hidden padding: a record is as long as its parts. */
#define HINT_SIZE(as, type, name, dimension)	+ sizeof(type dimension)
#define HINT_PLAIN_WHOLE(id, name, probe, what) \
	_Static_assert(sizeof(struct name##_rec) == \
		       sizeof(struct rec_hdr) id##_FIELDS(HINT_SIZE), #name " has a hole");
#define HINT_SHORTAGE_WHOLE(id, name, probe, what) \
	_Static_assert(sizeof(struct name##_rec) == sizeof(struct rec_hdr) + \
		       sizeof(struct shortage) id##_FIELDS(HINT_SIZE), #name " has a hole");
HINT_PLAIN_KINDS(HINT_PLAIN_WHOLE)
HINT_SHORTAGE_KINDS(HINT_SHORTAGE_WHOLE)

/* ---- sums over all zones, and the batches that are out: map "hint_totals", one element ---- */

/* A power of two. A mechanism that waits for the answer has one batch out at a time. */
#define HINT_MAX_BATCHES	128

/*
 * Filled as the batch goes, by one CPU at a time: whoever makes it up, then
 * whoever takes it back. All 0 when it is free.
 */
struct batch_slot {
	__u32 number;			/* as the kernel counts batches, from 1 */
	__u32 acked;
	struct batch_rec batch;
};

struct hint_totals {
	__s64 held_pages;		/* atomic: the zones have different locks */
	__s64 uncompensated_pages;	/* atomic */
	__u32 first_number;		/* batches up to that one may be from before we attached */
	__u32 pad;
	struct batch_slot slots[HINT_MAX_BATCHES];	/* by the lowest bits of the number */
};

#define HINT_ENUM_COUNT(id, name)	COUNT_##id,
enum sample_count { SAMPLE_COUNTS(HINT_ENUM_COUNT) NR_SAMPLE_COUNTS };

struct zone_sample {
	__u32 node;
	__u32 zone;
	__u64 free_pages;
	struct zone_state st;
};

/* The whole guest at one instant; nr_zones entries of zones[] are valid and sent. */
struct sample_rec {
	struct rec_hdr hdr;		/* of nobody: no CPU, no task */
	__u32 nr_zones;
	__u32 nr_torn;			/* zones that changed during every reading of them */
	__u64 took_ns;			/* from the sample's time until all was read */
	__u64 counts[NR_SAMPLE_COUNTS];
	struct zone_sample zones[HINT_SAMPLE_ZONES];
};

/* Records that end in a struct shortage are sent only as far as their zones reach. */
#define SHORTAGE_REC_LEN(type, nr) \
	(sizeof(type) - (HINT_MAX_SNAP_ZONES - (nr)) * sizeof(struct zone_snap))
#define SAMPLE_REC_LEN(nr) \
	(sizeof(struct sample_rec) - (HINT_SAMPLE_ZONES - (nr)) * sizeof(struct zone_sample))

_Static_assert(sizeof(struct rec_hdr) == 40, "layout");
_Static_assert(sizeof(struct batch_rec) == 40 + 64, "layout");
_Static_assert(sizeof(struct exchange_violation_rec) == 40 + 32, "layout");
_Static_assert(sizeof(struct zone_snap) == 52 + 2 * 44, "layout");
_Static_assert(sizeof(struct shortage) == 56 + 8 * sizeof(struct zone_snap), "layout");
_Static_assert(sizeof(struct oom_kill_rec) == 40 + 216 + sizeof(struct shortage), "layout");
_Static_assert(sizeof(struct alloc_fail_rec) == 40 + 8 + sizeof(struct shortage), "layout");
_Static_assert(sizeof(struct direct_reclaim_rec) == 40 + 24 + sizeof(struct shortage), "layout");
_Static_assert(sizeof(struct compaction_stall_rec) == sizeof(struct direct_reclaim_rec),
	       "layout");
_Static_assert(sizeof(struct kswapd_wake_rec) == 40 + 8 + sizeof(struct shortage), "layout");
_Static_assert(sizeof(struct zone_state) == 80 + 48, "layout");
_Static_assert(SAMPLE_REC_LEN(1) == 40 + 16 + 9 * 8 + 16 + sizeof(struct zone_state), "layout");

#endif
