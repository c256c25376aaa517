/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest has said so far, on both of its ports. The guest is not
 * trusted: every line is checked, everything kept is bounded, and bad lines
 * are counted. Lines themselves stay in the raw stream; here is only where
 * they lie, when they were and what the runner needs of them.
 */
#ifndef RUN_RECORD_GUEST_H
#define RUN_RECORD_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "gen/record_types.h"
#include "run/record/lines.h"
#include "run/record/pace.h"

#define GUEST_LINE_MAX		RECORD_MAX_LINE_BYTES	/* and the newline */
#define GUEST_STREAM_MAX	(256ULL << 20)
#define GUEST_MAX_LINES		2000000u
#define GUEST_MAX_BATCHES	1000000u
#define GUEST_NR_WORDS		3
#define GUEST_WORD_MAX		120
#define GUEST_WORDS_MAX		512

enum guest_port { PORT_WORK, PORT_TRACE, NR_PORTS };

struct line_ref {
	uint64_t t_ns;
	uint64_t offset;	/* in the raw stream of its port */
	uint32_t len;		/* without the newline */
	uint32_t port;
};

struct batch_ref {
	uint64_t sent_ns, ack_ns, done_ns;	/* 0: not yet */
	uint64_t bytes;
};

/* From one moment to another; 0 while it was not. */
struct span {
	uint64_t begin_ns, end_ns;
};

/* Whose last lines are kept: they say best why something ended. */
enum guest_speaker { SPEAKER_WORKLOAD, SPEAKER_TRACER, NR_SPEAKERS };

struct last_words {
	char line[GUEST_NR_WORDS][GUEST_WORD_MAX + 1];	/* printable, a ring */
	uint32_t nr;					/* of all */
};

struct sync_point {
	uint64_t t_ns, tsc;
};

/* A piece of a file that the guest hands out. 0, or -errno: it is refused. */
typedef int (*artefact_fn)(void *arg, const char *name, const char *text, bool is_base64);

struct guest {
	struct lines lines[NR_PORTS];
	struct line_ref *refs;
	uint32_t nr_refs, max_refs;
	struct batch_ref *batches;
	uint32_t nr_batches, max_batches;
	uint64_t nr_bad;
	char first_bad[256];	/* why the first bad line was bad */
	json_t *hello;		/* NULL until it came */
	bool has_bye;
	int bye_status;
	uint32_t nr_syncs;
	struct sync_point first_sync, last_sync;
	struct pace pace;
	uint64_t trace_first_ns, trace_last_ns;	/* span of the tracer's own samples */
	uint64_t loss_seen, loss_recorded, loss_dropped;
	bool loss_of_batches;
	struct last_words words[NR_SPEAKERS];
	struct span tracer;	/* its own lines say so: attached, last word */
	struct span measure;	/* the measured part */
	artefact_fn artefact;	/* NULL: nobody takes them */
	void *artefact_arg;
	bool full;		/* more lines than can be kept: the cell must end */
	int err;		/* -ENOMEM */
};

int guest__init(struct guest *g);
void guest__free(struct guest *g);
void guest__feed(struct guest *g, enum guest_port port, const char *data, size_t len,
		 uint64_t received_ns);
/* No more will come: an unfinished line is a bad line. */
void guest__finish(struct guest *g);
/* Order by time; lines of equal time stay in the order in which they came. */
void guest__sort(struct guest *g);

/* Somebody's last lines as a part of a sentence. */
const char *guest__last_words(const struct guest *g, enum guest_speaker who, char *buf,
			      size_t size);
/* Why the tracer did not see all of the measured part, or NULL. */
const char *guest__tracer_gap(const struct guest *g, char *buf, size_t size);

/* Guest time of a moment on QEMU's virtual clock (CLOCK=virtual); false when unknown. */
bool guest__time_of_virtual(const struct guest *g, uint64_t virtual_ns, int64_t *t_ns);

#endif
