# SPDX-License-Identifier: GPL-2.0-or-later
"""gfp flags of Linux 6.12 on x86-64 (include/linux/gfp_types.h), and what the allocator makes of them.

Bits from 24 up depend on the configuration, carry nothing the judgement needs and are shown as a number.
"""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = (
    "DMA",
    "HIGHMEM",
    "DMA32",
    "MOVABLE",
    "RECLAIMABLE",
    "HIGH",
    "IO",
    "FS",
    "ZERO",
    "",
    "DIRECT_RECLAIM",
    "KSWAPD_RECLAIM",
    "WRITE",
    "NOWARN",
    "RETRY_MAYFAIL",
    "NOFAIL",
    "NORETRY",
    "MEMALLOC",
    "COMP",
    "NOMEMALLOC",
    "HARDWALL",
    "THISNODE",
    "ACCOUNT",
    "ZEROTAGS",
)
_BIT = {name: 1 << i for i, name in enumerate(_NAMES) if name}

DMA = _BIT["DMA"]
HIGHMEM = _BIT["HIGHMEM"]
DMA32 = _BIT["DMA32"]
MOVABLE = _BIT["MOVABLE"]
HIGH = _BIT["HIGH"]
DIRECT_RECLAIM = _BIT["DIRECT_RECLAIM"]
NOWARN = _BIT["NOWARN"]
NORETRY = _BIT["NORETRY"]
MEMALLOC = _BIT["MEMALLOC"]
NOMEMALLOC = _BIT["NOMEMALLOC"]
THISNODE = _BIT["THISNODE"]

RECLAIM = DIRECT_RECLAIM | _BIT["KSWAPD_RECLAIM"]
GFP_NOIO = RECLAIM
GFP_NOFS = RECLAIM | _BIT["IO"]
GFP_KERNEL = GFP_NOFS | _BIT["FS"]
GFP_USER = GFP_KERNEL | _BIT["HARDWALL"]
GFP_HIGHUSER = GFP_USER | HIGHMEM
GFP_HIGHUSER_MOVABLE = GFP_HIGHUSER | MOVABLE
GFP_ATOMIC = HIGH | _BIT["KSWAPD_RECLAIM"]
GFP_NOWAIT = _BIT["KSWAPD_RECLAIM"] | NOWARN
GFP_TRANSHUGE_LIGHT = (GFP_HIGHUSER_MOVABLE | _BIT["COMP"] | NOMEMALLOC | NOWARN) & ~RECLAIM
GFP_TRANSHUGE = GFP_TRANSHUGE_LIGHT | DIRECT_RECLAIM

# Largest first: each name is used when all of its bits are there and not yet named.
_GROUPS = (
    ("GFP_TRANSHUGE", GFP_TRANSHUGE),
    ("GFP_TRANSHUGE_LIGHT", GFP_TRANSHUGE_LIGHT),
    ("GFP_HIGHUSER_MOVABLE", GFP_HIGHUSER_MOVABLE),
    ("GFP_HIGHUSER", GFP_HIGHUSER),
    ("GFP_USER", GFP_USER),
    ("GFP_KERNEL_ACCOUNT", GFP_KERNEL | _BIT["ACCOUNT"]),
    ("GFP_KERNEL", GFP_KERNEL),
    ("GFP_NOFS", GFP_NOFS),
    ("GFP_NOIO", GFP_NOIO),
    ("GFP_ATOMIC", GFP_ATOMIC),
    ("GFP_NOWAIT", GFP_NOWAIT),
)

# Index of a zone in pglist_data.node_zones with ZONE_DMA and ZONE_DMA32 configured.
ZONE_NAMES = ("DMA", "DMA32", "Normal", "Movable", "Device")


def decode(gfp: int) -> str:
    """The flags as the kernel prints them, e.g. GFP_HIGHUSER_MOVABLE|__GFP_ZERO."""
    left = gfp
    parts = []
    for name, mask in _GROUPS:
        if left & mask == mask:
            parts.append(name)
            left &= ~mask
            break
    for name, bit in _BIT.items():
        if left & bit:
            parts.append(f"__GFP_{name}")
            left &= ~bit
    if left or not parts:
        parts.append(hex(left))
    return "|".join(parts)


def highest_zone(gfp: int) -> int:
    """gfp_zone() on x86-64: the highest zone index a request may use."""
    if gfp & DMA:
        return 0
    if gfp & DMA32:
        return 1
    if gfp & MOVABLE and gfp & HIGHMEM:
        return 3
    return 2


@dataclass(frozen=True)
class AllocFlags:
    """The alloc_flags that change the watermark test."""

    min_reserve: bool = False
    non_block: bool = False
    highatomic: bool = False
    no_watermarks: bool = False
    oom: bool = False
    cma: bool = False

    @property
    def reserves(self) -> bool:
        """ALLOC_RESERVES: free high-atomic pages count for the request."""
        return self.min_reserve or self.non_block or self.highatomic or self.oom

    @property
    def highatomic_block(self) -> bool:
        """A high-atomic block satisfies the block test of a higher order."""
        return self.highatomic or self.oom


def may_use_cma(gfp: int) -> bool:
    """gfp_to_alloc_flags_cma(): only movable allocations are placed in CMA areas."""
    return bool(gfp & MOVABLE)


def alloc_flags(gfp: int, order: int, in_reclaim: bool = False, oom_victim: bool = False) -> AllocFlags:
    """gfp_to_alloc_flags() and __gfp_pfmemalloc_flags(); a task's real-time class is not seen.

    in_reclaim is PF_MEMALLOC, which lifts all watermarks; an OOM victim may go to half of min.  Both
    replace the flags that come from the gfp, and __GFP_NOMEMALLOC forbids both.
    """
    cma = may_use_cma(gfp)
    if not gfp & NOMEMALLOC:
        if in_reclaim or gfp & MEMALLOC:
            return AllocFlags(no_watermarks=True, cma=cma)
        if oom_victim:
            return AllocFlags(oom=True, cma=cma)
    min_reserve = bool(gfp & HIGH)
    non_block = not gfp & DIRECT_RECLAIM and not gfp & NOMEMALLOC
    return AllocFlags(
        min_reserve=min_reserve,
        non_block=non_block,
        highatomic=non_block and min_reserve and order > 0,
        cma=cma,
    )


def is_fallback(gfp: int, order: int) -> bool:
    """An attempt whose caller has a plan B: opportunistic, or above PAGE_ALLOC_COSTLY_ORDER (3)."""
    return bool(gfp & (NORETRY | NOWARN)) or order > 3
