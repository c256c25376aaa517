// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "common/hist.h"
#include "trace/metrics.h"
#include "trace/verdict.h"

static enum metrics_class class_of(const struct oom_kill_rec *kill, bool own)
{
	struct verdict v;

	if (kill->memcg || kill->s.constraint == HINT_MEMCG)
		return METRICS_MEMCG;
	if (kill->sysrq)
		return METRICS_SYSRQ;
	if (own)
		return METRICS_OWN;
	verdict__of_kill(&v, kill);
	return (enum metrics_class)v.kind;
}

static struct metrics_cgroup *cgroup_of(struct metrics *m, const char *name)
{
	struct metrics_cgroup *c;
	__u32 i;

	for (i = 1; i <= m->nr_cgroups; i++)
		if (!strncmp(m->cgroups[i].name, name, HINT_CGROUP_LEN))
			return &m->cgroups[i];
	if (m->nr_cgroups == METRICS_CGROUPS || !name[0])
		return &m->cgroups[0];
	c = &m->cgroups[++m->nr_cgroups];
	memcpy(c->name, name, strnlen(name, HINT_CGROUP_LEN));
	return c;
}

void metrics__kill(struct metrics *m, const struct oom_kill_rec *kill, bool own)
{
	cgroup_of(m, kill->victim_cgroup)->nr_kills[class_of(kill, own)]++;
}

/*
 * The name as in text (text__escaped()), and that as the format wants it. Two names stay
 * two: an exporter gives up all of its metrics when it meets one series twice.
 */
static void put_label(FILE *f, const char *name)
{
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (c == '\\')
			fputs("\\\\\\\\", f);
		else if (c == '"')
			fputs("\\\"", f);
		else if (c < ' ' || c > '~')
			fprintf(f, "\\\\x%02x", c);
		else
			putc(c, f);
	}
}

void metrics__put(const struct metrics *m, FILE *f)
{
	static const char *const extra[] = { "memcg", "sysrq", "own" };

	fputs("# HELP hinttrace_kills Processes killed for memory; attributable: hinting held what was missing.\n"
	      "# TYPE hinttrace_kills counter\n", f);
	for (__u32 i = 0; i <= m->nr_cgroups; i++) {
		for (int c = 0; c < NR_METRICS_CLASSES; c++) {
			if (i && !m->cgroups[i].nr_kills[c])
				continue;	/* cgroup "" has every verdict from the start */
			fprintf(f, "hinttrace_kills_total{verdict=\"%s\",cgroup=\"",
				c < NR_VERDICTS ? verdict_names[c] : extra[c - NR_VERDICTS]);
			put_label(f, m->cgroups[i].name);
			fprintf(f, "\"} %llu\n", m->cgroups[i].nr_kills[c]);
		}
	}
}

/* Bounds from 2^10 ns (1 us) to 2^34 ns (17 s); exact, since buckets begin at powers of two. */
#define LEAST_BITS 10
#define MOST_BITS 34

void metrics__put_hist(FILE *f, const char *family, const char *label, const struct hist_cpu *h)
{
	const char *comma = *label ? "," : "", *open = *label ? "{" : "", *close = *label ? "}" : "";
	__u64 nr = 0;
	size_t i = 0;

	for (int bits = LEAST_BITS; bits <= MOST_BITS; bits += 2) {
		size_t end = hist__index(1ULL << bits, HIST_SUB_BITS);

		for (; i < end; i++)
			nr += h->counts[i];
		/* Values are whole ns: below the bound is at most the bound. */
		fprintf(f, "%s_bucket{%s%sle=\"%.9f\"} %llu\n", family, label, comma,
			(double)(1ULL << bits) / 1e9, nr);
	}
	fprintf(f, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family, label, comma, h->n);
	fprintf(f, "%s_count%s%s%s %llu\n", family, open, label, close, h->n);
	fprintf(f, "%s_sum%s%s%s %.9f\n", family, open, label, close, (double)h->sum / 1e9);
}
