/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One VM, from start to record. */
#ifndef RUN_VM_VM_H
#define RUN_VM_VM_H

#include "run/plan/cell.h"
#include "run/vm/images.h"

struct vm_limits {
	uint64_t time_ns;	/* wall time of a cell */
	uint64_t hang_ns;	/* wall time without a byte from the guest */
};

/*
 * Run a cell in the empty folder dir and leave its record there. The calling
 * process must have no other children: it is a worker made for this cell.
 * Returns an exit status; -EINTR when told to stop by SIGINT or SIGTERM, and
 * then there is no record.
 */
int vm__run(const struct cell *c, const struct images *im, const char *root,
	    const char *payload, const char *dir, const struct vm_limits *limits);

#endif
