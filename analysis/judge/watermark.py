# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's watermark test of one zone, with and without the chunks held by hinting.

Every test is three-valued: True, False, or None when the sample does not decide.  Where a sample may
mislead, the doubt goes against "passes with the held chunks": that is the half which accuses hinting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.judge import gfp as gfpbits
from analysis.judge.gfp import AllocFlags
from analysis.record.model import ZoneState

# Pages are isolated by pageblock: 2 MiB on x86-64 with huge pages configured.
PAGEBLOCK_ORDER = 9
PAGEBLOCK_PAGES = 1 << PAGEBLOCK_ORDER

# watermark_boost_factor is 15000 by default: a boost is at most 150 % of the high mark.
MAX_BOOST = 1.5


@dataclass(frozen=True)
class Check:
    """One watermark test in numbers: it passes when usable > need and there is a large enough block."""

    free: int
    unusable: int
    mark: int
    reserve: int
    block: bool | None
    passes: bool | None

    @property
    def usable(self) -> int:
        return self.free - self.unusable

    @property
    def need(self) -> int:
        return self.mark + self.reserve

    @property
    def shortfall(self) -> int:
        """Pages missing for the count to pass; 0 when it does."""
        return max(self.need + 1 - self.usable, 0)


@dataclass(frozen=True)
class ZoneVerdict:
    zone: ZoneState
    without: Check
    with_held: Check
    band_pages: int


def both(a: bool | None, b: bool | None) -> bool | None:
    """Three-valued and."""
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def either(values: Iterable[bool | None]) -> bool | None:
    """Three-valued or."""
    values = list(values)
    if True in values:
        return True
    return None if None in values else False


def lowered_mark(mark: int, flags: AllocFlags) -> int:
    """The mark after the reserves a request may use, in the kernel's integer arithmetic."""
    if flags.no_watermarks:
        return 0
    if flags.min_reserve:
        mark -= mark // 2
        if flags.non_block:
            mark -= mark // 4
    if flags.oom:
        mark -= mark // 2
    return mark


def zone_mark(zone: ZoneState, name: str, order: int, flags: AllocFlags) -> int:
    """wmark_pages(): the boost counts, except for order-0 __GFP_HIGH requests at the min mark."""
    mark = {"min": zone.min_pages, "low": zone.low_pages, "high": zone.high_pages}[name]
    if name == "min" and order == 0 and flags.min_reserve:
        return mark
    return mark + (zone.boost_pages or 0)


def listed_pages(zone: ZoneState, least_order: int = 0) -> int:
    """Pages on the free lists in blocks of at least this order."""
    return sum(n << o for o, n in enumerate(zone.nr_free_by_order) if o >= least_order)


def listed_excess(zone: ZoneState) -> int:
    """Pages on the free lists beyond the counter: isolated pageblocks are listed and not counted."""
    if zone.isolated_pageblocks == 0:
        return 0  # what differs is the counter's per-CPU part
    return max(listed_pages(zone) - max(zone.free_pages, 0), 0)


def held_by_order(zone: ZoneState) -> int:
    return sum(n << order for order, n in zone.held_by_order)


def _left_between_reads(zone: ZoneState) -> int:
    """Pages that may be in F and in H.

    F, the free lists and H are read one after the other.  A chunk taken by another CPU in between is still
    in F and already in H; then the lists are short of F by at least that chunk.
    """
    if not zone.held_by_order:
        return 0
    short = zone.free_pages - listed_pages(zone)
    return short if short >= 1 << min(o for o, _ in zone.held_by_order) else 0


def _held_in_isolated(zone: ZoneState) -> int:
    """Held pages that may lie in an isolated pageblock, where nothing is allocated from once they are back."""
    excess = listed_excess(zone)
    if zone.isolated_pageblocks is None:
        return zone.held_pages if excess >= PAGEBLOCK_PAGES else 0
    return max(zone.isolated_pageblocks * PAGEBLOCK_PAGES - excess, 0)


