/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a guest's clock runs against the host's when both are real: learnt from the
 * lines of the guest, each of which is received some time after it was written.
 * The two clocks do not run at one rate: the guest calibrates its own at boot.
 */
#ifndef RUN_RECORD_PACE_H
#define RUN_RECORD_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_NR	128

/* The least delayed line of each stretch of host time; stretches grow as the run does. */
struct pace {
	struct pace_point {
		uint64_t t_ns, host_ns;	/* written (guest), received (host); both 0: none */
	} points[PACE_NR];
	uint64_t start_ns, stretch_ns;
};

/* Host time of guest time t: t + offset_ns + drift * (t - base_ns). */
struct pace_line {
	uint64_t base_ns;
	double offset_ns, drift;
	uint64_t error_ns;	/* how far off the line may be */
};

void pace__note(struct pace *p, uint64_t t_ns, uint64_t host_ns);

/* False when nothing was noted, or the clocks cannot be those of one machine. */
bool pace__line(const struct pace *p, struct pace_line *line);
int64_t pace__guest_ns(const struct pace_line *line, uint64_t host_ns);

#endif
