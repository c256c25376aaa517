/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_EVENTS_H
#define TRACE_EVENTS_H

#include <stddef.h>

#include "../bpf/hint_rec.h"
#include "trace/out.h"

/* Records from the ring buffers become lines. What did not become one is counted by probe. */
struct events {
	struct out *out;
	__u64 nr_kept[NR_PROBES];	/* lines that wait for events__flush() */
	__u64 nr_unwritten[NR_PROBES];	/* the stream did not take the line */
	__u64 nr_bad;			/* not a record of this build */
	__u64 nr_torn;			/* zones in samples whose state kept changing */
};

/* Callback of ring_buffer__add(); ctx is the struct events. Never stops the consumer: 0. */
int events__handle(void *ctx, void *data, size_t size);

/* Writes the lines that are kept: at the latest when the rings are empty. */
void events__flush(struct events *e);

/* The whole record is there and its parts are consistent: its probe, or -EBADMSG. */
int rec__check(const void *data, size_t size);

#endif
