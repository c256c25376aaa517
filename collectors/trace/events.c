// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>

#include "trace/events.h"
#include "trace/sample.h"

#define MIB_PAGES	256.0	/* 4 KiB pages */

static const char *kind_name(__u16 type)
{
	switch (type) {
	case REC_BATCH:			return "batch";
	case REC_EXCHANGE_VIOLATION:	return "exchange_violation";
	case REC_OOM_KILL:		return "oom_kill";
	case REC_ALLOC_FAIL:		return "alloc_fail";
	case REC_DIRECT_RECLAIM:	return "direct_reclaim";
	case REC_COMPACTION_STALL:	return "compaction_stall";
	case REC_KSWAPD_WAKE:		return "kswapd_wake";
	}
	return NULL;
}

static int kind_probe(__u16 type)
{
	switch (type) {
	case REC_BATCH:			return PROBE_BATCH;
	case REC_EXCHANGE_VIOLATION:	return PROBE_EXCHANGE;
	case REC_OOM_KILL:		return PROBE_OOM_KILL;
	case REC_ALLOC_FAIL:		return PROBE_ALLOC_FAIL;
	case REC_DIRECT_RECLAIM:	return PROBE_DIRECT_RECLAIM;
	case REC_COMPACTION_STALL:	return PROBE_COMPACTION_STALL;
	case REC_KSWAPD_WAKE:		return PROBE_KSWAPD_WAKE;
	case REC_SAMPLE:		return PROBE_SAMPLE;
	}
	return -EBADMSG;
}

int rec__check(const void *data, size_t size)
{
	const struct rec_hdr *hdr = data;
	const struct oom_kill_rec *oom = data;
	const struct shortage_rec *short_rec = data;
	const struct sample_rec *sample = data;
	size_t want;

	if (size < sizeof(*hdr) || hdr->len > size || hdr->len < sizeof(*hdr))
		return -EBADMSG;
	switch (hdr->type) {
	case REC_BATCH:
		want = sizeof(struct batch_rec);
		break;
	case REC_EXCHANGE_VIOLATION:
		want = sizeof(struct exchange_violation_rec);
		break;
	case REC_OOM_KILL:
		if (hdr->len < SHORTAGE_REC_LEN(*oom, 0) || oom->s.nr_zones > HINT_MAX_SNAP_ZONES)
			return -EBADMSG;
		want = SHORTAGE_REC_LEN(*oom, oom->s.nr_zones);
		break;
	case REC_SAMPLE:
		if (hdr->len < SAMPLE_REC_LEN(0) || sample->nr_zones > HINT_SAMPLE_ZONES)
			return -EBADMSG;
		want = SAMPLE_REC_LEN(sample->nr_zones);
		break;
	default:
		if (!kind_name(hdr->type) || hdr->len < SHORTAGE_REC_LEN(*short_rec, 0) ||
		    short_rec->s.nr_zones > HINT_MAX_SNAP_ZONES)
			return -EBADMSG;
		want = SHORTAGE_REC_LEN(*short_rec, short_rec->s.nr_zones);
	}
	return hdr->len == want ? kind_probe(hdr->type) : -EBADMSG;
}

/* ---- JSON ---- */

static void put_zone(struct jw *w, const struct zone_snap *z)
{
	int last = HINT_NR_ORDERS - 1;

	jw__obj_begin(w, NULL);
	jw__u64(w, "node", z->node);
	jw__u64(w, "zone", z->zone);
	jw__u64(w, "free_pages", z->free_pages);
	jw__u64(w, "min_pages", z->min_pages);
	jw__u64(w, "low_pages", z->low_pages);
	jw__u64(w, "high_pages", z->high_pages);
	jw__u64(w, "boost_pages", z->boost_pages);
	jw__u64(w, "reserve_pages", z->reserve_pages);
	jw__u64(w, "highatomic_pages", z->highatomic_pages);
	jw__u64(w, "held_pages", z->held_pages);
	jw__u64(w, "uncompensated_pages", z->uncompensated_pages);
	jw__s64(w, "buffer_pages", z->buffer_pages);
	jw__arr_begin(w, "held_by_order");
	for (int o = 0; o < HINT_NR_ORDERS; o++) {
		if (!z->held[o])
			continue;
		jw__arr_begin(w, NULL);
		jw__u64(w, NULL, (__u64)o);
		jw__u64(w, NULL, z->held[o]);
		jw__arr_end(w);
	}
	jw__arr_end(w);
	jw__arr_begin(w, "nr_free_by_order");
	while (last >= 0 && !z->nr_free[last])
		last--;
	for (int o = 0; o <= last; o++)
		jw__u64(w, NULL, z->nr_free[o]);
	jw__arr_end(w);
	jw__obj_end(w);
}

