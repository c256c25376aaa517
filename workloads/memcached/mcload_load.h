/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_LOAD_H
#define MCLOAD_LOAD_H

#include "mcload_conn.h"
#include "mcload_plan.h"
#include "mcload_tally.h"

#define LOAD_NR_CONNS_MAX 64

struct load_opts {
	struct net_addr addr;
	const struct proto *proto;
	struct keys keys;
	struct plan_opts plan;
	uint32_t nr_conns;
	uint64_t warmup_ns, duration_ns, drain_ns;
	uint64_t lag_limit_ns;
	bool realtime;		/* the caller got a real-time priority */
	const char *phase;	/* name of the measured phase, or NULL */
};

/* Too large for a stack; make it static. */
struct load {
	struct load_opts opts;
	struct conn_env env;
	struct conn conns[LOAD_NR_CONNS_MAX];
	struct plan plan;
	struct tally tally;
	struct lag lag;
	struct out *out;
	uint64_t nr_issued;
};

int load__init(struct load *l, const struct load_opts *opts, struct out *out);

/* Warm-up, measured part, drain.  0 or -errno. */
int load__run(struct load *l);

#endif
