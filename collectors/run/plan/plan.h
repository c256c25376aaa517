/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an experiment to its cells. An experiment (experiments/NAME.json) is one
 * matrix or several: settings plus, optionally, settings to vary. The cells of a
 * matrix are the product of the varied values, the arms and the repeats.
 */
#ifndef RUN_PLAN_PLAN_H
#define RUN_PLAN_PLAN_H

#include "run/plan/arms.h"
#include "run/plan/cell.h"
#include "run/plan/settings.h"

#define PLAN_MAX_CELLS	10000
#define MAX_MATRICES	16

struct matrix {
	struct settings settings;
	json_t *vary;		/* setting or param.NAME to a list of values */
	json_t *quick;		/* lists that take the place of these in a quick run */
};

struct experiment {
	char name[CELL_NAME_MAX + 1];
	char *description;	/* or NULL */
	struct matrix matrices[MAX_MATRICES];
	unsigned int nr;	/* 0: nothing has been loaded */
	bool has_several;	/* it is a list: labels tell their cells apart */
};

struct plan {
	struct cell *cells;
	unsigned int nr;
};

/*
 * Set in s what the file sets for all of its matrices, and make these from it;
 * later command-line values override. -ENOENT, silently, when there is no such file.
 */
int experiment__load(struct experiment *e, struct settings *s, const char *path,
		     const char *name);
void experiment__free(struct experiment *e);
void experiment__keep_first(struct experiment *e);
/* What is given otherwise is no longer varied. */
void experiment__fix(struct experiment *e, const char *key);
/* In a quick run, and once nothing else is given: the short lists. */
int experiment__shorten(struct experiment *e);

/* What all cells of a matrix have in common besides the settings. */
struct plan_base {
	const struct arms *arms;
	const char *command;	/* repeats the run; outlives the plan */
	const char *workload_name;
	const char *accel;	/* resolved: kvm or tcg */
	const char *workload_hash, *kernel, *qemu, *rootfs, *tools;
};

/*
 * Expand into cells, in the order they are to run: repeat by repeat, and in it
 * matrix by matrix with the arms of each shuffled by the seed, so that drift of
 * the machine falls on all arms alike and repeats complete one after another.
 * There is one base for each matrix.
 */
int plan__make(struct plan *p, const struct experiment *e, const struct plan_base *bases);
void plan__free(struct plan *p);

#endif