static void put_shortage(struct jw *w, const struct shortage *s)
{
	jw__u64(w, "gfp", s->gfp);
	jw__u64(w, "order", s->order);
	jw__u64(w, "highest_zoneidx", s->highest_zoneidx);
	jw__s64(w, "held_pages", s->held_pages);
	jw__s64(w, "uncompensated_pages", s->uncompensated_pages);
	jw__u64(w, "batch_age_ns", s->batch_age_ns);
	jw__arr_begin(w, "zones");
	for (int i = 0; i < s->nr_zones; i++)
		put_zone(w, &s->zones[i]);
	jw__arr_end(w);
	if (s->zones_missing)
		jw__bool(w, "zones_missing", true);
}

/* A name may be cut, but comes NUL-terminated from the kernel; the copy makes sure. */
static void put_comm(struct jw *w, const char *key, const char *comm)
{
	char copy[HINT_COMM_LEN + 1];

	snprintf(copy, sizeof(copy), "%.*s", HINT_COMM_LEN, comm);
	jw__str(w, key, copy);
}

static const char *constraint_name(__u8 c)
{
	/* enum oom_constraint */
	static const char *const names[] = { "none", "cpuset", "memory_policy", "memcg" };

	return c < sizeof(names) / sizeof(names[0]) ? names[c] : "unknown";
}

/* Bytes kept, or -errno. */
static long put_event(struct out *out, const struct rec_hdr *hdr)
{
	const struct batch_rec *batch = (const void *)hdr;
	const struct exchange_violation_rec *ev = (const void *)hdr;
	const struct oom_kill_rec *oom = (const void *)hdr;
	const struct shortage_rec *sr = (const void *)hdr;
	struct jw *w = out__begin("event", hdr->t_ns);

	jw__str(w, "kind", kind_name(hdr->type));
	jw__u64(w, "cpu", hdr->cpu);
	jw__u64(w, "pid", hdr->tgid);
	jw__u64(w, "tid", hdr->tid);
	put_comm(w, "comm", hdr->comm);
	switch (hdr->type) {
	case REC_BATCH:
		jw__u64(w, "start_ns", batch->start_ns);
		jw__u64(w, "sent_ns", batch->sent_ns);
		jw__u64(w, "ack_ns", batch->ack_ns);
		jw__u64(w, "done_ns", batch->done_ns);
		jw__u64(w, "nr_chunks", batch->nr_chunks);
		jw__u64(w, "nr_pages", batch->nr_pages);
		jw__u64(w, "min_order", batch->min_order);
		jw__u64(w, "max_order", batch->max_order);
		jw__s64(w, "err", batch->err);
		jw__bool(w, "exchange", batch->exchange);
		break;
	case REC_EXCHANGE_VIOLATION:
		jw__u64(w, "node", ev->node);
		jw__u64(w, "zone", ev->zone);
		jw__u64(w, "order", ev->order);
		jw__s64(w, "free_delta_pages", ev->free_delta_pages);
		jw__u64(w, "taken_pfn", ev->taken_pfn);
		jw__u64(w, "released_pfn", ev->released_pfn);
		break;
	case REC_OOM_KILL:
		jw__u64(w, "victim_pid", oom->victim_tgid);
		put_comm(w, "victim_comm", oom->victim_comm);
		jw__u64(w, "victim_rss_pages", oom->victim_rss_pages);
		jw__s64(w, "victim_oom_score_adj", oom->victim_oom_score_adj);
		jw__bool(w, "memcg", oom->memcg);
		jw__bool(w, "sysrq", oom->sysrq);
		jw__str(w, "constraint", constraint_name(oom->constraint));
		jw__u64(w, "culprit_pid", oom->unknown_request ? 0 : hdr->tgid);
		put_comm(w, "culprit_comm", oom->unknown_request ? "" : hdr->comm);
		put_shortage(w, &oom->s);
		break;
	case REC_DIRECT_RECLAIM:
	case REC_COMPACTION_STALL:
		jw__u64(w, "duration_ns", sr->duration_ns);
		jw__u64(w, "nr_reclaimed_pages", sr->nr_reclaimed_pages);
		if (hdr->type == REC_COMPACTION_STALL)
			jw__s64(w, "result", sr->result);
		put_shortage(w, &sr->s);
		break;
	case REC_KSWAPD_WAKE:
		jw__u64(w, "node", sr->node);
		put_shortage(w, &sr->s);
		break;
	default:
		put_shortage(w, &sr->s);
	}
	return out__keep(out);
}

