// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "trace/gfp.h"

struct alloc_rights gfp__rights(__u32 gfp, unsigned int order, bool in_reclaim, bool oom_victim)
{
	struct alloc_rights r = { .cma = gfp & GFP_BIT_MOVABLE };

	if (!(gfp & GFP_BIT_NOMEMALLOC)) {
		r.no_watermarks = in_reclaim || (gfp & GFP_BIT_MEMALLOC);
		r.oom = !r.no_watermarks && oom_victim;
		if (r.no_watermarks || r.oom)
			return r;
	}
	r.min_reserve = gfp & GFP_BIT_HIGH;
	r.non_block = !(gfp & (GFP_BIT_DIRECT_RECLAIM | GFP_BIT_NOMEMALLOC));
	r.highatomic = r.non_block && r.min_reserve && order > 0;
	return r;
}

static const char *const bit_names[] = {
	"DMA", "HIGHMEM", "DMA32", "MOVABLE", "RECLAIMABLE", "HIGH", "IO", "FS", "ZERO", NULL,
	"DIRECT_RECLAIM", "KSWAPD_RECLAIM", "WRITE", "NOWARN", "RETRY_MAYFAIL", "NOFAIL", "NORETRY",
	"MEMALLOC", "COMP", "NOMEMALLOC", "HARDWALL", "THISNODE", "ACCOUNT", "ZEROTAGS",
};

#define RECLAIM		0xc00U
#define KERNEL		(RECLAIM | 0xc0U)
#define USER		(KERNEL | 0x100000U)
#define HIGHUSER	(USER | 0x2U)
#define HUGE_LIGHT	\
	((HIGHUSER | GFP_BIT_MOVABLE | 0x40000U | GFP_BIT_NOMEMALLOC | 0x2000U) & ~RECLAIM)

/* Largest first: the first of which all bits are there names them. */
static const struct {
	const char *name;
	__u32 bits;
} groups[] = {
	{ "GFP_TRANSHUGE", HUGE_LIGHT | GFP_BIT_DIRECT_RECLAIM },
	{ "GFP_TRANSHUGE_LIGHT", HUGE_LIGHT },
	{ "GFP_HIGHUSER_MOVABLE", HIGHUSER | GFP_BIT_MOVABLE },
	{ "GFP_HIGHUSER", HIGHUSER },
	{ "GFP_USER", USER },
	{ "GFP_KERNEL_ACCOUNT", KERNEL | 0x400000U },
	{ "GFP_KERNEL", KERNEL },
	{ "GFP_NOFS", RECLAIM | 0x40U },
	{ "GFP_NOIO", RECLAIM },
	{ "GFP_ATOMIC", GFP_BIT_HIGH | 0x800U },
	{ "GFP_NOWAIT", 0x2800U },
};

const char *gfp__decode(__u32 gfp, char *buf, size_t size)
{
	const unsigned int nr_bits = sizeof(bit_names) / sizeof(bit_names[0]);
	size_t len = 0;
	__u32 left = gfp;

	buf[0] = '\0';
	for (unsigned int i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if ((left & groups[i].bits) != groups[i].bits)
			continue;
		len = (size_t)snprintf(buf, size, "%s", groups[i].name);
		left &= ~groups[i].bits;
		break;
	}
	for (unsigned int i = 0; i < nr_bits && len < size; i++) {
		if (!bit_names[i] || !(left & (1U << i)))
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s__GFP_%s", len ? "|" : "",
					bit_names[i]);
		left &= ~(1U << i);
	}
	if ((left || !len) && len < size)
		snprintf(buf + len, size - len, "%s%#x", len ? "|" : "", left);
	return buf;
}
