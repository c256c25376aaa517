// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/record/device.c collectors/run/record/axis.c collectors/run/record/pace.c collectors/run/record/guest.c collectors/run/record/shape.c collectors/run/record/lines.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson -lm */
/* The device's counters, and a ledger that must balance. */
#include <stdio.h>

#include "tap.h"
#include "common/time.h"
#include "run/record/axis.h"
#include "run/util.h"

#define SEC	((int64_t)NSEC_PER_SEC)
#define CHUNK	(2 * MIB)

static json_t *answer(void)
{
	return json_loads("{\"virtual-ns\": 5, \"guest-features\": 34, \"batches\": 1, \"chunks\": 2,"
			  "\"bytes-received\": 3, \"bytes-discarded\": 4, \"discard-ns\": 6, \"stopped-ns\": 7,"
			  "\"stopped-ns-max\": 8,"
			  "\"bytes-out\": 7, \"bytes-out-max\": 8, \"buffer-pages\": 9,"
			  "\"violations\": 10, \"skipped-inhibited\": 11, \"skipped-poison\": 12,"
			  "\"skipped-not-ram\": 13, \"skipped-unaligned\": 14,"
			  "\"skipped-past-end\": 15, \"skipped-failed\": 16,"
			  "\"skipped-over-limit\": 17}", 0, NULL);
}

static void test_counters(void)
{
	struct device_counts d;
	json_t *a = answer(), *r;

	ok(!device__parse(a, &d), "an answer is read");
	r = device__json(&d);
	is_str(json_string_value(json_object_get(r, "guest_features")), "0x22", "features in hex");
	is_u64((uint64_t)json_integer_value(json_object_get(r, "bytes_out_max")), 8, "a counter");
	is_u64((uint64_t)json_integer_value(json_object_get(
		       json_object_get(r, "bytes_skipped"), "past_end")), 15, "bytes skipped");
	json_decref(r);
	json_object_del(a, "violations");
	is_str(device__parse(a, &d), "violations", "a QEMU without a counter is refused, by name");
	json_decref(a);
}

/* Guest time is virtual time less 1 s; the tracer lives from 1 s to 100 s. */
static void make_guest(struct guest *g)
{
	static struct batch_ref batches[] = {
		{ 10 * SEC, 10 * SEC + SEC / 5, 10 * SEC + SEC / 4, 4 * CHUNK },
		{ 20 * SEC, 20 * SEC + SEC / 5, 20 * SEC + SEC / 4, 2 * CHUNK },
		{ 90 * SEC, 90 * SEC + SEC / 5, 90 * SEC + SEC / 4, 1 * CHUNK },
	};

	memset(g, 0, sizeof(*g));
	g->nr_syncs = 2;
	g->first_sync = (struct sync_point) { 0, 1 * SEC };
	g->last_sync = (struct sync_point) { 100 * SEC, 101 * SEC };
	g->trace_first_ns = 1 * SEC;
	g->trace_last_ns = 100 * SEC;
	g->batches = batches;
	g->nr_batches = 3;
}

static struct host_sample at(int64_t guest_ns, uint64_t received)
{
	struct host_sample s = { .asked_ns = (uint64_t)guest_ns };

	s.device.v[DEV_VIRTUAL_NS] = (uint64_t)(guest_ns + SEC);
	s.device.v[DEV_RECEIVED] = received;
	s.device.v[DEV_DISCARDED] = received;
	return s;
}

