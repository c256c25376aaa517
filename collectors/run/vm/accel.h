/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which accelerator can run a guest here: found out by running one. */
#ifndef RUN_VM_ACCEL_H
#define RUN_VM_ACCEL_H

#include "run/vm/images.h"

/*
 * choice is auto, kvm or tcg; clock is auto, virtual or real. *accel becomes
 * "kvm" or "tcg". memory is a file that keeps the answer until the next boot of
 * the host or the next build. Says what was decided and why; an exit status.
 */
int accel__decide(const char *choice, const char *clock, const struct images *im,
		  const char *memory, const char **accel);

#endif
