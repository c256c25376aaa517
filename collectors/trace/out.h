/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_OUT_H
#define TRACE_OUT_H

#include <linux/types.h>
#include <stdbool.h>

#include "common/fd.h"
#include "common/json.h"
#include "trace/memory.h"

/*
 * Where lines go: the stream of the record, standard output as JSON, or standard
 * output for people. Lines are kept in a buffer that is there from the start,
 * and written when memory is not short (trace/memory.h).
 */
struct out {
	int stream_fd;		/* -1: none */
	bool json;		/* JSON lines on standard output */
	bool human;		/* text on standard output */
	struct memory *memory;	/* NULL: write at once */
	int err;		/* the first failure to write, -errno */
	__u64 nr_failed;	/* lines */
	__u64 nr_forced;	/* writes while memory was short, for want of room */
};

/* What may wait to be written, and room for one line more. */
#define OUT_KEPT_BYTES	(448 * 1024)

/*
 * At once: a virtio port copies a write into a buffer of that size. kmalloc()
 * serves up to 512 bytes from single pages (on one CPU; on more it tries a pair
 * first, without reclaim), and larger ones from blocks of up to eight.
 */
#define OUT_WRITE_BYTES	512

/* Lines are to be written once they are so many bytes. */
#define OUT_ENOUGH_BYTES	(32 * 1024)

/* 0 or -errno, said on stderr. path NULL: no stream. */
int out__open(struct out *o, const char *path, bool json, bool human);
void out__close(struct out *o);

/* Is there anybody who wants JSON? */
bool out__wants_json(const struct out *o);

/* Starts a line in the one buffer there is. */
struct jw *out__begin(const char *type, __u64 t_ns);

/* Ends and keeps it. Bytes kept, or -errno, said. */
long out__keep(struct out *o);

/*
 * Writes what is kept, while memory is not short; with force, or when there is
 * no room for another line, in any case. Bytes that are left, or -errno, and
 * then all of it is lost; said on stderr the first time.
 */
long out__flush(struct out *o, bool force);

/* Ends the line, and writes if it may. 0 or -errno, said. */
int out__end(struct out *o);

/* A line of text from the tracer: a log line of the stream. */
void out__log(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
