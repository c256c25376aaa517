/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the commands that boot guests have in common: options, images,
 * workload and payload, and the way from there to a plan and its run. All
 * return exit statuses.
 */
#ifndef RUN_SESSION_H
#define RUN_SESSION_H

#include "run/plan/list.h"
#include "run/plan/opts.h"
#include "run/plan/payload.h"
#include "run/vm/images.h"

/* What a matrix of the experiment runs. */
struct session_matrix {
	struct workload workload;
	struct payload payload;
	const char *accel;
};

struct session {
	struct opts opts;
	struct arms arms;
	struct images images;
	struct session_matrix matrices[MAX_MATRICES];	/* as in the experiment */
};

int session__init(struct session *s, int argc, char **argv);
void session__free(struct session *s);
/* All that can be said of a run before anything is built. */
int session__check(struct session *s);
/* The images, and the accelerators they run on. */
int session__find_machine(struct session *s);
/* Expand the settings; workloads, machine and payloads must be known. */
int session__make_plan(struct session *s, struct plan *plan);
/* From the command line to the cells: all of the above. */
int session__plan(struct session *s, struct plan *plan);
/* The results folder, PATH_MAX bytes; an errno. */
int session__results(const struct session *s, char *out);
/* Run the cells, leave their records in out. */
int session__run(struct session *s, const struct plan *plan, const char *out);

#endif
