// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/num.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads the digits at *s and moves *s behind them. */
static int read_digits(const char **s, uint64_t *out)
{
	uint64_t v = 0;

	if (!is_digit(**s))
		return -EINVAL;
	for (; is_digit(**s); (*s)++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return -ERANGE;
	}
	*out = v;
	return 0;
}

static int check_range(uint64_t v, uint64_t min, uint64_t max, uint64_t *out)
{
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int num__u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v;
	int err;

	err = read_digits(&s, &v);
	if (err)
		return err;
	if (*s)
		return -EINVAL;
	return check_range(v, min, max, out);
}

int num__size(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	unsigned int shift;
	uint64_t v;
	int err;

	err = read_digits(&s, &v);
	if (err)
		return err;
	if (*s) {
		suffix = strchr(suffixes, *s);
		if (!suffix || s[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
		if (v > UINT64_MAX >> shift)
			return -ERANGE;
		v <<= shift;
	}
	return check_range(v, min, max, out);
}

int num__duration_ns(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 },
	};
	uint64_t v, unit = 0, fraction = 0, scale = 1;
	size_t i;
	int err;

	err = read_digits(&s, &v);
	if (err)
		return err;
	if (*s == '.') {
		if (!is_digit(*++s))
			return -EINVAL;
		for (; is_digit(*s); s++) {
			/* Finer than 1 ns of the largest unit. */
			if (scale >= 1000000000)
				return -EINVAL;
			fraction = fraction * 10 + (uint64_t)(*s - '0');
			scale *= 10;
		}
	}
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(s, units[i].name))
			unit = units[i].ns;
	/* The fraction must be a whole number of ns: 0.5ns is refused. */
	if (!unit || fraction * unit % scale)
		return -EINVAL;
	if (__builtin_mul_overflow(v, unit, &v) ||
	    __builtin_add_overflow(v, fraction * unit / scale, &v))
		return -ERANGE;
	return check_range(v, min, max, out);
}

int num__double(const char *s, double min, double max, double *out)
{
	double v = 0, scale = 1;
	bool any = false;

	for (; is_digit(*s); s++, any = true)
		v = v * 10 + (*s - '0');
	if (*s == '.') {
		for (s++; is_digit(*s); s++, any = true) {
			v = v * 10 + (*s - '0');
			scale *= 10;
		}
	}
	if (!any || *s)
		return -EINVAL;
	v /= scale;
	/* Too many digits give inf or nan, and neither is in any range. */
	if (!(v >= min && v <= max))
		return -ERANGE;
	*out = v;
	return 0;
}
