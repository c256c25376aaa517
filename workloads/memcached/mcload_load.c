// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/time.h"
#include "mcload_load.h"

#define NR_EVENTS	LOAD_NR_CONNS_MAX
/* At most so many requests are sent before answers are looked at. */
#define ISSUE_BATCH	32
#define CONNECT_NS	(5 * NSEC_PER_SEC)

static void on_answered(struct conn *c, const struct request *r,
			const struct reply *reply, uint64_t now_ns)
{
	struct load *l = c->env->ctx;
	struct tally *t = &l->tally;
	bool measured = r->intended_ns >= t->measure_ns;
	struct item item;

	if (r->kind == REQUEST_FILL)
		return;
	if (reply->kind == REPLY_REFUSED) {
		tally__lost(t, r->intended_ns, true, ERROR_REFUSED);
		return;
	}
	tally__answered(t, r, now_ns);
	if (r->kind == REQUEST_SET) {
		t->nr_sets += measured;
		return;
	}

	keys__item(&l->opts.keys, r->id, &item);
	if (reply->kind == REPLY_HIT) {
		t->nr_hits += measured;
		if (!item__check_value(&item, reply->value, reply->value_len))
			t->nr_corrupt++;
		return;
	}
	/* Look-aside: who misses fetches the value elsewhere and stores it. */
	t->nr_misses += measured;
	if (!conn__request(c, REQUEST_FILL, now_ns, r->id, &item))
		t->nr_fills += measured;
}

static void on_lost(struct conn *c, const struct request *r)
{
	struct load *l = c->env->ctx;

	if (r->kind != REQUEST_FILL)
		tally__lost(&l->tally, r->intended_ns, r->sent_ns, ERROR_RESET);
}

int load__init(struct load *l, const struct load_opts *opts, struct out *out)
{
	uint32_t i;
	int err;

	memset(l, 0, sizeof(*l));
	l->opts = *opts;
	l->out = out;
	l->env.addr = opts->addr;
	l->env.proto = opts->proto;
	l->env.lag = &l->lag;
	l->env.answered = on_answered;
	l->env.lost = on_lost;
	l->env.ctx = l;
	l->env.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->env.epoll_fd < 0)
		return -errno;
	plan__init(&l->plan, &opts->plan);
	err = tally__init(&l->tally);
	for (i = 0; i < opts->nr_conns && !err; i++)
		err = conn__init(&l->conns[i], &l->env);
	return err;
}

static void issue(struct load *l, const struct plan_req *req,
		  uint64_t intended_ns, uint64_t now_ns)
{
	/* Which connection depends on the schedule alone. */
	struct conn *c = &l->conns[l->nr_issued++ % l->opts.nr_conns];
	struct item item;
	int err;

	lag__issue(&l->lag, intended_ns, now_ns, intended_ns >= l->tally.measure_ns);
	tally__intended(&l->tally, intended_ns, l->out);
	keys__item(&l->opts.keys, req->id, &item);
	err = conn__request(c, req->is_set ? REQUEST_SET : REQUEST_GET,
			    intended_ns, req->id, &item);
	if (err)
		tally__lost(&l->tally, intended_ns, false,
			    err == -ENOBUFS ? ERROR_OVERRUN : ERROR_AWAY);
	conn__settle(c);
}

/* Connects again what is due; the time of the next such attempt, or never. */
static uint64_t reconnect(struct load *l, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;
	struct conn *c;
	uint32_t i;

	for (i = 0; i < l->opts.nr_conns; i++) {
		c = &l->conns[i];
		if (c->state == CONN_DOWN && c->retry_ns <= now_ns)
			conn__open(c);
		if (c->state == CONN_DOWN && c->retry_ns < next_ns)
			next_ns = c->retry_ns;
	}
	return next_ns;
}

static bool any_waiting(const struct load *l)
{
	uint32_t i;

	for (i = 0; i < l->opts.nr_conns; i++)
		if (l->conns[i].nr)
			return true;
	return false;
}

static bool all_up(const struct load *l)
{
	uint32_t i;

	for (i = 0; i < l->opts.nr_conns; i++)
		if (l->conns[i].state != CONN_UP)
			return false;
	return true;
}

