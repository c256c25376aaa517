/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one description of what the BPF programs tell user space: probes with
 * their counters, histograms, and the records with their fields. From it come
 * the enums and structs of hint_rec.h, the lines that collectors/trace/events.c
 * writes, and what `hinttrace --list-fields` prints. What the fields mean is in
 * docs/record.md.
 *
 * A field is F(as, type, name, dimension): how it is written in JSON, its C
 * type, its name in both, and for an array its brackets. `as` is one of
 *	u64, s64	a number
 *	flag		true or false
 *	maybe		true or false; left out when it is HINT_UNKNOWN
 *	known		a number; left out when it is ~0
 *	comm		name of a task
 *	text		bytes that end in a NUL or with the array
 *	constraint	enum hint_constraint by name
 *	nodes		bit mask as a list; left out when it is 0
 *	counts		list of numbers, without the zeros at its end
 *	pairs		list of [index, number] where the number is not 0
 *	none		not written: padding, and what only the writer needs
 */
#ifndef HINT_EVENTS_H
#define HINT_EVENTS_H

/* ---- probes: P(id, name), counted as seen = recorded + sum(dropped) ---- */

#define HINT_PROBES(P) \
	/* hint */ \
	P(ISOLATE, isolate) \
	P(PUTBACK, putback) \
	P(BATCH, batch) \
	P(EXCHANGE, exchange) \
	P(BUFFER, buffer) \
	/* swap */ \
	P(EXCHANGE_LATENCY, exchange_latency) \
	P(SWAP_OUT, swap_out) \
	P(SWAP_IN, swap_in) \
	P(ZSWAP_OUT, zswap_out) \
	P(ZSWAP_IN, zswap_in) \
	/* allocfail */ \
	P(ALLOC_FAIL, alloc_fail) \
	P(DIRECT_RECLAIM, direct_reclaim) \
	P(COMPACTION_STALL, compaction_stall) \
	P(KSWAPD_WAKE, kswapd_wake) \
	P(OOM_KILL, oom_kill) \
	/* sample */ \
	P(SAMPLE, sample)

#define HINT_DROPS(D) \
	D(RING_FULL, ring_full)		/* no room in the ring buffer */ \
	D(NO_ZONE, no_zone)		/* node or zone index beyond the tables */ \
	D(UNMATCHED, unmatched)		/* an end without its begin, which was missed */ \
	D(NO_SLOT, no_slot)		/* more begun than the table of unfinished ones holds */ \
	D(RATE, rate)			/* beyond ALLOC_FAIL_PER_S */

/* ---- histograms of each object: H(id, name) ---- */

#define HINT_HISTS(H) \
	H(BATCH_HOLD, batch_hold) \
	H(BATCH_ACK, batch_ack)
#define SWAP_HISTS(H) \
	H(EXCHANGE_LATENCY, exchange_latency) \
	H(SWAP_OUT, swap_out) \
	H(SWAP_IN, swap_in) \
	H(ZSWAP_OUT, zswap_out) \
	H(ZSWAP_IN, zswap_in)
#define ALLOCFAIL_HISTS(H) \
	H(DIRECT_RECLAIM, direct_reclaim) \
	H(COMPACTION_STALL, compaction_stall)

/*
 * ---- kinds of event: K(id, name, probe, what it is); ID_FIELDS below has the fields ----
 * The struct of its record, its length and the line of it follow from that.
 */

/* Records that have fields of their own only. */
#define HINT_PLAIN_KINDS(K) \
	K(BATCH, batch, BATCH, "chunks handed to the host: isolated, sent, acknowledged, back") \
	K(EXCHANGE_VIOLATION, exchange_violation, EXCHANGE, \
	  "an exchange with the buffer that changed the zone's free pages")

/* Records that end in a struct shortage. */
#define HINT_SHORTAGE_KINDS(K) \
	K(OOM_KILL, oom_kill, OOM_KILL, "victim, who asked, and the state of every zone") \
	K(ALLOC_FAIL, alloc_fail, ALLOC_FAIL, \
	  "an allocation that returned nothing, opportunistic ones included") \
	K(DIRECT_RECLAIM, direct_reclaim, DIRECT_RECLAIM, \
	  "a task had to reclaim for itself, and for how long") \
	K(COMPACTION_STALL, compaction_stall, COMPACTION_STALL, \
	  "a task had to compact for itself, and for how long") \
	K(KSWAPD_WAKE, kswapd_wake, KSWAPD_WAKE, "a zone fell below its low watermark")

#define HINT_KINDS(K) \
	HINT_PLAIN_KINDS(K) \
	HINT_SHORTAGE_KINDS(K)

/* One batch handed to the host: what is known while it is out, then the rest. */
#define BATCH_OPEN_FIELDS(F) \
	F(u64, __u64, start_ns, )	/* first chunk isolated */ \
	F(u64, __u64, sent_ns, )	/* 0: not yet */ \
	F(u64, __u64, nr_pages, ) \
	F(u64, __u32, nr_chunks, )	/* until it is sent: isolated so far */ \
	F(u64, __u32, nr_exchanges, )	/* with the buffer, of those counted in samples */ \
	F(u64, __u16, min_order, ) \
	F(u64, __u16, max_order, ) \
	F(flag, __u32, exchange, )	/* chunks were exchanged against the buffer */
#define BATCH_FIELDS(F) \
	BATCH_OPEN_FIELDS(F) \
	F(u64, __u64, ack_ns, ) \
	F(u64, __u64, done_ns, )	/* last chunk back */ \
	F(s64, __s32, err, )		/* 0 or -errno from the device */ \
	F(none, __u32, pad, )

