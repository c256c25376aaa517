// SPDX-License-Identifier: GPL-2.0-or-later
#include "wave_plan.h"

#define STREAM_WAVE 0x57415645ULL	/* any constant no other stream uses */

void wave_plan__init(struct wave_plan *p, const struct wave_opts *opts)
{
	p->opts = *opts;
	p->next_start_ns = 0;
	p->next_index = 0;
	rng__seed(&p->rng, opts->seed, STREAM_WAVE);
}

/* Uniform in min..max. */
static uint64_t draw(struct rng *r, uint64_t min, uint64_t max)
{
	return min + rng__below(r, max - min + 1);
}

void wave_plan__next(struct wave_plan *p, struct wave_round *round)
{
	const struct wave_opts *o = &p->opts;
	uint64_t high;

	/* Always three draws, so that one option does not shift the others. */
	high = draw(&p->rng, o->high_min_bytes, o->high_max_bytes);
	round->index = p->next_index++;
	round->high_bytes = high - high % WAVE_PAGE_BYTES;
	round->start_ns = p->next_start_ns;
	round->end_ns = round->start_ns +
			draw(&p->rng, o->hold.min_ns, o->hold.max_ns);
	p->next_start_ns = round->end_ns +
			   draw(&p->rng, o->rest.min_ns, o->rest.max_ns);
}
