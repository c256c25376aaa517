/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_SAMPLE_H
#define TRACE_SAMPLE_H

#include "../bpf/hint_rec.h"
#include "trace/out.h"

/* The sample of the guest: zones, what hinting holds, exposure, and counters. */

/* Their names in /proc/vmstat and in the line. */
extern const char *const sample_count_names[NR_SAMPLE_COUNTS];

/* Makes the line, which is kept. Bytes kept, or -errno, said. */
long sample__put(struct out *out, const struct sample_rec *rec);

/*
 * Nothing changed between two samples: whatever lies between them follows from
 * both, the integrals too, since what is held is the same all the time.
 */
bool sample__same(const struct sample_rec *a, const struct sample_rec *b);

/* Samples that show no change are left out, for so long at most. */
#define SAMPLE_MAX_GAP_NS	5000000000ULL

/* The integrals of a zone at t_ns, which may be later than its last change. */
__u64 zone_state__held_at(const struct zone_state *st, __u64 t_ns);
__u64 zone_state__uncompensated_at(const struct zone_state *st, __u64 t_ns);

#endif
