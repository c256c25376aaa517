// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <string.h>

#include "run/record/axis.h"

static int64_t behind(uint64_t host_ns, const struct host_sample *s)
{
	return (int64_t)(host_ns - s->device.v[DEV_VIRTUAL_NS]);
}

/*
 * QEMU read its clock between question and answer. Every sample bounds the
 * distance of the two clocks, and together they leave little: until the guest is
 * stopped at its end, and QEMU's clock with it.
 */
static void relate_qemu(struct axis *axis, const struct host_sample *s, size_t nr)
{
	int64_t low = INT64_MIN, high = INT64_MAX;
	size_t i;

	for (i = 0; i < nr; i++) {
		int64_t least = behind(s[i].asked_ns, &s[i]);
		int64_t most = behind(s[i].answered_ns, &s[i]);

		least = least > low ? least : low;
		most = most < high ? most : high;
		if (least > most)
			break;
		low = least;
		high = most;
	}
	if (!i)
		return;
	axis->qemu_error_ns = (uint64_t)(high - low) / 2;
	axis->host_minus_qemu_ns = low + (int64_t)axis->qemu_error_ns;
	axis->is_known = true;
}

void axis__init(struct axis *axis, const char *clock, const struct guest *guest,
		const struct host_sample *samples, size_t nr)
{
	*axis = (struct axis) { .is_virtual = !strcmp(clock, "virtual"), .guest = guest };
	if (axis->is_virtual)
		return;
	relate_qemu(axis, samples, nr);
	axis->is_known &= pace__line(&guest->pace, &axis->line);
}

bool axis__read(const struct axis *axis, const struct host_sample *s, struct reading *r)
{
	uint64_t virtual_ns = s->device.v[DEV_VIRTUAL_NS];

	if (axis->is_virtual) {
		r->host_ns = s->asked_ns + (s->answered_ns - s->asked_ns) / 2;
		r->error_ns = 0;
		return guest__time_of_virtual(axis->guest, virtual_ns, &r->t_ns);
	}
	if (!axis->is_known)
		return false;
	r->host_ns = virtual_ns + (uint64_t)axis->host_minus_qemu_ns;
	r->error_ns = axis->qemu_error_ns + axis->line.error_ns;
	r->t_ns = pace__guest_ns(&axis->line, r->host_ns);
	return true;
}

json_t *axis__json(const struct axis *axis, const char *clock)
{
	const struct pace_line *l = &axis->line;
	const struct sync_point *sync = &axis->guest->first_sync;

	if (axis->is_virtual)
		return json_pack("{s:s, s:o}", "mode", clock, "host_minus_guest_ns",
				 axis->guest->nr_syncs ?
					 json_integer((json_int_t)(sync->tsc - sync->t_ns)) :
					 json_null());
	if (!axis->is_known)
		return json_pack("{s:s, s:n}", "mode", clock, "host_minus_guest_ns");
	return json_pack("{s:s, s:I, s:I, s:I}", "mode", clock,
			 "host_minus_guest_ns",
			 (json_int_t)llround(l->offset_ns - l->drift * (double)l->base_ns),
			 "drift_ppb", (json_int_t)llround(l->drift * 1e9),
			 "error_ns", (json_int_t)l->error_ns);
}
