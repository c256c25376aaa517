// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <stdlib.h>

#include "common/time.h"
#include "run/record/pace.h"

#define FIRST_STRETCH_NS	(250 * NSEC_PER_MSEC)
#define MIN_SPAN_NS		NSEC_PER_SEC	/* a rate is not told from less */
#define MAX_DRIFT		0.01
#define NR_PARTS		8 /* of a run, see error_of() */

/* A point seen from the first one: guest time, and how much later the line was received. */
struct seen {
	double t, delay;
};

static int64_t delay(const struct pace_point *p)
{
	return (int64_t)(p->host_ns - p->t_ns);
}

static void keep_least(struct pace_point *into, const struct pace_point *p)
{
	if (p->host_ns && (!into->host_ns || delay(p) < delay(into)))
		*into = *p;
}

/* Two stretches become one. */
static void fold(struct pace *p)
{
	const struct pace_point none = { 0, 0 };
	unsigned int i;

	for (i = 0; i < PACE_NR / 2; i++) {
		struct pace_point both = none;

		keep_least(&both, &p->points[2 * i]);
		keep_least(&both, &p->points[2 * i + 1]);
		p->points[i] = both;
	}
	for (; i < PACE_NR; i++)
		p->points[i] = none;
	p->stretch_ns *= 2;
}

void pace__note(struct pace *p, uint64_t t_ns, uint64_t host_ns)
{
	const struct pace_point point = { t_ns, host_ns };

	if (!p->stretch_ns) {
		p->start_ns = host_ns;
		p->stretch_ns = FIRST_STRETCH_NS;
	}
	while ((host_ns - p->start_ns) / p->stretch_ns >= PACE_NR)
		fold(p);
	keep_least(&p->points[(host_ns - p->start_ns) / p->stretch_ns], &point);
}

static int by_guest_time(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->t != y->t)
		return x->t < y->t ? -1 : 1;
	return (x->delay > y->delay) - (x->delay < y->delay);
}

static double slope(const struct seen *a, const struct seen *b)
{
	return (b->delay - a->delay) / (b->t - a->t);
}

/* The lower hull of points in order of t, put in their place; how many are on it. */
static unsigned int lower_hull(struct seen *s, unsigned int nr)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		if (n && s[n - 1].t == s[i].t)
			continue;
		while (n > 1 && slope(&s[n - 2], &s[i]) <= slope(&s[n - 2], &s[n - 1]))
			n--;
		s[n++] = s[i];
	}
	return n;
}

/*
 * How far off may the line be? In every part of the run some line of the guest
 * came that soon after its time; where they all come late, nothing tells.
 */
static double error_of(const struct seen *s, const double *above, unsigned int nr)
{
	double span = s[nr - 1].t - s[0].t, least[NR_PARTS], most = 0;
	unsigned int i;

	for (i = 0; i < NR_PARTS; i++)
		least[i] = HUGE_VAL;
	for (i = 0; i < nr; i++) {
		double at = span > 0 ? (s[i].t - s[0].t) / span : 0;
		unsigned int part = at < 1 ? (unsigned int)(at * NR_PARTS) : NR_PARTS - 1;

		least[part] = fmin(least[part], above[i]);
	}
	for (i = 0; i < NR_PARTS; i++)
		if (least[i] < HUGE_VAL)
			most = fmax(most, least[i]);
	return most;
}

/*
 * No line is received before it was written, so the clocks' line has every point
 * on it or above. Of all such lines the one that is closest to the points (least
 * sum of distances) is the edge of their lower hull below their mean.
 */
bool pace__line(const struct pace *p, struct pace_line *line)
{
	struct seen all[PACE_NR], hull[PACE_NR];
	const struct pace_point *first = NULL;
	double above[PACE_NR], mean = 0;
	unsigned int nr = 0, n, i;

	for (i = 0; i < PACE_NR; i++) {
		const struct pace_point *q = &p->points[i];

		if (!q->host_ns)
			continue;
		first = first ? first : q;
		all[nr].t = (double)(int64_t)(q->t_ns - first->t_ns);
		all[nr].delay = (double)(delay(q) - delay(first));
		mean += all[nr++].t;
	}
	if (!nr)
		return false;
	mean /= nr;
	qsort(all, nr, sizeof(all[0]), by_guest_time);
	for (i = 0; i < nr; i++)
		hull[i] = all[i];
	n = lower_hull(hull, nr);
	for (i = 0; i + 2 < n && hull[i + 1].t < mean; i++)
		;
	line->base_ns = first->t_ns;
	line->drift = 0;
	if (n > 1 && hull[n - 1].t - hull[0].t >= (double)MIN_SPAN_NS)
		line->drift = slope(&hull[i], &hull[i + 1]);
	if (fabs(line->drift) > MAX_DRIFT)
		return false;
	line->offset_ns = HUGE_VAL;
	for (i = 0; i < nr; i++)
		line->offset_ns = fmin(line->offset_ns, all[i].delay - line->drift * all[i].t);
	for (i = 0; i < nr; i++)
		above[i] = all[i].delay - line->drift * all[i].t - line->offset_ns;
	line->error_ns = (uint64_t)error_of(all, above, nr);
	line->offset_ns += (double)delay(first);
	return true;
}

int64_t pace__guest_ns(const struct pace_line *line, uint64_t host_ns)
{
	/* From the first point on, so that no digit is lost. */
	double passed = (double)(int64_t)(host_ns - line->base_ns) - line->offset_ns;

	return (int64_t)line->base_ns + (int64_t)(passed / (1 + line->drift));
}
