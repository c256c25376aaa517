/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_PROTO_H
#define MCLOAD_PROTO_H

#include <stddef.h>

#include "mcload_keys.h"

/* The two wire formats of memcached: doc/protocol.txt of its sources. */

enum reply_kind {
	REPLY_MORE,	/* not complete yet */
	REPLY_HIT,
	REPLY_MISS,
	REPLY_STORED,
	REPLY_REFUSED,	/* SERVER_ERROR or not stored: no memory, for instance */
	REPLY_BAD,	/* not the protocol: the connection is of no more use */
};

struct reply {
	enum reply_kind kind;
	size_t len;		/* bytes used */
	const char *value;	/* of a hit */
	size_t value_len;
};

struct proto {
	const char *name;
	const char *get_fmt;	/* of the key */
	const char *set_fmt;	/* of the key and the value's length */
	const char *quiet_fmt;	/* as set_fmt, without a reply when stored */
	/* Reply to a get or set at the start of buf. */
	void (*parse)(const char *buf, size_t len, struct reply *reply);
};

/* "text" or "meta"; NULL for anything else. */
const struct proto *proto__find(const char *name);

/*
 * Write a request into buf; its length, or 0 if it does not fit.
 * PROTO_OVERHEAD is more than a set needs beyond key and value.
 */
#define PROTO_OVERHEAD 64
size_t proto__get(const struct proto *p, const struct item *item, char *buf,
		  size_t size);
size_t proto__set(const struct proto *p, const struct item *item, bool quiet,
		  char *buf, size_t size);

#endif
