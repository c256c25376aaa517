// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: workloads/memcached/mcload_plan.c workloads/memcached/mcload_keys.c collectors/common/rng.c */
/* LIBS: -lm */
#include "../../workloads/memcached/mcload_keys.h"
#include "../../workloads/memcached/mcload_plan.h"
#include "tap.h"

#define NR 100000

static void test_zipf(double theta)
{
	enum { N = 50 };
	unsigned int counts[N + 1] = { 0 }, i, outside = 0;
	double norm = 0, chi2 = 0, expected;
	struct zipf z;
	struct rng r;

	rng__seed(&r, 42, 0);
	zipf__init(&z, N, theta);
	for (i = 0; i < NR; i++) {
		uint32_t k = zipf__next(&z, &r);

		if (k < 1 || k > N)
			outside++;
		else
			counts[k]++;
	}
	is_u64(outside, 0, "zipf %g in range", theta);
	for (i = 1; i <= N; i++)
		norm += pow(i, -theta);
	for (i = 1; i <= N; i++) {
		expected = NR * pow(i, -theta) / norm;
		chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
	}
	/* 49 degrees of freedom: mean 49, deviation 9.9; 100 is beyond 1e-4. */
	ok(chi2 < 100, "zipf %g fits (chi2 %.1f of 49)", theta, chi2);
}

static void test_schedule(void)
{
	struct plan_opts o = {
		.seed = 7, .rate = 1000, .get_ratio = 0.9, .zipf_theta = 0.99,
		.nr_keys = 1000,
	};
	struct plan_req a, b;
	struct plan p, q;
	unsigned int i, sets = 0, differ = 0, back = 0;
	double sum = 0, sum2 = 0;
	uint64_t last = 0;

	plan__init(&p, &o);
	plan__next(&p, &a);
	is_u64(a.start_ns, 1000000, "fixed: first");
	for (i = 1; i < 1000; i++)
		plan__next(&p, &a);
	is_near(a.start_ns, 1e9, 1, "fixed: a thousand in a second");

	o.poisson = true;
	plan__init(&p, &o);
	plan__init(&q, &o);
	for (i = 0; i < NR; i++) {
		double gap;

		plan__next(&p, &a);
		plan__next(&q, &b);
		differ += a.start_ns != b.start_ns || a.id != b.id ||
			  a.is_set != b.is_set || a.id >= o.nr_keys;
		back += a.start_ns < last;
		gap = (double)(a.start_ns - last);
		sum += gap;
		sum2 += gap * gap;
		sets += a.is_set;
		last = a.start_ns;
	}
	is_u64(differ, 0, "same seed, same plan");
	is_u64(back, 0, "never backwards");
	is_near(sum / NR, 1e6, 5e6 / sqrt(NR), "poisson: mean gap");
	/* An exponential's second moment is twice its mean squared. */
	is_near(sum2 / NR / 2e12, 1, 0.05, "poisson: second moment");
	is_near(sets / (double)NR, 0.1, 5 * sqrt(0.09 / NR), "share of sets");

	/* Another rate or schedule leaves keys and kinds as they are. */
	o.poisson = false;
	o.rate = 5;
	plan__init(&p, &o);
	o.poisson = true;
	plan__init(&q, &o);
	for (i = 0, differ = 0; i < 1000; i++) {
		plan__next(&p, &a);
		plan__next(&q, &b);
		differ += a.id != b.id || a.is_set != b.is_set;
	}
	is_u64(differ, 0, "keys do not depend on the schedule");
}

static void test_items(void)
{
	struct keys k = { .seed = 3, .nr = NR, .value_max = 8192 };
	char value[KEYS_VALUE_MAX];
	double keys_sum = 0, values_sum = 0;
	struct item item, again;
	unsigned int i, bad = 0;

	for (i = 0; i < 20000; i++) {
		keys__item(&k, i, &item);
		bad += strlen(item.key) != item.key_len ||
		       item.key_len < KEYS_LEN_MIN || item.key_len > KEYS_LEN_MAX ||
		       item.value_len < 1 || item.value_len > k.value_max ||
		       strpbrk(item.key, " \r\n") != NULL;
		keys_sum += item.key_len;
		values_sum += item.value_len;
	}
	is_u64(bad, 0, "lengths in bounds, keys without spaces");
	/* GEV mean: mu + sigma (Gamma(1 - k) - 1) / k = 36.1, cut to whole bytes. */
	is_near(keys_sum / 20000, 30.7984 + 8.20449 * (tgamma(1 - 0.078688) - 1) /
		0.078688 - 0.5, 0.5, "mean key length");
	/* Pareto mean: theta + sigma / (1 - k) = 344, a little less by the cut. */
	is_near(values_sum / 20000, 335, 15, "mean value length");
	is_near(keys__pareto(0, 15, 214.476, 0.348238), 15, 1e-9, "least value");
	is_near(keys__gev(exp(-1), 30.7984, 8.20449, 0.078688), 30.7984, 1e-9,
		"GEV at mu");

	keys__item(&k, 5, &item);
	keys__item(&k, 5, &again);
	ok(!strcmp(item.key, again.key) && item.value_len == again.value_len &&
	   !strcmp(item.stamp, again.stamp), "an item is a function of its id");
	item__fill_value(&item, value);
	ok(item__check_value(&again, value, item.value_len), "its value is known again");
	ok(!item__check_value(&again, value, item.value_len - 1u), "not if shorter");
	value[0] ^= 1;
	ok(!item__check_value(&again, value, item.value_len), "not if changed");
	keys__item(&k, 6, &again);
	ok(strcmp(item.stamp, again.stamp), "values of two ids differ");
	k.value_len = 3;
	keys__item(&k, 5, &item);
	item__fill_value(&item, value);
	ok(item.value_len == 3 && item__check_value(&item, value, 3),
	   "a value shorter than the stamp");
}

int main(void)
{
	test_zipf(0);
	test_zipf(0.5);
	test_zipf(0.99);
	test_zipf(1);
	test_zipf(2.5);
	test_schedule();
	test_items();
	return tap__done();
}
