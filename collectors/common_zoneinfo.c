// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common_zoneinfo.h"

/* The line after this one, or NULL. */
static const char *next_line(const char *p)
{
	p = strchr(p, '\n');
	return p && p[1] ? p + 1 : NULL;
}

/* "   name   123": the number, when the line has this name. */
static bool line_value(const char *line, const char *name, __u64 *out)
{
	size_t len = strlen(name);
	char *end;

	line += strspn(line, " ");
	if (strncmp(line, name, len) || (line[len] != ' ' && line[len] != ':'))
		return false;
	line += len + (line[len] == ':');
	line += strspn(line, " \t");
	if (*line < '0' || *line > '9')
		return false;
	*out = strtoull(line, &end, 10);
	return *end == '\n' || *end == '\0' || *end == ' ';
}

/* The lines of one zone, up to the next "Node". min, low and high contain the boost. */
static void parse_zone(const char *line, struct zoneinfo_zone *z, __u64 *present)
{
	__u64 boost = 0;

	for (; line && strncmp(line, "Node ", 5); line = next_line(line)) {
		if (line_value(line, "pages free", &z->free_pages) ||
		    line_value(line, "boost", &boost) ||
		    line_value(line, "min", &z->min_pages) ||
		    line_value(line, "low", &z->low_pages) ||
		    line_value(line, "high", &z->high_pages) ||
		    line_value(line, "present", present) ||
		    line_value(line, "managed", &z->managed_pages))
			continue;
		/* What follows repeats some of the names for each CPU. */
		if (!strncmp(line + strspn(line, " "), "protection:", 11))
			break;
	}
	if (boost <= z->min_pages) {
		z->min_pages -= boost;
		z->low_pages -= boost;
		z->high_pages -= boost;
	}
}

int zoneinfo__parse(const char *text, struct zoneinfo_zone *zones, size_t max)
{
	__u32 node, last_node = (__u32)-1, index = 0;
	size_t nr = 0;
	const char *line;
	bool any = false;

	for (line = text; line && *line; line = next_line(line)) {
		struct zoneinfo_zone z = { 0 };
		__u64 present = 0;

		if (sscanf(line, "Node %u, zone %15s", &node, z.name) != 2)
			continue;
		any = true;
		index = node == last_node ? index + 1 : 0;
		last_node = node;
		z.node = node;
		z.zone = index;
		if (next_line(line))
			parse_zone(next_line(line), &z, &present);
		if (present && nr < max)
			zones[nr++] = z;
	}
	return any ? (int)nr : -EBADMSG;
}

long proc_file__read(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	for (;;) {
		if (len + 1 >= size)
			return -E2BIG;
		n = pread(fd, buf + len, size - 1 - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	buf[len] = '\0';
	return (long)len;
}

long proc_file__read_path(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long len;

	if (fd < 0)
		return -errno;
	len = proc_file__read(fd, buf, size);
	close(fd);
	return len;
}

int proc_text__u64(const char *text, const char *name, __u64 *out)
{
	const char *line;

	for (line = text; line && *line; line = next_line(line)) {
		if (line_value(line, name, out))
			return 0;
	}
	return -ENOENT;
}
