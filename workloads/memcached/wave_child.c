// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/rng.h"
#include "common/time.h"
#include "wave_child.h"

/* Tag of the pages that stay; rounds count from 0. */
#define TAG_LOW UINT64_MAX

uint64_t wave_word(uint64_t seed, uint64_t tag, uint64_t page)
{
	return rng__mix(rng__mix(seed ^ tag) ^ page) | 1;
}

static volatile uint64_t *word_at(char *base, uint64_t page)
{
	return (volatile uint64_t *)(base + page * WAVE_PAGE_BYTES);
}

static void touch(char *base, uint64_t from, uint64_t to, uint64_t seed,
		  uint64_t tag)
{
	uint64_t i;

	for (i = from; i < to; i++)
		*word_at(base, i) = wave_word(seed, tag, i);
}

static void check(char *base, uint64_t from, uint64_t to, uint64_t seed,
		  uint64_t tag)
{
	uint64_t i, got, want;

	for (i = from; i < to; i++) {
		got = *word_at(base, i);
		want = wave_word(seed, tag, i);
		if (got == want)
			continue;
		fprintf(stderr, "wave: DATA LOST: page %llu holds %016llx, not %016llx\n",
			(unsigned long long)i, (unsigned long long)got,
			(unsigned long long)want);
		_exit(WAVE_EXIT_LOST);
	}
}

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "wave: child: %s: %s\n", what, strerror(errno));
	_exit(EXIT_FAILURE);
}

void wave_child__run(const struct wave_job *job)
{
	const struct wave_opts *o = &job->opts;
	uint64_t low = o->low_bytes / WAVE_PAGE_BYTES, high, grow_start_ns;
	struct wave_round round;
	struct wave_plan plan;
	struct wave_msg msg;
	char *base;

	/* Own code and stack must not be read back from disk later. */
	if (job->lock && mlockall(MCL_CURRENT))
		fail("cannot lock its code");
	base = mmap(NULL, o->high_max_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		fail("cannot map its memory");
	if (job->small_pages &&
	    madvise(base, o->high_max_bytes, MADV_NOHUGEPAGE) && errno != EINVAL)
		fail("cannot ask for small pages");	/* EINVAL: no THP at all */

	touch(base, 0, low, o->seed, TAG_LOW);
	wave_plan__init(&plan, o);
	for (;;) {
		wave_plan__next(&plan, &round);
		if (round.index < job->first_round)
			continue;
		high = round.high_bytes / WAVE_PAGE_BYTES;

		time__sleep_until_ns(job->epoch_ns + round.start_ns);
		grow_start_ns = time__now_ns();
		touch(base, low, high, o->seed, round.index);
		memset(&msg, 0, sizeof(msg));
		msg.round = round.index;
		msg.grow_ns = time__now_ns() - grow_start_ns;
		msg.nr_pages = high - low;

		time__sleep_until_ns(job->epoch_ns + round.end_ns);
		check(base, 0, low, o->seed, TAG_LOW);
		check(base, low, high, o->seed, round.index);
		if (high > low &&
		    madvise(base + low * WAVE_PAGE_BYTES,
			    (high - low) * WAVE_PAGE_BYTES, MADV_DONTNEED))
			fail("cannot give its memory back");
		if (write(job->msg_fd, &msg, sizeof(msg)) != sizeof(msg))
			fail("cannot tell its supervisor");
	}
}
