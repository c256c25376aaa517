/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_OPTS_H
#define TRACE_OPTS_H

#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>

#include "trace/events.h"
#include "trace/load.h"

enum trace_mode { MODE_TRACE, MODE_LIST, MODE_LIST_PROBES, MODE_LIST_FIELDS, MODE_DRY_RUN,
		  MODE_REPLAY };

struct opts {
	enum trace_mode mode;
	char objects[PATH_MAX];
	const char *pinned[MAX_PINNED];
	unsigned int nr_pinned;
	const char *own[EVENTS_MAX_OWN];
	unsigned int nr_own;
	const char *stream;
	const char *ready;
	const char *replay;
	const char *metrics;
	__u64 duration_ns;	/* 0: until a signal */
	__u64 interval_ns;
	bool json;
	bool strict;
	bool unprotected;
	bool kills; /* of text, screens only */
	bool drop_caps;
	bool verbose;
};

/*
 * Reads the command line. 0 to go on; 1 when all was said (--help, --version);
 * -EINVAL for wrong usage, said on stderr.
 */
int opts__parse(struct opts *o, int argc, char **argv);

#endif
