/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_PROBES_H
#define TRACE_PROBES_H

#include <stdbool.h>
#include <stdio.h>

#include "../bpf/hint_rec.h"

/* The BPF programs, where they attach, and whether this kernel has the place. */

enum trace_object { OBJ_HINT, OBJ_SWAP, OBJ_ALLOCFAIL, OBJ_SAMPLE, NR_OBJECTS };

enum probe_state {
	STATE_WANTED,		/* the hook is there */
	STATE_SPARE,		/* stands in for others, which are there */
	STATE_MISSING,		/* no such hook in this kernel */
	STATE_FAILED,		/* the hook is there and attaching failed */
	STATE_ATTACHED,
	STATE_FELL_BACK,	/* attached in place of another */
	STATE_ADOPTED,		/* was attached before we came */
};

#define NO_PROBE	NR_PROBES
#define MAX_PROBES	64

struct probe {
	/* fixed */
	const char *name;	/* of the BPF program */
	enum trace_object object;
	const char *kind;	/* tp_btf, raw_tp, fentry, fexit, perf_event */
	const char *hook;
	unsigned int nr_args;	/* that the program relies on */
	const char *module;	/* that may hold the hook, or NULL */
	enum hint_probe counts;	/* its counters, or NO_PROBE */
	bool fallback;		/* only without the tracepoints of the same object */
	bool returns_bool;
	/* found out */
	enum probe_state state;
	const char *why;	/* it is missing */
};

extern struct probe trace_probes[];
extern const unsigned int nr_trace_probes;

extern const char *const trace_object_names[NR_OBJECTS];
extern const char *const hint_probe_names[NR_PROBES];
extern const char *const hint_drop_names[NR_DROPS];

/*
 * Looks every hook up in the kernel's BTF and, for functions, in kallsyms
 * under its plain name: a clone the compiler made (.isra, .constprop) is
 * another function. Sets state and why. 0 or -errno, said on stderr.
 */
int probes__check(void);

const char *probe__state_name(const struct probe *probe);

/* The table of all probes for people. */
void probes__print(FILE *to);

/* What can be recorded: events and histograms. */
void probes__describe(FILE *to);

struct probe *probe__find(const char *name);

#endif
