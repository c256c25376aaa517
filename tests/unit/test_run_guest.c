// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/run/record/guest.c collectors/run/record/pace.c collectors/run/record/shape.c collectors/run/record/lines.c collectors/run/util.c collectors/common/fd.c */
/* LIBS: -ljansson -lm */
/* What a guest may say and what not; order, pieces, bounds. */
#include <stdlib.h>

#include "tap.h"
#include "run/record/guest.h"
#include "run/util.h"

#define HELLO "{\"type\":\"hello\",\"release\":\"6.12\",\"cmdline\":\"x\",\"mem_total_kib\":496044," \
	"\"min_free_kib\":1,\"features\":\"0x22\",\"order\":9,\"delay_ms\":2000,\"capacity\":32," \
	"\"buffer_wanted_pages\":0,\"buffer_held_pages\":0,\"zones\":[],\"swap_kib\":0}"
#define BATCH(sent, done, pages) "{\"type\":\"event\",\"t_ns\":" #done ",\"kind\":\"batch\"," \
	"\"start_ns\":1,\"sent_ns\":" #sent ",\"ack_ns\":" #done ",\"done_ns\":" #done \
	",\"nr_chunks\":1,\"nr_pages\":" #pages \
	",\"err\":0}"

static const char *const good[] = {
	HELLO,
	"{\"type\":\"sync\",\"t_ns\":5,\"tsc\":7}",
	"{\"type\":\"phase\",\"t_ns\":5,\"name\":\"measure\",\"edge\":\"begin\"}",
	"{\"type\":\"phase\",\"t_ns\":5,\"name\":\"round\",\"edge\":\"end\",\"index\":3}",
	"{\"type\":\"log\",\"t_ns\":5,\"src\":\"workload\",\"text\":\"<script>\\u2028\"}",
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"load_lag\",\"lag_ns\":5,\"more\":[1,2]}",
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"proc_exit\",\"name\":\"wave\",\"signal\":9,\"round\":4}",
	BATCH(3, 9, 512),
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"load\",\"n\":1,\"errors\":0,\"p50_us\":1.5}",
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"guest\",\"zones\":[{\"node\":0,\"zone\":1,"
		"\"free_pages\":1,\"held_pages\":0,\"uncompensated_pages\":0,\"buffer_pages\":0}],"
		"\"uncompensated_page_ns\":0,\"held_page_ns\":0,\"vmstat\":{}}",
	"{\"type\":\"hist\",\"t_ns\":5,\"name\":\"batch_hold\",\"unit\":\"ns\",\"sub_bits\":5,"
		"\"n\":3,\"sum\":9,\"max\":4,\"counts\":[[1,1],[4,2]]}",
	"{\"type\":\"loss\",\"t_ns\":5,\"probe\":\"oom\",\"seen\":3,\"recorded\":1,"
		"\"dropped\":{\"ring_full\":2}}",
	"{\"type\":\"bye\",\"status\":0}",
};

