/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_LOAD_H
#define TRACE_LOAD_H

#include <stdbool.h>

#include "trace/probes.h"

/* The BPF objects in the kernel: loaded by us, or adopted from where they are pinned. */

/* Samples are always our own: a pin does not say how often they are wanted. */
#define MAX_PINNED	(NR_OBJECTS - 1)

struct loaded_object {
	struct bpf_object *obj;		/* NULL when adopted */
	bool present;
	int probe_stats_fd;
	int hists_fd;
	int events_fd;			/* ring buffer, or -1 */
	int kills_fd;			/* the ring of kills, or -1 */
};

struct loaded {
	struct loaded_object object[NR_OBJECTS];
	int zone_state_fd;		/* of hint */
	int totals_fd;
	/* by index in trace_probes[]: -1 when not loaded */
	int prog_fd[MAX_PROBES];
	void *link[MAX_PROBES];			/* struct bpf_link, of what we attached */
	int adopted_fd[128];		/* everything got from pins, to be closed */
	unsigned int nr_adopted;
};

void loaded__init(struct loaded *l);

/*
 * Adopts the object whose programs or links are pinned in dir, as left by
 * "bpftool prog loadall OBJECT DIR [autoattach]". Programs that are pinned
 * and not attached are attached. 0 or -errno, said on stderr.
 */
int loaded__adopt(struct loaded *l, const char *dir);

/* Opens and loads the objects not adopted. probes__check() comes first. 0 or -errno, said. */
int loaded__load(struct loaded *l, const char *dir);

/*
 * Attaches what was loaded; samples are taken every sample_ns, or not at all
 * when it is 0. 0 when at least one probe is attached; -errno, said on stderr.
 */
int loaded__attach(struct loaded *l, __u64 sample_ns);

/* Are samples taken in the kernel? */
bool loaded__samples(const struct loaded *l);

/* The batch that is out, if any, and the sums. 0 or -errno. */
int loaded__totals(const struct loaded *l, struct hint_totals *totals);

/* Detaches what we attached of an object; the maps stay. */
void loaded__detach(struct loaded *l, enum trace_object o);

/* Detaches what we attached and unloads what we loaded; legal at any point. */
void loaded__free(struct loaded *l);

#endif
