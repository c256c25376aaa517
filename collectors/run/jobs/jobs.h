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
	bool again;		/* also what is done */
};

/* The payload lies beside the cells that ran it; its name is its content. */
int jobs__payload_path(char *path, const char *out, const char *tools, const char *workload);

/* An exit status, or 128 + the signal that stopped it. Each cell says how many run at once. */
int jobs__run(const struct jobs *j, const struct plan *p);

/* How many such cells to run at once when nobody says: bounded by CPUs and memory. */
unsigned int jobs__default(const char *clock, uint64_t ram_bytes);

#endif
