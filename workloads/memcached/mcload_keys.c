// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/rng.h"
#include "mcload_keys.h"

#define STREAM_ITEM	0x4954454dULL	/* any constant no other stream uses */

double keys__gev(double u, double mu, double sigma, double k)
{
	return mu + sigma / k * (pow(-log(u), -k) - 1);
}

double keys__pareto(double u, double theta, double sigma, double k)
{
	return theta + sigma / k * (pow(1 - u, -k) - 1);
}

static uint32_t clamp_len(double len, uint32_t min, uint32_t max)
{
	if (!(len > min))	/* -inf and nan too */
		return min;
	return len < max ? (uint32_t)len : max;
}

void keys__item(const struct keys *k, uint32_t id, struct item *item)
{
	struct rng r;
	double len;
	int n;

	rng__seed(&r, k->seed, STREAM_ITEM << 32 | id);
	len = keys__gev(rng__unit(&r), 30.7984, 8.20449, 0.078688);
	item->key_len = clamp_len(len, KEYS_LEN_MIN, KEYS_LEN_MAX);
	if (k->value_len) {
		item->value_len = k->value_len;
	} else {
		len = keys__pareto(rng__unit(&r), 15, 214.476, 0.348238);
		item->value_len = clamp_len(len, 1, k->value_max);
	}

	n = snprintf(item->key, sizeof(item->key), "%08x", id);
	memset(item->key + n, '.', item->key_len - (uint32_t)n);
	item->key[item->key_len] = '\0';
	snprintf(item->stamp, sizeof(item->stamp), "%016llx",
		 (unsigned long long)rng__next(&r));
}

static size_t stamp_len(const struct item *item)
{
	return item->value_len < KEYS_STAMP_LEN ? item->value_len : KEYS_STAMP_LEN;
}

void item__fill_value(const struct item *item, char *out)
{
	size_t n = stamp_len(item);

	memcpy(out, item->stamp, n);
	memset(out + n, 'v', item->value_len - n);
}

bool item__check_value(const struct item *item, const char *value, size_t len)
{
	return len == item->value_len && !memcmp(value, item->stamp, stamp_len(item));
}
