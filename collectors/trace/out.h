/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_OUT_H
#define TRACE_OUT_H

#include <linux/types.h>
#include <stdbool.h>

#include "common/json.h"

/* Where lines go: the stream of the record, standard output as JSON, or standard output for people. */
struct out {
	int stream_fd;		/* -1: none */
	bool json;		/* JSON lines on standard output */
	bool human;		/* text on standard output */
	int err;		/* the first failure to write, -errno */
	__u64 nr_failed;	/* lines */
};

/* Kept lines are to be written once they are so many bytes: a virtio port takes 32 KiB at once. */
#define OUT_KEEP_BYTES	(JW_LINE_MAX / 2)


/* 0 or -errno, said on stderr. path NULL: no stream. */
int out__open(struct out *o, const char *path, bool json, bool human);
void out__close(struct out *o);

/* Is there anybody who wants JSON? */
bool out__wants_json(const struct out *o);

/* Starts a line in the one buffer there is. */
struct jw *out__begin(const char *type, __u64 t_ns);

/* Ends and keeps it: a write costs as much as a third of a line. Bytes kept, or -errno, said. */
long out__keep(struct out *o);

/* Writes what is kept. 0 or -errno, and then all of it is lost; said on stderr the first time. */
int out__flush(struct out *o);

/* Ends the line and writes it. 0 or -errno, said. */
int out__end(struct out *o);

/* A line of text from the tracer: a log line of the stream. */
void out__log(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
