/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_TALLY_H
#define MCLOAD_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hist.h"
#include "mcload_conn.h"
#include "mcload_lag.h"
#include "mcload_out.h"

/*
 * Results by the interval in which a request was *intended*, so that a stall
 * shows when it happened and not when it was over.  A `sample` line goes out
 * when all its requests are answered or lost.
 *
 * A lost request is slower than any that was answered: leaving it out would
 * make a killed server look fast.  It is recorded as TALLY_LOST_NS, far above
 * any answer, so it ranks last in every quantile, and a quantile of that value
 * says "lost".
 *
 * Invariant of every interval: n = answered + errors + pending.
 */
#define TALLY_INTERVAL_NS	250000000ULL
#define TALLY_NR_INTERVALS	64	/* 16 s; older ones go out with requests pending */
#define TALLY_LOST_NS		(1ULL << 40)	/* 18 min, and the last bucket */

enum tally_error {
	ERROR_AWAY,		/* no connection when it was due */
	ERROR_RESET,		/* connection lost while waiting */
	ERROR_REFUSED,		/* the server said so: out of memory, say */
	ERROR_OVERRUN,		/* too many waiting already */
	ERROR_UNANSWERED,	/* still waiting at the end */
	NR_ERRORS,
};

extern const char *const tally_error_names[NR_ERRORS];

struct interval {
	uint64_t n, errors, pending;
	uint64_t max_ns;	/* of the answered ones */
	struct hist latency;	/* of those and the lost */
};

/* Requests of the measured part. */
struct tally_hist {
	struct hist hist;
	uint64_t nr_lost;	/* of hist.n */
};

struct tally {
	uint64_t start_ns;	/* of interval 0, CLOCK_MONOTONIC */
	uint64_t measure_ns;	/* requests intended before are warm-up */
	uint64_t oldest;	/* first interval not yet out */
	struct interval intervals[TALLY_NR_INTERVALS];	/* index modulo this */

	/*
	 * Of the measured part.  To the answer, from: the intended start; the
	 * send; the later of the send and the previous answer on the connection
	 * (the last two without what was never sent).
	 */
	struct tally_hist latency, service, head;
	uint64_t nr_requests, nr_sets, nr_hits, nr_misses;
	uint64_t nr_errors[NR_ERRORS];
	uint64_t nr_fills;	/* sets after a miss: in no histogram */
	uint64_t nr_corrupt;	/* hits with a wrong value */
};

int tally__init(struct tally *s);	/* 0 or -ENOMEM */
void tally__start(struct tally *s, uint64_t start_ns, uint64_t measure_ns);

void tally__intended(struct tally *s, uint64_t intended_ns, struct out *out);
void tally__answered(struct tally *s, const struct request *r, uint64_t now_ns);
void tally__lost(struct tally *s, uint64_t intended_ns, bool sent,
		 enum tally_error why);

/*
 * Puts out every interval that ended by until_ns and is complete; all of them
 * at the end.  No request intended before until_ns may follow.
 */
void tally__tick(struct tally *s, uint64_t until_ns, bool all, struct out *out);

/* Lines that need no state. */
void tally__put_lag(struct out *out, uint64_t now_ns, const struct lag_event *e);
void tally__put_lag_max(struct out *out, uint64_t now_ns, const struct lag *l);
void tally__put_phase(struct out *out, uint64_t now_ns, const char *name,
		     const char *edge);

/* The histograms as `hist` lines, straight to fd.  0 or -errno. */
int tally__write_hists(const struct tally *s, int fd);

#endif
