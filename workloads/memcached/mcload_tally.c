// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "common/hist_json.h"
#include "common/time.h"
#include "mcload_tally.h"

#define INTERVAL_SUB_BITS 5
#define RUN_SUB_BITS 7

const char *const tally_error_names[NR_ERRORS] = {
	[ERROR_AWAY] = "server away",
	[ERROR_RESET] = "connection lost",
	[ERROR_REFUSED] = "refused",
	[ERROR_OVERRUN] = "overrun",
	[ERROR_UNANSWERED] = "unanswered",
};

int tally__init(struct tally *s)
{
	int i, err;

	memset(s, 0, sizeof(*s));
	err = hist__init(&s->latency.hist, RUN_SUB_BITS, TALLY_LOST_NS);
	if (!err)
		err = hist__init(&s->service.hist, RUN_SUB_BITS, TALLY_LOST_NS);
	if (!err)
		err = hist__init(&s->head.hist, RUN_SUB_BITS, TALLY_LOST_NS);
	for (i = 0; i < TALLY_NR_INTERVALS && !err; i++)
		err = hist__init(&s->intervals[i].latency, INTERVAL_SUB_BITS,
				 TALLY_LOST_NS);
	return err;	/* the process ends: nothing to undo */
}

void tally__start(struct tally *s, uint64_t start_ns, uint64_t measure_ns)
{
	s->start_ns = start_ns;
	s->measure_ns = measure_ns;
}

static uint64_t interval_of(const struct tally *s, uint64_t intended_ns)
{
	return (intended_ns - s->start_ns) / TALLY_INTERVAL_NS;
}

/* NULL when the interval's line is already out. */
static struct interval *find_interval(struct tally *s, uint64_t intended_ns)
{
	uint64_t i = interval_of(s, intended_ns);

	return i < s->oldest ? NULL : &s->intervals[i % TALLY_NR_INTERVALS];
}

static void put_oldest(struct tally *s, struct out *out)
{
	struct interval *v = &s->intervals[s->oldest % TALLY_NR_INTERVALS];
	uint64_t nr_answered = v->n - v->errors - v->pending, i;
	char buf[OUT_LINE_MAX];
	struct jw w;

	/* Not answered in 16 s, or at the end: for this line as good as lost. */
	for (i = 0; i < v->pending; i++)
		hist__record(&v->latency, TALLY_LOST_NS);

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "sample");
	jw__str(&w, "src", "load");
	jw__u64(&w, "t_ns", s->start_ns + (s->oldest + 1) * TALLY_INTERVAL_NS);
	jw__u64(&w, "n", nr_answered);
	jw__u64(&w, "errors", v->errors);
	jw__u64(&w, "pending", v->pending);
	if (v->latency.n) {
		jw__u64(&w, "p50_us", hist__quantile(&v->latency, 0.5) / NSEC_PER_USEC);
		jw__u64(&w, "p99_us", hist__quantile(&v->latency, 0.99) / NSEC_PER_USEC);
		jw__u64(&w, "max_us", v->max_ns / NSEC_PER_USEC);
	}
	jw__obj_end(&w);
	out__line(out, &w);

	v->n = 0;
	v->errors = 0;
	v->pending = 0;
	v->max_ns = 0;
	hist__reset(&v->latency);
	s->oldest++;
}

void tally__intended(struct tally *s, uint64_t intended_ns, struct out *out)
{
	uint64_t i = interval_of(s, intended_ns);
	struct interval *v;

	while (i >= s->oldest + TALLY_NR_INTERVALS)
		put_oldest(s, out);
	v = &s->intervals[i % TALLY_NR_INTERVALS];
	v->n++;
	v->pending++;
	if (intended_ns >= s->measure_ns)
		s->nr_requests++;
}

