// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "mcload_lag.h"

void lag__init(struct lag *l, uint64_t limit_ns, bool late_is_stall,
	       uint64_t now_ns)
{
	memset(l, 0, sizeof(*l));
	l->limit_ns = limit_ns;
	l->late_is_stall = late_is_stall;
	l->busy_start_ns = now_ns;
}

void lag__wake(struct lag *l, uint64_t deadline_ns, uint64_t now_ns)
{
	l->busy_start_ns = now_ns;
	l->stall_ns = 0;
	l->max_ns = 0;
	if (now_ns <= deadline_ns)
		return;
	/* It should have been running since then. */
	l->busy_start_ns = deadline_ns;
	if (l->late_is_stall)
		l->stall_ns += now_ns - deadline_ns;
}

void lag__syscall(struct lag *l, uint64_t duration_ns)
{
	if (duration_ns > LAG_SYSCALL_NS)
		l->stall_ns += duration_ns;
}

void lag__issue(struct lag *l, uint64_t intended_ns, uint64_t now_ns,
		bool measured)
{
	uint64_t lag_ns = now_ns > intended_ns ? now_ns - intended_ns : 0;

	if (lag_ns > l->max_ns)
		l->max_ns = lag_ns;
	if (lag_ns > l->total_max_ns)
		l->total_max_ns = lag_ns;
	if (!measured)
		return;
	l->nr_measured++;
	if (lag_ns > l->measured_max_ns)
		l->measured_max_ns = lag_ns;
}

bool lag__sleep(struct lag *l, uint64_t now_ns, struct lag_event *event)
{
	if (l->max_ns <= l->limit_ns)
		return false;
	event->lag_ns = l->max_ns;
	event->stall_ns = l->stall_ns;
	/* elapsed - stall > limit + stall, without a negative difference */
	event->own = now_ns - l->busy_start_ns > l->limit_ns + 2 * l->stall_ns;
	if (event->own)
		l->nr_own++;
	else
		l->nr_guest++;
	return true;
}
