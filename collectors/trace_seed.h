/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_SEED_H
#define TRACE_SEED_H

#include "common_zoneinfo.h"
#include "trace_load.h"

/*
 * The buffer was filled when the driver started, before we came; the programs
 * see changes only. So its level is set once, before they are attached.
 * 0 or -errno, said on stderr.
 */
int seed__buffer(const struct loaded *l);

/*
 * Shares pages among the zones as the kernel does: in proportion to their
 * managed pages, in whole chunks (a power of two of pages), none for ZONE_DMA,
 * the rest to the largest. Exact with one such zone; with more, a zone that
 * had too few chunks at the start is off by what it lacked.
 */
void seed__share(const struct zoneinfo_zone *zones, int nr, __u64 pages, __u64 chunk_pages,
		 __u64 *share);

#endif