void tally__answered(struct tally *s, const struct request *r, uint64_t now_ns)
{
	struct interval *v = find_interval(s, r->intended_ns);
	uint64_t latency_ns = now_ns - r->intended_ns;

	if (v) {
		v->pending--;
		hist__record(&v->latency, latency_ns);
		if (latency_ns > v->max_ns)
			v->max_ns = latency_ns;
	}
	if (r->intended_ns >= s->measure_ns) {
		hist__record(&s->latency.hist, latency_ns);
		hist__record(&s->service.hist, now_ns - r->sent_ns);
		hist__record(&s->head.hist, now_ns - r->head_ns);
	}
}

static void record_lost(struct tally_hist *h)
{
	hist__record(&h->hist, TALLY_LOST_NS);
	h->nr_lost++;
}

void tally__lost(struct tally *s, uint64_t intended_ns, bool sent,
		 enum tally_error why)
{
	struct interval *v = find_interval(s, intended_ns);

	if (v) {
		v->pending--;
		v->errors++;
		hist__record(&v->latency, TALLY_LOST_NS);
	}
	if (intended_ns < s->measure_ns)
		return;
	s->nr_errors[why]++;
	record_lost(&s->latency);
	if (sent) {
		record_lost(&s->service);
		record_lost(&s->head);
	}
}

void tally__tick(struct tally *s, uint64_t until_ns, bool all, struct out *out)
{
	const struct interval *v;
	uint64_t end_ns;

	for (;;) {
		v = &s->intervals[s->oldest % TALLY_NR_INTERVALS];
		end_ns = s->start_ns + (s->oldest + 1) * TALLY_INTERVAL_NS;
		/* The last one may be cut short by the end of the run. */
		if (end_ns > until_ns && !(all && v->n))
			return;
		if (!all && v->pending)
			return;
		put_oldest(s, out);
	}
}

void tally__put_lag(struct out *out, uint64_t now_ns, const struct lag_event *e)
{
	char buf[OUT_LINE_MAX];
	struct jw w;

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "event");
	jw__str(&w, "kind", "load_lag");
	jw__u64(&w, "t_ns", now_ns);
	jw__u64(&w, "lag_ns", e->lag_ns);
	jw__u64(&w, "stall_ns", e->stall_ns);
	jw__str(&w, "cause", e->own ? "generator" : "guest");
	jw__obj_end(&w);
	out__line(out, &w);
}

void tally__put_lag_max(struct out *out, uint64_t now_ns, const struct lag *l)
{
	char buf[OUT_LINE_MAX];
	struct jw w;

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "event");
	jw__str(&w, "kind", "load_lag_max");
	jw__u64(&w, "t_ns", now_ns);
	jw__u64(&w, "lag_ns", l->measured_max_ns);
	jw__u64(&w, "nr", l->nr_measured);
	jw__obj_end(&w);
	out__line(out, &w);
}

void tally__put_phase(struct out *out, uint64_t now_ns, const char *name,
		     const char *edge)
{
	char buf[OUT_LINE_MAX];
	struct jw w;

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "phase");
	jw__u64(&w, "t_ns", now_ns);
	jw__str(&w, "name", name);
	jw__str(&w, "edge", edge);
	jw__obj_end(&w);
	out__line(out, &w);
}

static int write_hist(const struct tally_hist *h, const char *name, int fd)
{
	/*
	 * The largest index has 4 digits: with 6 for a count and 5 around
	 * them, the 4353 buckets of a full range just fit a line.
	 */
	static char buf[JW_LINE_MAX];
	struct jw w;

	jw__init(&w, buf, sizeof(buf));
	jw__obj_begin(&w, NULL);
	jw__str(&w, "type", "hist");
	jw__u64(&w, "t_ns", time__now_ns());
	jw__str(&w, "name", name);
	jw__str(&w, "unit", "ns");
	jw__u64(&w, "lost", h->nr_lost);
	hist__write(&h->hist, &w);
	jw__obj_end(&w);
	return jw__line(&w, fd);
}

int tally__write_hists(const struct tally *s, int fd)
{
	int err;

	err = write_hist(&s->latency, "request_latency", fd);
	if (!err)
		err = write_hist(&s->service, "request_service", fd);
	if (!err)
		err = write_hist(&s->head, "request_head", fd);
	return err;
}
