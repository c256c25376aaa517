/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_HIST_H
#define COMMON_HIST_H

#include <linux/types.h>
#include <stddef.h>

/*
 * Log-linear histogram of unsigned values, as in docs/record.md.
 *
 * With s = sub_bits, values below 2^s have a bucket each; above, every power
 * of two is split into 2^s equal buckets.  A bucket that starts at v is at
 * most v * 2^-s wide, so a quantile is off by less than that share.
 */
#define HIST_SUB_BITS_MAX 16

struct hist {
	unsigned int sub_bits;
	__u64 n;	/* values recorded */
	__u64 sum;	/* of the values, modulo 2^64 */
	__u64 max;	/* exact, also beyond the last bucket */
	__u64 *counts;	/* nr buckets */
	size_t nr;
};

/* Buckets for 0..max_value.  0, -EINVAL (sub_bits) or -ENOMEM. */
int hist__init(struct hist *h, unsigned int sub_bits, __u64 max_value);
void hist__free(struct hist *h);	/* legal on a zeroed or freed one */
void hist__reset(struct hist *h);

/* Values above max_value land in the last bucket; max and sum stay exact. */
void hist__record(struct hist *h, __u64 value);

size_t hist__index(__u64 value, unsigned int sub_bits);
__u64 hist__lower(size_t index, unsigned int sub_bits);

/*
 * The largest value the bucket of rank ceil(q * n) can hold, and never more
 * than max: an upper bound.  0 when nothing was recorded.
 */
__u64 hist__quantile(const struct hist *h, double q);

#endif
