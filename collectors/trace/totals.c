// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hist.h"
#include "common/hist_json.h"
#include "common/time.h"
#include "trace/totals.h"

#define MAX_HISTS NR_SWAP_HISTS	/* that an object has */

#define NAMED(id, name)	[HIST_##id] = #name,

static const char *const hist_names[NR_OBJECTS][MAX_HISTS + 1] = {
	[OBJ_HINT] = { HINT_HISTS(NAMED) },
	[OBJ_SWAP] = { SWAP_HISTS(NAMED) },
	[OBJ_ALLOCFAIL] = { ALLOCFAIL_HISTS(NAMED) },
};

int totals__init(struct totals *t)
{
	memset(t, 0, sizeof(*t));
	t->nr_cpus = libbpf_num_possible_cpus();
	if (t->nr_cpus < 1) {
		fprintf(stderr, "hinttrace: cannot tell the number of CPUs: %s; is sysfs mounted?\n",
			strerror(-t->nr_cpus));
		return t->nr_cpus ? t->nr_cpus : -ENOENT;
	}
	t->hists = calloc((size_t)t->nr_cpus, sizeof(*t->hists));
	t->stats = calloc((size_t)t->nr_cpus, sizeof(*t->stats));
	if (t->hists && t->stats)
		return 0;
	totals__free(t);
	fprintf(stderr, "hinttrace: no memory for the histograms of %d CPUs\n", t->nr_cpus);
	return -ENOMEM;
}

void totals__free(struct totals *t)
{
	free(t->hists);
	free(t->stats);
	t->hists = NULL;
	t->stats = NULL;
}

void hist_cpu__sum(struct hist_cpu *h, int nr_cpus)
{
	for (int c = 1; c < nr_cpus; c++) {
		h->n += h[c].n;
		h->sum += h[c].sum;
		if (h[c].max > h->max)
			h->max = h[c].max;
		for (int i = 0; i < HIST_NR_SLOTS; i++)
			h->counts[i] += h[c].counts[i];
	}
}

/* Adopted programs may have run for long; of their histograms, too, only what comes now counts. */
static struct hist_cpu base_hists[NR_OBJECTS][MAX_HISTS];

static int read_hist(struct totals *t, const struct loaded *l, int o, __u32 i)
{
	int err;

	if (!bpf_map_lookup_elem(l->object[o].hists_fd, &i, t->hists)) {
		hist_cpu__sum(t->hists, t->nr_cpus);
		return 0;
	}
	err = -errno;
	fprintf(stderr, "hinttrace: cannot read histogram %s: %s\n", hist_names[o][i],
		strerror(-err));
	return err;
}

/* The largest value may be one from before: then it is only an upper bound. */
static void leave_out(struct hist_cpu *h, const struct hist_cpu *base)
{
	h->n -= base->n;
	h->sum -= base->sum;
	for (int i = 0; i < HIST_NR_SLOTS; i++)
		h->counts[i] -= base->counts[i];
}

int totals__hist(struct totals *t, const struct loaded *l, enum trace_object o, __u32 i)
{
	int err = read_hist(t, l, o, i);

	if (!err)
		leave_out(t->hists, &base_hists[o][i]);
	return err;
}

static void print_bars(const char *name, const struct hist_cpu *h)
{
	__u64 by_log2[64] = { 0 }, most = 0;
	int first = 64, last = 0;

	for (int i = 0; i < HIST_NR_SLOTS; i++) {
		__u64 low = hist__lower((size_t)i, HIST_SUB_BITS);
		int e = low ? 63 - __builtin_clzll(low) : 0;

		by_log2[e] += h->counts[i];
	}
	for (int e = 0; e < 64; e++) {
		if (!by_log2[e])
			continue;
		if (e < first)
			first = e;
		last = e;
		if (by_log2[e] > most)
			most = by_log2[e];
	}
	printf("\n%s: %llu times, mean %.3f us, max %.3f us\n", name, h->n,
	       (double)h->sum / (double)h->n / 1e3, (double)h->max / 1e3);
	printf("%14s %14s %10s\n", "from us", "below us", "count");
	for (int e = first; e <= last; e++) {
		int len = (int)(by_log2[e] * 40 / most);

		printf("%14.3f %14.3f %10llu |%.*s\n", e ? (double)(1ULL << e) / 1e3 : 0.0,
		       (double)(2ULL << e) / 1e3, by_log2[e], len ? len : by_log2[e] > 0,
		       "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@");
	}
}

static int put_hist(struct out *out, const char *name, struct hist_cpu *h)
{
	struct jw *w = out__begin("hist", time__now_ns());
	const struct hist hist = {
		.sub_bits = HIST_SUB_BITS, .n = h->n, .sum = h->sum, .max = h->max,
		.counts = h->counts, .nr = HIST_NR_SLOTS,
	};

	jw__str(w, "name", name);
	jw__str(w, "unit", "ns");
	hist__write(&hist, w);
	return out__end(out);
}

