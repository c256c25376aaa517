// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace/metrics.c collectors/trace/verdict.c collectors/trace/gfp.c collectors/common/hist.c */
/* LIBS: -lm */
#include <stdlib.h>
#include <string.h>

#include "common/hist.h"
#include "tap.h"
#include "trace/metrics.h"

static struct oom_kill_rec kill_in(const char *cgroup, bool memcg)
{
	struct oom_kill_rec k = { .memcg = memcg, .culprit_comm = "a" };

	strncpy(k.victim_cgroup, cgroup, sizeof(k.victim_cgroup) - 1);
	return k;
}

static char *text_of(const struct metrics *m, const struct hist_cpu *h)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (m)
		metrics__put(m, f);
	else
		metrics__put_hist(f, "x_seconds", "kind=\"k\"", h);
	fclose(f);
	return text;
}

static void test_kills(void)
{
	static struct metrics m;
	struct oom_kill_rec k = kill_in("db.service", true);
	char *text;

	metrics__kill(&m, &k, false);
	metrics__kill(&m, &k, false);
	k.memcg = false;
	metrics__kill(&m, &k, false);
	metrics__kill(&m, &k, true);
	k = kill_in("a\"b\n\\", false);
	k.sysrq = true;
	metrics__kill(&m, &k, false);
	k = kill_in("e\1", true);
	metrics__kill(&m, &k, false);
	k = kill_in("e\2", true);
	metrics__kill(&m, &k, false);
	k = kill_in("e\\x02", true);
	metrics__kill(&m, &k, false);
	for (int i = 3; i < METRICS_CGROUPS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "c%d", i);
		k = kill_in(name, true);
		metrics__kill(&m, &k, false);
	}
	text = text_of(&m, NULL);
	ok(strstr(text, "hinttrace_kills_total{verdict=\"memcg\",cgroup=\"db.service\"} 2\n"),
	   "two kills of one cgroup by its limit");
	ok(strstr(text, "{verdict=\"undetermined\",cgroup=\"db.service\"} 1\n"), "a verdict");
	ok(strstr(text, "{verdict=\"own\",cgroup=\"db.service\"} 1\n"), "the toolkit asked");
	ok(strstr(text, "{verdict=\"sysrq\",cgroup=\"a\\\"b\\\\x0a\\\\\\\\\"} 1\n"),
	   "a name is escaped as in text, and that as the format wants it");
	ok(strstr(text, "{verdict=\"memcg\",cgroup=\"e\\\\x01\"} 1\n") &&
		   strstr(text, "{verdict=\"memcg\",cgroup=\"e\\\\x02\"} 1\n") &&
		   strstr(text, "{verdict=\"memcg\",cgroup=\"e\\\\\\\\x02\"} 1\n"),
	   "two names stay two");
	ok(strstr(text, "{verdict=\"attributable\",cgroup=\"\"} 0\n"), "0 before the first");
	ok(strstr(text, "{verdict=\"memcg\",cgroup=\"\"} 2\n"),
	   "two cgroups more than there is room for are counted without a name");
	free(text);
}

static void test_hist(void)
{
	static struct hist_cpu h = { .n = 3, .sum = 3000001500, .max = 3000000000 };
	char *text;

	h.counts[hist__index(500, HIST_SUB_BITS)]++;
	h.counts[hist__index(1024, HIST_SUB_BITS)]++;
	h.counts[hist__index(3000000000, HIST_SUB_BITS)]++;
	text = text_of(NULL, &h);
	ok(strstr(text, "x_seconds_bucket{kind=\"k\",le=\"0.000001024\"} 1\n"), "below a bound");
	ok(strstr(text, "x_seconds_bucket{kind=\"k\",le=\"0.000004096\"} 2\n"), "buckets add up");
	ok(strstr(text, "x_seconds_bucket{kind=\"k\",le=\"+Inf\"} 3\n"), "all of them");
	ok(strstr(text, "x_seconds_count{kind=\"k\"} 3\nx_seconds_sum{kind=\"k\"} 3.000001500\n"),
	   "count and sum in seconds");
	free(text);
}

int main(void)
{
	test_kills();
	test_hist();
	return tap__done();
}
