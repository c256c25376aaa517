/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUN_VM_SHELL_H
#define RUN_VM_SHELL_H

#include "run/plan/cell.h"
#include "run/vm/qemu.h"

enum {
	TERMINAL_SHELL = 1,	/* a shell in place of the workload (HINT_SHELL=1) */
	TERMINAL_HALTED = 2,	/* waits for a debugger before its first instruction */
};

/*
 * Boot the cell with its console on the terminal and without a time limit. An
 * exit status.
 */
int shell__run(const struct cell *c, const struct images *im, const char *tools_dir,
	       const char *workload_dir, unsigned int how);

#endif
