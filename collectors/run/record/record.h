/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The product of a cell: record.jsonl, put together from what the guest and
 * the host said, in the order of guest time. docs/record.md describes it.
 */
#ifndef RUN_RECORD_RECORD_H
#define RUN_RECORD_RECORD_H

#include <jansson.h>

#include "run/plan/cell.h"
#include "run/record/device.h"
#include "run/record/guest.h"

/* Why a cell failed, in the order in which one cause outranks another. */
enum failure {
	FAIL_NONE,
	FAIL_INFRASTRUCTURE,
	FAIL_PANIC,
	FAIL_SPLAT,
	FAIL_HANG,
	FAIL_DIED,
	FAIL_STREAM,
	FAIL_TRACER,
	FAIL_BOOT,
	FAIL_WORKLOAD,
	FAIL_LEDGER,
	NR_FAILURES,
};

const char *failure__name(enum failure f);

#define FAILURE_DETAIL_MAX	640	/* a sentence, with a workload's last words */

/* One guest of a cell, and what the host saw of it. */
struct guest_part {
	struct guest *guest;		/* finished; is sorted here */
	const struct host_sample *samples;
	size_t nr_samples;
	struct ledger ledger;
};

struct record {
	const struct cell *cell;
	const char *dir;
	json_t *host;			/* facts; owned by the caller */
	struct guest_part guests[RECORD_MAX_GUESTS];
	size_t nr_guests;
	enum failure failure;
	const char *detail;		/* "" when there is none */
	uint64_t wall_ns;
};

/*
 * The folder, below that of the cell, in which the streams of a guest lie: the
 * first has no folder of its own.
 */
int record__guest_dir(char *path, size_t size, const char *dir, size_t guest);

/* Write dir/record.jsonl under a temporary name and rename it. */
int record__write(struct record *r);

/* How a record ended. */
struct outcome {
	bool is_done;
	double wall_s;
	char failure[16];	/* "" when done */
	char detail[FAILURE_DETAIL_MAX];
};

/* Read the last line of dir/record.jsonl: -ENOENT when there is none, -EINVAL. */
int outcome__read(struct outcome *o, const char *dir);

#endif
