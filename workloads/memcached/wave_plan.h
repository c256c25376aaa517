/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WAVE_PLAN_H
#define WAVE_PLAN_H

#include <stdint.h>

#include "common/rng.h"

/* A time is drawn from here. */
struct wave_span {
	uint64_t min_ns, max_ns;
};

/*
 * The waves: a pure function of the options, so that round i is the same in
 * every arm and rounds can be compared in pairs.
 *
 *	start_ns          end_ns              start of the next round
 *	| grow, then hold | shrink, then rest |
 */
struct wave_opts {
	uint64_t seed;
	uint64_t low_bytes;		/* always held */
	uint64_t high_min_bytes;	/* a peak is drawn from here */
	uint64_t high_max_bytes;	/* to here */
	struct wave_span hold;		/* from start to end */
	struct wave_span rest;		/* from end to the next start */
};

struct wave_round {
	uint64_t index;
	uint64_t start_ns;	/* since the start of round 0 */
	uint64_t end_ns;
	uint64_t high_bytes;	/* whole pages */
};

struct wave_plan {
	struct wave_opts opts;
	struct rng rng;
	uint64_t next_start_ns, next_index;
};

/* Sizes are rounded down to whole pages of this many bytes. */
#define WAVE_PAGE_BYTES 4096

void wave_plan__init(struct wave_plan *p, const struct wave_opts *opts);
void wave_plan__next(struct wave_plan *p, struct wave_round *round);

#endif
