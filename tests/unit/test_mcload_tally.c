// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: workloads/memcached/mcload_tally.c workloads/memcached/mcload_out.c collectors/common/hist.c collectors/common/hist_json.c collectors/common/json.c */
/* LIBS: -lm -pthread */
#include <unistd.h>

#include "../../workloads/memcached/mcload_tally.h"
#include "tap.h"

#define MS 1000000ULL
#define START (1000 * MS)

static struct tally t;
static struct out out;
static char text[1 << 20];

/* What came out of the pipe, as a string. */
static const char *drain(int fd)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

static unsigned int nr_lines(const char *s)
{
	unsigned int n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

int main(void)
{
	const struct lag_event late = { .lag_ns = 5, .stall_ns = 3, .own = true };
	const char *got;
	unsigned int i;
	int fds[2];

	if (pipe(fds)) {
		skip("no pipe", "tally");
		return tap__done();
	}
	is_s64(tally__init(&t), 0, "init");
	is_s64(out__start(&out, fds[1]), 0, "writer started");
	/* Warm-up is the first interval. */
	tally__start(&t, START, START + 250 * MS);

	tally__intended(&t, START + 10 * MS, &out);		/* interval 0 */
	tally__intended(&t, START + 260 * MS, &out);		/* interval 1 */
	tally__intended(&t, START + 270 * MS, &out);
	tally__tick(&t, START + 600 * MS, false, &out);
	tally__answered(&t, START + 10 * MS, START + 11 * MS, START + 400 * MS);
	tally__answered(&t, START + 260 * MS, START + 261 * MS, START + 262 * MS);
	tally__tick(&t, START + 600 * MS, false, &out);
	tally__failed(&t, START + 270 * MS, ERROR_RESET);
	tally__tick(&t, START + 600 * MS, false, &out);

	/* 64 intervals later its slot is needed, answered or not. */
	tally__intended(&t, START + 510 * MS, &out);		/* interval 2 */
	tally__intended(&t, START + (2 + 64) * 250 * MS, &out);
	tally__answered(&t, START + 510 * MS, START + 510 * MS, START + 20000 * MS);
	tally__put_lag(&out, 7, &late);
	tally__put_phase(&out, 8, "measure", "begin");
	is_s64(out__stop(&out), 0, "writer stopped");
	is_u64(out.nr_lost, 0, "no line lost");
	close(fds[1]);

	got = drain(fds[0]);
	close(fds[0]);
	is_u64(nr_lines(got), 5, "lines out");
	is_str(got,
	       "{\"type\":\"sample\",\"src\":\"load\",\"t_ns\":1250000000,\"n\":1,"
	       "\"errors\":0,\"pending\":0,\"p50_us\":390000,\"p99_us\":390000,\"max_us\":390000}\n"
	       "{\"type\":\"sample\",\"src\":\"load\",\"t_ns\":1500000000,\"n\":1,"
	       "\"errors\":1,\"pending\":0,\"p50_us\":2000,\"p99_us\":2000,\"max_us\":2000}\n"
	       "{\"type\":\"sample\",\"src\":\"load\",\"t_ns\":1750000000,\"n\":0,"
	       "\"errors\":0,\"pending\":1}\n"
	       "{\"type\":\"event\",\"kind\":\"load_lag\",\"t_ns\":7,\"lag_ns\":5,"
	       "\"stall_ns\":3,\"cause\":\"generator\"}\n"
	       "{\"type\":\"phase\",\"t_ns\":8,\"name\":\"measure\",\"edge\":\"begin\"}\n",
	       "the lines, latency by intended interval");

	is_u64(t.nr_requests, 4, "measured requests, warm-up left out");
	is_u64(t.latency.n, 2, "measured latencies");
	is_u64(t.latency.max, 19490 * MS, "a late answer counts in full");
	is_u64(t.service.max, 19490 * MS, "service time");
	is_u64(t.nr_errors[ERROR_RESET], 1, "errors");

	/* Nobody listens: lines are dropped, nothing waits. */
	is_s64(out__start(&out, -1), 0, "no descriptor");
	for (i = 0; i < 2 * OUT_NR_LINES; i++)
		tally__put_phase(&out, i, "x", "begin");
	is_u64(out.nr_lost, 0, "not counted as lost");
	is_s64(out__stop(&out), 0, "stopped");
	return tap__done();
}