int totals__put_hists(struct totals *t, const struct loaded *l, struct out *out)
{
	int err = 0;

	for (int o = 0; o < NR_OBJECTS; o++) {
		for (__u32 i = 0; l->object[o].present && hist_names[o][i]; i++) {
			int bad = totals__hist(t, l, o, i);

			if (bad) {
				err = bad;
				continue;
			}
			if (out__wants_json(out) && put_hist(out, hist_names[o][i], t->hists))
				err = out->err;
			if (out->human && t->hists->n)
				print_bars(hist_names[o][i], t->hists);
		}
	}
	return err;
}

/* Runs the kernel skipped because the program was already running on that CPU. */
static __u64 recursion_misses(const struct loaded *l, enum hint_probe probe)
{
	__u64 nr = 0;

	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		if (trace_probes[i].counts != probe || l->prog_fd[i] < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(l->prog_fd[i], &info, &len))
			nr += info.recursion_misses;
	}
	return nr;
}

static bool is_counted(const struct loaded *l, enum hint_probe probe, enum trace_object *o)
{
	for (unsigned int i = 0; i < nr_trace_probes; i++) {
		if (trace_probes[i].counts == probe && l->prog_fd[i] >= 0) {
			*o = trace_probes[i].object;
			return true;
		}
	}
	return false;
}

/* Of samples what shows no change is left out on purpose: it counts as not taken. */
static int put_loss(struct totals *t, struct out *out, enum hint_probe probe,
		    const struct probe_stat *stat, __u64 misses, const struct events *e)
{
	__u64 unwritten = e->nr_unwritten[probe], lost = misses + unwritten;
	__u64 left_out = probe == PROBE_SAMPLE ? e->nr_left_out : 0;
	__u64 recorded = stat->recorded - left_out - unwritten;
	struct jw *w;

	for (int d = 0; d < NR_DROPS; d++)
		lost += stat->dropped[d];
	t->nr_lost += lost;
	if (out->human && lost)
		printf("%s: %llu of %llu lost\n", hint_probe_names[probe], lost,
		       stat->seen + misses);
	if (!out__wants_json(out))
		return 0;
	w = out__begin("loss", time__now_ns());
	jw__str(w, "probe", hint_probe_names[probe]);
	jw__u64(w, "seen", stat->seen - left_out + misses);
	jw__u64(w, "recorded", recorded);
	jw__obj_begin(w, "dropped");
	for (int d = 0; d < NR_DROPS; d++) {
		if (stat->dropped[d])
			jw__u64(w, hint_drop_names[d], stat->dropped[d]);
	}
	if (misses)
		jw__u64(w, "recursion", misses);
	if (unwritten)
		jw__u64(w, "stream", unwritten);
	jw__obj_end(w);
	if (left_out)
		jw__u64(w, "left_out", left_out);
	if (stat->backward)
		jw__u64(w, "backward", stat->backward);
	return out__end(out);
}

static int read_stats(struct totals *t, const struct loaded *l, enum trace_object o, __u32 p,
		      struct probe_stat *sum)
{
	int err;

	memset(sum, 0, sizeof(*sum));
	if (bpf_map_lookup_elem(l->object[o].probe_stats_fd, &p, t->stats)) {
		err = -errno;
		fprintf(stderr, "hinttrace: cannot read the counters of %s: %s\n",
			hint_probe_names[p], strerror(-err));
		return err;
	}
	for (int c = 0; c < t->nr_cpus; c++) {
		sum->seen += t->stats[c].seen;
		sum->recorded += t->stats[c].recorded;
		sum->backward += t->stats[c].backward;
		for (int d = 0; d < NR_DROPS; d++)
			sum->dropped[d] += t->stats[c].dropped[d];
	}
	sum->seen -= t->base[p].seen;
	sum->recorded -= t->base[p].recorded;
	sum->backward -= t->base[p].backward;
	for (int d = 0; d < NR_DROPS; d++)
		sum->dropped[d] -= t->base[p].dropped[d];
	return 0;
}

int totals__begin(struct totals *t, const struct loaded *l)
{
	int err = 0;

	for (__u32 p = 0; p < NR_PROBES && !err; p++) {
		struct probe_stat sum;
		enum trace_object o;

		if (!is_counted(l, p, &o))
			continue;
		err = read_stats(t, l, o, p, &sum);
		t->base[p] = sum;
		t->base_misses[p] = recursion_misses(l, p);
	}
	for (int o = 0; o < NR_OBJECTS && !err; o++) {
		for (__u32 i = 0; !err && l->object[o].present && hist_names[o][i]; i++) {
			err = read_hist(t, l, o, i);
			base_hists[o][i] = t->hists[0];
		}
	}
	return err;
}

int totals__put_losses(struct totals *t, const struct loaded *l, const struct events *e,
		       struct out *out)
{
	int err = 0;

	for (__u32 p = 0; p < NR_PROBES; p++) {
		struct probe_stat sum;
		enum trace_object o;
		int bad;

		if (!is_counted(l, p, &o))
			continue;
		bad = read_stats(t, l, o, p, &sum);
		if (bad) {
			err = bad;
			continue;
		}
		if (put_loss(t, out, p, &sum, recursion_misses(l, p) - t->base_misses[p], e))
			err = out->err;
	}
	if (e->nr_bad) {
		fprintf(stderr, "hinttrace: %llu records were not of this build's layout\n",
			e->nr_bad);
		err = -EBADMSG;
	}
	return err;
}
