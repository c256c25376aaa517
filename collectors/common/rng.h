/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_RNG_H
#define COMMON_RNG_H

#include <stdint.h>

/*
 * Seeded random numbers, the same on every machine: xoshiro256** (Blackman and
 * Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4),
 * 2021), its state filled by splitmix64.  Not for secrets.
 */
struct rng {
	uint64_t s[4];
};

/* One seed gives independent sequences for different streams. */
void rng__seed(struct rng *r, uint64_t seed, uint64_t stream);

uint64_t rng__next(struct rng *r);
uint64_t rng__below(struct rng *r, uint64_t n);	/* uniform in 0..n-1; n >= 1 */
double rng__unit(struct rng *r);		/* uniform in [0, 1), steps of 2^-53 */

/* One step of splitmix64: scatters the bits of x. */
uint64_t rng__mix(uint64_t x);

#endif
