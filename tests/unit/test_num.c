// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/num.c */
/* LIBS: -lm */
#include <errno.h>

#include "common/num.h"
#include "tap.h"

typedef int parse_fn(const char *s, uint64_t min, uint64_t max, uint64_t *out);

static const struct {
	parse_fn *parse;
	const char *s;
	uint64_t min, max;
	int err;
	uint64_t want;
} t[] = {
	{ num__u64, "0", 0, 9, 0, 0 },
	{ num__u64, "007", 0, 9, 0, 7 },
	{ num__u64, "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
	{ num__u64, "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
	{ num__u64, "99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0 },
	{ num__u64, "10", 0, 9, -ERANGE, 0 },
	{ num__u64, "1", 2, 9, -ERANGE, 0 },
	{ num__u64, "", 0, 9, -EINVAL, 0 },
	{ num__u64, "-1", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__u64, "+1", 0, 9, -EINVAL, 0 },
	{ num__u64, " 1", 0, 9, -EINVAL, 0 },
	{ num__u64, "1 ", 0, 9, -EINVAL, 0 },
	{ num__u64, "1x", 0, 9, -EINVAL, 0 },
	{ num__u64, "0x1", 0, 9, -EINVAL, 0 },

	{ num__size, "4096", 0, UINT64_MAX, 0, 4096 },
	{ num__size, "64K", 0, UINT64_MAX, 0, 65536 },
	{ num__size, "512M", 0, UINT64_MAX, 0, 536870912 },
	{ num__size, "2G", 0, UINT64_MAX, 0, 2147483648 },
	{ num__size, "1T", 0, UINT64_MAX, 0, 1099511627776 },
	{ num__size, "16777216T", 0, UINT64_MAX, -ERANGE, 0 },
	{ num__size, "512M", 0, 1024, -ERANGE, 0 },
	{ num__size, "512m", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__size, "512MB", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__size, "1.5G", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__size, "M", 0, UINT64_MAX, -EINVAL, 0 },

	{ num__duration_ns, "250ns", 0, UINT64_MAX, 0, 250 },
	{ num__duration_ns, "40us", 0, UINT64_MAX, 0, 40000 },
	{ num__duration_ns, "200ms", 0, UINT64_MAX, 0, 200000000 },
	{ num__duration_ns, "0s", 0, UINT64_MAX, 0, 0 },
	{ num__duration_ns, "1.5s", 0, UINT64_MAX, 0, 1500000000 },
	{ num__duration_ns, "0.000000001s", 0, UINT64_MAX, 0, 1 },
	{ num__duration_ns, "0.0000000010s", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "0.5ns", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "1.s", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, ".5s", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "200", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "0", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "3m", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "3sec", 0, UINT64_MAX, -EINVAL, 0 },
	{ num__duration_ns, "18446744074s", 0, UINT64_MAX, -ERANGE, 0 },
	{ num__duration_ns, "2s", 0, 1000000000, -ERANGE, 0 },
};

static const struct {
	const char *s;
	double min, max;
	int err;
	double want;
} td[] = {
	{ "0.99", 0, 1, 0, 0.99 },
	{ "1", 0, 1, 0, 1 },
	{ ".5", 0, 1, 0, 0.5 },
	{ "1.01", 0, 1, -ERANGE, 0 },
	{ "1e3", 0, 1e9, -EINVAL, 0 },
	{ "nan", 0, 1e9, -EINVAL, 0 },
	{ "-0.5", -1, 1, -EINVAL, 0 },
	{ ".", 0, 1, -EINVAL, 0 },
	{ "", 0, 1, -EINVAL, 0 },
	{ "0,5", 0, 1, -EINVAL, 0 },
};

int main(void)
{
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t out = 42;

		is_s64(t[i].parse(t[i].s, t[i].min, t[i].max, &out), t[i].err,
		       "status of '%s'", t[i].s);
		is_u64(out, t[i].err ? 42 : t[i].want, "value of '%s'", t[i].s);
	}
	for (i = 0; i < sizeof(td) / sizeof(td[0]); i++) {
		double out = 42;

		is_s64(num__double(td[i].s, td[i].min, td[i].max, &out), td[i].err,
		       "status of '%s'", td[i].s);
		is_near(out, td[i].err ? 42 : td[i].want, 1e-12, "value of '%s'",
			td[i].s);
	}
	return tap__done();
}
