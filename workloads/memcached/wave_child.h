/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WAVE_CHILD_H
#define WAVE_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "wave_plan.h"

/* The process that holds the memory, and may be killed for it. */

#define WAVE_EXIT_LOST 4	/* a page no longer held what was written */

struct wave_job {
	struct wave_opts opts;
	uint64_t epoch_ns;	/* CLOCK_MONOTONIC of round 0 */
	uint64_t first_round;	/* to take part in */
	bool lock;		/* lock what is not wave memory */
	bool small_pages;	/* no huge pages */
	int msg_fd;		/* gets a struct wave_msg after each round */
};

struct wave_msg {
	uint64_t round;
	uint64_t grow_ns;	/* time it took to touch the pages */
	uint64_t nr_pages;	/* so many of them */
};

/* Runs until killed. */
void __attribute__((noreturn)) wave_child__run(const struct wave_job *job);

/*
 * First word of page i as written in round `tag`: never 0, so that a page the
 * host has dropped is told from one that was kept.
 */
uint64_t wave_word(uint64_t seed, uint64_t tag, uint64_t page);

#endif
