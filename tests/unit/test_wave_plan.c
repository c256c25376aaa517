// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: workloads/memcached/wave_plan.c collectors/common/rng.c */
/* LIBS: -lm */
#include "../../workloads/memcached/wave_plan.h"
#include "tap.h"

#define MIB (1ULL << 20)
#define MS 1000000ULL

int main(void)
{
	struct wave_opts o = {
		.seed = 9, .low_bytes = 10 * MIB,
		.high_min_bytes = 50 * MIB, .high_max_bytes = 60 * MIB + 1,
		.hold.min_ns = 300 * MS, .hold.max_ns = 700 * MS,
		.rest.min_ns = 1500 * MS, .rest.max_ns = 2400 * MS,
	};
	unsigned int i, bad = 0, differ = 0, moved = 0;
	struct wave_round a, b;
	struct wave_plan p, q;
	uint64_t end = 0;

	wave_plan__init(&p, &o);
	wave_plan__init(&q, &o);
	for (i = 0; i < 1000; i++) {
		wave_plan__next(&p, &a);
		wave_plan__next(&q, &b);
		differ += memcmp(&a, &b, sizeof(a)) != 0;
		bad += a.index != i || a.high_bytes % WAVE_PAGE_BYTES ||
		       a.high_bytes < o.high_min_bytes ||
		       a.high_bytes > o.high_max_bytes ||
		       a.end_ns - a.start_ns < o.hold.min_ns ||
		       a.end_ns - a.start_ns > o.hold.max_ns;
		if (i)
			bad += a.start_ns - end < o.rest.min_ns ||
			       a.start_ns - end > o.rest.max_ns;
		else
			bad += a.start_ns != 0;
		end = a.end_ns;
	}
	is_u64(differ, 0, "same seed, same rounds");
	is_u64(bad, 0, "every size and time within its bounds");

	/* Other sizes must not move the rounds in time, or arms could not pair. */
	wave_plan__init(&p, &o);
	o.high_max_bytes = 90 * MIB;
	wave_plan__init(&q, &o);
	for (i = 0; i < 100; i++) {
		wave_plan__next(&p, &a);
		wave_plan__next(&q, &b);
		moved += a.start_ns != b.start_ns || a.end_ns != b.end_ns;
	}
	is_u64(moved, 0, "times do not depend on sizes");

	o.seed++;
	wave_plan__init(&q, &o);
	wave_plan__next(&q, &b);
	wave_plan__init(&p, &(struct wave_opts){ .seed = 1, .hold.max_ns = UINT64_MAX / 4 });
	wave_plan__next(&p, &a);
	is_u64(a.high_bytes, 0, "sizes of zero");
	ok(a.end_ns <= UINT64_MAX / 4, "wide bounds");
	return tap__done();
}
