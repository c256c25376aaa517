/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_CONN_H
#define MCLOAD_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "mcload_keys.h"
#include "mcload_lag.h"
#include "mcload_net.h"
#include "mcload_proto.h"

/*
 * Non-blocking connections with pipelined requests.  Answers come in order,
 * so the waiting requests are a queue: its head is the one answered next.
 *
 *	head ... sent          handed to the kernel, waiting for the answer
 *	head + nr_sent ...     still in wbuf, at least in part
 *
 * All buffers are allocated by conn__init(); nothing is allocated later.
 */
#define CONN_NR_WAITING		1024
#define CONN_WBUF_BYTES		65536
#define CONN_RBUF_BYTES		32768	/* holds any one reply */

enum request_kind { REQUEST_GET, REQUEST_SET, REQUEST_FILL };

struct request {
	uint64_t intended_ns;
	uint64_t sent_ns;	/* its last byte went to the kernel; 0: not yet */
	uint64_t head_ns;	/* sent, and nothing before it on the connection */
	uint64_t end_off;	/* of its last byte in the connection's stream */
	uint32_t id;
	enum request_kind kind;
};

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_UP };

struct conn;

/* What all connections share. */
struct conn_env {
	int epoll_fd;
	struct net_addr addr;
	const struct proto *proto;
	struct lag *lag;
	/* Head of the queue answered; it may queue another request. */
	void (*answered)(struct conn *c, const struct request *r,
			 const struct reply *reply, uint64_t now_ns);
	/* Request lost with the connection. */
	void (*lost)(struct conn *c, const struct request *r);
	void *ctx;
};

struct conn {
	const struct conn_env *env;
	enum conn_state state;
	bool broken;		/* to be closed by conn__settle() */
	bool wants_out;		/* EPOLLOUT is on */
	int fd;
	uint64_t retry_ns;	/* when to connect again */
	uint64_t backoff_ns;

	struct request *waiting;	/* ring of CONN_NR_WAITING */
	uint32_t head, nr, nr_sent;

	char *wbuf, *rbuf;
	uint32_t w_start, w_end, r_end;
	uint64_t queued_off, sent_off;	/* bytes since the connection began */
	uint64_t answered_ns;		/* when the last answer was read */
	uint64_t nr_connects;
	uint64_t nr_bad_replies;	/* not the protocol */
};

int conn__init(struct conn *c, const struct conn_env *env);	/* 0 or -ENOMEM */

/* Starts to connect; on failure it is tried again at retry_ns. */
void conn__open(struct conn *c);

/*
 * Queues a request and sends what the socket takes.  0, -ENOTCONN or -ENOBUFS
 * (too many waiting); then nothing was queued.
 */
int conn__request(struct conn *c, enum request_kind kind, uint64_t intended_ns,
		  uint32_t id, const struct item *item);

/* Handles the events of epoll. */
void conn__event(struct conn *c, uint32_t events);

/* Closes a broken connection and reports its requests as lost. */
void conn__settle(struct conn *c);

/* Closes it for good. */
void conn__close(struct conn *c);

#endif
