// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>

#include "mcload_plan.h"

enum plan_stream { STREAM_GAP = 1, STREAM_KEY, STREAM_OP };

/* log(1 + x) / x, continuous at 0. */
static double log1p_over(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

/* (exp(x) - 1) / x, continuous at 0. */
static double expm1_over(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

/* Integral of the density x^-theta; (x^(1-theta) - 1) / (1 - theta), or log. */
static double zipf_h(const struct zipf *z, double x)
{
	double log_x = log(x);

	return expm1_over((1 - z->theta) * log_x) * log_x;
}

static double zipf_h_inverse(const struct zipf *z, double y)
{
	double t = y * (1 - z->theta);

	if (t < -1)	/* rounding only: the domain ends at -1 */
		t = -1;
	return exp(log1p_over(t) * y);
}

void zipf__init(struct zipf *z, uint32_t n, double theta)
{
	z->n = n;
	z->theta = theta;
	z->h_x1 = zipf_h(z, 1.5) - 1;
	z->h_n = zipf_h(z, n + 0.5);
	z->s = 2 - zipf_h_inverse(z, zipf_h(z, 2.5) - pow(2, -theta));
}

uint32_t zipf__next(const struct zipf *z, struct rng *r)
{
	double u, x, k;

	for (;;) {
		u = z->h_n + rng__unit(r) * (z->h_x1 - z->h_n);
		x = zipf_h_inverse(z, u);
		k = floor(x + 0.5);
		if (k < 1)
			k = 1;
		else if (k > z->n)
			k = z->n;
		if (k - x <= z->s || u >= zipf_h(z, k + 0.5) - pow(k, -z->theta))
			return (uint32_t)k;
	}
}

void plan__init(struct plan *p, const struct plan_opts *opts)
{
	p->opts = *opts;
	p->at_ns = 0;
	zipf__init(&p->zipf, opts->nr_keys, opts->zipf_theta);
	rng__seed(&p->gap, opts->seed, STREAM_GAP);
	rng__seed(&p->key, opts->seed, STREAM_KEY);
	rng__seed(&p->op, opts->seed, STREAM_OP);
}

void plan__next(struct plan *p, struct plan_req *req)
{
	double gap_ns = 1e9 / p->opts.rate;

	if (p->opts.poisson)
		gap_ns *= -log(1 - rng__unit(&p->gap));
	p->at_ns += gap_ns;
	req->start_ns = (uint64_t)p->at_ns;
	req->id = zipf__next(&p->zipf, &p->key) - 1;
	req->is_set = rng__unit(&p->op) >= p->opts.get_ratio;
}
