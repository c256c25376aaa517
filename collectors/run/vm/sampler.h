/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's samples of a guest: its memory here, and its device's counters. */
#ifndef RUN_VM_SAMPLER_H
#define RUN_VM_SAMPLER_H

#include "run/record/device.h"
#include "run/vm/ram.h"

struct sampler {
	struct guest_ram ram;		/* nr is 0 until QEMU has told */
	struct host_sample *samples;
	size_t nr, max;
	uint64_t asked_ns, answered_ns;	/* the caller says when: of the next sample */
};

void sampler__free(struct sampler *s);

/*
 * QEMU's answer to x-query-ramblock, for a guest of that much memory. 0 or
 * -errno with a sentence in why; the same for all below.
 */
int sampler__find_ram(struct sampler *s, const json_t *answer, uint64_t bytes,
		      char *why, size_t size);
/* Its answer to `hint-stats`: take a sample. -ESRCH when process pid is gone. */
int sampler__take(struct sampler *s, pid_t pid, const json_t *answer, char *why, size_t size);

#endif
