/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the programs that run in the guest: checked when they are read,
 * and wrong ones end the program with status 2 and a line that says why.
 */
#ifndef COMMON_OPTS_H
#define COMMON_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

/*
 * One option of a program, and where its value goes. A program has a table of
 * these, closed by an empty one; "--help" and "--NAME VALUE" come with it.
 */
enum opt_kind {
	OPT_END,
	OPT_U64,	/* uint64_t, min to max */
	OPT_U32,	/* uint32_t, min to max */
	OPT_FD,		/* int: a descriptor the program was started with */
	OPT_DOUBLE,	/* double, dmin to dmax */
	OPT_SIZE,	/* uint64_t, bytes */
	OPT_TIME,	/* uint64_t, ns */
	OPT_STRING,	/* const char *, not empty, at most max bytes */
	OPT_SET,	/* bool, no value: true */
	OPT_CLEAR,	/* bool, no value: false */
	OPT_CALL,	/* whatever call() makes of it */
};

struct opt {
	const char *name;
	enum opt_kind kind;
	void *to;
	uint64_t min, max;
	double dmin, dmax;
	void (*call)(const char *name, const char *value, void *to);
};

/* OPT(DOUBLE, "rate", &o->rate, .dmin = 0, .dmax = 1) */
#define OPT(kind_, name_, to_, ...) \
	{ .name = (name_), .kind = OPT_##kind_, .to = (to_), __VA_ARGS__ }

/*
 * Reads the options; whatever is wrong ends the program. @usage is what --help
 * prints. Returns the index of the first argument that is no option; the words
 * from there on may have options of their own when @stop_at_first.
 */
int opts__table(int argc, char **argv, const char *usage, const struct opt *table,
		bool stop_at_first);

/* As above, for a program that takes no further arguments */
void opts__table_only(int argc, char **argv, const char *usage,
		      const struct opt *table);

/* "PROGRAM: MESSAGE; see PROGRAM --help", status 2 */
void opts__fail(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

/* "--NAME=VALUE: ALLOWED" when @wrong */
void opts__check(bool wrong, const char *name, const char *value,
		 const char *allowed);

uint64_t opts__u64(const char *name, const char *value, uint64_t min,
		   uint64_t max);

double opts__double(const char *name, const char *value, double min, double max);

/* In bytes, such as 64M, at most 2^46 */
uint64_t opts__size(const char *name, const char *value);

/* In ns, such as 250ms, at most a day */
uint64_t opts__time(const char *name, const char *value);

/* Is it @yes? The other value it may have is @no. */
bool opts__choose(const char *name, const char *value, const char *yes,
		  const char *no);

#endif /* COMMON_OPTS_H */