/* Sleeps until an event or deadline_ns, and handles the events.  0 or -errno. */
static int wait_events(struct load *l, uint64_t deadline_ns)
{
	struct epoll_event events[NR_EVENTS];
	uint64_t now_ns = time__now_ns();
	struct timespec timeout;
	struct lag_event late;
	int i, n;

	timeout = time__to_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
	if (deadline_ns > now_ns && lag__sleep(&l->lag, now_ns, &late))
		tally__put_lag(l->out, now_ns, &late);
	n = epoll_pwait2(l->env.epoll_fd, events, NR_EVENTS, &timeout, NULL);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (deadline_ns > now_ns)
		lag__wake(&l->lag, deadline_ns, time__now_ns());
	for (i = 0; i < n; i++)
		conn__event(events[i].data.ptr, events[i].events);
	return 0;
}

/* All connections, before the schedule starts. */
static int connect_all(struct load *l)
{
	uint64_t end_ns = time__now_ns() + CONNECT_NS, now_ns;
	int err;

	lag__init(&l->lag, UINT64_MAX, false, time__now_ns());
	while (!all_up(l)) {
		now_ns = time__now_ns();
		if (now_ns >= end_ns)
			return -ETIMEDOUT;
		reconnect(l, now_ns);
		err = wait_events(l, now_ns + 10 * NSEC_PER_MSEC);
		if (err)
			return err;
	}
	return 0;
}

/* What is on its way at the end has had its chance. */
static void give_up_waiting(struct load *l)
{
	struct request *r;
	struct conn *c;
	uint32_t i;

	for (i = 0; i < l->opts.nr_conns; i++) {
		c = &l->conns[i];
		for (; c->nr; c->nr--) {
			r = &c->waiting[c->head];
			if (r->kind != REQUEST_FILL)
				tally__lost(&l->tally, r->intended_ns, r->sent_ns,
					    ERROR_UNANSWERED);
			c->head = (c->head + 1) % CONN_NR_WAITING;
		}
		c->nr_sent = 0;
		conn__close(c);
	}
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int load__run(struct load *l)
{
	uint64_t start_ns, measure_ns, end_ns, drain_end_ns, now_ns, next_ns;
	bool measuring = false, issuing = true;
	struct lag_event late;
	struct plan_req req;
	int err, i;

	err = connect_all(l);
	if (err)
		return err;

	start_ns = time__now_ns() + NSEC_PER_MSEC;
	measure_ns = start_ns + l->opts.warmup_ns;
	end_ns = measure_ns + l->opts.duration_ns;
	drain_end_ns = end_ns + l->opts.drain_ns;
	tally__start(&l->tally, start_ns, measure_ns);
	lag__init(&l->lag, l->opts.lag_limit_ns, l->opts.realtime, time__now_ns());
	plan__next(&l->plan, &req);

	for (;;) {
		now_ns = time__now_ns();
		if (!measuring && now_ns >= measure_ns) {
			measuring = true;
			if (l->opts.phase)
				tally__put_phase(l->out, measure_ns, l->opts.phase,
						 "begin");
		}
		for (i = 0; i < ISSUE_BATCH && issuing; i++) {
			if (start_ns + req.start_ns >= end_ns) {
				issuing = false;
				break;
			}
			if (start_ns + req.start_ns > now_ns)
				break;
			issue(l, &req, start_ns + req.start_ns, now_ns);
			plan__next(&l->plan, &req);
			now_ns = time__now_ns();
		}
		if (!issuing && now_ns >= end_ns &&
		    (!any_waiting(l) || now_ns >= drain_end_ns))
			break;

		next_ns = issuing ? start_ns + req.start_ns :
			  now_ns < end_ns ? end_ns : drain_end_ns;
		if (!measuring)
			next_ns = min_u64(next_ns, measure_ns);
		next_ns = min_u64(next_ns, reconnect(l, now_ns));
		err = wait_events(l, next_ns);
		if (err)
			return err;
		now_ns = time__now_ns();
		/* A request may be overdue and not yet issued. */
		if (issuing)
			now_ns = min_u64(now_ns, start_ns + req.start_ns);
		tally__tick(&l->tally, now_ns, false, l->out);
	}

	if (lag__sleep(&l->lag, now_ns, &late))
		tally__put_lag(l->out, now_ns, &late);
	if (l->opts.phase)
		tally__put_phase(l->out, end_ns, l->opts.phase, "end");
	give_up_waiting(l);
	tally__tick(&l->tally, now_ns, true, l->out);
	tally__put_lag_max(l->out, now_ns, &l->lag);
	return 0;
}
