// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/hist.h"

size_t hist__index(__u64 value, unsigned int sub_bits)
{
	unsigned int e;

	if (value < (1ULL << sub_bits))
		return value;
	e = 63 - __builtin_clzll(value);
	return ((size_t)(e - sub_bits + 1) << sub_bits) +
	       ((value >> (e - sub_bits)) - (1ULL << sub_bits));
}

__u64 hist__lower(size_t index, unsigned int sub_bits)
{
	size_t octave = index >> sub_bits;
	__u64 in_octave = index & ((1ULL << sub_bits) - 1);

	if (octave == 0)
		return index;
	return ((1ULL << sub_bits) + in_octave) << (octave - 1);
}

int hist__init(struct hist *h, unsigned int sub_bits, __u64 max_value)
{
	memset(h, 0, sizeof(*h));
	if (sub_bits > HIST_SUB_BITS_MAX)
		return -EINVAL;
	h->nr = hist__index(max_value, sub_bits) + 1;
	h->counts = calloc(h->nr, sizeof(*h->counts));
	if (!h->counts) {
		h->nr = 0;
		return -ENOMEM;
	}
	h->sub_bits = sub_bits;
	return 0;
}

void hist__free(struct hist *h)
{
	free(h->counts);
	memset(h, 0, sizeof(*h));
}

void hist__reset(struct hist *h)
{
	memset(h->counts, 0, h->nr * sizeof(*h->counts));
	h->n = 0;
	h->sum = 0;
	h->max = 0;
}

void hist__record(struct hist *h, __u64 value)
{
	size_t i = hist__index(value, h->sub_bits);

	if (i >= h->nr)
		i = h->nr - 1;
	h->counts[i]++;
	h->n++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
}

__u64 hist__quantile(const struct hist *h, double q)
{
	__u64 rank, seen = 0, upper;
	double want;
	size_t i;

	if (h->n == 0)
		return 0;
	want = q * (double)h->n;
	rank = want > 0 ? (__u64)want : 0;
	if ((double)rank < want)
		rank++;
	if (rank < 1)
		rank = 1;
	if (rank > h->n)
		rank = h->n;

	for (i = 0; i < h->nr; i++) {
		seen += h->counts[i];
		if (seen >= rank)
			break;
	}
	/* The last bucket also holds everything above its range. */
	if (i + 1 >= h->nr)
		return h->max;
	upper = hist__lower(i + 1, h->sub_bits) - 1;
	return upper < h->max ? upper : h->max;
}