static const char *const bad[] = {
	"",
	"garbage",
	"{\"type\":\"sync\",\"t_ns\":5,\"tsc\":7",
	"[1]", "3", "null", "{}",
	"{\"type\":\"run\",\"t_ns\":1}", "{\"type\":\"end\",\"status\":\"done\"}",
	"{\"type\":\"sync\",\"tsc\":7}",
	"{\"type\":\"sync\",\"t_ns\":-1,\"tsc\":7}",
	"{\"type\":\"sync\",\"t_ns\":1.5,\"tsc\":7}",
	"{\"type\":\"sync\",\"t_ns\":\"5\",\"tsc\":7}",
	"{\"type\":\"sync\",\"t_ns\":9223372036854775807,\"tsc\":7}",
	"{\"type\":\"sync\",\"t_ns\":18446744073709551616,\"tsc\":7}",
	"{\"type\":\"sync\",\"t_ns\":5,\"tsc\":7,\"tsc\":8}",
	"{\"type\":\"sync\",\"t_ns\":5,\"tsc\":NaN}",
	"{\"type\":\"phase\",\"t_ns\":5,\"name\":\"a b\",\"edge\":\"begin\"}",
	"{\"type\":\"phase\",\"t_ns\":5,\"name\":\"x\",\"edge\":\"middle\"}",
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"unheard\"}",
	"{\"type\":\"event\",\"t_ns\":5}",
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"batch\",\"nr_chunks\":1}",
	"{\"type\":\"event\",\"t_ns\":5,\"kind\":\"load_lag\",\"lag_ns\":\"5\"}",
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"host\",\"rss_bytes\":1}",
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"guest\",\"zones\":[]}",
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"guest\",\"zones\":{},\"uncompensated_page_ns\":0,\"held_page_ns\":0,\"vmstat\":{}}",
	"{\"type\":\"sample\",\"t_ns\":5,\"src\":\"guest\",\"zones\":[{}],\"uncompensated_page_ns\":0,\"held_page_ns\":0,\"vmstat\":{}}",
	"{\"type\":\"log\",\"t_ns\":5,\"guest\":1,\"src\":\"x\",\"text\":\"as another guest\"}",
	"{\"type\":\"hist\",\"t_ns\":5,\"name\":\"x\",\"unit\":\"ns\",\"sub_bits\":5,\"n\":4,"
		"\"sum\":9,\"max\":4,\"counts\":[[1,1],[4,2]]}",
	"{\"type\":\"hist\",\"t_ns\":5,\"name\":\"x\",\"unit\":\"ns\",\"sub_bits\":5,\"n\":3,"
		"\"sum\":9,\"max\":4,\"counts\":[[4,1],[1,2]]}",
	"{\"type\":\"hist\",\"t_ns\":5,\"name\":\"x\",\"unit\":\"ns\",\"sub_bits\":40,\"n\":0,"
		"\"sum\":0,\"max\":0,\"counts\":[]}",
	"{\"type\":\"hist\",\"t_ns\":5,\"name\":\"x\",\"unit\":\"ns\",\"sub_bits\":5,\"n\":0,"
		"\"sum\":0,\"max\":0,\"counts\":[[1,9223372036854775807],[2,9223372036854775807],[3,2]]}",
	"{\"type\":\"loss\",\"t_ns\":5,\"probe\":\"oom\",\"seen\":3,\"recorded\":3,"
		"\"dropped\":{\"ring_full\":2}}",
	"{\"type\":\"log\",\"t_ns\":5,\"src\":\"host\",\"text\":\"I am the host\"}",
	"{\"type\":\"log\",\"t_ns\":5,\"src\":\"x\",\"text\":\"\xff\xfe\"}",
	"{\"type\":\"log\",\"t_ns\":5,\"src\":\"x\",\"text\":\"a\\u0000b\"}",
	"{\"type\":\"log\",\"t_ns\":5,\"src\":\"x\",\"text\":\"\",\"deep\":[[[[[[[[[[1]]]]]]]]]]}",
	"{\"type\":\"bye\",\"status\":256}",
	"{\"type\":\"bye\",\"status\":-1}",
	"{\"type\":\"hello\",\"release\":\"6.12\"}",
};

static void feed(struct guest *g, enum guest_port port, const char *text)
{
	guest__feed(g, port, text, strlen(text), 1000);
}

static void feed_line(struct guest *g, enum guest_port port, const char *text)
{
	feed(g, port, text);
	feed(g, port, "\n");
}

static void test_lines(void)
{
	struct guest g;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ok(!guest__init(&g), "init");
		feed_line(&g, PORT_WORK, good[i]);
		ok(!g.nr_bad, "taken: %.70s %s", good[i], g.first_bad);
		guest__free(&g);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ok(!guest__init(&g), "init");
		feed_line(&g, PORT_WORK, bad[i]);
		ok(g.nr_bad == 1 && !g.nr_refs && !g.hello && !g.has_bye, "refused: %.70s", bad[i]);
		guest__free(&g);
	}
}

static void test_twice(void)
{
	struct guest g;

	ok(!guest__init(&g), "init");
	feed_line(&g, PORT_WORK, HELLO);
	feed_line(&g, PORT_WORK, HELLO);
	feed_line(&g, PORT_WORK, "{\"type\":\"bye\",\"status\":3}");
	feed_line(&g, PORT_TRACE, "{\"type\":\"bye\",\"status\":0}");
	is_u64(g.nr_bad, 2, "hello and bye count once");
	is_u64((unsigned int)g.bye_status, 3, "the first bye stands");
	ok(!json_object_get(g.hello, "type"), "hello is kept without its type");
	guest__free(&g);
}

