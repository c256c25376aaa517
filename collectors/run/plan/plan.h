/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an experiment to its cells. An experiment (experiments/NAME.json) is
 * settings plus, optionally, settings to vary; cells are the product of the
 * varied values, the arms and the repeats.
 */
#ifndef RUN_PLAN_PLAN_H
#define RUN_PLAN_PLAN_H

#include "run/plan/arms.h"
#include "run/plan/cell.h"
#include "run/plan/settings.h"

#define PLAN_MAX_CELLS	10000

struct experiment {
	char name[CELL_NAME_MAX + 1];
	char *description;	/* or NULL */
	json_t *vary;		/* setting or param.NAME to a list of values, or NULL */
};

struct plan {
	struct cell *cells;
	unsigned int nr;
};

/*
 * Fill s from an experiment file; later command-line values override.
 * -ENOENT, silently, when there is no such file.
 */
int experiment__load(struct experiment *e, struct settings *s, const char *path,
		     const char *name);
void experiment__free(struct experiment *e);

/* What all cells of a run have in common besides the settings. */
struct plan_base {
	const struct arms *arms;
	const char *command;	/* repeats the run; outlives the plan */
	const char *workload_name;
	const char *accel;	/* resolved: kvm or tcg */
	const char *workload_hash, *kernel, *qemu, *rootfs, *tools;
};

/*
 * Expand into cells, in the order they are to run: repeat by repeat, arms
 * shuffled within a repeat by the seed, so that drift of the machine falls on
 * all arms alike and repeats complete one after another.
 */
int plan__make(struct plan *p, const struct experiment *e, const struct settings *s,
	       const struct plan_base *base);
void plan__free(struct plan *p);

#endif
