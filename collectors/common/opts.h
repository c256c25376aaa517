/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the programs that run in the guest: checked when they are read,
 * and wrong ones end the program with status 2 and a line that says why.
 */
#ifndef COMMON_OPTS_H
#define COMMON_OPTS_H

#include <stdbool.h>
#include <stdint.h>

/* Exit status of every program here */
enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INFRASTRUCTURE = 69 };

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
