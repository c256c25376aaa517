// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * wave: the neighbour of memcached, whose memory use goes up and down.
 *
 * memcached never gives memory back.  The child of this program does: it
 * grows and shrinks in seeded random waves.  The supervisor, which the OOM
 * killer leaves alone, marks the rounds and starts a new child when one is
 * killed.  The rounds are at fixed times, whatever happens to the child.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/opts.h"
#include "common/proc.h"
#include "common/time.h"
#include "wave_super.h"

static const char usage_text[] =
"Usage: wave --low=SIZE --high=SIZE (--rounds=N | --duration=TIME) [OPTION]...\n"
"A process whose memory grows and shrinks in seeded random waves.\n"
"\n"
"  --low=SIZE           memory always held\n"
"  --high=SIZE          largest peak\n"
"  --high-min=SIZE      smallest peak                      [the largest]\n"
"  --hold=MIN-MAX       time from the start of a round to the shrinking,\n"
"                       growing included                   [300ms-700ms]\n"
"  --rest=MIN-MAX       time from there to the next round  [1.5s-2.4s]\n"
"  --rounds=N           stop after N rounds\n"
"  --duration=TIME      stop before the first round that would end later\n"
"  --settle=TIME        before round 0: time to reach low  [3s]\n"
"  --restart=TIME       pause before a killed child is replaced; the new one\n"
"                       holds low at once and joins the next round [300ms]\n"
"  --seed=N             of peaks and times                 [1]\n"
"  --small-pages        no transparent huge pages\n"
"  --out-fd=N           write record lines to descriptor N (docs/record.md)\n"
"  --unprotected        no locked memory, no exemption from the OOM killer\n"
"  --help\n"
"\n"
"Every page is written, and checked before it is given back.\n"
"SIZE takes K, M or G; TIME is a number with ns, us, ms or s.\n"
"\n"
"Examples:\n"
"  wave --unprotected --low=10M --high=50M --rounds=3\n"
"  wave --low=180M --high-min=260M --high=290M --duration=70s --out-fd=3 3>out\n"
"\n"
"Exit status: 0 done (a killed child is a result), 1 the child failed or lost\n"
"data, 2 wrong usage, 69 the process could not be protected.\n";

/* In whole pages. */
static void set_size(const char *name, const char *value, void *to)
{
	uint64_t bytes = opts__size(name, value);

	*(uint64_t *)to = bytes - bytes % WAVE_PAGE_BYTES;
}

/* "MIN-MAX", or one time for both. */
static void set_span(const char *name, const char *value, void *to)
{
	struct wave_span *span = to;
	char first[32];
	size_t len = strcspn(value, "-");

	if (len >= sizeof(first))
		opts__fail("--%s=%s: must be MIN-MAX, such as 1.5s-2.4s", name, value);
	memcpy(first, value, len);
	first[len] = '\0';
	span->min_ns = opts__time(name, first);
	span->max_ns = value[len] ? opts__time(name, value + len + 1) : span->min_ns;
	if (span->min_ns > span->max_ns)
		opts__fail("--%s=%s: the first time is longer than the second",
			   name, value);
}

static void parse_options(struct wave_run *o, int argc, char **argv)
{
	struct wave_opts *w = &o->wave;
	const struct opt table[] = {
		OPT(CALL, "low", &w->low_bytes, .call = set_size),
		OPT(CALL, "high", &w->high_max_bytes, .call = set_size),
		OPT(CALL, "high-min", &w->high_min_bytes, .call = set_size),
		OPT(CALL, "hold", &w->hold, .call = set_span),
		OPT(CALL, "rest", &w->rest, .call = set_span),
		OPT(U64, "rounds", &o->nr_rounds, .min = 1, .max = UINT64_MAX),
		OPT(TIME, "duration", &o->duration_ns),
		OPT(TIME, "settle", &o->settle_ns),
		OPT(TIME, "restart", &o->restart_ns),
		OPT(U64, "seed", &w->seed, .min = 0, .max = UINT64_MAX),
		OPT(SET, "small-pages", &o->small_pages),
		OPT(FD, "out-fd", &o->out_fd),
		OPT(CLEAR, "unprotected", &o->protect),
		{ 0 },
	};

	*o = (struct wave_run){
		.wave = {
			.seed = 1,
			.hold = { 300 * NSEC_PER_MSEC, 700 * NSEC_PER_MSEC },
			.rest = { 1500 * NSEC_PER_MSEC, 2400 * NSEC_PER_MSEC },
		},
		.nr_rounds = UINT64_MAX,
		.duration_ns = UINT64_MAX,
		.settle_ns = 3 * NSEC_PER_SEC,
		.restart_ns = 300 * NSEC_PER_MSEC,
		.out_fd = -1,
		.protect = true,
	};
	opts__table_only(argc, argv, usage_text, table);
	if (!w->high_max_bytes)
		opts__fail("--low and --high are needed");
	if (!w->high_min_bytes)
		w->high_min_bytes = w->high_max_bytes;
	if (w->low_bytes > w->high_min_bytes ||
	    w->high_min_bytes > w->high_max_bytes)
		opts__fail("sizes must be low <= high-min <= high");
	if (o->nr_rounds == UINT64_MAX && o->duration_ns == UINT64_MAX)
		opts__fail("--rounds or --duration is needed");
	if (w->hold.max_ns + w->rest.max_ns == 0)
		opts__fail("--hold and --rest are both 0");
}

int main(int argc, char **argv)
{
	struct wave_result result;
	struct wave_run run;
	int err;

	parse_options(&run, argc, argv);
	if (run.protect && proc__protect("wave"))
		return EXIT_INFRASTRUCTURE;
	err = wave_super__run(&run, &result);
	if (err) {
		fprintf(stderr, "wave: cannot supervise: %s\n", strerror(-err));
		return EXIT_FAILED;
	}
	printf("wave: %llu rounds: %llu done, %llu killed, %llu without a child\n",
	       (unsigned long long)(result.nr_done + result.nr_killed +
				    result.nr_absent),
	       (unsigned long long)result.nr_done,
	       (unsigned long long)result.nr_killed,
	       (unsigned long long)result.nr_absent);
	return result.failed ? EXIT_FAILED : EXIT_DONE;
}
