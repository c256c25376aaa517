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

#define HINT_NR_ORDERS		11	/* MAX_PAGE_ORDER 10, inclusive */
#define HINT_NR_ZONES		8	/* zones a node can have, at most 6 in 6.12 */
#define HINT_NR_NODES		64
#define HINT_MAX_SNAP_ZONES	8	/* populated zones in one record */
#define HINT_COMM_LEN		16

#define HINT_SAMPLE_ZONES	64	/* populated zones in one sample */

/* Bytes of the ring buffers; powers of two. */
#define HINT_EVENTS_BYTES	(256 * 1024)
#define ALLOC_EVENTS_BYTES	(4 * 1024 * 1024)
#define SAMPLES_BYTES		(256 * 1024)

/* Failed allocations beyond this in one second are counted and not recorded. */
#define ALLOC_FAIL_PER_S	5000

/* ---- counters of each probe: seen = recorded + sum(dropped) ---- */

enum hint_probe {
	/* hint */
	PROBE_ISOLATE,
	PROBE_PUTBACK,
	PROBE_BATCH,
	PROBE_EXCHANGE,
	PROBE_BUFFER,
	/* swap */
	PROBE_EXCHANGE_LATENCY,
	PROBE_SWAP_OUT,
	PROBE_SWAP_IN,
	PROBE_ZSWAP_OUT,
	PROBE_ZSWAP_IN,
	/* allocfail */
	PROBE_ALLOC_FAIL,
	PROBE_DIRECT_RECLAIM,
	PROBE_COMPACTION_STALL,
	PROBE_KSWAPD_WAKE,
	PROBE_OOM_KILL,
	/* sample */
	PROBE_SAMPLE,
	NR_PROBES,
};

enum hint_drop {
	DROP_RING_FULL,		/* no room in the ring buffer */
	DROP_NO_ZONE,		/* node or zone index beyond the tables */
	DROP_UNMATCHED,		/* an end without its begin, which was missed */
	DROP_NO_SLOT,		/* more begun than the table of unfinished ones holds */
	DROP_RATE,		/* beyond ALLOC_FAIL_PER_S */
	NR_DROPS,
};

struct probe_stat {
	__u64 seen;
	__u64 recorded;
	__u64 dropped[NR_DROPS];
};

/* ---- histograms: log-linear as in docs/record.md ---- */

#define HIST_SUB_BITS	5
/* Values up to 2^40 ns (18 minutes); larger ones are counted in the last bucket. */
#define HIST_MAX_BITS	40
#define HIST_NR_SLOTS	((HIST_MAX_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

/* Each object numbers its own, from 0. */
enum hint_hist { HIST_BATCH_HOLD, HIST_BATCH_ACK, NR_HINT_HISTS };
enum swap_hist {
	HIST_EXCHANGE_LATENCY, HIST_SWAP_OUT, HIST_SWAP_IN, HIST_ZSWAP_OUT, HIST_ZSWAP_IN,
	NR_SWAP_HISTS,
};
enum allocfail_hist { HIST_DIRECT_RECLAIM, HIST_COMPACTION_STALL, NR_ALLOCFAIL_HISTS };

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

/* ---- sums over all zones, and the batch that is out: map "hint_totals", one element ---- */

struct hint_totals {
	__s64 held_pages;		/* atomic: the zones have different locks */
	__s64 uncompensated_pages;	/* atomic */
	__u64 batch_start_ns;		/* first chunk of the batch isolated; 0 when none is out */
	__u64 settled;			/* no chunk is out that was isolated before we attached */
};

/* ---- records ---- */

enum rec_type {
	REC_BATCH = 1,
	REC_EXCHANGE_VIOLATION,
	REC_OOM_KILL,
	REC_ALLOC_FAIL,
	REC_DIRECT_RECLAIM,
	REC_COMPACTION_STALL,
	REC_KSWAPD_WAKE,
	REC_SAMPLE,
};

struct rec_hdr {
	__u16 type;
	__u16 len;			/* of the whole record */
	__u32 cpu;
	__u64 t_ns;
	__u32 tgid;
	__u32 tid;
	char comm[HINT_COMM_LEN];
};

/* One batch handed to the host. */
struct batch_rec {
	struct rec_hdr hdr;
	__u64 start_ns;			/* first chunk isolated */
	__u64 sent_ns;
	__u64 ack_ns;
	__u64 done_ns;			/* last chunk back */
	__u64 nr_pages;
	__u32 nr_chunks;
	__s32 err;			/* 0 or -errno from the device */
	__u8 min_order;
	__u8 max_order;
	__u8 exchange;			/* chunks were exchanged against the buffer */
	__u8 pad[5];
};