static void test_pieces_and_order(void)
{
	static const char early[] = "{\"type\":\"log\",\"t_ns\":20,\"src\":\"a\",\"text\":\"1\"}\n"
				    "{\"type\":\"log\",\"t_ns\":10,\"src\":\"a\",\"text\":\"2\"}\n"
				    "{\"type\":\"log\",\"t_ns\":20,\"src\":\"a\",\"text\":\"3\"}\n";
	struct guest g;
	size_t i;

	ok(!guest__init(&g), "init");
	for (i = 0; i < strlen(early); i++)
		guest__feed(&g, PORT_WORK, early + i, 1, 1000);
	feed_line(&g, PORT_TRACE, "{\"type\":\"log\",\"t_ns\":15,\"src\":\"b\",\"text\":\"4\"}");
	guest__finish(&g);
	guest__sort(&g);
	is_u64(g.nr_bad, 0, "byte by byte is the same");
	is_u64(g.nr_refs, 4, "four lines");
	is_u64(g.refs[0].t_ns, 10, "by time");
	is_u64(g.refs[1].port, PORT_TRACE, "across ports");
	ok(g.refs[2].offset < g.refs[3].offset, "equal times as they came");
	is_u64(g.pace.points[0].t_ns, 20, "the least delayed line tells the clock's offset");
	guest__free(&g);
}

static void test_bounds(void)
{
	static const char head[] = "{\"type\":\"log\",\"t_ns\":1,\"src\":\"a\",\"text\":\"";
	char *big = malloc(200000);
	struct guest g;

	ok(!guest__init(&g), "init");
	memset(big, 'a', 200000);
	guest__feed(&g, PORT_WORK, big, 200000, 1);
	is_u64(g.nr_bad, 1, "a line without end is one bad line");
	ok(g.lines[PORT_WORK].len <= GUEST_LINE_MAX, "and does not take memory");
	feed_line(&g, PORT_WORK, "");
	feed_line(&g, PORT_WORK, "{\"type\":\"bye\",\"status\":0}");
	ok(g.has_bye && g.nr_bad == 1, "the next line is read again");
	feed(&g, PORT_WORK, "{\"type\":");
	guest__finish(&g);
	is_u64(g.nr_bad, 2, "an unfinished last line is bad");

	/* A line of exactly the limit, then one more byte. */
	memcpy(big, head, strlen(head));
	memcpy(big + GUEST_LINE_MAX - 2, "\"}\n", 3);
	guest__free(&g);
	ok(!guest__init(&g), "init");
	guest__feed(&g, PORT_WORK, big, GUEST_LINE_MAX + 1, 1);
	ok(!g.nr_bad && g.nr_refs == 1, "65536 bytes with the newline are allowed");
	memcpy(big + GUEST_LINE_MAX - 2, "a\"}\n", 4);
	guest__feed(&g, PORT_WORK, big, GUEST_LINE_MAX + 2, 1);
	is_u64(g.nr_bad, 1, "65537 are not");
	guest__free(&g);
	free(big);
}

static void test_virtual_clock(void)
{
	struct guest g;
	int64_t t;

	ok(!guest__init(&g), "init");
	ok(!guest__time_of_virtual(&g, 5, &t), "unknown without a sync");
	feed_line(&g, PORT_WORK, "{\"type\":\"sync\",\"t_ns\":1000,\"tsc\":5000}");
	ok(guest__time_of_virtual(&g, 6000, &t) && t == 2000, "by one sync: shifted");
	feed_line(&g, PORT_WORK, "{\"type\":\"sync\",\"t_ns\":10001001000,\"tsc\":10000005000}");
	ok(guest__time_of_virtual(&g, 5000005000ULL, &t), "by two: also stretched");
	is_s64(t, 5000501000LL, "a guest whose second is 100 ppm short");
	feed_line(&g, PORT_WORK, "{\"type\":\"sync\",\"t_ns\":90001001000,\"tsc\":20000005000}");
	ok(!guest__time_of_virtual(&g, 6000, &t), "a clock that cannot be is not believed");
	guest__free(&g);
}

int main(void)
{
	test_lines();
	test_twice();
	test_pieces_and_order();
	test_bounds();
	test_virtual_clock();
	return tap__done();
}
