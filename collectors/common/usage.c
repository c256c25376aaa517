// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdarg.h>
#include <string.h>

#include "common/usage.h"

#define WIDTH 80

bool usage__is_help(const char *arg, bool *table)
{
	*table = !strcmp(arg, "--help=table");
	return *table || !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

/* One line of the table: up to a NULL, the fields. */
static void put_row(const struct usage *u, const char *kind, ...)
{
	const char *field;
	va_list ap;

	fputs(kind, u->to);
	va_start(ap, kind);
	while ((field = va_arg(ap, const char *))) {
		putc('\t', u->to);
		for (; *field; field++)
			fputs(*field == '\n' ? "\\n" :
			      *field == '\\' ? "\\\\" :
					       (char[]){ *field, '\0' },
			      u->to);
	}
	va_end(ap);
	putc('\n', u->to);
}

/* Words from column @at on, broken before WIDTH; further lines begin at @indent. */
static void put_words(FILE *to, int at, int indent, const char *text)
{
	bool first = true;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (!first && at + 1 + len > WIDTH) {
			fprintf(to, "\n%*s", indent, "");
			at = indent;
		} else if (!first) {
			putc(' ', to);
			at++;
		}
		fprintf(to, "%.*s", len, text);
		at += len;
		text += len;
		text += *text == ' ';
		first = false;
	}
	putc('\n', to);
}

/* What is named, then its explanation in the column; below it where there is no room. */
static void put_entry(const struct usage *u, const char *left, const char *what)
{
	int len = fprintf(u->to, "  %s", left);

	if (len + 2 > u->column) {
		putc('\n', u->to);
		len = 0;
	}
	fprintf(u->to, "%*s", u->column - len, "");
	put_words(u->to, u->column, u->column, what);
}

void usage__head(const struct usage *u, const char *name, const char *arguments, const char *what)
{
	if (u->table) {
		put_row(u, "program", name, arguments, what, NULL);
		return;
	}
	fprintf(u->to, "Usage: %s %s\n", name, arguments);
	put_words(u->to, 0, 0, what);
}

void usage__group(const struct usage *u, const char *title, const char *note, const char *commands)
{
	if (u->table)
		put_row(u, "group", title, note ? note : "", commands ? commands : "", NULL);
	else
		fprintf(u->to, "\n%s%s%s%s\n", title, note ? " (" : "", note ? note : "",
			note ? ")" : "");
}

void usage__command(const struct usage *u, const char *name, const char *arguments,
		    const char *what)
{
	char left[128];

	snprintf(left, sizeof(left), "%s %s", name, arguments);
	if (u->table)
		put_row(u, "command", name, arguments, what, NULL);
	else
		put_entry(u, left, what);
}

void usage__option(const struct usage *u, int flag, const char *name, const char *arg,
		   const char *what)
{
	char letter[5] = "", left[160];

	if (flag)
		snprintf(letter, sizeof(letter), "-%c", flag);
	if (u->table) {
		put_row(u, "option", letter, name, arg ? arg : "", what, NULL);
		return;
	}
	snprintf(left, sizeof(left), "%s%s--%s%s%s", letter, flag ? ", " : "    ", name,
		 arg ? " " : "", arg ? arg : "");
	put_entry(u, left, what);
}

void usage__section(const struct usage *u, const char *title, const char *lines)
{
	if (u->table)
		put_row(u, "section", title, lines, NULL);
	else
		fprintf(u->to, "\n%s\n%s", title, lines);
}
