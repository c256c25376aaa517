/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WAVE_SUPER_H
#define WAVE_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "wave_plan.h"

/*
 * The supervisor: marks the rounds at their fixed times, whatever happens to
 * the child, and replaces a child that was killed.
 */
struct wave_run {
	struct wave_opts wave;
	uint64_t nr_rounds;	/* UINT64_MAX: as many as fit */
	uint64_t duration_ns;	/* UINT64_MAX: as long as it takes */
	uint64_t settle_ns;	/* before round 0 */
	uint64_t restart_ns;	/* from a child's end to the next child */
	int out_fd;		/* -1: none */
	bool protect, small_pages;
};

struct wave_result {
	uint64_t nr_done, nr_killed;
	uint64_t nr_absent;	/* rounds without a child */
	bool failed;		/* the child failed, or a line was lost */
};

/* Until the rounds are over or SIGTERM comes.  0 or -errno. */
int wave_super__run(const struct wave_run *run, struct wave_result *result);

#endif
