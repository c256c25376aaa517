/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape of every line a guest may send: the tables here are the host's
 * reading of docs/record.md. Nothing a guest says is used before it has
 * passed.
 */
#ifndef RUN_RECORD_SHAPE_H
#define RUN_RECORD_SHAPE_H

#include <jansson.h>
#include <stddef.h>

#define SHAPE_MAX_DEPTH		8
#define SHAPE_MAX_TIME_NS	(1LL << 61)

enum line_type {
	LINE_BAD = -1,
	LINE_PHASE,
	LINE_EVENT,
	LINE_SAMPLE,
	LINE_HIST,
	LINE_LOSS,
	LINE_LOG,
	LINE_HELLO,
	LINE_SYNC,
	LINE_BYE,
};

/* The type of the line; LINE_BAD with the reason in why. */
enum line_type shape__check(const json_t *line, char *why, size_t size);

#endif
