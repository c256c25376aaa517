/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_NUM_H
#define COMMON_NUM_H

#include <stdint.h>

/*
 * Strict numbers for command lines and environment variables: the whole
 * string must be one number, no sign, no space, nothing after it.
 *
 * All return 0, -EINVAL (not such a number) or -ERANGE (outside min..max, or
 * too large to represent); *out is written only on success.
 */
int num__u64(const char *s, uint64_t min, uint64_t max, uint64_t *out);

/* "4096", "64K", "512M", "2G": suffixes are powers of 1024; *out in bytes. */
int num__size(const char *s, uint64_t min, uint64_t max, uint64_t *out);

/* "200ms", "1.5s", "40us", "250ns": the unit is demanded; *out in ns. */
int num__duration_ns(const char *s, uint64_t min, uint64_t max, uint64_t *out);

/* "0.99", "3": plain decimal, neither exponent nor inf nor nan. */
int num__double(const char *s, double min, double max, double *out);

#endif
