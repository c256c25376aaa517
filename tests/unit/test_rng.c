// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/rng.c */
/* LIBS: -lm */
#include "common/rng.h"
#include "tap.h"

#define NR 100000

int main(void)
{
	struct rng a, b, c;
	unsigned int counts[7] = { 0 }, i, same = 0, worst = 0;
	double sum = 0, low = 1, high = 0;
	/* splitmix64 from state 0: its published first output. */
	is_u64(rng__mix(0), 0xe220a8397b1dcdafULL, "splitmix64");

	/* xoshiro256** by hand: s = {1, 2, 3, 4} gives 2*5 rotl 7 * 9 = 11520, 0. */
	a = (struct rng){ { 1, 2, 3, 4 } };
	is_u64(rng__next(&a), 11520, "xoshiro256**, first");
	is_u64(rng__next(&a), 0, "xoshiro256**, second");
	is_u64(rng__next(&a), 1509978240, "xoshiro256**, third");

	rng__seed(&a, 1, 1);
	rng__seed(&b, 1, 1);
	rng__seed(&c, 1, 2);
	is_u64(rng__next(&a), rng__next(&b), "same seed and stream");
	for (i = 0; i < 1000; i++)
		same += rng__next(&a) == rng__next(&c);
	is_u64(same, 0, "streams differ");

	for (i = 0; i < NR; i++) {
		double u = rng__unit(&a);

		sum += u;
		low = u < low ? u : low;
		high = u > high ? u : high;
		counts[rng__below(&c, 7)]++;
	}
	ok(low >= 0 && high < 1, "unit interval");
	/* 5 standard errors: 1 / sqrt(12 NR) each */
	is_near(sum / NR, 0.5, 5 / sqrt(12.0 * NR), "mean of unit");
	for (i = 0; i < 7; i++) {
		unsigned int off = (unsigned int)fabs(counts[i] - NR / 7.0);

		worst = off > worst ? off : worst;
	}
	ok(worst < 5 * sqrt(NR / 7.0), "rng__below is even (off by %u)", worst);
	is_u64(rng__below(&a, 1), 0, "below 1");
	return tap__done();
}
