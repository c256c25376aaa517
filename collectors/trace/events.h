/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_EVENTS_H
#define TRACE_EVENTS_H

#include <stddef.h>
#include <stdio.h>

#include "../bpf/hint_rec.h"
#include "trace/out.h"
#include "trace/screen.h"

/* Records from the ring buffers become lines. What did not become one is counted by probe. */
#define EVENTS_MAX_OWN	16

struct metrics;

struct events {
	struct out *out;
	struct screen *screen;		/* for people, or NULL */
	struct metrics *metrics;	/* or NULL */
	bool forget;			/* what comes now is not ours */
	__u32 tgid;			/* of this process; its events are its own */
	const char *own[EVENTS_MAX_OWN];	/* names of further tasks of the toolkit */
	unsigned int nr_own;
	__u64 nr_kept[NR_PROBES];	/* lines that wait for events__flush() */
	__u64 nr_unwritten[NR_PROBES];	/* the stream did not take the line */
	__u64 nr_bad;			/* not a record of this build */
	__u64 nr_torn;			/* zones in samples whose state kept changing */
	/* samples */
	struct sample_rec last;		/* written */
	struct sample_rec unchanged;	/* the last one left out; nr_zones 0: none */
	__u64 nr_left_out;		/* of the kernel's, and not written later */
};

/* Callback of ring_buffer__add(); ctx is the struct events. Never stops the consumer: 0. */
int events__handle(void *ctx, void *data, size_t size);

/* Makes the line of a sample, unless it shows no change. */
void events__put_sample(struct events *e, const struct sample_rec *rec);

/* The last sample that showed no change is written after all: no more will come. */
void events__end_samples(struct events *e);

/* Writes the lines that are kept, as out__flush() does. */
void events__flush(struct events *e, bool force);

/* The line of a batch that is still out. 0 or -errno, said. */
int events__put_open_batch(struct events *e, const struct batch_rec *batch, __u64 t_ns);

/* For each field of a line of an event: whose it is, its name, what it is written as. */
void events__list_fields(FILE *to);

/* The whole record is there and its parts are consistent: its probe, or -EBADMSG. */
int rec__check(const void *data, size_t size);

const char *rec__kind(__u16 type); /* its name in a line, or NULL */

/* The part of a record that describes a shortage, or NULL. */
const struct shortage *rec__shortage(const struct rec_hdr *hdr);

#endif
