// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/time.h"
#include "mcload_conn.h"

#define BACKOFF_MIN_NS	(10 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS	(320 * NSEC_PER_MSEC)

int conn__init(struct conn *c, const struct conn_env *env)
{
	memset(c, 0, sizeof(*c));
	c->env = env;
	c->fd = -1;
	c->backoff_ns = BACKOFF_MIN_NS;
	c->waiting = calloc(CONN_NR_WAITING, sizeof(*c->waiting));
	c->wbuf = malloc(CONN_WBUF_BYTES);
	c->rbuf = malloc(CONN_RBUF_BYTES);
	/* On failure the process ends: nothing to undo. */
	return c->waiting && c->wbuf && c->rbuf ? 0 : -ENOMEM;
}

static void retry_later(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);	/* leaves the epoll set with it */
	c->fd = -1;
	c->state = CONN_DOWN;
	c->broken = false;
	c->retry_ns = time__now_ns() + c->backoff_ns;
	c->backoff_ns *= 2;
	if (c->backoff_ns > BACKOFF_MAX_NS)
		c->backoff_ns = BACKOFF_MAX_NS;
}

static void now_up(struct conn *c)
{
	c->state = CONN_UP;
	c->backoff_ns = BACKOFF_MIN_NS;
	c->nr_connects++;
}

static void watch(struct conn *c, int op, bool out)
{
	struct epoll_event ev = {
		.events = EPOLLIN | (out ? EPOLLOUT : 0),
		.data.ptr = c,
	};

	if (epoll_ctl(c->env->epoll_fd, op, c->fd, &ev))
		c->broken = true;
	c->wants_out = out;
}

void conn__open(struct conn *c)
{
	c->w_start = 0;
	c->w_end = 0;
	c->r_end = 0;
	c->queued_off = 0;
	c->sent_off = 0;
	c->fd = net__socket(&c->env->addr, SOCK_NONBLOCK);
	if (c->fd < 0) {
		retry_later(c);
		return;
	}
	if (!connect(c->fd, (const struct sockaddr *)&c->env->addr.sa,
		     c->env->addr.len)) {
		now_up(c);
	} else if (errno == EINPROGRESS) {
		c->state = CONN_CONNECTING;
	} else {
		retry_later(c);
		return;
	}
	watch(c, EPOLL_CTL_ADD, c->state == CONN_CONNECTING);
	conn__settle(c);
}

void conn__settle(struct conn *c)
{
	if (!c->broken)
		return;
	retry_later(c);
	while (c->nr) {
		c->env->lost(c, &c->waiting[c->head]);
		c->head = (c->head + 1) % CONN_NR_WAITING;
		c->nr--;
	}
	c->nr_sent = 0;
}

void conn__close(struct conn *c)
{
	c->broken = c->state != CONN_DOWN;
	conn__settle(c);
}

/* Sends what it can and notes which requests are thereby complete. */
static void flush(struct conn *c)
{
	uint64_t before_ns, now_ns;
	struct request *r;
	ssize_t n;

	if (c->state != CONN_UP || c->broken || c->w_start == c->w_end)
		return;
	before_ns = time__now_ns();
	n = send(c->fd, c->wbuf + c->w_start, c->w_end - c->w_start, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		c->broken = true;
	now_ns = time__now_ns();
	lag__syscall(c->env->lag, now_ns - before_ns);
	if (n > 0) {
		c->w_start += (uint32_t)n;
		c->sent_off += (uint64_t)n;
	}
	while (c->nr_sent < c->nr) {
		r = &c->waiting[(c->head + c->nr_sent) % CONN_NR_WAITING];
		if (r->end_off > c->sent_off)
			break;
		/*
		 * Sent when the call began: the server may well run, and even
		 * answer, before it returns.
		 */
		r->sent_ns = before_ns;
		c->nr_sent++;
	}
	if (!c->broken && (c->w_start < c->w_end) != c->wants_out)
		watch(c, EPOLL_CTL_MOD, !c->wants_out);
}

int conn__request(struct conn *c, enum request_kind kind, uint64_t intended_ns,
		  uint32_t id, const struct item *item)
{
	struct request *r;
	size_t room, len;
	char *at;

	if (c->state != CONN_UP || c->broken)
		return -ENOTCONN;
	if (c->nr == CONN_NR_WAITING)
		return -ENOBUFS;
	if (c->w_start) {
		memmove(c->wbuf, c->wbuf + c->w_start, c->w_end - c->w_start);
		c->w_end -= c->w_start;
		c->w_start = 0;
	}
	at = c->wbuf + c->w_end;
	room = CONN_WBUF_BYTES - c->w_end;
	if (kind == REQUEST_GET)
		len = proto__get(c->env->proto, item, at, room);
	else
		len = proto__set(c->env->proto, item, false, at, room);
	if (!len)
		return -ENOBUFS;
	c->w_end += (uint32_t)len;
	c->queued_off += len;

	r = &c->waiting[(c->head + c->nr) % CONN_NR_WAITING];
	r->intended_ns = intended_ns;
	r->sent_ns = 0;
	r->end_off = c->queued_off;
	r->id = id;
	r->kind = kind;
	c->nr++;
	flush(c);
	return 0;
}

/* Hands over every complete reply in rbuf. */
static void take_replies(struct conn *c, uint64_t now_ns)
{
	struct request r;
	struct reply reply;
	uint32_t start = 0;

	while (start < c->r_end && !c->broken) {
		c->env->proto->parse(c->rbuf + start, c->r_end - start, &reply);
		if (reply.kind == REPLY_MORE)
			break;
		/* An answer nobody waits for is no better than garbage. */
		if (reply.kind == REPLY_BAD || c->nr_sent == 0) {
			c->nr_bad_replies++;
			c->broken = true;
			break;
		}
		start += (uint32_t)reply.len;
		r = c->waiting[c->head];
		c->head = (c->head + 1) % CONN_NR_WAITING;
		c->nr--;
		c->nr_sent--;
		r.head_ns = r.sent_ns > c->answered_ns ? r.sent_ns : c->answered_ns;
		c->answered_ns = now_ns;
		c->env->answered(c, &r, &reply, now_ns);
	}
	memmove(c->rbuf, c->rbuf + start, c->r_end - start);
	c->r_end -= start;
}

static void receive(struct conn *c)
{
	uint64_t before_ns, now_ns;
	ssize_t n;
	int err;

	before_ns = time__now_ns();
	n = recv(c->fd, c->rbuf + c->r_end, CONN_RBUF_BYTES - c->r_end, 0);
	err = errno;
	now_ns = time__now_ns();
	lag__syscall(c->env->lag, now_ns - before_ns);
	if (n > 0) {
		c->r_end += (uint32_t)n;
		take_replies(c, now_ns);
	} else if (n == 0 || (err != EAGAIN && err != EINTR)) {
		c->broken = true;
	}
}

static void finish_connecting(struct conn *c)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) || err) {
		c->broken = true;
		return;
	}
	now_up(c);
	watch(c, EPOLL_CTL_MOD, false);
}

void conn__event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_CONNECTING)
		finish_connecting(c);
	else if (c->state == CONN_UP && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		receive(c);
	if (events & EPOLLOUT)
		flush(c);
	conn__settle(c);
}
