/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `hintrun run`, `cell` and `shell`. */
#ifndef RUN_PLAN_OPTS_H
#define RUN_PLAN_OPTS_H

#include "run/plan/plan.h"
#include "run/plan/settings.h"

struct opts {
	char root[PATH_MAX];		/* the checkout */
	char out[PATH_MAX];		/* "": results/EXPERIMENT under the root */
	char kernel[PATH_MAX], qemu[PATH_MAX], rootfs[PATH_MAX], payload_dir[PATH_MAX];
	char arm[CELL_NAME_MAX + 1];	/* shell */
	char file[PATH_MAX];		/* cell, shell: the cell.json */
	char *command;			/* a line for a shell that repeats the run */
	bool has_workload;		/* it was given, not only set by a file */
	struct experiment experiment;	/* with the settings, at least one matrix */
};

/*
 * Read argv (after the command's name) in the order default.json, experiment,
 * options. Says what is wrong.
 */
int opts__read(struct opts *o, int argc, char **argv);
void opts__free(struct opts *o);
/* Of one guest, which is no experiment: those of the first matrix; no other is left then. */
struct settings *opts__settings(struct opts *o);
void opts__help(const struct usage *u);

/* The checkout that this program was built in, into PATH_MAX bytes: 0 or -errno. */
int opts__default_root(char *root);

#endif
