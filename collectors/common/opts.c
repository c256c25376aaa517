// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE /* program_invocation_short_name */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/num.h"
#include "common/opts.h"
#include "common/time.h"

#define DAY_NS		(86400 * NSEC_PER_SEC)
#define SIZE_MAX_BYTES	(1ULL << 46)
#define NR_OPTS_MAX	48

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

static void set(const struct opt *o, const char *value)
{
	switch (o->kind) {
	case OPT_U64:
		*(uint64_t *)o->to = opts__u64(o->name, value, o->min, o->max);
		break;
	case OPT_U32:
		*(uint32_t *)o->to = (uint32_t)opts__u64(o->name, value, o->min, o->max);
		break;
	case OPT_FD:
		*(int *)o->to = (int)opts__u64(o->name, value, 1, 1023);
		break;
	case OPT_DOUBLE:
		*(double *)o->to = opts__double(o->name, value, o->dmin, o->dmax);
		break;
	case OPT_SIZE:
		*(uint64_t *)o->to = opts__size(o->name, value);
		break;
	case OPT_TIME:
		*(uint64_t *)o->to = opts__time(o->name, value);
		break;
	case OPT_STRING:
		if (!*value || strlen(value) > o->max)
			opts__fail("--%s=%s: must be 1 to %llu bytes", o->name, value,
				   (unsigned long long)o->max);
		*(const char **)o->to = value;
		break;
	case OPT_SET:
	case OPT_CLEAR:
		*(bool *)o->to = o->kind == OPT_SET;
		break;
	case OPT_CALL:
		o->call(o->name, value, o->to);
		break;
	case OPT_END:
		break;
	}
}

int opts__table(int argc, char **argv, const char *usage, const struct opt *table,
		bool stop_at_first)
{
	struct option longopts[NR_OPTS_MAX + 2] = { 0 };
	int c, i, n = 0;

	for (; table[n].kind != OPT_END; n++) {
		if (n == NR_OPTS_MAX)
			abort();
		longopts[n].name = table[n].name;
		longopts[n].has_arg = table[n].kind == OPT_SET || table[n].kind == OPT_CLEAR ?
				      no_argument : required_argument;
		longopts[n].val = 1;
	}
	longopts[n] = (struct option){ "help", no_argument, NULL, 'h' };
	while ((c = getopt_long(argc, argv, stop_at_first ? "+" : "", longopts, &i)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			exit(EXIT_DONE);
		}
		if (c != 1)	/* getopt said what is wrong */
			exit(EXIT_USAGE);
		set(&table[i], optarg);
	}
	return optind;
}

void opts__table_only(int argc, char **argv, const char *usage,
		      const struct opt *table)
{
	int first = opts__table(argc, argv, usage, table, false);

	if (first < argc)
		opts__fail("unexpected argument '%s'", argv[first]);
}
