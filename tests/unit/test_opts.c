// SPDX-License-Identifier: GPL-2.0-or-later
/* SOURCES: collectors/common/opts.c collectors/common/num.c */
#include <getopt.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/opts.h"
#include "tap.h"

struct got {
	uint64_t count, bytes, ns;
	uint32_t small;
	int fd;
	double share;
	const char *name;
	bool on, off;
	char called[32];
};

static void call(const char *name, const char *value, void *to)
{
	snprintf(to, 32, "%s:%s", name, value);
}

static int parse(struct got *g, bool stop_at_first, char **argv)
{
	const struct opt table[] = {
		OPT(U64, "count", &g->count, .min = 1, .max = 9),
		OPT(U32, "small", &g->small, .min = 0, .max = UINT32_MAX),
		OPT(FD, "fd", &g->fd),
		OPT(DOUBLE, "share", &g->share, .dmin = 0, .dmax = 1),
		OPT(SIZE, "bytes", &g->bytes),
		OPT(TIME, "time", &g->ns),
		OPT(STRING, "name", &g->name, .max = 4),
		OPT(SET, "on", &g->on),
		OPT(CLEAR, "off", &g->off),
		OPT(CALL, "call", g->called, .call = call),
		{ 0 },
	};
	int argc = 0;

	while (argv[argc])
		argc++;
	*g = (struct got){ .off = true };
	optind = 0;	/* glibc: from the beginning */
	if (stop_at_first)
		return opts__table(argc, argv, "", table, true);
	opts__table_only(argc, argv, "", table);
	return argc;
}

/* Exit status of a program with these arguments; -1: it would have gone on */
static int status_of(char **argv)
{
	struct got g;
	int status;

	fflush(stdout);
	if (fork() == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		parse(&g, false, argv);
		_exit(77);
	}
	wait(&status);
	return WIFEXITED(status) && WEXITSTATUS(status) != 77 ? WEXITSTATUS(status) : -1;
}

int main(void)
{
	static char *good[] = {
		"x", "--count=9", "--small", "7", "--fd=3", "--share=0.5", "--bytes=4K",
		"--time=2ms", "--name=abcd", "--on", "--off", "--call=z", NULL,
	};
	static char *program[] = { "x", "--on", "cat", "--name=other", NULL };
	static const struct {
		char *arg;
		int status;
	} cases[] = {
		{ "--help", EXIT_DONE },
		{ "--count=0", EXIT_USAGE }, { "--count=10", EXIT_USAGE },
		{ "--count", EXIT_USAGE }, { "--fd=0", EXIT_USAGE },
		{ "--share=1.1", EXIT_USAGE }, { "--bytes=4Q", EXIT_USAGE },
		{ "--time=2", EXIT_USAGE }, { "--name=", EXIT_USAGE },
		{ "--name=abcde", EXIT_USAGE }, { "--on=1", EXIT_USAGE },
		{ "--unknown", EXIT_USAGE }, { "word", EXIT_USAGE }, { "--on", -1 },
	};
	struct got g;
	size_t i;

	parse(&g, false, good);
	is_u64(g.count, 9, "a number");
	is_u64(g.small, 7, "its value as a word of its own");
	is_s64(g.fd, 3, "a descriptor");
	is_near(g.share, 0.5, 0, "a fraction");
	is_u64(g.bytes, 4096, "a size");
	is_u64(g.ns, 2000000, "a time");
	is_str(g.name, "abcd", "a string of the largest length");
	ok(g.on && !g.off, "flags, set and cleared");
	is_str(g.called, "call:z", "whatever a function makes of it");

	is_s64(parse(&g, true, program), 2, "where a program's own words begin");
	ok(g.on && !g.name, "its options are not taken");

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *argv[] = { "x", cases[i].arg, NULL };

		is_s64(status_of(argv), cases[i].status, "%s", cases[i].arg);
	}
	return tap__done();
}
