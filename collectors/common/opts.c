// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE /* program_invocation_short_name */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/num.h"
#include "common/opts.h"
#include "common/time.h"

#define DAY_NS		(86400 * NSEC_PER_SEC)
#define SIZE_MAX_BYTES	(1ULL << 46)

void opts__fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see %s --help\n", program_invocation_short_name);
	exit(EXIT_USAGE);
}

void opts__check(bool wrong, const char *name, const char *value,
		 const char *allowed)
{
	if (wrong)
		opts__fail("--%s=%s: %s", name, value, allowed);
}

uint64_t opts__u64(const char *name, const char *value, uint64_t min,
		   uint64_t max)
{
	uint64_t v = 0;

	if (!num__u64(value, min, max, &v))
		return v;
	if (max == UINT64_MAX)
		opts__fail("--%s=%s: must be a whole number, at least %llu", name,
			   value, (unsigned long long)min);
	opts__fail("--%s=%s: must be a whole number, %llu to %llu", name, value,
		   (unsigned long long)min, (unsigned long long)max);
}

double opts__double(const char *name, const char *value, double min, double max)
{
	double v = 0;

	if (num__double(value, min, max, &v))
		opts__fail("--%s=%s: must be a number, %g to %g", name, value, min,
			   max);
	return v;
}

uint64_t opts__size(const char *name, const char *value)
{
	uint64_t v = 0;

	opts__check(num__size(value, 0, SIZE_MAX_BYTES, &v), name, value,
		    "must be a size such as 64M");
	return v;
}

uint64_t opts__time(const char *name, const char *value)
{
	uint64_t v = 0;

	opts__check(num__duration_ns(value, 0, DAY_NS, &v), name, value,
		    "must be a time of at most a day, such as 250ms or 10s");
	return v;
}

bool opts__choose(const char *name, const char *value, const char *yes,
		  const char *no)
{
	if (strcmp(value, yes) && strcmp(value, no))
		opts__fail("--%s=%s: must be %s or %s", name, value, yes, no);
	return !strcmp(value, yes);
}
