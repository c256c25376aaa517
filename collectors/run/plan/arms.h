/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arms: mechanisms under comparison, one file each, arms/NAME.json (the
 * fields: docs/runner.md). Arms differ by properties of the balloon device,
 * kernel parameters and memory, by nothing else: one kernel, one root image
 * for all.
 */
#ifndef RUN_PLAN_ARMS_H
#define RUN_PLAN_ARMS_H

#include "run/plan/cell.h"

#define MAX_ARMS	64
#define MAX_CONTROLS	8

struct arm {
	char name[CELL_NAME_MAX + 1];
	json_t *def;		/* the file's object and "name": goes into the record */
	const char *description, *role;	/* in def */
	unsigned int order;	/* place in lists */
	bool hints;		/* gives memory to the host at all */
	bool has_extra;		/* memory is X + B, not X */
	bool has_size;		/* B decides something, if only a kernel parameter */
	bool has_buffer;	/* the extra memory is a hinting buffer */
	unsigned int capacity;
	unsigned int nr_controls;
	char controls[MAX_CONTROLS][CELL_NAME_MAX + 1];
};

#define ARMS_ALL	"all"	/* in a list: every arm there is */

struct arms {
	struct arm arm[MAX_ARMS];
	unsigned int nr;
};

/* All of dir/NAME.json, by their order; says what is wrong with one. */
int arms__load(struct arms *a, const char *dir);
void arms__free(struct arms *a);
const struct arm *arms__find(const struct arms *a, const char *name);

/*
 * The arms named in list (blanks or commas between; "all": every one), none twice. An arm comes
 * after the controls it brings along, if any come at all; it brings none when the
 * list itself names one of them. Says what is wrong and what is allowed.
 */
int arms__select(const struct arms *a, const char *list, bool with_controls,
		 const struct arm **out, unsigned int *nr_out);

/* Fill what the arm decides; mem_bytes must be set. capacity 0: the arm's own. */
int arm__apply(const struct arm *arm, struct cell *c, uint64_t buffer_bytes,
	       unsigned int capacity);

/*
 * Did the guest negotiate what the cell's arm expects? hello is the guest's
 * own word. False with what was expected and what was read back in why.
 */
bool arm__is_as_expected(const struct cell *c, const json_t *hello, char *why, size_t size);

#endif