/* An exchange that changed the zone's free pages: must never happen. */
#define EXCHANGE_VIOLATION_FIELDS(F) \
	F(u64, __u32, node, ) \
	F(u64, __u16, zone, ) \
	F(u64, __u16, order, ) \
	F(s64, __s64, free_delta_pages, ) \
	F(u64, __u64, taken_pfn, ) \
	F(u64, __u64, released_pfn, )

/* The head's task is the culprit, the one that asked. */
#define OOM_KILL_FIELDS(F) \
	F(u64, __u32, victim_pid, ) \
	F(s64, __s32, victim_oom_score_adj, ) \
	F(comm, char, victim_comm, [HINT_COMM_LEN]) \
	F(u64, __u64, victim_rss_pages, )	/* the sum of the next three */ \
	F(u64, __u64, victim_anon_pages, ) \
	F(u64, __u64, victim_file_pages, ) \
	F(u64, __u64, victim_shmem_pages, ) \
	F(u64, __u64, victim_swap_pages, ) \
	F(u64, __u64, victim_pgtable_bytes, ) \
	F(u64, __u64, victim_start_ns, ) \
	F(text, char, victim_cgroup, [HINT_CGROUP_LEN])	/* its own name, without the path */ \
	F(known, __u32, victim_uid, ) \
	F(none, __u32, pad, ) \
	F(flag, __u32, memcg, )		/* the limit of a cgroup, not the system */ \
	F(flag, __u32, sysrq, ) \
	F(u64, __u64, culprit_pid, )	/* 0: the probe on out_of_memory missed it */ \
	F(comm, char, culprit_comm, [HINT_COMM_LEN])

#define ALLOC_FAIL_FIELDS(F) \
	F(maybe, __u32, memcg, )	/* the charge to a cgroup failed, memory did not */ \
	F(none, __u32, pad, )

/* The head's time is the begin of a stall. Both kinds have one layout. */
#define DIRECT_RECLAIM_FIELDS(F) \
	F(u64, __u64, duration_ns, ) \
	F(u64, __u64, nr_reclaimed_pages, ) \
	F(none, __s32, result, ) \
	F(none, __u32, pad, )
#define COMPACTION_STALL_FIELDS(F) \
	F(u64, __u64, duration_ns, ) \
	F(u64, __u64, nr_reclaimed_pages, ) \
	F(s64, __s32, result, )		/* enum compact_result */ \
	F(none, __u32, pad, )

#define KSWAPD_WAKE_FIELDS(F) \
	F(u64, __u32, node, ) \
	F(none, __u32, pad, )

/* What a request was, who asked, and what hinting had out. */
#define SHORTAGE_FIELDS(F) \
	F(u64, __u64, state_ns, )	/* of the zones and of what is held */ \
	F(nodes, __u64, allowed_nodes, )	/* the request may use; 0: not known */ \
	F(u64, __u64, batch_age_ns, )	/* 0 when no batch is out */ \
	F(s64, __s64, held_pages, ) \
	F(s64, __s64, uncompensated_pages, ) \
	F(u64, __u32, gfp, ) \
	F(u64, __u16, order, ) \
	F(u64, __u8, highest_zoneidx, ) \
	F(constraint, __u8, constraint, ) \
	F(flag, __u8, pf_memalloc, )	/* the task was in reclaim: no watermark held for it */ \
	F(flag, __u8, oom_victim, ) \
	F(none, __u8, in_interrupt, )	/* the head's task only happened to run */ \
	F(none, __u8, nr_zones, )	/* entries of zones[] that are valid and sent */ \
	F(none, __u8, zones_missing, )	/* more populated zones than fit */ \
	F(none, __u8, pad, [3])

/* One populated zone, sampled in one probe. */
#define ZONE_FIELDS(F) \
	F(u64, __u16, node, ) \
	F(u64, __u16, zone, ) \
	F(u64, __u32, free_pages, ) \
	F(u64, __u32, min_pages, )	/* watermarks without the boost */ \
	F(u64, __u32, low_pages, ) \
	F(u64, __u32, high_pages, ) \
	F(u64, __u32, boost_pages, ) \
	F(u64, __u32, reserve_pages, )	/* lowmem_reserve against this request */ \
	F(u64, __u32, highatomic_pages, )	/* free, kept for high-order atomic requests */ \
	F(u64, __u32, cma_pages, )	/* free, and CMA */ \
	F(known, __u32, isolated_pageblocks, ) \
	F(u64, __u32, held_pages, ) \
	F(u64, __u32, uncompensated_pages, ) \
	F(s64, __s32, buffer_pages, ) \
	F(pairs, __u32, held_by_order, [HINT_NR_ORDERS])	/* chunks */ \
	F(counts, __u32, nr_free_by_order, [HINT_NR_ORDERS])	/* blocks on the free lists */

/* ---- events that the kernel has counted since boot, named as in /proc/vmstat: V(id, name) ---- */

#define SAMPLE_COUNTS(V) \
	V(PSWPIN, pswpin) \
	V(PSWPOUT, pswpout) \
	V(ZSWPIN, zswpin) \
	V(ZSWPOUT, zswpout) \
	V(OOM_KILL, oom_kill) \
	V(COMPACT_STALL, compact_stall) \
	V(PGFAULT, pgfault) \
	V(PGMAJFAULT, pgmajfault) \
	V(ALLOCSTALL, allocstall)	/* of all zones */

#endif
