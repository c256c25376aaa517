/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACE_GFP_H
#define TRACE_GFP_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/* gfp flags of Linux 6.12 on x86-64, as in analysis/judge/gfp.py. */
#define GFP_BIT_MOVABLE		0x8U
#define GFP_BIT_HIGH		0x20U
#define GFP_BIT_DIRECT_RECLAIM	0x400U
#define GFP_BIT_MEMALLOC	0x20000U
#define GFP_BIT_NOMEMALLOC	0x80000U
#define GFP_BIT_THISNODE	0x200000U

/* The alloc_flags that change the watermark test. */
struct alloc_rights {
	bool min_reserve, non_block, highatomic, no_watermarks, oom, cma;
};

/* gfp_to_alloc_flags() and __gfp_pfmemalloc_flags(); a task's real-time class is not seen. */
struct alloc_rights gfp__rights(__u32 gfp, unsigned int order, bool in_reclaim, bool oom_victim);

/* As the kernel prints them: GFP_HIGHUSER_MOVABLE|__GFP_ZERO. Returns buf. */
const char *gfp__decode(__u32 gfp, char *buf, size_t size);

#endif
