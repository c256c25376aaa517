// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/rng.h"

uint64_t rng__mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void rng__seed(struct rng *r, uint64_t seed, uint64_t stream)
{
	uint64_t x = rng__mix(seed) ^ rng__mix(~stream);
	int i;

	for (i = 0; i < 4; i++) {
		r->s[i] = rng__mix(x);
		x += 0x9e3779b97f4a7c15ULL;
	}
	/* Four equal zeros cannot come out of four distinct inputs of a bijection. */
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t rng__next(struct rng *r)
{
	uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t rng__below(struct rng *r, uint64_t n)
{
	/* The 2^64 mod n smallest values would favour some results. */
	uint64_t reject = -n % n, v;

	do {
		v = rng__next(r);
	} while (v < reject);
	return v % n;
}

double rng__unit(struct rng *r)
{
	return (double)(rng__next(r) >> 11) * 0x1p-53;
}
