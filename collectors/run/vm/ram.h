/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of a guest's memory is in the host's. QEMU says where in its address
 * space the guest's RAM lies; the kernel says what of these ranges is resident.
 * Nothing is guessed from sizes or names of mappings: under TCG the largest
 * mapping is the translation buffer.
 */
#ifndef RUN_VM_RAM_H
#define RUN_VM_RAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "run/record/device.h"

#define RAM_MAX_RANGES	16	/* one for the machine and one per module plugged in */

struct guest_ram {
	struct {
		uint64_t from, to;	/* addresses in QEMU */
	} range[RAM_MAX_RANGES];	/* ascending, apart */
	unsigned int nr;
	uint64_t bytes;
};

/*
 * From the text of QMP's x-query-ramblock (HMP's `info ramblock`). RAM is every
 * block the guest can write to, but the firmware, the tables QEMU makes and video
 * memory. 0, or why not: a sentence in why.
 */
int ram__parse(struct guest_ram *ram, const char *text, char *why, size_t size);

/*
 * Ask the kernel about process pid. 0; -ESRCH when it has no memory any more;
 * -EINVAL, with a sentence in why, when its mappings are not those of the RAM.
 */
int ram__read(const struct guest_ram *ram, pid_t pid, struct ram_use *use,
	      char *why, size_t size);

#endif
