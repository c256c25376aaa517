/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What --help prints, from a program's own tables. Two forms of one thing: text
 * for people, and lines for collectors/install/manual.py, which makes the man page
 * and the shell completion of them.
 */
#ifndef COMMON_USAGE_H
#define COMMON_USAGE_H

#include <stdbool.h>
#include <stdio.h>

struct usage {
	FILE *to;
	bool table; /* tab-separated lines: kind, fields; newlines as \n */
	int column; /* of the text: where the explanations begin */
};

/* Is @arg one that asks for help, and in which form? --help, -h, --help=table */
bool usage__is_help(const char *arg, bool *table);

/* "Usage: NAME ARGUMENTS" and what the program is for. */
void usage__head(const struct usage *u, const char *name, const char *arguments, const char *what);

/*
 * A title above options or commands; @note may be NULL. @commands: those of the
 * program that take these options, NULL for all.
 */
void usage__group(const struct usage *u, const char *title, const char *note, const char *commands);

void usage__command(const struct usage *u, const char *name, const char *arguments,
		    const char *what);

/* @flag: the letter of a short form, or 0. @arg: its value, NULL for none. */
void usage__option(const struct usage *u, int flag, const char *name, const char *arg,
		   const char *what);

/* A title and lines that are printed as they are. */
void usage__section(const struct usage *u, const char *title, const char *lines);

#endif
