/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cell's clock: when, on the guest's clock, were the counters of a host sample
 * true? Not when the runner came to look at them: QEMU says with them what its
 * own virtual clock showed, and that clock is related to the guest's and the host's.
 */
#ifndef RUN_RECORD_AXIS_H
#define RUN_RECORD_AXIS_H

#include "run/record/device.h"
#include "run/record/guest.h"

struct axis {
	bool is_virtual;
	const struct guest *guest;
	/*
	 * Real clock: QEMU's runs with the host's as long as the guest is not
	 * stopped, that much behind, to half of the width of what is possible.
	 */
	int64_t host_minus_qemu_ns;
	uint64_t qemu_error_ns;
	bool is_known;
	struct pace_line line;
};

/* When the counters of a host sample were read. */
struct reading {
	int64_t t_ns;		/* guest */
	uint64_t host_ns;
	uint64_t error_ns;	/* of t_ns; 0 on the virtual clock, which QEMU reads itself */
};

/* All samples of the guest in the order in which they were taken; guest must outlive the axis. */
void axis__init(struct axis *axis, const char *clock, const struct guest *guest,
		const struct host_sample *samples, size_t nr);
/* False when the clocks cannot be related. */
bool axis__read(const struct axis *axis, const struct host_sample *s, struct reading *r);
/* For the record: the part `clock` of its first line, a new object. */
json_t *axis__json(const struct axis *axis, const char *clock);

#endif
