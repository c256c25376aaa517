/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_SCREEN_H
#define TRACE_SCREEN_H

#include <stdio.h>

#include "../bpf/hint_rec.h"
#include "trace/verdict.h"

/*
 * One screen per incident, for the person whose process was killed: the kills that one
 * shortage led to, who asked, what was missing, what hinting held, and whether that was
 * the cause. Fed with records, live or from a file; a screen is complete, and printed,
 * a second after its last kill, and once what was out has come back or has had time to.
 */
#define SCREEN_QUIET_NS		1000000000ULL	/* kills closer than this are one incident */
#define SCREEN_WAIT_NS		3000000000ULL	/* for the batch that was out */
#define SCREEN_BEFORE_NS	10000000000ULL	/* the strip before it */
#define SCREEN_KILLS		16
#define SCREEN_SAMPLES		128

struct screen_sample {
	__u64 t_ns, free_pages, held_pages, nr_stalls;
};

struct screen {
	FILE *to;
	__u32 nr_incidents;
	__u32 nr_kills;		/* of the incident; the first SCREEN_KILLS are kept */
	__u64 last_ns;		/* its last kill */
	struct oom_kill_rec kills[SCREEN_KILLS];
	bool own[SCREEN_KILLS];
	struct batch_rec batch;	/* that was out at the first kill; done_ns 0: not back */
	struct screen_sample samples[SCREEN_SAMPLES];	/* a ring */
	__u64 nr_samples;
};

/* A record that is whole, in the order they come. own: the toolkit asked. */
void screen__record(struct screen *s, const struct rec_hdr *hdr, bool own);

/* What the clock says now: prints what is complete. */
void screen__tick(struct screen *s, __u64 now_ns);

/* Prints what is there: nothing more will come. */
void screen__end(struct screen *s);

/* Is an incident waiting to be printed? */
static inline bool screen__waits(const struct screen *s)
{
	return s->nr_kills;
}

/* The sentence: "This kill was caused by ..., because ...". */
void screen__sentence(FILE *to, const struct oom_kill_rec *kill, const struct verdict *v);

#endif
