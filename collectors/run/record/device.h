/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The balloon device's counters, host samples, and the ledger of hinted bytes. */
#ifndef RUN_RECORD_DEVICE_H
#define RUN_RECORD_DEVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "run/plan/cell.h"
#include "run/record/guest.h"

enum device_counter {
	DEV_VIRTUAL_NS,		/* QEMU's virtual clock when the counters were read */
	DEV_BATCHES,
	DEV_CHUNKS,
	DEV_RECEIVED,
	DEV_DISCARDED,
	DEV_DISCARD_NS,
	DEV_STOPPED_NS,		/* virtual; CPUs that waited for a block to be taken, summed */
	DEV_STOPPED_MAX_NS,
	DEV_OUT,
	DEV_OUT_MAX,
	DEV_VIOLATIONS,
	DEV_BUFFER_PAGES,
	DEV_GUEST_FEATURES,
	DEV_SKIPPED_INHIBITED,	/* the bytes skipped stand together */
	DEV_SKIPPED_POISON,
	DEV_SKIPPED_OVER_LIMIT,
	DEV_SKIPPED_UNALIGNED,
	DEV_SKIPPED_NOT_RAM,
	DEV_SKIPPED_PAST_END,
	DEV_SKIPPED_FAILED,
	NR_DEVICE_COUNTERS,
};

struct device_counts {
	uint64_t v[NR_DEVICE_COUNTERS];
};

/* What the host holds of the guest's RAM. */
struct ram_use {
	uint64_t rss_bytes;		/* resident, huge pages included */
	uint64_t huge_bytes;		/* of these in huge pages */
	uint64_t swap_bytes;		/* in the host's swap */
	uint64_t process_rss_bytes;	/* all of the process, from another file of the kernel */
};

struct host_sample {
	uint64_t asked_ns, answered_ns;	/* host CLOCK_MONOTONIC; QEMU read the counters between */
	uint64_t memory_ns;	/* memory was read after that, until here */
	struct ram_use ram;
	struct device_counts device;
};

/* From QEMU's answer to `hint-stats`; the counter it lacks, or NULL. */
const char *device__parse(const json_t *answer, struct device_counts *d);
/* As in a record; a new object. */
json_t *device__json(const struct device_counts *d);

/*
 * The ledger: what the tracer saw hinted against what the device received,
 * between two host samples that both lie in the tracer's life and in a pause
 * between batches, so that it is known on which side of them each batch is.
 */
struct ledger {
	enum { LEDGER_UNKNOWN, LEDGER_OK, LEDGER_BAD } verdict;
	int64_t from_ns, to_ns;		/* guest time; both 0 when unknown */
	uint64_t guest_hinted, received, discarded, skipped;
	char detail[160];		/* why it is unknown or bad */
};

struct axis;

void ledger__check(struct ledger *l, const struct cell *c, const struct guest *g,
		   const struct axis *axis, const struct host_sample *samples, size_t nr);
json_t *ledger__json(const struct ledger *l);

#endif
