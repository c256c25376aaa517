/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes in, lines out. A line longer than the limit is handed over once, cut
 * to the limit and marked; the rest of it is skipped. Memory is bounded by
 * the limit whatever comes in.
 */
#ifndef RUN_RECORD_LINES_H
#define RUN_RECORD_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* line is NUL-terminated, without its newline; offset counts from the first byte fed. */
typedef void (*line_fn)(void *ctx, char *line, size_t len, uint64_t offset, bool too_long);

struct lines {
	char *buf;
	size_t len, limit;
	uint64_t start;		/* offset of the line in buf */
	uint64_t fed;		/* bytes so far */
	bool skipping;		/* inside the tail of a too long line */
};

int lines__init(struct lines *l, size_t limit);
void lines__free(struct lines *l);
void lines__feed(struct lines *l, const char *data, size_t len, line_fn fn, void *ctx);
/* Is there an unfinished line? */
bool lines__partial(const struct lines *l);

#endif
