/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUN_VM_SHELL_H
#define RUN_VM_SHELL_H

#include "run/plan/cell.h"
#include "run/vm/qemu.h"

/*
 * Boot the cell with its console on the terminal and without a time limit.
 * The guest is told to start a shell (HINT_SHELL=1) in place of the workload.
 * An exit status.
 */
int shell__run(const struct cell *c, const struct images *im, const char *tools_dir,
	       const char *workload_dir);

#endif
