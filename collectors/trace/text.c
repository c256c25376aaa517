// SPDX-License-Identifier: GPL-2.0-only
#include "trace/events.h"
#include "trace/text.h"

#define MIB_PAGES 256.0 /* 4 KiB pages */

void text__escaped(FILE *to, const char *text, size_t size)
{
	for (size_t i = 0; i < size && text[i]; i++) {
		unsigned char c = text[i];

		if (c == '\\')
			fputs("\\\\", to);
		else if (c < ' ' || c > '~')
			fprintf(to, "\\x%02x", c);
		else
			putc(c, to);
	}
}

void text__task(FILE *to, const char *comm, __u32 pid)
{
	text__escaped(to, comm, HINT_COMM_LEN);
	fprintf(to, "[%u]", pid);
}

/* What kept the request from memory that may well have been free. */
void text__bound(FILE *to, const struct shortage *s)
{
	static const char *const by[] = {
		[HINT_CPUSET] = "its cpuset",
		[HINT_MEMORY_POLICY] = "its memory policy",
		[HINT_MEMCG] = "the limit of its cgroup",
		[HINT_THISNODE] = "its own wish for one node",
	};

	if (s->constraint >= sizeof(by) / sizeof(by[0]) || !by[s->constraint])
		return;
	fprintf(to, ", bound by %s", by[s->constraint]);
	if (!s->allowed_nodes || s->constraint == HINT_MEMCG)
		return;
	fputs(" to nodes", to);
	for (int node = 0; node < HINT_NR_NODES; node++)
		if (s->allowed_nodes & (1ULL << node))
			fprintf(to, " %d", node);
}

static void put_shortage(FILE *to, const struct shortage *s)
{
	double free = 0;

	for (int i = 0; i < s->nr_zones; i++)
		free += s->zones[i].free_pages / MIB_PAGES;
	fprintf(to, "order %u gfp %#x free %.1f MiB held %.1f MiB uncompensated %.1f MiB", s->order,
		s->gfp, free, (double)s->held_pages / MIB_PAGES,
		(double)s->uncompensated_pages / MIB_PAGES);
	if (s->batch_age_ns)
		fprintf(to, " batch out for %.3f ms", (double)s->batch_age_ns / 1e6);
	text__bound(to, s);
}

void text__event(FILE *to, const struct rec_hdr *hdr, bool own)
{
	const struct shortage *s = rec__shortage(hdr);
	const struct batch_rec *batch = (const void *)hdr;
	const struct exchange_violation_rec *ev = (const void *)hdr;
	const struct oom_kill_rec *oom = (const void *)hdr;
	const struct alloc_fail_rec *failed = (const void *)hdr;
	const struct direct_reclaim_rec *stall = (const void *)hdr;

	fprintf(to, "%12.6f %-18s ", (double)hdr->t_ns / 1e9, rec__kind(hdr->type));
	text__task(to, hdr->comm, hdr->tgid);
	putc(' ', to);
	switch (hdr->type) {
	case REC_BATCH:
		fprintf(to,
			"%u chunks of order %u-%u, %.1f MiB, hold %.3f ms, ack %.3f ms, err %d%s",
			batch->nr_chunks, batch->min_order, batch->max_order,
			(double)batch->nr_pages / MIB_PAGES,
			(double)(batch->done_ns - batch->start_ns) / 1e6,
			(double)(batch->ack_ns - batch->sent_ns) / 1e6, batch->err,
			batch->exchange ? ", exchanged" : "");
		break;
	case REC_EXCHANGE_VIOLATION:
		fprintf(to,
			"node %u zone %u order %u: free pages changed by %lld, taken pfn %llu, released pfn %llu",
			ev->node, ev->zone, ev->order, ev->free_delta_pages, ev->taken_pfn,
			ev->released_pfn);
		break;
	case REC_OOM_KILL:
		fputs("killed ", to);
		text__task(to, oom->victim_comm, oom->victim_pid);
		fprintf(to, " rss %.1f MiB%s%s, ", (double)oom->victim_rss_pages / MIB_PAGES,
			oom->memcg ? " by cgroup limit" : "", oom->sysrq ? " by sysrq" : "");
		break;
	case REC_ALLOC_FAIL:
		if (failed->memcg == true)
			fputs("the charge to a cgroup failed, ", to);
		break;
	case REC_DIRECT_RECLAIM:
	case REC_COMPACTION_STALL:
		fprintf(to, "%.3f ms, ", (double)stall->duration_ns / 1e6);
		break;
	}
	if (s) {
		put_shortage(to, s);
		if (own)
			fputs(", asked by the toolkit itself", to);
	}
	putc('\n', to);
}
