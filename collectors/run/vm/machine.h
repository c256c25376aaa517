/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine that a cell describes. */
#ifndef RUN_VM_MACHINE_H
#define RUN_VM_MACHINE_H

#include "run/vm/qemu.h"

struct cell_machine {
	struct machine m;
	char append[1024], balloon[1536];	/* what m points to */
	char env[PATH_MAX], console[PATH_MAX];
};

/*
 * Cell c in folder dir: its cell.env is there, and there go its streams and
 * its console. The caller adds QMP. 0 or -errno; c, im, payload and dir must
 * outlive cm.
 */
int cell_machine__init(struct cell_machine *cm, const struct cell *c, const struct images *im,
		       const char *payload, const char *dir);
/* What the cell was run with, for people and for its guest: cell.json, cell.env, qemu.cmd. */
int cell_machine__save(const struct qemu_args *args, const struct cell *c, const char *dir);

#endif
