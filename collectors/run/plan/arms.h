/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arms: mechanisms under comparison, read from experiments/arms.json.
 * Arms differ by properties of the balloon device and by memory, by nothing
 * else: one kernel, one command line, one root image for all.
 */
#ifndef RUN_PLAN_ARMS_H
#define RUN_PLAN_ARMS_H

#include "run/plan/cell.h"

#define MAX_ARMS	32
#define MAX_CONTROLS	4

struct arm {
	char name[CELL_NAME_MAX + 1];
	char *description;
	bool has_extra;		/* memory is X + B, not X */
	bool has_buffer;	/* the extra memory is a hinting buffer */
	unsigned int capacity;
	json_t *device;		/* properties; "$buffer" and "$capacity" stand for numbers */
	unsigned int nr_controls;
	char controls[MAX_CONTROLS][CELL_NAME_MAX + 1];
};

struct arms {
	struct arm arm[MAX_ARMS];
	unsigned int nr;
};

int arms__load(struct arms *a, const char *path);
void arms__free(struct arms *a);
const struct arm *arms__find(const struct arms *a, const char *name);

/*
 * The arms named in list (blanks or commas between), each after the controls
 * it brings along, none twice. Says what is wrong and what is allowed.
 */
int arms__select(const struct arms *a, const char *list,
		 const struct arm **out, unsigned int *nr_out);

/* Fill what the arm decides; mem_bytes must be set. */
int arm__apply(const struct arm *arm, struct cell *c, uint64_t buffer_bytes);

#endif