/* An exchange that changed the zone's free pages: must never happen. */
struct exchange_violation_rec {
	struct rec_hdr hdr;
	__s64 free_delta_pages;
	__u64 taken_pfn;
	__u64 released_pfn;
	__u32 node;
	__u16 zone;
	__u16 order;
};

/* One populated zone, sampled in one probe. */
struct zone_snap {
	__u32 free_pages;
	__u32 min_pages;		/* watermarks without the boost */
	__u32 low_pages;
	__u32 high_pages;
	__u32 boost_pages;
	__u32 reserve_pages;		/* lowmem_reserve against this request */
	__u32 highatomic_pages;		/* free pages kept for high-order atomic requests */
	__u32 held_pages;
	__u32 uncompensated_pages;
	__s32 buffer_pages;
	__u32 nr_free[HINT_NR_ORDERS];	/* blocks on the free lists */
	__u32 held[HINT_NR_ORDERS];	/* chunks */
	__u8 node;
	__u8 zone;
	__u8 pad[2];
};

/* What the request met; nr_zones entries of zones[] are valid and sent. */
struct shortage {
	__u64 batch_age_ns;		/* 0 when no batch is out */
	__s64 held_pages;
	__s64 uncompensated_pages;
	__u32 gfp;
	__u16 order;
	__u8 highest_zoneidx;
	__u8 nr_zones;
	__u8 zones_missing;		/* more populated zones than fit */
	__u8 pad[7];
	struct zone_snap zones[HINT_MAX_SNAP_ZONES];
};

/* REC_ALLOC_FAIL, REC_KSWAPD_WAKE, REC_DIRECT_RECLAIM, REC_COMPACTION_STALL */
struct shortage_rec {
	struct rec_hdr hdr;		/* t_ns: the begin of a stall */
	__u64 duration_ns;		/* stalls */
	__u64 nr_reclaimed_pages;	/* direct reclaim */
	__s32 result;			/* compaction: enum compact_result */
	__u32 node;			/* kswapd wake */
	struct shortage s;
};

struct oom_kill_rec {
	struct rec_hdr hdr;		/* the task that asked: the culprit */
	__u64 victim_rss_pages;
	__u32 victim_tgid;
	__s16 victim_oom_score_adj;
	__u8 memcg;			/* the limit of a cgroup, not the system */
	__u8 sysrq;
	__u8 constraint;		/* enum oom_constraint */
	__u8 unknown_request;		/* the probe on out_of_memory missed it: s was sampled late */
	__u8 pad[6];
	char victim_comm[HINT_COMM_LEN];
	struct shortage s;
};

/* Events that the kernel has counted since boot; names as in /proc/vmstat. */
enum sample_count {
	COUNT_PSWPIN,
	COUNT_PSWPOUT,
	COUNT_ZSWPIN,
	COUNT_ZSWPOUT,
	COUNT_OOM_KILL,
	COUNT_COMPACT_STALL,
	COUNT_PGFAULT,
	COUNT_PGMAJFAULT,
	COUNT_ALLOCSTALL,	/* of all zones */
	NR_SAMPLE_COUNTS,
};

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
	__u32 nr_torn;			/* zones whose state changed while it was read, again and again */
	__u64 counts[NR_SAMPLE_COUNTS];
	struct zone_sample zones[HINT_SAMPLE_ZONES];
};

/* Records that end in a struct shortage are sent only as far as their zones reach. */
#define SHORTAGE_REC_LEN(type, nr) \
	(sizeof(type) - (HINT_MAX_SNAP_ZONES - (nr)) * sizeof(struct zone_snap))
#define SAMPLE_REC_LEN(nr) \
	(sizeof(struct sample_rec) - (HINT_SAMPLE_ZONES - (nr)) * sizeof(struct zone_sample))

_Static_assert(sizeof(struct rec_hdr) == 40, "layout");
_Static_assert(sizeof(struct batch_rec) == 40 + 56, "layout");
_Static_assert(sizeof(struct exchange_violation_rec) == 40 + 32, "layout");
_Static_assert(sizeof(struct zone_snap) == 132, "layout");
_Static_assert(sizeof(struct shortage) == 40 + 8 * 132, "layout");
_Static_assert(sizeof(struct shortage_rec) == 40 + 24 + sizeof(struct shortage), "layout");
_Static_assert(sizeof(struct oom_kill_rec) == 40 + 40 + sizeof(struct shortage), "layout");
_Static_assert(sizeof(struct zone_state) == 80 + 48, "layout");
_Static_assert(SAMPLE_REC_LEN(1) == 40 + 8 + 9 * 8 + 16 + sizeof(struct zone_state), "layout");

#endif
