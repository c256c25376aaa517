/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's console: is there a panic or a splat in it? Which text counts
 * is data (the tables in console.c, golden cases in the unit test).
 */
#ifndef RUN_VM_CONSOLE_H
#define RUN_VM_CONSOLE_H

#include "run/record/lines.h"

#define CONSOLE_LINE_MAX	4096
#define CONSOLE_MAX		(64ULL << 20)

enum verdict { VERDICT_NONE, VERDICT_SPLAT, VERDICT_PANIC };

struct console {
	struct lines lines;
	enum verdict verdict;
	char text[256];		/* the first line that gave the verdict, printable */
	bool has_kernel;	/* the kernel has begun to speak */
};

enum verdict console__judge(const char *line);

int console__init(struct console *c);
void console__free(struct console *c);
void console__feed(struct console *c, const char *data, size_t len);

#endif
