// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: workloads/memcached/mcload_lag.c */
/* LIBS: -lm */
#include "../../workloads/memcached/mcload_lag.h"
#include "tap.h"

#define MS 1000000ULL
#define LIMIT (20 * MS)

static struct lag_event e;
static struct lag l;

static void start(bool realtime)
{
	memset(&e, 0, sizeof(e));
	lag__init(&l, LIMIT, realtime, 0);
}

int main(void)
{
	int i;

	start(true);
	lag__wake(&l, 100 * MS, 100 * MS);
	lag__issue(&l, 100 * MS, 101 * MS, true);
	ok(!lag__sleep(&l, 102 * MS, &e), "on time");
	is_u64(l.total_max_ns, MS, "its lag is known all the same");

	start(true);
	lag__wake(&l, 100 * MS, 100 * MS);
	lag__syscall(&l, 500 * MS);
	lag__issue(&l, 110 * MS, 600 * MS, true);
	ok(lag__sleep(&l, 650 * MS, &e) && !e.own, "a send that blocked is the guest's");
	is_u64(e.lag_ns, 490 * MS, "largest lag");
	is_u64(e.stall_ns, 500 * MS, "length of the stall");

	start(true);
	lag__wake(&l, 100 * MS, 400 * MS);
	lag__issue(&l, 100 * MS, 400 * MS, true);
	ok(lag__sleep(&l, 410 * MS, &e) && !e.own, "real-time and woken late: the guest's");

	start(false);
	lag__wake(&l, 100 * MS, 400 * MS);
	lag__issue(&l, 100 * MS, 400 * MS, true);
	ok(lag__sleep(&l, 410 * MS, &e) && e.own, "without priority: its own");

	start(true);
	lag__wake(&l, 200 * MS, 100 * MS);
	for (i = 0; i < 100; i++) {
		lag__syscall(&l, MS / 2);
		lag__issue(&l, 100 * MS + i * MS / 2, 100 * MS + i * MS, true);
	}
	ok(lag__sleep(&l, 200 * MS, &e) && e.own, "many short calls: too slow itself");
	is_u64(e.stall_ns, 0, "no stall among them");

	start(true);
	lag__wake(&l, 100 * MS, 100 * MS);
	lag__syscall(&l, 30 * MS);
	lag__issue(&l, 101 * MS, 200 * MS, true);
	ok(lag__sleep(&l, 200 * MS, &e) && e.own,
	   "a short stall does not excuse being slow long after");

	start(true);
	lag__wake(&l, 100 * MS, 200 * MS);
	lag__issue(&l, 100 * MS, 200 * MS, true);
	lag__sleep(&l, 201 * MS, &e);
	lag__wake(&l, 300 * MS, 300 * MS);
	lag__issue(&l, 300 * MS, 300 * MS, true);
	ok(!lag__sleep(&l, 301 * MS, &e), "a new period starts afresh");

	lag__wake(&l, 400 * MS, 400 * MS);
	lag__issue(&l, 400 * MS, 403 * MS, false);
	is_u64(l.nr_measured, 2, "the warm-up is not measured");
	is_u64(l.measured_max_ns, 100 * MS, "largest lag of the measured part");
	start(true);
	is_u64(l.nr_measured + l.measured_max_ns, 0, "nothing sent: no lag, of none");
	lag__issue(&l, 400 * MS, 400 * MS + 1500, true);
	is_u64(l.measured_max_ns, 1500, "a lag far below the limit is known");
	start(true);
	lag__wake(&l, 100 * MS, 200 * MS);
	lag__issue(&l, 100 * MS, 200 * MS, true);
	lag__sleep(&l, 201 * MS, &e);
	is_u64(l.nr_guest, 1, "periods held up by the guest");
	is_u64(l.nr_own, 0, "periods of its own making");
	return tap__done();
}
