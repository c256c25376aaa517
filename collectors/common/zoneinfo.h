/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef COMMON_ZONEINFO_H
#define COMMON_ZONEINFO_H

#include <linux/types.h>
#include <stddef.h>

/* What /proc/zoneinfo says of a populated zone, in 4 KiB pages. */
struct zoneinfo_zone {
	__u32 node;
	__u32 zone;		/* index in its node */
	char name[16];
	__u64 free_pages;
	__u64 min_pages;	/* watermarks without the boost */
	__u64 low_pages;
	__u64 high_pages;
	__u64 managed_pages;
};

/*
 * Parses the text of /proc/zoneinfo (ends in a NUL). Zones without memory are
 * counted for the index and left out. Returns their number, at most max, or
 * -EBADMSG when the text is something else.
 */
int zoneinfo__parse(const char *text, struct zoneinfo_zone *zones, size_t max);

/*
 * All of an open /proc file, from its start, into buf; adds a NUL. Returns the
 * length, -E2BIG when it does not fit, or -errno.
 */
long proc_file__read(int fd, char *buf, size_t size);

/* The same by path. */
long proc_file__read_path(const char *path, char *buf, size_t size);

/*
 * Picks values by name from "name value" or "name: value" lines, as of
 * /proc/vmstat and /proc/meminfo, in one pass. A name that is not there leaves
 * 0. Returns how many are there.
 */
size_t proc_text__u64s(const char *text, const char *const *names, __u64 *values, size_t nr);

#endif
