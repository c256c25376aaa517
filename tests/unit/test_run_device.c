// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/record/device.c collectors/run/record/guest.c collectors/run/record/shape.c collectors/run/record/lines.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson */
/* The device's counters, and a ledger that must balance. */
#include <stdio.h>

#include "tap.h"
#include "common/time.h"
#include "run/record/device.h"
#include "run/util.h"

#define SEC	((int64_t)NSEC_PER_SEC)
#define CHUNK	(2 * MIB)

static json_t *answer(void)
{
	return json_loads("{\"virtual-ns\": 5, \"guest-features\": 34, \"batches\": 1, \"chunks\": 2,"
			  "\"bytes-received\": 3, \"bytes-discarded\": 4, \"discard-ns\": 6,"
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
		{ 10 * SEC, 10 * SEC + SEC / 5, 4 * CHUNK },
		{ 20 * SEC, 20 * SEC + SEC / 5, 2 * CHUNK },
		{ 90 * SEC, 90 * SEC + SEC / 5, 1 * CHUNK },
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
	struct host_sample s = { .host_ns = (uint64_t)guest_ns };

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
	struct axis axis = { true, &g };
	struct ledger l;

	make_guest(&g);
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

int main(void)
{
	test_counters();
	test_ledger();
	return tap__done();
}
