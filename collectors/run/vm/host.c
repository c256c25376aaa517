// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "run/vm/host.h"
#include "run/util.h"

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

/* The value of the first line "KEY : value" of /proc/cpuinfo; "" when absent. */
static void cpuinfo(const char *key, char *out, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[4096];

	*out = '\0';
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, key, strlen(key)))
			continue;
		colon += strspn(colon, ": \t");
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(out, size, "%s", colon);
		break;
	}
	fclose(f);
}

static void first_line(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");

	*out = '\0';
	if (!f)
		return;
	if (fgets(out, (int)size, f))
		out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

/* The word in brackets, which is the one in force: "always [madvise] never". */
static void choice_in_force(const char *path, char *out, size_t size)
{
	char *end, *begin;

	first_line(path, out, size);
	begin = strchr(out, '[');
	end = begin ? strchr(begin, ']') : NULL;
	if (!end) {
		*out = '\0';
		return;
	}
	*end = '\0';
	memmove(out, begin + 1, (size_t)(end - begin));
}

/* The commit, with "+" when there are changes; "" outside a git checkout. */
static void revision(const char *root, char *out, size_t size)
{
	char status[16] = "";
	char *const head[] = { "git", "-C", (char *)root, "rev-parse", "HEAD", NULL };
	char *const dirty[] = { "git", "-C", (char *)root, "status", "--porcelain", NULL };

	if (cmd__output(head, out, size) || cmd__output(dirty, status, sizeof(status))) {
		*out = '\0';
		return;
	}
	if (*status && strlen(out) + 1 < size)
		memcpy(out + strlen(out), "+", 2);
}

json_t *host__facts(const char *root, const char *qemu_version, const char *qemu_cmd)
{
	char cpu[256], microcode[64], governor[64], commit[128], thp[128], thp_defrag[128];
	struct utsname uts;

	if (uname(&uts))
		memset(&uts, 0, sizeof(uts));
	cpuinfo("model name", cpu, sizeof(cpu));
	cpuinfo("microcode", microcode, sizeof(microcode));
	first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
		   governor, sizeof(governor));
	choice_in_force("/sys/kernel/mm/transparent_hugepage/enabled", thp, sizeof(thp));
	choice_in_force("/sys/kernel/mm/transparent_hugepage/defrag", thp_defrag,
			sizeof(thp_defrag));
	revision(root, commit, sizeof(commit));
	return json_pack("{s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "release", text_or_null(uts.release),
			 "cpu", text_or_null(cpu),
			 "nr_cpus", (int)sysconf(_SC_NPROCESSORS_ONLN),
			 "qemu_version", text_or_null(qemu_version),
			 "qemu_cmd", text_or_null(qemu_cmd),
			 "revision", text_or_null(commit),
			 "governor", text_or_null(governor),
			 "microcode", text_or_null(microcode),
			 "thp", text_or_null(thp),
			 "thp_defrag", text_or_null(thp_defrag));
}
