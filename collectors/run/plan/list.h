/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is to choose from, and finding a workload by name or path. */
#ifndef RUN_PLAN_LIST_H
#define RUN_PLAN_LIST_H

#include <limits.h>
#include <stdbool.h>

#include "run/plan/cell.h"

/* `hintrun list`; an exit status. */
int list__print(const char *root);

struct workload {
	char name[CELL_NAME_MAX + 1];
	char dir[PATH_MAX];	/* of its source */
	char built[PATH_MAX];	/* what goes into the guest; set by workload__find_built() */
};

/*
 * Where the files for the guest are: what has a workload.mk is built by make, to
 * build/workloads/NAME, anything else is packed as it is.
 */
int workload__find_built(struct workload *w, const char *root);
/* A name under root/workloads, or a path (with a slash) of the user's own. */
int workload__find(struct workload *w, const char *root, const char *choice);
/* Does path, which need not exist yet, lie in the folder of its source? */
bool workload__holds(const struct workload *w, const char *path);

#endif
