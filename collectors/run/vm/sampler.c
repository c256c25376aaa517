// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/time.h"
#include "run/vm/sampler.h"
#include "run/util.h"

#define MAX_SAMPLES	(1u << 20)	/* 29 hours, ten a second */

void sampler__free(struct sampler *s)
{
	free(s->samples);
	memset(s, 0, sizeof(*s));
}

int sampler__find_ram(struct sampler *s, const json_t *answer, uint64_t bytes,
		      char *why, size_t size)
{
	const char *text = json_string_value(json_object_get(answer, "human-readable-text"));
	int err;

	if (!text) {
		snprintf(why, size, "QEMU does not say where the guest's RAM is");
		return -EINVAL;
	}
	err = ram__parse(&s->ram, text, why, size);
	if (!err && s->ram.bytes != bytes) {
		snprintf(why, size, "QEMU has %" PRIu64 " MiB of guest RAM, not %" PRIu64,
			 s->ram.bytes / MIB, bytes / MIB);
		err = -EINVAL;
	}
	if (err)
		s->ram.nr = 0;
	return err;
}

static int keep(struct sampler *s, const struct host_sample *sample)
{
	if (s->nr == s->max) {
		size_t more = s->max ? 2 * s->max : 1024;
		void *bigger = more <= MAX_SAMPLES
			? realloc(s->samples, more * sizeof(*s->samples)) : NULL;

		if (!bigger)
			return -ENOMEM;
		s->samples = bigger;
		s->max = more;
	}
	s->samples[s->nr++] = *sample;
	return 0;
}

int sampler__take(struct sampler *s, pid_t pid, const json_t *answer, char *why, size_t size)
{
	struct host_sample sample = { .asked_ns = s->asked_ns, .answered_ns = s->answered_ns };
	const char *lacks = device__parse(answer, &sample.device);
	int err;

	if (lacks) {
		snprintf(why, size, "QEMU's balloon does not count %s: `make qemu` again", lacks);
		return -EINVAL;
	}
	err = ram__read(&s->ram, pid, &sample.ram, why, size);
	if (err && err != -EINVAL && err != -ESRCH)
		snprintf(why, size, "cannot read QEMU's memory map: %s", strerror(-err));
	if (!err) {
		sample.memory_ns = time__now_ns();
		err = keep(s, &sample);
		if (err)
			snprintf(why, size, "no memory for more host samples");
	}
	return err;
}
