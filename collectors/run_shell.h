/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUN_SHELL_H
#define RUN_SHELL_H

#include "run_cell.h"
#include "run_qemu.h"

/*
 * Boot the cell with its console on the terminal and without a time limit.
 * The guest is told to start a shell (HINT_SHELL=1) in place of the workload.
 * An exit status.
 */
int shell__run(const struct cell *c, const struct images *im, const char *tools_dir,
	       const char *workload_dir);

#endif