/* ---- for people ---- */

static void print_shortage(const struct shortage *s)
{
	double free = 0;

	for (int i = 0; i < s->nr_zones; i++)
		free += s->zones[i].free_pages / MIB_PAGES;
	printf("order %u gfp %#x free %.1f MiB held %.1f MiB uncompensated %.1f MiB",
	       s->order, s->gfp, free, (double)s->held_pages / MIB_PAGES,
	       (double)s->uncompensated_pages / MIB_PAGES);
	if (s->batch_age_ns)
		printf(" batch out for %.3f ms", (double)s->batch_age_ns / 1e6);
}

static void print_human(const struct rec_hdr *hdr)
{
	const struct batch_rec *batch = (const void *)hdr;
	const struct exchange_violation_rec *ev = (const void *)hdr;
	const struct oom_kill_rec *oom = (const void *)hdr;
	const struct shortage_rec *sr = (const void *)hdr;

	printf("%12.6f %-18s %.*s[%u] ", (double)hdr->t_ns / 1e9, kind_name(hdr->type),
	       HINT_COMM_LEN, hdr->comm, hdr->tgid);
	switch (hdr->type) {
	case REC_BATCH:
		printf("%u chunks of order %u-%u, %.1f MiB, hold %.3f ms, ack %.3f ms, err %d%s",
		       batch->nr_chunks, batch->min_order, batch->max_order,
		       (double)batch->nr_pages / MIB_PAGES,
		       (double)(batch->done_ns - batch->start_ns) / 1e6,
		       (double)(batch->ack_ns - batch->sent_ns) / 1e6, batch->err,
		       batch->exchange ? ", exchanged" : "");
		break;
	case REC_EXCHANGE_VIOLATION:
		printf("node %u zone %u order %u: free pages changed by %lld, taken pfn %llu, released pfn %llu",
		       ev->node, ev->zone, ev->order, ev->free_delta_pages, ev->taken_pfn,
		       ev->released_pfn);
		break;
	case REC_OOM_KILL:
		printf("killed %.*s[%u] rss %.1f MiB%s%s, ", HINT_COMM_LEN, oom->victim_comm,
		       oom->victim_tgid, (double)oom->victim_rss_pages / MIB_PAGES,
		       oom->memcg ? " by cgroup limit" : "", oom->sysrq ? " by sysrq" : "");
		print_shortage(&oom->s);
		break;
	case REC_DIRECT_RECLAIM:
	case REC_COMPACTION_STALL:
		printf("%.3f ms, ", (double)sr->duration_ns / 1e6);
		print_shortage(&sr->s);
		break;
	default:
		print_shortage(&sr->s);
	}
	putchar('\n');
}

void events__flush(struct events *e)
{
	int err = out__flush(e->out);

	for (int p = 0; p < NR_PROBES; p++) {
		if (err)
			e->nr_unwritten[p] += e->nr_kept[p];
		e->nr_kept[p] = 0;
	}
}

static void keep_line(struct events *e, const struct rec_hdr *hdr, int probe)
{
	long len = probe == PROBE_SAMPLE ? sample__put(e->out, (const void *)hdr) :
					   put_event(e->out, hdr);

	if (len < 0)
		e->nr_unwritten[probe]++;
	else
		e->nr_kept[probe]++;
	if (len >= OUT_KEEP_BYTES)
		events__flush(e);
}

int events__handle(void *ctx, void *data, size_t size)
{
	struct events *e = ctx;
	int probe = rec__check(data, size);

	if (probe < 0) {
		e->nr_bad++;
		return 0;
	}
	if (probe == PROBE_SAMPLE)
		e->nr_torn += ((const struct sample_rec *)data)->nr_torn;
	if (out__wants_json(e->out))
		keep_line(e, data, probe);
	if (e->out->human && probe != PROBE_SAMPLE)
		print_human(data);
	return 0;
}