static void test_ledger(void)
{
	/* 5 chunks were hinted before the tracer lived, and 8 after it. */
	struct host_sample s[] = {
		at(SEC / 2, 5 * CHUNK), at(2 * SEC, 5 * CHUNK),
		at(10 * SEC + SEC / 1000, 5 * CHUNK),	/* which side of the batch? */
		at(15 * SEC, 9 * CHUNK), at(50 * SEC, 11 * CHUNK), at(95 * SEC, 12 * CHUNK),
		at(101 * SEC, 20 * CHUNK),
	};
	struct cell c = { .capacity = 32, .ack_base_ns = SEC / 5 };
	struct guest g;
	struct axis axis;
	struct ledger l;

	make_guest(&g);
	axis__init(&axis, "virtual", &g, s, ARRAY_SIZE(s));
	ledger__check(&l, &c, &g, &axis, s, ARRAY_SIZE(s));
	is_u64(l.verdict, LEDGER_OK, "it balances: %s", l.detail);
	is_s64(l.from_ns, 2 * SEC, "from the first sample in the tracer's life");
	is_s64(l.to_ns, 95 * SEC, "to the last certain one");
	is_u64(l.guest_hinted, 7 * CHUNK, "the guest's sum");
	is_u64(l.received, 7 * CHUNK, "the device's");

	s[5].device.v[DEV_RECEIVED] -= CHUNK;
	ledger__check(&l, &c, &g, &axis, s, ARRAY_SIZE(s));
	is_u64(l.verdict, LEDGER_BAD, "a chunk that never arrived: %s", l.detail);
	s[5].device.v[DEV_RECEIVED] += CHUNK;
	s[5].device.v[DEV_DISCARDED] -= CHUNK;
	ledger__check(&l, &c, &g, &axis, s, ARRAY_SIZE(s));
	is_u64(l.verdict, LEDGER_BAD, "a chunk neither discarded nor skipped: %s", l.detail);
	s[5].device.v[DEV_SKIPPED_POISON] += CHUNK;
	ledger__check(&l, &c, &g, &axis, s, ARRAY_SIZE(s));
	is_u64(l.verdict, LEDGER_OK, "skipped with a reason balances");

	g.loss_of_batches = true;
	ledger__check(&l, &c, &g, &axis, s, ARRAY_SIZE(s));
	is_u64(l.verdict, LEDGER_UNKNOWN, "unknown: %s", l.detail);
	g.loss_of_batches = false;
	ledger__check(&l, &c, &g, &axis, s, 2);
	is_u64(l.verdict, LEDGER_UNKNOWN, "unknown: %s", l.detail);
	g.trace_first_ns = 0;
	ledger__check(&l, &c, &g, &axis, s, ARRAY_SIZE(s));
	is_u64(l.verdict, LEDGER_UNKNOWN, "unknown: %s", l.detail);
}

/*
 * Both clocks are real. The guest's second is 0.2 ms longer than the host's, whose
 * clock shows 1000 s as the guest's begins and QEMU's 3 s; the runner is late in all
 * that it reads, often by a lot.
 */
#define HOST_AT(guest_ns)	((uint64_t)((guest_ns) + (guest_ns) / 5000 + 1000 * SEC))
#define LATE(i)			(SEC / 1000 + (i) % 7 * SEC / 20)

static struct host_sample real_at(int64_t guest_ns, int64_t early, int64_t late)
{
	uint64_t host_ns = HOST_AT(guest_ns);
	struct host_sample s = { .asked_ns = host_ns - (uint64_t)early,
				 .answered_ns = host_ns + (uint64_t)late };

	s.device.v[DEV_VIRTUAL_NS] = host_ns - 997 * SEC;
	s.memory_ns = s.answered_ns + SEC / 50;
	return s;
}

