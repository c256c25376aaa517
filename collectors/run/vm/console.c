// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "run/vm/console.h"
#include "run/util.h"

/*
 * A pattern is literal text, found anywhere in the line; it may hold one `*`
 * that stands for anything, with less than 64 bytes before it. What the out-of-memory killer and a failed allocation print is
 * not here: these are results.
 */
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
	"unable to handle kernel",
	"Unable to handle kernel",
	"KASAN: ",
	"KCSAN: ",
	"KFENCE: ",
	"UBSAN: ",
	"INFO: task * blocked for more than ",
	"INFO: possible recursive locking detected",
	"INFO: possible circular locking dependency",
	"INFO: trying to register non-static key",
	"INFO: suspicious RCU usage",
	"rcu: INFO: * stall",
	"detected stalls on CPUs/tasks",
	"possible recursive locking detected",
	"possible circular locking dependency detected",
	"inconsistent lock state",
	"possible irq lock inversion dependency",
	"suspicious RCU usage",
	"DEBUG_LOCKS_WARN_ON",
	"sleeping function called from invalid context",
	"scheduling while atomic",
	"watchdog: BUG: soft lockup",
	"NMI watchdog: * hard LOCKUP",
	"BUG: workqueue lockup",
	"list_add corruption",
	"list_del corruption",
	"refcount_t: ",
	"Bad page state in process",
	"Bad page map in process",
	"Bad rss-counter state",
	"nobody cared (try booting with the \"irqpoll\" option)",
	"Internal error: ",
	"unreferenced object 0x",
};

/* Looks like a splat, is none. */
static const char *const harmless_patterns[] = {
	"traps: ",			/* a user process, named with its fault */
	"WARNING: See https://",	/* advice on a CPU mitigation */
	"Spectre V2 : WARNING: ",
	"MDS: WARNING: ",
	"Kernel command line: ",
	"DEBUG: ",
};

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
	if (strstr(line, "Linux version "))
		c->has_kernel = true;
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

void console__feed(struct console *c, const char *data, size_t len)
{
	lines__feed(&c->lines, data, len, take_line, c);
}