def uncompensated_band(zone: ZoneState) -> tuple[int, int]:
    """Lower and upper bound of H in pages.

    held_pages, uncompensated_pages and held_by_order are updated one after the other; a sample taken
    between shows sums that differ, and the difference is the width of the band.
    """
    torn = abs(held_by_order(zone) - zone.held_pages) + max(zone.uncompensated_pages - zone.held_pages, 0)
    doubt = torn + _left_between_reads(zone) + _held_in_isolated(zone)
    return max(zone.uncompensated_pages - doubt, 0), zone.uncompensated_pages + torn


def free_block(zone: ZoneState, order: int, flags: AllocFlags) -> bool | None:
    """Is there a free block of at least this order that the request may use?

    nr_free counts blocks of every migrate type, those of isolated pageblocks too.  When all blocks that
    are large enough would fit into what the request may not use, it may find none: undecided.
    """
    pages = listed_pages(zone, order)
    forbidden = 0
    if not flags.highatomic_block:
        forbidden += zone.highatomic_pages
    if not flags.cma:
        forbidden += max(zone.cma_pages or 0, 0)
    excess = listed_excess(zone)
    isolated = (zone.isolated_pageblocks or 0) * PAGEBLOCK_PAGES
    if isolated and isolated == excess and order <= PAGEBLOCK_ORDER:
        # Isolated pageblocks that are free throughout are blocks of at least their order.
        pages -= excess
    else:
        forbidden += max(excess, isolated)
    if pages <= 0:
        return False
    return None if pages <= forbidden else True


def held_block(zone: ZoneState, order: int) -> bool | None:
    """Is a chunk of at least this order among the uncompensated ones?"""
    low, high = uncompensated_band(zone)
    large = sum(n << o for o, n in zone.held_by_order if o >= order)
    small = held_by_order(zone) - large
    if not large or not high:
        return False
    # With part of the held chunks compensated it is not recorded which ones: only when the small
    # ones cannot make up H is one of the large ones certainly among them.
    return True if low > small else None


def check(
    zone: ZoneState, order: int, flags: AllocFlags, mark: int, extra: int, extra_block: bool | None
) -> Check:
    """__zone_watermark_ok() with `extra` pages more in the zone."""
    unusable = (1 << order) - 1 + (0 if flags.reserves else zone.highatomic_pages)
    if not flags.cma:
        unusable += max(zone.cma_pages or 0, 0)
    free = zone.free_pages + extra
    reserve = 0 if flags.no_watermarks else zone.reserve_pages
    block = True if order == 0 else either((free_block(zone, order, flags), extra_block))
    count = free - unusable > mark + reserve
    return Check(free, unusable, mark, reserve, block, both(count, block))


def judge_zone(zone: ZoneState, order: int, flags: AllocFlags, mark_name: str) -> ZoneVerdict:
    mark = lowered_mark(zone_mark(zone, mark_name, order, flags), flags)
    low, high = uncompensated_band(zone)
    without = check(zone, order, flags, mark, 0, False)
    block = held_block(zone, order)
    least = check(zone, order, flags, mark, low, block)
    most = check(zone, order, flags, mark, high, block)
    passes = least.passes if least.passes == most.passes else None
    with_held = Check(most.free, most.unusable, most.mark, most.reserve, most.block, passes)
    return ZoneVerdict(zone, without, with_held, high - low)


def zone_title(zone: ZoneState) -> str:
    name = gfpbits.ZONE_NAMES[zone.zone] if zone.zone < len(gfpbits.ZONE_NAMES) else str(zone.zone)
    return f"node {zone.node} zone {zone.zone} ({name})"


def arithmetic(v: ZoneVerdict) -> str:
    """The test of one zone written out, for the report and `judge`."""

    def side(name: str, c: Check) -> str:
        relation = ">" if c.usable > c.need else "<="
        block = {True: "", False: ", no block large enough", None: ", block undecided"}[c.block]
        result = {True: "passes", False: "fails", None: "undecided"}[c.passes]
        return (
            f"{name}: {c.free} - {c.unusable} = {c.usable} {relation} {c.mark} + {c.reserve}"
            f" = {c.need}{block}: {result}"
        )

    held = v.with_held.free - v.without.free
    band = f" (band of {v.band_pages} pages)" if v.band_pages else ""
    return f"{zone_title(v.zone)}: {side('F', v.without)}; {side(f'F + {held} held', v.with_held)}{band}"
