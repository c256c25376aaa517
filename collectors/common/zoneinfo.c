// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/zoneinfo.h"

/* The line after this one, or NULL. */
static const char *next_line(const char *p)
{
	p = strchr(p, '\n');
	return p && p[1] ? p + 1 : NULL;
}

/* Not strspn(), which makes a table at each call: this runs ten times a second in the guest. */
static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* "name   123" or "name: 123": the number, when the line begins with this name. */
static bool line_value(const char *line, const char *name, __u64 *out)
{
	size_t len;
	char *end;

	if (*line != *name)
		return false;
	len = strlen(name);
	if (strncmp(line, name, len) || (line[len] != ' ' && line[len] != ':'))
		return false;
	line = skip_blanks(line + len + (line[len] == ':'));
	if (*line < '0' || *line > '9')
		return false;
	*out = strtoull(line, &end, 10);
	return *end == '\n' || *end == '\0' || *end == ' ';
}

/* The zone being read: what it is, and the two values that are not kept. */
struct parse {
	struct zoneinfo_zone z;
	__u64 present;
	__u64 boost;
	bool in_head;		/* the lines after it repeat some of the names for each CPU */
};

static void parse_head(struct parse *p, const char *line)
{
	line = skip_blanks(line);
	if (line_value(line, "pages free", &p->z.free_pages) ||
	    line_value(line, "boost", &p->boost) ||
	    line_value(line, "min", &p->z.min_pages) ||
	    line_value(line, "low", &p->z.low_pages) ||
	    line_value(line, "high", &p->z.high_pages) ||
	    line_value(line, "present", &p->present) ||
	    line_value(line, "managed", &p->z.managed_pages))
		return;
	if (!strncmp(line, "protection:", 11))
		p->in_head = false;
}

/* The zone is complete: min, low and high contain the boost. */
static void finish_zone(struct parse *p, struct zoneinfo_zone *zones, size_t max, size_t *nr)
{
	if (p->boost <= p->z.min_pages) {
		p->z.min_pages -= p->boost;
		p->z.low_pages -= p->boost;
		p->z.high_pages -= p->boost;
	}
	if (p->present && *nr < max)
		zones[(*nr)++] = p->z;
}

int zoneinfo__parse(const char *text, struct zoneinfo_zone *zones, size_t max)
{
	struct parse p = { .z.node = (__u32)-1 };
	const char *line;
	bool any = false;
	size_t nr = 0;

	for (line = text; line && *line; line = next_line(line)) {
		__u32 node, last_node = p.z.node, index = p.z.zone + 1;
		char name[16];

		if (*line != 'N' || sscanf(line, "Node %u, zone %15s", &node, name) != 2) {
			if (p.in_head)
				parse_head(&p, line);
			continue;
		}
		if (any)
			finish_zone(&p, zones, max, &nr);
		any = true;
		memset(&p, 0, sizeof(p));
		p.in_head = true;
		p.z.node = node;
		p.z.zone = node == last_node ? index : 0;
		memcpy(p.z.name, name, sizeof(name));
	}
	if (!any)
		return -EBADMSG;
	finish_zone(&p, zones, max, &nr);
	return (int)nr;
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

size_t proc_text__u64s(const char *text, const char *const *names, __u64 *values, size_t nr)
{
	const char *line;
	size_t nr_found = 0;

	for (size_t i = 0; i < nr; i++)
		values[i] = 0;
	for (line = text; line && *line; line = next_line(line)) {
		for (size_t i = 0; i < nr; i++) {
			if (line_value(line, names[i], &values[i])) {
				nr_found++;
				break;
			}
		}
	}
	return nr_found;
}
