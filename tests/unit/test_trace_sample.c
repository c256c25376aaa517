// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace/sample.c collectors/trace/out.c collectors/trace/memory.c collectors/common/json.c collectors/common/fd.c */
/* LIBS: -lm */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "trace/sample.h"

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

static const char want[] =
	"{\"type\":\"sample\",\"t_ns\":200,\"src\":\"guest\",\"zones\":["
	"{\"node\":0,\"zone\":1,\"free_pages\":7,\"held_pages\":4,\"uncompensated_pages\":0,"
	"\"buffer_pages\":-4},"
	"{\"node\":1,\"zone\":2,\"free_pages\":18446744073709551615,\"held_pages\":2,"
	"\"uncompensated_pages\":2,\"buffer_pages\":0}],"
	"\"held_page_ns\":610,\"uncompensated_page_ns\":205,\"exchanges\":5,"
	"\"exchange_free_delta_pages\":1,"
	"\"vmstat\":{\"pswpin\":1,\"pswpout\":2,\"zswpin\":3,\"zswpout\":4,\"oom_kill\":5,"
	"\"compact_stall\":6,\"pgfault\":7,\"pgmajfault\":8,\"allocstall\":9}}\n";

static void test_line(void)
{
	char path[] = "/tmp/trace_sample.XXXXXX", got[1024] = "";
	static struct sample_rec rec = {
		.hdr.t_ns = 200, .nr_zones = 2, .counts = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
		.zones = {
			{ 0, 1, 7, { .changed_ns = 100, .held_page_ns = 10, .held_pages = 4,
				     .nr_exchanges = 3, .buffer_pages = -4 } },
			/* Changed after the sample's time. */
			{ 1, 2, ~0ULL, { .changed_ns = 201, .held_page_ns = 200,
					 .uncompensated_page_ns = 205, .held_pages = 2,
					 .uncompensated_pages = 2, .nr_exchanges = 2,
					 .exchange_free_delta_pages = 1 } },
			{ 9, 9, 9, { .nr_exchanges = 99 } },
		},
	};
	int fd = mkstemp(path);
	struct out out;

	ok(fd >= 0 && !out__open(&out, path, false, false), "a stream");
	is_s64(sample__put(&out, &rec), (long)sizeof(want) - 1, "a line");
	is_s64(out__flush(&out, false), 0, "written");
	ok(read(fd, got, sizeof(got) - 1) > 0, "and read");
	is_str(got, want, "zones, their sums, counters: as the record format has it");
	rec.took_ns = 20000000;
	ok(sample__put(&out, &rec) > 0 && !out__flush(&out, false), "a sample that took long");
	got[read(fd, got, sizeof(got) - 1)] = '\0';
	ok(strstr(got, "\"src\":\"guest\",\"took_ns\":20000000,\"zones\""), "... says how long");
	out__close(&out);
	close(fd);
	unlink(path);
}

int main(void)
{
	test_integrals();
	test_line();
	return tap__done();
}
