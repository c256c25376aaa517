/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TAP_H
#define TAP_H

/* Test Anything Protocol for one-file tests: checks, then return tap__done(). */
#include <math.h>
#include <stdio.h>
#include <string.h>

static int tap__nr, tap__nr_failed;

/* ok(condition, "name", ...): one test, its name formatted as by printf. */
#define ok(cond, ...)							\
	tap__ok(!!(cond), __FILE__, __LINE__, #cond, __VA_ARGS__)

/* Equal, else both are shown. */
#define is_u64(got, want, ...)						\
	tap__is_u64((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_s64(got, want, ...)						\
	tap__is_s64((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...)						\
	tap__is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
/* Within a tolerance. */
#define is_near(got, want, tol, ...)					\
	tap__is_near((got), (want), (tol), __FILE__, __LINE__, __VA_ARGS__)

#define skip(why, ...)							\
	do {								\
		printf("ok %d - ", ++tap__nr);				\
		printf(__VA_ARGS__);					\
		printf(" # SKIP %s\n", why);				\
	} while (0)

#define tap__line(pass, ...)						\
	do {								\
		printf("%sok %d - ", (pass) ? "" : "not ", ++tap__nr);	\
		printf(__VA_ARGS__);					\
		printf("\n");						\
		tap__nr_failed += !(pass);				\
	} while (0)

#define tap__ok(pass, file, line, text, ...)				\
	do {								\
		int pass_ = (pass);					\
									\
		tap__line(pass_, __VA_ARGS__);				\
		if (!pass_)						\
			printf("# %s:%d: %s\n", file, line, text);	\
	} while (0)

#define tap__is_u64(got, want, file, line, ...)				\
	do {								\
		unsigned long long g_ = (got), w_ = (want);		\
									\
		tap__line(g_ == w_, __VA_ARGS__);			\
		if (g_ != w_)						\
			printf("# %s:%d: got %llu, want %llu\n",	\
			       file, line, g_, w_);			\
	} while (0)

#define tap__is_s64(got, want, file, line, ...)				\
	do {								\
		long long g_ = (got), w_ = (want);			\
									\
		tap__line(g_ == w_, __VA_ARGS__);			\
		if (g_ != w_)						\
			printf("# %s:%d: got %lld, want %lld\n",	\
			       file, line, g_, w_);			\
	} while (0)

#define tap__is_str(got, want, file, line, ...)				\
	do {								\
		const char *g_ = (got), *w_ = (want);			\
		int same_ = g_ && w_ && !strcmp(g_, w_);		\
									\
		tap__line(same_, __VA_ARGS__);				\
		if (!same_)						\
			printf("# %s:%d: got  %s\n# want %s\n",		\
			       file, line, g_ ? g_ : "NULL",		\
			       w_ ? w_ : "NULL");			\
	} while (0)

#define tap__is_near(got, want, tol, file, line, ...)			\
	do {								\
		double g_ = (got), w_ = (want), t_ = (tol);		\
		int near_ = fabs(g_ - w_) <= t_;			\
									\
		tap__line(near_, __VA_ARGS__);				\
		if (!near_)						\
			printf("# %s:%d: got %g, want %g +- %g\n",	\
			       file, line, g_, w_, t_);			\
	} while (0)

/* Prints the plan; exit status of the test. */
static inline int tap__done(void)
{
	printf("1..%d\n", tap__nr);
	if (tap__nr_failed)
		printf("# %d of %d failed\n", tap__nr_failed, tap__nr);
	return tap__nr_failed || !tap__nr;
}

#endif
