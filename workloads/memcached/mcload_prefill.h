/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_PREFILL_H
#define MCLOAD_PREFILL_H

#include "mcload_keys.h"
#include "mcload_net.h"
#include "mcload_proto.h"

/*
 * Fills the server before the measured part: first every item of `keys`, then
 * ballast, large items that nobody reads, up to about `bytes` of item memory.
 * Ballast stands for the cold tail of a cache; a megabyte of it costs far fewer
 * instructions than a megabyte of small items.
 *
 * A ballast value of the default size and its header fill memcached's largest
 * slab chunk (512 KiB), so that item memory and resident memory agree.
 */
#define PREFILL_BALLAST_BYTES	(512 * 1024 - 256)
#define PREFILL_ITEM_OVERHEAD	60	/* header, NUL, line end: items.c, 64 bit */

struct prefill_opts {
	struct net_addr addr;
	const struct proto *proto;
	struct keys keys;
	uint64_t bytes;
	uint64_t wait_ns;	/* for the server to answer */
};

struct prefill_result {
	uint64_t nr_items, nr_ballast;
	uint64_t curr_items, bytes, evictions;	/* the server's own statistics */
};

/*
 * Blocks until the server holds everything.  0 or -errno: -ENOSPC when it
 * refused or evicted something.  Says on stderr what went wrong.
 */
int prefill__run(const struct prefill_opts *opts, struct prefill_result *result);

#endif
