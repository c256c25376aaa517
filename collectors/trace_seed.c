// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace_seed.h"

#define MAX_ZONES	64
#define TEXT_BYTES	(1024 * 1024)

static const char level_path[] = "/sys/kernel/mm/page_reporting/buffer_held_pages";
static const char order_path[] = "/sys/module/page_reporting/parameters/page_reporting_order";

void seed__share(const struct zoneinfo_zone *zones, int nr, __u64 pages, __u64 chunk_pages,
		 __u64 *share)
{
	__u64 total = 0, rest = pages;
	int largest = -1;

	for (int i = 0; i < nr; i++) {
		share[i] = 0;
		if (!strcmp(zones[i].name, "DMA"))
			continue;
		total += zones[i].managed_pages;
		if (largest < 0 || zones[i].managed_pages > zones[largest].managed_pages)
			largest = i;
	}
	if (!total)
		return;
	for (int i = 0; i < nr; i++) {
		if (!strcmp(zones[i].name, "DMA"))
			continue;
		share[i] = (__u64)((unsigned __int128)pages * zones[i].managed_pages / total) &
			   ~(chunk_pages - 1);
		rest -= share[i];
	}
	share[largest] += rest;
}

static int set_level(int fd, const struct zoneinfo_zone *zone, __u64 pages)
{
	struct zone_state st = { .buffer_pages = (__s64)pages };
	__u32 key = zone->node * HINT_NR_ZONES + zone->zone;

	if (zone->node >= HINT_NR_NODES || zone->zone >= HINT_NR_ZONES)
		return 0;
	return bpf_map_update_elem(fd, &key, &st, BPF_ANY) ? -errno : 0;
}

/* 0 when there is no such file: a kernel without the buffer. */
static __u64 read_u64(const char *path)
{
	char text[32];

	if (proc_file__read_path(path, text, sizeof(text)) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}

int seed__buffer(const struct loaded *l)
{
	__u64 level = read_u64(level_path), order = read_u64(order_path);
	struct zoneinfo_zone zones[MAX_ZONES];
	__u64 share[MAX_ZONES];
	int nr, err = 0;
	char *text;
	long len;

	if (!level || l->zone_state_fd < 0)
		return 0;
	text = malloc(TEXT_BYTES);
	len = text ? proc_file__read_path("/proc/zoneinfo", text, TEXT_BYTES) : -ENOMEM;
	nr = len < 0 ? (int)len : zoneinfo__parse(text, zones, MAX_ZONES);
	free(text);
	if (nr < 0) {
		fprintf(stderr, "hinttrace: cannot read /proc/zoneinfo: %s\n", strerror(-nr));
		return nr;
	}
	seed__share(zones, nr, level, 1ULL << (order < HINT_NR_ORDERS ? order : 0), share);
	for (int i = 0; i < nr && !err; i++)
		err = set_level(l->zone_state_fd, &zones[i], share[i]);
	if (err)
		fprintf(stderr, "hinttrace: cannot write map zone_state: %s\n", strerror(-err));
	return err;
}
