// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run/vm/console.h"
#include "run/util.h"

/*
 * A pattern is literal text, found anywhere in what the kernel says; it may hold
 * one `*` that stands for anything, with less than 64 bytes before it. What the
 * out-of-memory killer and a failed allocation print is not here: these are
 * results. Without its first letter where the kernel writes it large or small.
 */
#define INIT_SIGN	"guest-init: "	/* collectors/guest/init.sh */

static const char *const panic_patterns[] = {
	"Kernel panic - not syncing",
};

static const char *const splat_patterns[] = {
	"BUG: ",
	"kernel BUG at ",
	"WARNING: ",
	"Oops: ",
	"Oops[#",
	"general protection fault",
	"double fault",
	"nable to handle kernel",
	"Internal error: ",
	"KASAN: ",
	"KCSAN: ",
	"KFENCE: ",
	"KMSAN: ",
	"UBSAN: ",
	"INFO: task * blocked for more than ",
	"INFO: possible ",
	"INFO: trying to register non-static key",
	"possible recursive locking",
	"possible circular locking",
	"possible irq lock inversion",
	"lock dependency",
	"locking dependency",
	"inconsistent lock state",
	"nvalid wait context",
	"held lock freed",
	"bad unlock balance",
	"DEBUG_LOCKS_WARN_ON",
	"suspicious RCU usage",
	"RCU nest depth",
	"rcu: INFO: * stall",
	"detected stalls",
	"self-detected stall",
	"soft lockup",
	"hard LOCKUP",
	"workqueue lockup",
	"nobody cared (try booting",
	"sleeping function called from invalid",
	"scheduling while atomic",
	"list_add corruption",
	"list_del corruption",
	"refcount_t: ",
	"ad page state",
	"ad page map",
	"Bad rss-counter",
	"page dumped because: ",
	"pagealloc: memory corruption",
	"unreferenced object 0x",
};

/* Looks like a splat, is none. */
static const char *const harmless_patterns[] = {
	"traps: ",			/* a user process, named with its fault */
	"WARNING: See https://",	/* advice on a CPU mitigation */
	"Spectre V2 : WARNING: ",
	"MDS: WARNING: ",
	"ommand line: ",
	"DEBUG: ",
	"memory used by lock dependency info",
	/* Memory that could not go offline is dumped; whether it had to is for others. */
	"page dumped because: migration failure",
	"page dumped because: isolation failed",
	"page dumped because: unmovable page",
};

/*
 * What the kernel says in a line, behind its time ("[   12.345678] "); NULL when
 * it is not the kernel's: a workload may write to the console whatever it likes.
 * Not only at the beginning of a line: another may not have ended.
 */
static const char *kernel_text(const char *line)
{
	const char *p;

	for (p = strchr(line, '['); p; p = strchr(p + 1, '[')) {
		const char *q = p + 1 + strspn(p + 1, " ");
		size_t nr = strspn(q, "0123456789");

		if (!nr || q[nr] != '.')
			continue;
		q += nr + 1;
		nr = strspn(q, "0123456789");
		if (nr && !strncmp(q + nr, "] ", 2))
			return q + nr + 2;
	}
	return NULL;
}

static bool matches(const char *line, const char *pattern)
{
	const char *star = strchr(pattern, '*');
	char head[64];

	if (!star)
		return strstr(line, pattern);
	snprintf(head, sizeof(head), "%.*s", (int)(star - pattern), pattern);
	line = strstr(line, head);
	return line && strstr(line + strlen(head), star + 1);
}

static bool matches_any(const char *line, const char *const patterns[], size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (matches(line, patterns[i]))
			return true;
	return false;
}

enum verdict console__judge(const char *line)
{
	line = kernel_text(line);
	if (!line)
		return VERDICT_NONE;
	if (matches_any(line, harmless_patterns, ARRAY_SIZE(harmless_patterns)))
		return VERDICT_NONE;
	if (matches_any(line, panic_patterns, ARRAY_SIZE(panic_patterns)))
		return VERDICT_PANIC;
	if (matches_any(line, splat_patterns, ARRAY_SIZE(splat_patterns)))
		return VERDICT_SPLAT;
	return VERDICT_NONE;
}

static void take_line(void *arg, char *line, size_t len, uint64_t offset, bool too_long)
{
	struct console *c = arg;
	enum verdict v;
	size_t i;

	(void)offset;
	(void)too_long;
	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || (unsigned char)line[i] > '~')
			line[i] = ' ';
	if (!c->has_kernel && strstr(line, CONSOLE_SIGN))
		c->has_kernel = true;
	if (!strncmp(line, INIT_SIGN, strlen(INIT_SIGN)))
		snprintf(c->init_text, sizeof(c->init_text), "%s", line + strlen(INIT_SIGN));
	v = console__judge(line);
	if (v > c->verdict) {
		/* A panic after a splat is named with the splat: that was first. */
		if (c->verdict == VERDICT_NONE)
			snprintf(c->text, sizeof(c->text), "%s", line);
		c->verdict = v;
	}
}

int console__init(struct console *c)
{
	memset(c, 0, sizeof(*c));
	return lines__init(&c->lines, CONSOLE_LINE_MAX);
}

void console__free(struct console *c)
{
	lines__free(&c->lines);
}

/* What console__print() needs of a line. */
static void print_line(void *arg, char *line, size_t len, uint64_t offset, bool too_long)
{
	unsigned int *nr = arg;

	(void)len;
	(void)offset;
	(void)too_long;
	line[strcspn(line, "\r")] = '\0';
	if (console__judge(line) == VERDICT_NONE)
		return;
	puts(line);
	++*nr;
}

int console__print(FILE *f, unsigned int *nr)
{
	struct lines lines;
	char buf[65536];
	size_t n;
	int err;

	*nr = 0;
	err = lines__init(&lines, CONSOLE_LINE_MAX);
	if (err)
		return err;
	while ((n = fread(buf, 1, sizeof(buf), f)))
		lines__feed(&lines, buf, n, print_line, nr);
	/* A guest that died may not have ended its last line. */
	if (lines__partial(&lines))
		lines__feed(&lines, "\n", 1, print_line, nr);
	err = ferror(f) ? -EIO : 0;
	lines__free(&lines);
	return err;
}

void console__feed(struct console *c, const char *data, size_t len)
{
	lines__feed(&c->lines, data, len, take_line, c);
}
