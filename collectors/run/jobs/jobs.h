/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running the cells of a plan: what is done is kept, the rest is run, several
 * at once, each by a worker process of its own. A worker dies with the runner
 * and its QEMU with the worker, whatever ended them.
 */
#ifndef RUN_JOBS_JOBS_H
#define RUN_JOBS_JOBS_H

#include "run/plan/plan.h"
#include "run/vm/images.h"
#include "run/vm/vm.h"

struct jobs {
	const char *root;
	const char *out;	/* results folder of the experiment */
	const struct images *images;
	const char *payload;
	struct vm_limits limits;
	unsigned int nr;	/* workers at once */
	bool again;		/* also what is done */
};

/* An exit status, or 128 + the signal that stopped it. */
int jobs__run(const struct jobs *j, const struct plan *p);

/* How many cells to run at once when nobody says: bounded by CPUs and memory. */
unsigned int jobs__default(const char *clock, uint64_t ram_bytes);

#endif
