/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_PLAN_H
#define MCLOAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rng.h"

/*
 * The open-loop schedule: when each request is meant to start, and what it
 * is.  A pure function of the options and the seed; nothing the server does
 * can shift it.
 */

/*
 * Zipf over ranks 1..n, P(rank) ~ rank^-theta, theta >= 0, without tables:
 * rejection-inversion (Hoermann and Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", ACM TOMACS 6(3),
 * 1996).
 */
struct zipf {
	double theta;
	double h_x1, h_n, s;
	uint32_t n;
};

void zipf__init(struct zipf *z, uint32_t n, double theta);
uint32_t zipf__next(const struct zipf *z, struct rng *r);	/* 1..n */

struct plan_opts {
	uint64_t seed;
	double rate;		/* requests per second, > 0 */
	bool poisson;		/* exponential gaps, else equal ones */
	double get_ratio;	/* 0..1 */
	double zipf_theta;
	uint32_t nr_keys;	/* >= 1 */
};

struct plan_req {
	uint64_t start_ns;	/* intended, since the start of the run */
	uint32_t id;		/* of the item */
	bool is_set;
};

struct plan {
	struct plan_opts opts;
	struct zipf zipf;
	struct rng gap, key, op;
	double at_ns;
};

void plan__init(struct plan *p, const struct plan_opts *opts);
void plan__next(struct plan *p, struct plan_req *req);

#endif
