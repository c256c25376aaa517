// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <sys/sysinfo.h>

#include "common/time.h"
#include "trace/memory.h"

#define PAGE_BYTES	4096ULL

/*
 * Only the sum of what is free is known. DMA, the zone that a request from any
 * other hardly ever gets to, is taken to be all free, and does not count.
 */
void memory__init(struct memory *m, const struct zoneinfo_zone *zones, size_t nr)
{
	__u64 pages = 0;

	for (size_t i = 0; i < nr; i++)
		pages += strcmp(zones[i].name, "DMA") ? zones[i].high_pages :
							zones[i].managed_pages;
	*m = (struct memory){ .enough_bytes = pages * PAGE_BYTES };
}

void memory__stalled(struct memory *m, __u64 now_ns)
{
	m->calm_ns = now_ns + MEMORY_CALM_NS;
}

bool memory__is_short_at(struct memory *m, __u64 now_ns, __u64 free_bytes)
{
	if (now_ns >= m->calm_ns && free_bytes >= m->enough_bytes) {
		m->short_ns = 0;
		return false;
	}
	if (!m->short_ns)
		m->short_ns = now_ns;
	return now_ns - m->short_ns < MEMORY_PATIENCE_NS;
}

bool memory__is_short(struct memory *m)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return false;
	return memory__is_short_at(m, time__now_ns(), (__u64)info.freeram * info.mem_unit);
}
