// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace_sample.c collectors/trace_out.c collectors/common_zoneinfo.c collectors/common_json.c */
/* LIBS: -lbpf -lm */
#include "tap.h"
#include "trace_sample.h"

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
	test_integrals();
	return tap__done();
}
