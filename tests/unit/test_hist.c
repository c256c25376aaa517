// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/hist.c */
/* LIBS: -lm */
#include <errno.h>

#include "common/hist.h"
#include "tap.h"

static void test_index(void)
{
	static const struct {
		__u64 value;
		unsigned int sub_bits;
		size_t index;
	} t[] = {
		{ 0, 0, 0 }, { 1, 0, 1 }, { 2, 0, 2 }, { 3, 0, 2 }, { 4, 0, 3 },
		{ 0, 3, 0 }, { 7, 3, 7 }, { 8, 3, 8 }, { 15, 3, 15 },
		{ 16, 3, 16 }, { 17, 3, 16 }, { 18, 3, 17 }, { 31, 3, 23 },
		{ 32, 3, 24 }, { 127, 7, 127 }, { 128, 7, 128 },
		{ 255, 7, 255 }, { 256, 7, 256 }, { 257, 7, 256 },
		{ 1000000, 7, 1780 }, { ~0ULL, 7, 58 * 128 - 1 },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		is_u64(hist__index(t[i].value, t[i].sub_bits), t[i].index,
		       "index of %llu, sub_bits %u",
		       (unsigned long long)t[i].value, t[i].sub_bits);
}

/* Buckets follow each other without gap, and none is too wide. */
static void test_buckets(unsigned int sub_bits)
{
	size_t last = hist__index(~0ULL, sub_bits), i;
	int bad_lower = 0, bad_upper = 0, too_wide = 0;

	for (i = 0; i < last; i++) {
		__u64 lo = hist__lower(i, sub_bits);
		__u64 hi = hist__lower(i + 1, sub_bits) - 1;

		bad_lower += hist__index(lo, sub_bits) != i;
		bad_upper += hist__index(hi, sub_bits) != i;
		too_wide += hi - lo > lo >> sub_bits;
	}
	is_u64(bad_lower, 0, "lower edges, sub_bits %u", sub_bits);
	is_u64(bad_upper, 0, "upper edges, sub_bits %u", sub_bits);
	is_u64(too_wide, 0, "widths, sub_bits %u", sub_bits);
}

static void test_record(void)
{
	struct hist h;
	__u64 v;

	is_s64(hist__init(&h, HIST_SUB_BITS_MAX + 1, 1), -EINVAL, "sub_bits too large");
	hist__free(&h);

	is_s64(hist__init(&h, 7, 1000000), 0, "init");
	is_u64(hist__quantile(&h, 0.5), 0, "quantile of nothing");
	for (v = 1; v <= 1000; v++)
		hist__record(&h, v * 1000);
	is_u64(h.n, 1000, "n");
	is_u64(h.sum, 500500000, "sum");
	is_u64(h.max, 1000000, "max");
	ok(hist__quantile(&h, 0.5) >= 500000 &&
	   hist__quantile(&h, 0.5) <= 504000, "median within 2^-7");
	is_u64(hist__quantile(&h, 1), 1000000, "quantile 1 is max");
	is_u64(hist__quantile(&h, 0), hist__lower(hist__index(1000, 7) + 1, 7) - 1,
	       "quantile 0 is the first bucket");

	hist__record(&h, 5000000000);
	is_u64(h.counts[h.nr - 1], 2, "too large a value is in the last bucket");
	is_u64(h.max, 5000000000, "and exact as max");
	is_u64(hist__quantile(&h, 1), 5000000000, "and as quantile 1");
	hist__reset(&h);
	is_u64(h.n + h.sum + h.max + h.counts[h.nr - 1], 0, "reset");
	hist__free(&h);
	hist__free(&h);
	ok(!h.counts, "freed twice");
}

int main(void)
{
	test_index();
	test_buckets(0);
	test_buckets(3);
	test_buckets(7);
	test_record();
	return tap__done();
}
