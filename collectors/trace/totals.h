/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_TOTALS_H
#define TRACE_TOTALS_H

#include "trace/events.h"
#include "trace/load.h"

/* What the maps hold at the end: histograms and the loss of each probe. */
struct totals {
	int nr_cpus;
	struct hist_cpu *hists;		/* one a CPU */
	struct probe_stat *stats;
	__u64 nr_lost;			/* events not recorded, all probes */
	/* what adopted programs had counted before we came */
	struct probe_stat base[NR_PROBES];
	__u64 base_misses[NR_PROBES];
};

int totals__init(struct totals *t);	/* 0 or -errno, said on stderr */
void totals__free(struct totals *t);

/* From now on: what was counted before is left out. 0 or -errno, said on stderr. */
int totals__begin(struct totals *t, const struct loaded *l);

/* One of an object's histograms, over all CPUs and since the beginning, into t->hists[0]. */
int totals__hist(struct totals *t, const struct loaded *l, enum trace_object o, __u32 i);

/* Writes hist lines, and draws bars for people. 0 or -errno, said on stderr. */
int totals__put_hists(struct totals *t, const struct loaded *l, struct out *out);

/* Writes loss lines; sums up what was lost. */
int totals__put_losses(struct totals *t, const struct loaded *l, const struct events *e,
		       struct out *out);

/* Sums the CPUs of a histogram into h[0]. */
void hist_cpu__sum(struct hist_cpu *h, int nr_cpus);

#endif
