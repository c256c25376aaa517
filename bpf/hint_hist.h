/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bucket of a value in a struct hist_cpu. The arithmetic is that of
 * hist__index() in collectors/common/hist.c, in a form BPF can run; a unit
 * test holds the two together.
 */
#ifndef HINT_HIST_H
#define HINT_HIST_H

#include "hint_rec.h"

/* floor(log2(v)) for v > 0: no such instruction in BPF, and no loop wanted. */
static inline __attribute__((always_inline)) __u32 log2_u64(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) {
		v >>= 32;
		r += 32;
	}
	if (v >> 16) {
		v >>= 16;
		r += 16;
	}
	if (v >> 8) {
		v >>= 8;
		r += 8;
	}
	if (v >> 4) {
		v >>= 4;
		r += 4;
	}
	if (v >> 2) {
		v >>= 2;
		r += 2;
	}
	if (v >> 1)
		r += 1;
	return r;
}

/* Less than HIST_NR_SLOTS; values of 2^HIST_MAX_BITS and more share the last. */
static inline __attribute__((always_inline)) __u32 hist_cpu__slot(__u64 v)
{
	__u32 e;

	if (v < (1 << HIST_SUB_BITS))
		return v;
	if (v >> HIST_MAX_BITS)
		return HIST_NR_SLOTS - 1;
	e = log2_u64(v);
	return ((e - HIST_SUB_BITS + 1) << HIST_SUB_BITS) +
	       (__u32)((v >> (e - HIST_SUB_BITS)) - (1 << HIST_SUB_BITS));
}

#endif
