// SPDX-License-Identifier: GPL-2.0-only
/* SOURCES: collectors/trace/text.c collectors/trace/events.c collectors/trace/screen.c collectors/trace/metrics.c collectors/trace/verdict.c collectors/trace/gfp.c collectors/trace/sample.c collectors/trace/out.c collectors/trace/memory.c collectors/common/json.c collectors/common/hist.c collectors/common/fd.c */
/* LIBS: -lm */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "trace/text.h"

/* The line of a record; to be freed. */
static char *line(const struct rec_hdr *hdr, bool own)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	text__event(f, hdr, own);
	fclose(f);
	return text;
}

static struct oom_kill_rec kill_of(const char *asker, const char *victim)
{
	struct oom_kill_rec oom = {
		.hdr = { .type = REC_OOM_KILL, .t_ns = 1500000000, .tgid = 7 },
		.victim_pid = 42,
		.victim_rss_pages = 512,
		.s = { .order = 0,
		       .gfp = 0xcc0,
		       .nr_zones = 1,
		       .zones = { { .free_pages = 256 } } },
	};

	strncpy(oom.hdr.comm, asker, sizeof(oom.hdr.comm) - 1);
	strncpy(oom.victim_comm, victim, sizeof(oom.victim_comm) - 1);
	return oom;
}

static void test_names(void)
{
	struct oom_kill_rec oom = kill_of("a\nb\\c", "\033[2J\xc3");
	char *got = line(&oom.hdr, false);

	is_str(got,
	       "    1.500000 oom_kill           a\\x0ab\\\\c[7] killed \\x1b[2J\\xc3[42] "
	       "rss 2.0 MiB, order 0 gfp 0xcc0 free 1.0 MiB held 0.0 MiB uncompensated 0.0 MiB\n",
	       "a terminal gets no byte of a name that it might obey");
	free(got);
	/* Full, without an end. */
	memset(oom.hdr.comm, 'x', sizeof(oom.hdr.comm));
	got = line(&oom.hdr, false);
	ok(strstr(got, "xxxxxxxxxxxxxxxx[7] killed"), "a name that fills its place");
	free(got);
}

static void bound_is(__u8 constraint, __u64 nodes, const char *want)
{
	struct oom_kill_rec oom = kill_of("hog", "hog");
	char *got, *at;

	oom.s.constraint = constraint;
	oom.s.allowed_nodes = nodes;
	got = line(&oom.hdr, false);
	at = strstr(got, ", bound by ");
	is_str(at ? at : "", want, "what bound the request");
	free(got);
}

static void test_bound(void)
{
	char *got;
	struct oom_kill_rec oom = kill_of("memcached", "hog");

	bound_is(HINT_NONE, 3, "");
	bound_is(HINT_UNKNOWN, 0, "");
	bound_is(200, 1, "");
	bound_is(HINT_CPUSET, 2, ", bound by its cpuset to nodes 1\n");
	bound_is(HINT_MEMORY_POLICY, 5, ", bound by its memory policy to nodes 0 2\n");
	bound_is(HINT_THISNODE, 0, ", bound by its own wish for one node\n");
	bound_is(HINT_MEMCG, 3, ", bound by the limit of its cgroup\n");
	got = line(&oom.hdr, true);
	ok(strstr(got, ", asked by the toolkit itself\n"),
	   "the toolkit's own request is said to be");
	free(got);
}

int main(void)
{
	test_names();
	test_bound();
	return tap__done();
}
