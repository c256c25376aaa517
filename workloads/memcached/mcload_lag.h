/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MCLOAD_LAG_H
#define MCLOAD_LAG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Who is to blame when a request starts later than intended?
 *
 * The guest, when its kernel held the generator: a system call that should
 * not block took long (it allocates socket buffers and may have to reclaim
 * memory), or a real-time process was woken late.  Then the delay is part of
 * the result.  Else the generator itself was too slow, and the run says
 * nothing about the server.
 *
 * The unit is the busy period, from one wake-up to the next sleep.  After
 * stalls of length s in it, the requests that fell due have to be caught up
 * with; the generator's own time in the period may reach limit + s.  More
 * than that, and a lag above the limit is its own.
 */
#define LAG_SYSCALL_NS	1000000ULL	/* a call longer than this was held up */

struct lag {
	uint64_t limit_ns;
	bool late_is_stall;	/* real-time: nothing but the kernel delays it */

	uint64_t busy_start_ns;	/* of the present busy period */
	uint64_t stall_ns;	/* in it */
	uint64_t max_ns;	/* largest lag in it */

	uint64_t nr_guest;	/* periods above the limit, by cause */
	uint64_t nr_own;
	uint64_t total_max_ns;

	/* Of the measured part, so that no lag is told from none looked at. */
	uint64_t measured_max_ns;
	uint64_t nr_measured;
};

struct lag_event {
	uint64_t lag_ns;
	uint64_t stall_ns;
	bool own;
};

void lag__init(struct lag *l, uint64_t limit_ns, bool late_is_stall,
	       uint64_t now_ns);

/* Woken at now_ns from a sleep that was to last until deadline_ns at most. */
void lag__wake(struct lag *l, uint64_t deadline_ns, uint64_t now_ns);

/* A system call that should not block took so long. */
void lag__syscall(struct lag *l, uint64_t duration_ns);

/* A request intended for intended_ns is sent now; whether it is measured. */
void lag__issue(struct lag *l, uint64_t intended_ns, uint64_t now_ns,
		bool measured);

/* Nothing is due: ends the busy period.  True if it was above the limit. */
bool lag__sleep(struct lag *l, uint64_t now_ns, struct lag_event *event);

#endif
