// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"

#define PRESENT		(1ULL << 63)
#define PFN		((1ULL << 55) - 1)
#define NR_READ		512

static bool used[PAGES_MAX_PFN];

/* The entries of as many pages, at most NR_READ. 0 or -errno. */
static int read_pagemap(const void *at, uint64_t *entries, size_t nr)
{
	static int fd = -1;
	ssize_t n;

	if (fd < 0) {
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	n = pread(fd, entries, nr * sizeof(*entries),
		  (off_t)((uintptr_t)at / PAGE * sizeof(*entries)));
	if (n < 0)
		return -errno;
	return (size_t)n == nr * sizeof(*entries) ? 0 : -EIO;
}

static long entry_pfn(uint64_t entry)
{
	if (!(entry & PRESENT))
		return 0;
	if (!(entry & PFN))
		return -EPERM;
	return (entry & PFN) < PAGES_MAX_PFN ? (long)(entry & PFN) : -ERANGE;
}

long pages__pfn(const void *at)
{
	uint64_t entry;
	int err = read_pagemap(at, &entry, 1);

	return err ? err : entry_pfn(entry);
}

static int mark(const uint8_t *area, uint64_t len, unsigned long *end)
{
	uint64_t entries[NR_READ];
	int err;

	for (uint64_t at = 0; at < len; at += NR_READ * PAGE) {
		uint64_t nr = (len - at) / PAGE < NR_READ ? (len - at) / PAGE : NR_READ;

		err = read_pagemap(area + at, entries, nr);
		if (err)
			return err;
		for (uint64_t i = 0; i < nr; i++) {
			long pfn = entry_pfn(entries[i]);

			if (pfn < 0)
				return (int)pfn;
			if (!pfn)
				continue;
			used[pfn] = true;
			if ((unsigned long)pfn >= *end)
				*end = (unsigned long)pfn + 1;
		}
	}
	return 0;
}

int pages__log_used(const char *path, const uint8_t *area, uint64_t len)
{
	unsigned long end = 0, from = 0;
	int err;
	FILE *f;

	err = mark(area, len, &end);
	if (err)
		return err;
	f = fopen(path, "ae");
	if (!f)
		return -errno;
	for (unsigned long pfn = 1; pfn <= end; pfn++) {
		bool is_used = pfn < end && used[pfn];

		if (is_used && !from)
			from = pfn;
		if (!is_used && from) {
			fprintf(f, "used %lx %lu\n", from, pfn - from);
			from = 0;
		}
	}
	memset(used, 0, end);
	err = ferror(f) ? -EIO : 0;
	if (fclose(f))
		err = -errno;
	return err;
}
