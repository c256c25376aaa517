// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace_seed.c collectors/trace_sample.c collectors/trace_out.c collectors/common_zoneinfo.c collectors/common_json.c */
/* LIBS: -lbpf -lm */
#include "tap.h"
#include "trace_sample.h"
#include "trace_seed.h"

static void test_share(void)
{
	const struct zoneinfo_zone small[] = {
		{ .name = "DMA", .managed_pages = 3840 },
		{ .name = "DMA32", .zone = 1, .managed_pages = 120000 },
	};
	const struct zoneinfo_zone numa[] = {
		{ .name = "DMA", .managed_pages = 3840 },
		{ .name = "DMA32", .zone = 1, .managed_pages = 30000 },
		{ .name = "DMA32", .node = 1, .zone = 1, .managed_pages = 36000 },
	};
	__u64 share[3];

	seed__share(small, 2, 8192, 512, share);
	ok(share[0] == 0 && share[1] == 8192, "one zone that takes part has it all");
	seed__share(numa, 3, 16384, 512, share);
	is_u64(share[0], 0, "ZONE_DMA has none");
	is_u64(share[1], 7168, "in proportion, in whole chunks");
	is_u64(share[2], 9216, "the rest goes to the largest");
	seed__share(numa, 1, 16384, 512, share);
	is_u64(share[0], 0, "ZONE_DMA alone has none");
	seed__share(numa, 3, 0, 512, share);
	ok(!share[1] && !share[2], "an empty buffer");
}

static void test_integrals(void)
{
	struct zone_state st = {
		.changed_ns = 100, .held_page_ns = 1000, .uncompensated_page_ns = 10,
		.held_pages = 4, .uncompensated_pages = 2,
	};

	is_u64(zone_state__held_at(&st, 150), 1200, "held, 50 ns after the last change");
	is_u64(zone_state__uncompensated_at(&st, 150), 110, "uncompensated");
	is_u64(zone_state__held_at(&st, 90), 1000, "a time before the change adds nothing");
	st = (struct zone_state){ 0 };
	is_u64(zone_state__held_at(&st, 150), 0, "a zone nothing happened to");
}

int main(void)
{
	test_share();
	test_integrals();
	return tap__done();
}
