// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "trace/events.h"
#include "trace/gfp.h"
#include "trace/screen.h"
#include "trace/text.h"

#define PAGE_BYTES 4096LL

/* "22.0 MiB", "4 KiB" */
static const char *size_of(__s64 pages, char *buf)
{
	__s64 bytes = pages * PAGE_BYTES;

	if (bytes < 1024 * 1024 && bytes > -1024 * 1024)
		snprintf(buf, 32, "%lld KiB", bytes / 1024);
	else
		snprintf(buf, 32, "%.1f MiB", (double)bytes / (1024 * 1024));
	return buf;
}

#define SIZE(pages) size_of((pages), (char[32]){ 0 })

static double seconds(__u64 from_ns, __u64 to_ns)
{
	return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

/* ---- the sentence ---- */

static __s64 held_in(const struct verdict *v)
{
	__s64 pages = 0;

	for (__u32 i = 0; i < v->nr_zones; i++)
		pages += v->zones[i].zone->uncompensated_pages;
	return pages;
}

static __s64 held_anywhere(const struct oom_kill_rec *kill)
{
	__s64 pages = 0;

	for (int i = 0; i < kill->s.nr_zones; i++)
		pages += kill->s.zones[i].uncompensated_pages;
	return pages;
}

/* The zone to speak of: one that passes with what was held, else the largest by its mark. */
static const struct zone_verdict *telling_zone(const struct verdict *v)
{
	const struct zone_verdict *best = NULL;

	for (__u32 i = 0; i < v->nr_zones; i++) {
		const struct zone_verdict *z = &v->zones[i];

		if (z->with_held.passes == TRUTH_YES)
			return z;
		if (!best || z->zone->min_pages > best->zone->min_pages)
			best = z;
	}
	return best;
}

static void put_zone(FILE *to, const struct zone_snap *z)
{
	fprintf(to, "zone %s of node %u", zone__name(z->zone), z->node);
}

static void put_genuine(FILE *to, const struct verdict *v)
{
	const struct zone_verdict *z = telling_zone(v);

	fputs("This kill was not caused by memory on its way to the host, because ", to);
	if (!z) {
		fputs("no zone could have served the request.", to);
		return;
	}
	if (!held_in(v)) {
		fputs("no memory that the request could use was out; ", to);
		put_zone(to, z->zone);
		fprintf(to, " was %s short.", SIZE(check__shortfall(&z->without)));
		return;
	}
	fprintf(to, "with the %s that were out ", SIZE(held_in(v)));
	put_zone(to, z->zone);
	if (check__shortfall(&z->with_held))
		fprintf(to, " would still have been %s short.",
			SIZE(check__shortfall(&z->with_held)));
	else
		fputs(" would still have had no block as large as was asked for.", to);
}

static void put_attributable(FILE *to, const struct verdict *v)
{
	const struct zone_verdict *z = telling_zone(v);

	fputs("This kill was caused by memory on its way to the host, because ", to);
	put_zone(to, z->zone);
	if (check__shortfall(&z->without))
		fprintf(to, " was %s short and had %s out: with it", SIZE(check__shortfall(&z->without)),
			SIZE(z->zone->uncompensated_pages));
	else
		fprintf(to, " had no block as large as was asked for and had %s out: with it",
			SIZE(z->zone->uncompensated_pages));
	fputs(" the request would have been served.", to);
}

void screen__sentence(FILE *to, const struct oom_kill_rec *kill, const struct verdict *v)
{
	const char *not = "This kill was not caused by memory on its way to the host, because ";

	if (kill->sysrq)
		fprintf(to, "%ssomebody asked for it (sysrq f).", not);
	else if (kill->memcg || kill->s.constraint == HINT_MEMCG)
		fprintf(to, "%sit was the limit of a cgroup that was reached.", not);
	else if (v->kind == VERDICT_GENUINE)
		put_genuine(to, v);
	else if (v->kind == VERDICT_ATTRIBUTABLE)
		put_attributable(to, v);
	else if (!held_anywhere(kill) && !kill->s.zones_missing)
		fprintf(to, "%snone was. (Otherwise undetermined: %s.)", not, v->reason);
	else
		fprintf(to, "Whether this kill was caused by memory on its way to the host cannot be told, because %s.",
			v->reason);
}

/* ---- the parts ---- */

static void put_victim(FILE *to, const struct oom_kill_rec *k)
{
	text__task(to, k->victim_comm, k->victim_pid);
	fprintf(to, ", %s resident, oom_score_adj %d", SIZE((__s64)k->victim_rss_pages),
		k->victim_oom_score_adj);
	if (k->victim_pid == k->culprit_pid)
		fputs(", which had asked itself", to);
}

/* What a record of an older tracer lacks is left out: of it all are 0. */
static void put_victim_memory(FILE *to, const struct oom_kill_rec *k)
{
	if (k->victim_start_ns)
		fprintf(to, "\n  whose       uid %u, started %.1f s before", k->victim_uid,
			seconds(k->victim_start_ns, k->hdr.t_ns));
	if (k->victim_cgroup[0]) {
		fputs(", in cgroup ", to);
		text__escaped(to, k->victim_cgroup, sizeof(k->victim_cgroup));
	}
	if (k->victim_anon_pages || k->victim_file_pages || k->victim_shmem_pages)
		fprintf(to, "\n  memory      %s anonymous, %s file, %s shared; %s swapped out; page tables %s",
			SIZE((__s64)k->victim_anon_pages), SIZE((__s64)k->victim_file_pages),
			SIZE((__s64)k->victim_shmem_pages), SIZE((__s64)k->victim_swap_pages),
			SIZE((__s64)(k->victim_pgtable_bytes / PAGE_BYTES)));
}

static void put_request(FILE *to, const struct oom_kill_rec *k, bool own)
{
	const struct shortage *s = &k->s;
	char flags[256];

	fputs("Who asked     ", to);
	if (k->sysrq)
		fputs("somebody, by sysrq", to);
	else if (!k->culprit_comm[0])
		fputs("not known: the request was not seen", to);
	else
		text__task(to, k->culprit_comm, (__u32)k->culprit_pid);
	fputs(own ? " (this toolkit)\n" : "\n", to);
	if (k->sysrq || !k->culprit_comm[0])
		return;
	fprintf(to, "  for what    %s in one piece: order %u, %s", SIZE(1LL << s->order), s->order,
		gfp__decode(s->gfp, flags, sizeof(flags)));
	text__bound(to, s);
	putc('\n', to);
}

static void put_check(FILE *to, const struct check *c, const char *what)
{
	const char *ends = c->passes == TRUTH_YES ? "enough" :
			   c->passes == TRUTH_NO ? "not enough" : "cannot be told";

	fprintf(to, "    %-10s %s free - %s not for it = %s, must be more than %s mark + %s reserve = %s",
		what, SIZE(c->free), SIZE(c->unusable), SIZE(check__usable(c)), SIZE(c->mark),
		SIZE(c->reserve), SIZE(check__need(c)));
	if (c->block != TRUTH_YES)
		fputs(c->block == TRUTH_NO ? ", no block large enough" : ", a block may be there", to);
	fprintf(to, ": %s\n", ends);
}

static void put_missing(FILE *to, const struct verdict *v)
{
	if (!v->nr_zones)
		return;
	fputs("What was missing\n", to);
	for (__u32 i = 0; i < v->nr_zones; i++) {
		const struct zone_verdict *z = &v->zones[i];

		fputs("  ", to);
		put_zone(to, z->zone);
		if (check__shortfall(&z->without))
			fprintf(to, ": %s (%lld bytes) short", SIZE(check__shortfall(&z->without)),
				check__shortfall(&z->without) * PAGE_BYTES);
		putc('\n', to);
		put_check(to, &z->without, "as it was:");
		if (z->zone->uncompensated_pages)
			put_check(to, &z->with_held, "with held:");
	}
}

static void put_held(FILE *to, const struct screen *s, const struct oom_kill_rec *k)
{
	const struct batch_rec *b = &s->batch;

	fputs("What was out  ", to);
	if (k->s.held_pages <= 0) {
		fputs("nothing was on its way to the host\n", to);
		return;
	}
	fputs(SIZE(k->s.held_pages), to);
	if (k->s.uncompensated_pages < k->s.held_pages)
		fprintf(to, ", of which the hinting buffer had replaced %s",
			SIZE(k->s.held_pages - k->s.uncompensated_pages));
	if (k->s.batch_age_ns)
		fprintf(to, "; since %.3f s before", (double)k->s.batch_age_ns / 1e9);
	if (b->done_ns > k->s.state_ns)
		fprintf(to, "; back %.3f s after", seconds(k->s.state_ns, b->done_ns));
	else
		fputs("; not back when this was written", to);
	putc('\n', to);
}

static void put_prevention(FILE *to, const struct oom_kill_rec *k, const struct verdict *v)
{
	const struct zone_verdict *z = telling_zone(v);
	__s64 spare = z ? (__s64)z->zone->uncompensated_pages - check__shortfall(&z->without) : 0;

	if (k->sysrq || !k->culprit_comm[0])
		return;
	fputs("What would have prevented it\n  ", to);
	if (k->memcg || k->s.constraint == HINT_MEMCG)
		fputs("a higher memory.max of the cgroup, or less in it\n", to);
	else if (v->kind == VERDICT_ATTRIBUTABLE)
		fprintf(to, "a hinting buffer, or at most %s out at once in this zone\n",
			SIZE(spare > 0 ? spare : 0));
	else if (v->kind == VERDICT_GENUINE && z && check__shortfall(&z->with_held))
		fprintf(to, "%s more memory, or less in use; hinting has no part in it\n",
			SIZE(check__shortfall(&z->with_held)));
	else
		fputs("cannot be told\n", to);
}

/* One column a second: the lowest free memory, the most held, the stalls that began. */
static void put_strip(FILE *to, const struct screen *s, __u64 end_ns)
{
	__u64 nr = s->nr_samples < SCREEN_SAMPLES ? s->nr_samples : SCREEN_SAMPLES, before = 0;
	__u64 first_ns = end_ns > SCREEN_BEFORE_NS ? end_ns - SCREEN_BEFORE_NS : 0;
	__u64 low[10], held[10] = { 0 }, stalls[10] = { 0 };
	bool any = false;

	memset(low, 0xff, sizeof(low));
	for (__u64 i = s->nr_samples - nr; i < s->nr_samples; i++) {
		const struct screen_sample *at = &s->samples[i % SCREEN_SAMPLES];
		__u64 slot = (at->t_ns - first_ns) * 10 / SCREEN_BEFORE_NS;

		if (at->t_ns >= first_ns && at->t_ns < end_ns && slot < 10) {
			low[slot] = at->free_pages < low[slot] ? at->free_pages : low[slot];
			held[slot] = at->held_pages > held[slot] ? at->held_pages : held[slot];
			if (before && at->nr_stalls > before)
				stalls[slot] += at->nr_stalls - before;
			any = true;
		}
		before = at->nr_stalls;
	}
	if (!any)
		return;
	fputs("The ten seconds before, by the second (. nothing changed)\n  free MiB ", to);
	for (int i = 0; i < 10; i++)
		low[i] == ~0ULL ? fputs("     .", to) : fprintf(to, " %5llu", low[i] / 256);
	fputs("\n  out MiB  ", to);
	for (int i = 0; i < 10; i++)
		low[i] == ~0ULL ? fputs("     .", to) : fprintf(to, " %5llu", held[i] / 256);
	fputs("\n  stalls   ", to);
	for (int i = 0; i < 10; i++)
		low[i] == ~0ULL ? fputs("     .", to) : fprintf(to, " %5llu", stalls[i]);
	putc('\n', to);
}

static void put_others(FILE *to, const struct screen *s)
{
	if (s->nr_kills < 2)
		return;
	fputs("What else died in the same incident\n", to);
	for (__u32 i = 1; i < s->nr_kills && i < SCREEN_KILLS; i++) {
		struct verdict v;

		verdict__of_kill(&v, &s->kills[i]);
		fprintf(to, "  %.3f s later ", seconds(s->kills[0].hdr.t_ns, s->kills[i].hdr.t_ns));
		put_victim(to, &s->kills[i]);
		fputs("\n    ", to);
		screen__sentence(to, &s->kills[i], &v);
		putc('\n', to);
	}
	if (s->nr_kills > SCREEN_KILLS)
		fprintf(to, "  and %u more\n", s->nr_kills - SCREEN_KILLS);
}

static void print(struct screen *s)
{
	const struct oom_kill_rec *k = &s->kills[0];
	FILE *to = s->to;
	struct verdict v;

	verdict__of_kill(&v, k);
	fprintf(to, "\n==== incident %u at %.6f s: %u killed ====\nWhat died     ",
		++s->nr_incidents, (double)k->hdr.t_ns / 1e9, s->nr_kills);
	put_victim(to, k);
	put_victim_memory(to, k);
	putc('\n', to);
	put_request(to, k, s->own[0]);
	put_missing(to, &v);
	put_held(to, s, k);
	fputs("Verdict\n  ", to);
	screen__sentence(to, k, &v);
	putc('\n', to);
	put_prevention(to, k, &v);
	put_others(to, s);
	put_strip(to, s, k->hdr.t_ns);
	putc('\n', to);
	fflush(to);
	s->nr_kills = 0;
}

/* ---- what comes in ---- */

static void add_kill(struct screen *s, const struct oom_kill_rec *k, bool own)
{
	if (s->nr_kills && k->hdr.t_ns - s->last_ns > SCREEN_QUIET_NS && k->hdr.t_ns > s->last_ns)
		print(s);
	if (!s->nr_kills)
		memset(&s->batch, 0, sizeof(s->batch));
	if (s->nr_kills < SCREEN_KILLS) {
		struct oom_kill_rec *to = &s->kills[s->nr_kills];

		memset(to, 0, sizeof(*to));
		memcpy(to, k, k->hdr.len);
		s->own[s->nr_kills] = own;
	}
	s->nr_kills++;
	s->last_ns = k->hdr.t_ns;
}

static void add_sample(struct screen *s, const struct sample_rec *rec)
{
	struct screen_sample *to = &s->samples[s->nr_samples++ % SCREEN_SAMPLES];

	*to = (struct screen_sample){ .t_ns = rec->hdr.t_ns };
	for (__u32 i = 0; i < rec->nr_zones; i++) {
		to->free_pages += rec->zones[i].free_pages;
		to->held_pages += (__u64)rec->zones[i].st.held_pages;
	}
	to->nr_stalls = rec->counts[COUNT_ALLOCSTALL] + rec->counts[COUNT_COMPACT_STALL];
}

void screen__record(struct screen *s, const struct rec_hdr *hdr, bool own)
{
	const struct batch_rec *batch = (const void *)hdr;

	if (hdr->type == REC_OOM_KILL)
		add_kill(s, (const void *)hdr, own);
	else if (hdr->type == REC_SAMPLE)
		add_sample(s, (const void *)hdr);
	else if (hdr->type == REC_BATCH && s->nr_kills &&
		 batch->start_ns <= s->kills[0].s.state_ns &&
		 batch->done_ns >= s->kills[0].s.state_ns)
		s->batch = *batch;
}

void screen__tick(struct screen *s, __u64 now_ns)
{
	__u64 quiet;

	if (!s->nr_kills || now_ns <= s->last_ns)
		return;
	quiet = now_ns - s->last_ns;
	if (quiet > SCREEN_WAIT_NS ||
	    (quiet > SCREEN_QUIET_NS && (s->batch.done_ns || s->kills[0].s.held_pages <= 0)))
		print(s);
}

void screen__end(struct screen *s)
{
	if (s->nr_kills)
		print(s);
}
