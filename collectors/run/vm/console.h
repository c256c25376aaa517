/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's console: is there a panic or a splat in it? Which text counts
 * is data (the tables in console.c, golden cases in the unit test).
 */
#ifndef RUN_VM_CONSOLE_H
#define RUN_VM_CONSOLE_H

#include <stdio.h>

#include "run/record/lines.h"

#define CONSOLE_LINE_MAX	4096
#define CONSOLE_MAX		(64ULL << 20)
#define CONSOLE_SIGN		"Linux version "	/* the kernel's first words */

enum verdict { VERDICT_NONE, VERDICT_SPLAT, VERDICT_PANIC };

struct console {
	struct lines lines;
	enum verdict verdict;
	char text[256];		/* the first line that gave the verdict, printable */
	char init_text[160];	/* what the guest's init said last, printable */
	bool has_kernel;	/* the kernel has begun to speak */
};

enum verdict console__judge(const char *line);
/* Print the lines of a console that have a verdict; how many there are. */
int console__print(FILE *f, unsigned int *nr);

int console__init(struct console *c);
void console__free(struct console *c);
void console__feed(struct console *c, const char *data, size_t len);

#endif
