// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: workloads/memcached/mcload_tally.c workloads/memcached/mcload_out.c collectors/common/hist.c collectors/common/hist_json.c collectors/common/json.c collectors/common/fd.c */
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

/* Times in ms since the start. */
static void answered(uint64_t intended, uint64_t sent, uint64_t head, uint64_t now)
{
	const struct request r = {
		.intended_ns = START + intended * MS,
		.sent_ns = START + sent * MS,
		.head_ns = START + head * MS,
	};

	tally__answered(&t, &r, START + now * MS);
}

int main(void)
{
	const struct lag lag = { .measured_max_ns = 1500, .nr_measured = 4 };
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
	answered(10, 11, 11, 400);
	answered(260, 261, 261, 262);
	tally__tick(&t, START + 600 * MS, false, &out);
	tally__lost(&t, START + 270 * MS, true, ERROR_RESET);
	tally__tick(&t, START + 600 * MS, false, &out);

	/* 64 intervals later its slot is needed, answered or not. */
	tally__intended(&t, START + 510 * MS, &out);		/* interval 2 */
	tally__intended(&t, START + (2 + 64) * 250 * MS, &out);
	answered(510, 510, 19990, 20000);
	/* With the server away nothing is sent. */
	tally__lost(&t, START + (2 + 64) * 250 * MS, false, ERROR_AWAY);
	tally__put_lag(&out, 7, &late);
	tally__put_lag_max(&out, 9, &lag);
	tally__put_phase(&out, 8, "measure", "begin");
	is_s64(out__stop(&out), 0, "writer stopped");
	is_u64(out.nr_lost, 0, "no line lost");
	close(fds[1]);

	got = drain(fds[0]);
	close(fds[0]);
	is_u64(nr_lines(got), 6, "lines out");
	is_str(got,
	       "{\"type\":\"sample\",\"src\":\"load\",\"t_ns\":1250000000,\"n\":1,"
	       "\"errors\":0,\"pending\":0,\"p50_us\":390000,\"p99_us\":390000,\"max_us\":390000}\n"
	       "{\"type\":\"sample\",\"src\":\"load\",\"t_ns\":1500000000,\"n\":1,"
	       "\"errors\":1,\"pending\":0,\"p50_us\":2031,\"p99_us\":1099511627,\"max_us\":2000}\n"
	       "{\"type\":\"sample\",\"src\":\"load\",\"t_ns\":1750000000,\"n\":0,"
	       "\"errors\":0,\"pending\":1,\"p50_us\":1099511627,\"p99_us\":1099511627,\"max_us\":0}\n"
	       "{\"type\":\"event\",\"kind\":\"load_lag\",\"t_ns\":7,\"lag_ns\":5,"
	       "\"stall_ns\":3,\"cause\":\"generator\"}\n"
	       "{\"type\":\"event\",\"kind\":\"load_lag_max\",\"t_ns\":9,\"lag_ns\":1500,\"nr\":4}\n"
	       "{\"type\":\"phase\",\"t_ns\":8,\"name\":\"measure\",\"edge\":\"begin\"}\n",
	       "the lines, latency by intended interval");

	is_u64(t.nr_requests, 4, "measured requests, warm-up left out");
	is_u64(t.latency.hist.n, t.nr_requests, "every measured request is in the histogram");
	is_u64(t.latency.nr_lost, 2, "the lost ones too, and are counted");
	is_u64(hist__quantile(&t.latency.hist, 1), TALLY_LOST_NS, "a lost request ranks last");
	ok(hist__quantile(&t.latency.hist, 0.5) / MS < 19700 &&
	   hist__quantile(&t.latency.hist, 0.5) >= 19490 * MS,
	   "a late answer counts in full");
	is_u64(t.service.hist.n, 3, "from the send: what was sent");
	is_u64(t.service.nr_lost, 1, "lost after the send");
	is_u64(t.head.hist.n, 3, "from the head of the connection: the same requests");
	is_near((double)hist__quantile(&t.head.hist, 0.5) / MS, 10, 0.1,
		"queueing behind other requests left out");
	is_u64(t.nr_errors[ERROR_RESET] + t.nr_errors[ERROR_AWAY], 2, "errors by cause");

	/* Nobody listens: lines are dropped, nothing waits. */
	is_s64(out__start(&out, -1), 0, "no descriptor");
	for (i = 0; i < 2 * OUT_NR_LINES; i++)
		tally__put_phase(&out, i, "x", "begin");
	is_u64(out.nr_lost, 0, "not counted as lost");
	is_s64(out__stop(&out), 0, "stopped");
	return tap__done();
}