static void test_real_clock(void)
{
	struct host_sample s[102];
	struct reading r = { .t_ns = 0 };
	struct axis axis;
	struct guest g;
	int64_t off, most = 0;
	int i;

	memset(&g, 0, sizeof(g));
	for (i = 0; i < 100; i++) {
		s[i] = real_at((i + 1) * SEC, LATE(i + 3), LATE(i));
		pace__note(&g.pace, (uint64_t)(i * SEC), HOST_AT(i * SEC) + (uint64_t)LATE(i * 3));
	}
	/* The guest has stopped, QEMU's clock with it, when it is asked for the last time. */
	s[100] = real_at(101 * SEC, LATE(0), LATE(0));
	s[101] = s[100];
	s[101].asked_ns += 3 * SEC;
	s[101].answered_ns += 3 * SEC + SEC / 1000;
	axis__init(&axis, "real", &g, s, ARRAY_SIZE(s));
	for (i = 0; i < 102; i++) {
		ok(axis__read(&axis, &s[i], &r), "a sample has its place");
		off = r.t_ns - (i < 100 ? (i + 1) : 101) * SEC;
		off = off < 0 ? -off : off;
		most = off > most ? off : most;
	}
	ok(most < 2 * SEC / 1000, "to 2 ms, though read up to 300 ms later: %lld ns", (long long)most);
	ok(r.error_ns >= SEC / 1000 && r.error_ns < SEC / 4, "and says how far off it may be: %llu ns",
	   (unsigned long long)r.error_ns);
	is_u64(r.host_ns, HOST_AT(101 * SEC), "the last one as of the guest's end");
	memset(&g, 0, sizeof(g));
	axis__init(&axis, "real", &g, s, ARRAY_SIZE(s));
	ok(!axis__read(&axis, &s[0], &r), "a guest that has said nothing has no clock");
}

/* A guest that speaks seldom, beside a tracer whose lines come whenever there is time for it. */
static void test_rare_lines(void)
{
	struct pace_line line;
	struct pace p;
	int i;

	memset(&p, 0, sizeof(p));
	for (i = 0; i < 600; i++)
		pace__note(&p, (uint64_t)(i * SEC / 10),
			   HOST_AT(i * SEC / 10) + (uint64_t)(i % 40 ? SEC / 2 : SEC / 1000));
	ok(pace__line(&p, &line), "the clocks are related");
	ok(line.error_ns < SEC / 100, "by the lines that came at once: %llu ns",
	   (unsigned long long)line.error_ns);
	ok(llabs(pace__guest_ns(&line, HOST_AT(30 * SEC)) - 30 * SEC) < SEC / 500, "to 2 ms");
	memset(&p, 0, sizeof(p));
	for (i = 0; i < 600; i++)
		pace__note(&p, (uint64_t)(i * SEC / 10),
			   HOST_AT(i * SEC / 10) + (uint64_t)(i > 200 && i < 400 ? SEC / 2 : 0));
	ok(pace__line(&p, &line), "a third of the run with late lines only");
	is_u64(line.error_ns / (SEC / 10), 5, "is a third in which nothing tells");
}

/* A batch is sent at 10 s and answered after just the 200 ms of the model: it was there at once. */
static void test_ledger_on_the_real_clock(void)
{
	struct host_sample s[4];
	struct cell c = { .capacity = 32, .ack_base_ns = SEC / 5 };
	struct axis axis;
	struct ledger l;
	struct guest g;
	int i;

	make_guest(&g);
	for (i = 0; i < 100; i++)
		pace__note(&g.pace, (uint64_t)(i * SEC), HOST_AT(i * SEC));
	s[0] = real_at(2 * SEC, 100, 100);
	s[1] = real_at(10 * SEC + SEC / 100, 100, 100);	/* the device has it, for sure */
	s[2] = real_at(20 * SEC, 100, 100);		/* nobody can tell */
	s[3] = real_at(99 * SEC, 100, 100);
	s[1].device.v[DEV_RECEIVED] = s[1].device.v[DEV_DISCARDED] = 4 * CHUNK;
	axis__init(&axis, "real", &g, s, ARRAY_SIZE(s));
	ledger__check(&l, &c, &g, &axis, s, 2);
	is_u64(l.verdict, LEDGER_OK, "10 ms after it was sent: %s", l.detail);
	is_u64(l.received, 4 * CHUNK, "the batch counts");
	ledger__check(&l, &c, &g, &axis, s, 3);
	ok(l.to_ns < 11 * SEC, "a sample as a batch is sent is passed over");
	s[1].device.v[DEV_RECEIVED] = 0;
	ledger__check(&l, &c, &g, &axis, s, 2);
	is_u64(l.verdict, LEDGER_BAD, "a batch that the device does not have: %s", l.detail);
}

int main(void)
{
	test_counters();
	test_ledger();
	test_real_clock();
	test_rare_lines();
	test_ledger_on_the_real_clock();
	return tap__done();
}
