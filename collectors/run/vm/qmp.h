/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small client of QEMU's machine protocol. It never waits: the caller polls
 * the descriptor and hands in what came. One command is out at a time.
 */
#ifndef RUN_VM_QMP_H
#define RUN_VM_QMP_H

#include <jansson.h>
#include <stdbool.h>

#include "run/record/lines.h"

#define QMP_LINE_MAX	(1 << 20)

struct qmp {
	int fd;			/* non-blocking, owned by the caller */
	struct lines lines;
	bool ready;		/* greeted, capabilities agreed */
	bool busy;		/* a command is out */
	bool shut_down;		/* the guest has powered off, reset or panicked */
	bool is_ending;		/* QEMU itself was told to end, by a signal */
	bool guest_reset;	/* ... by a reset: the way of a panic with panic=-1 */
	bool stopped_by_error;	/* QEMU stopped the guest by itself */
	bool broken;		/* what came is not QMP, or cannot be sent */
	char version[64];
	json_t *answer;		/* of the last command, until taken */
	char error[256];	/* of the last command, or "" */
};

int qmp__init(struct qmp *q, int fd);
void qmp__free(struct qmp *q);
void qmp__feed(struct qmp *q, const char *data, size_t len);
/* Send {"execute": command, "arguments": args}; takes args (may be NULL). */
int qmp__send(struct qmp *q, const char *command, json_t *args);
/* Send the command that reads a property. */
int qmp__get(struct qmp *q, const char *path, const char *property);
/* The answer, now the caller's; NULL while none is in. */
json_t *qmp__take(struct qmp *q);

#endif
