/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_METRICS_H
#define TRACE_METRICS_H

#include "../bpf/hint_rec.h"
#include "trace/load.h"
#include "trace/totals.h"

/*
 * Counters for a node exporter's textfile collector, in OpenMetrics text: kills by verdict
 * and cgroup, stalls and holds as histograms. All since the tracer began.
 */
#define METRICS_CGROUPS		64	/* kills in further ones are counted as cgroup "" */
#define METRICS_EVERY_NS	10000000000ULL

/* Of a kill: its verdict, or a class of its own. */
enum metrics_class { METRICS_MEMCG = NR_VERDICTS, METRICS_SYSRQ, METRICS_OWN, NR_METRICS_CLASSES };

struct metrics {
	const char *path;	/* NULL: none are wanted */
	__u64 next_ns;
	__u32 nr_cgroups;
	bool complained;
	struct metrics_cgroup {
		char name[HINT_CGROUP_LEN + 1];
		__u64 nr_kills[NR_METRICS_CLASSES];
	} cgroups[METRICS_CGROUPS + 1];	/* the first: all that have no place */
};

void metrics__kill(struct metrics *m, const struct oom_kill_rec *kill, bool own);

/* The counters of kills; a histogram, its label as NAME="VALUE" or "". */
void metrics__put(const struct metrics *m, FILE *f);
void metrics__put_hist(FILE *f, const char *family, const char *label, const struct hist_cpu *h);

/* Writes the file under a temporary name beside it and renames it. 0 or -errno, said once. */
int metrics__write(struct metrics *m, struct totals *t, const struct loaded *l);

#endif
