/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_KEYS_H
#define MCLOAD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The items of a run.  An item's key, value length and value are a pure
 * function of (seed, id), so a reply can be checked without a table.
 *
 * Sizes "etc" follow the fits to Facebook's ETC pool in Atikoglu et al.,
 * "Workload Analysis of a Large-Scale Key-Value Store", SIGMETRICS 2012,
 * section 5: key lengths generalized extreme value (mu 30.7984, sigma 8.20449,
 * k 0.078688), value lengths generalized Pareto (theta 15, sigma 214.476,
 * k 0.348238).  Both are cut to the bounds below; the paper's table for
 * values shorter than 15 bytes is left out.
 */
#define KEYS_LEN_MIN	8	/* the id in hex */
#define KEYS_LEN_MAX	250	/* memcached's limit */
#define KEYS_VALUE_MAX	16384	/* one reply must fit the receive buffer */
#define KEYS_STAMP_LEN	16	/* checked head of a value */

struct keys {
	uint64_t seed;
	uint32_t nr;		/* ids 0..nr-1 */
	uint32_t value_len;	/* fixed, or 0 for "etc" */
	uint32_t value_max;	/* bound of "etc", at most KEYS_VALUE_MAX */
};

struct item {
	char key[KEYS_LEN_MAX + 1];
	uint32_t key_len;
	uint32_t value_len;		/* >= 1 */
	char stamp[KEYS_STAMP_LEN + 1];	/* a value starts with it, cut to length */
};

void keys__item(const struct keys *k, uint32_t id, struct item *item);

/* Writes the item's value: stamp, then filler.  out holds value_len bytes. */
void item__fill_value(const struct item *item, char *out);

/* Whether a value returned by the server is the item's, by length and stamp. */
bool item__check_value(const struct item *item, const char *value, size_t len);

/* Quantiles of the two distributions at u in [0, 1), before cutting. */
double keys__gev(double u, double mu, double sigma, double k);
double keys__pareto(double u, double theta, double sigma, double k);

#endif
