# SPDX-License-Identifier: GPL-2.0-or-later
"""Was the memory there?  The kernel's watermark test, with and without the chunks held by hinting.

Pure functions.  A request is judged in every zone it may use, with the zone's free pages F and again with
F plus the chunks hinting held uncompensated (H):

  attributable   no zone passes with F, at least one passes with F + H
  genuine        no zone passes with F + H either
  undetermined   the sample does not settle it; the reason is given

This is static: it says the memory was there at that instant, not that nobody else would have taken it.
Whether the event is absent without hinting is a separate question, answered by pairing (pairs.py).

Every test is three-valued: True, False, or None when the sample does not decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.judge import gfp as gfpbits
from analysis.judge.gfp import AllocFlags
from analysis.record.model import Shortage, ZoneState

ATTRIBUTABLE = "attributable"
GENUINE = "genuine"
UNDETERMINED = "undetermined"

# Classes of events that are not the system running short of memory.
SYSTEM = "system"
MEMCG = "memcg"
SYSRQ = "sysrq"
INJECTED = "injected"
FALLBACK = "fallback"

LEVELS = {
    "oom_kill": "F1",
    "alloc_fail": "F2",
    "direct_reclaim": "F4",
    "compaction_stall": "F4",
    "kswapd_wake": "F5",
}


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


@dataclass(frozen=True)
class Verdict:
    kind: str
    reason: str
    mark: str
    zones: tuple[ZoneVerdict, ...]


@dataclass(frozen=True)
class Judged:
    """An event with its class, level and verdict; at_high only for kills (mark of the last attempt)."""

    event: Shortage
    level: str
    klass: str
    verdict: Verdict
    at_high: Verdict | None = None


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
    return mark


def zone_mark(zone: ZoneState, name: str, order: int, flags: AllocFlags) -> int:
    """wmark_pages(): the boost counts, except for order-0 __GFP_HIGH requests at the min mark."""
    mark = {"min": zone.min_pages, "low": zone.low_pages, "high": zone.high_pages}[name]
    if name == "min" and order == 0 and flags.min_reserve:
        return mark
    return mark + zone.boost_pages


def held_by_order(zone: ZoneState) -> int:
    return sum(n << order for order, n in zone.held_by_order)


def uncompensated_band(zone: ZoneState) -> tuple[int, int]:
    """Lower and upper bound of H in pages.

    held_pages and held_by_order are updated one after the other; a sample taken between the two shows
    sums that differ, and the difference is the width of the band.
    """
    torn = abs(held_by_order(zone) - zone.held_pages)
    return max(zone.uncompensated_pages - torn, 0), zone.uncompensated_pages + torn


def free_block(zone: ZoneState, order: int, flags: AllocFlags) -> bool | None:
    """Is there a free block of at least this order that the request may use?

    nr_free counts blocks of every migrate type.  When all blocks that are large enough would fit into the
    free high-atomic reserve, a request without the right to it may find none: undecided.
    """
    pages = sum(n << o for o, n in enumerate(zone.nr_free_by_order) if o >= order)
    if not pages:
        return False
    if not (flags.highatomic or flags.no_watermarks) and pages <= zone.highatomic_pages:
        return None
    return True


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


def _merge_could_help(v: ZoneVerdict) -> bool:
    """Enough pages with H and no block: held chunks might merge with free neighbours into one."""
    return v.with_held.block is False and v.with_held.shortfall == 0 and v.zone.uncompensated_pages > 0


def zone_title(zone: ZoneState) -> str:
    name = gfpbits.ZONE_NAMES[zone.zone] if zone.zone < len(gfpbits.ZONE_NAMES) else str(zone.zone)
    return f"node {zone.node} zone {zone.zone} ({name})"


def judge_request(
    gfp: int, order: int, highest_zoneidx: int, zones: Iterable[ZoneState], mark_name: str = "min"
) -> Verdict:
    """The verdict on one request; see the head of this file."""
    eligible = [z for z in zones if z.zone <= highest_zoneidx]
    # The last attempt under the OOM lock runs with ALLOC_WMARK_HIGH alone, the fast path with low alone.
    flags = gfpbits.alloc_flags(gfp, order) if mark_name == "min" else AllocFlags()
    judged = tuple(judge_zone(z, order, flags, mark_name) for z in eligible)

    def verdict(kind: str, reason: str) -> Verdict:
        return Verdict(kind, reason, mark_name, judged)

    if not judged:
        return verdict(UNDETERMINED, "the record has no state of a zone this request may use")
    if gfp & gfpbits.THISNODE and len({z.node for z in eligible}) > 1:
        return verdict(UNDETERMINED, "the request is bound to one node and the record does not say which")
    for v in judged:
        if v.without.passes is True:
            return verdict(
                UNDETERMINED,
                (
                    f"when sampled, {zone_title(v.zone)} had {v.without.usable} usable pages, more than the"
                    f" {v.without.need} needed: the shortage was over"
                ),
            )
    if any(v.without.passes is None for v in judged):
        return verdict(UNDETERMINED, "the only large enough free blocks may be the high-atomic reserve")
    if any(v.with_held.passes is True for v in judged):
        return verdict(ATTRIBUTABLE, "")
    if any(v.with_held.passes is None for v in judged):
        return verdict(UNDETERMINED, "free and held pages were not sampled closely enough to decide")
    if any(_merge_could_help(v) for v in judged):
        return verdict(
            UNDETERMINED, "only merging held chunks with free neighbours could have made the block"
        )
    return verdict(GENUINE, "")


def classify(event: Shortage) -> str:
    """System-wide shortage, or one of the classes that are not."""
    if event.memcg:
        return MEMCG
    if event.sysrq:
        return SYSRQ
    if event.injected:
        return INJECTED
    if event.kind == "alloc_fail" and event.gfp is not None and gfpbits.is_fallback(event.gfp, event.order):
        return FALLBACK
    return SYSTEM


def _obstacle(event: Shortage) -> str:
    """Why an event cannot be judged from its record; empty when it can."""
    if event.gfp is None:
        return "the record does not have the request that failed"
    if event.zones_missing:
        return "more zones than the record can hold"
    if event.constraint in ("cpuset", "memory_policy"):
        return (
            f"the request was bound by a {event.constraint.replace('_', ' ')}, its zones are not in the"
            " record"
        )
    return ""


def judge_event(event: Shortage) -> Judged:
    """Class, level and verdict of one event of a record."""
    klass = classify(event)
    level = "F3" if klass == FALLBACK else LEVELS[event.kind]
    if event.kind == "kswapd_wake":
        zones = [z for z in event.zones if event.node in (None, z.node)]
        top = event.highest_zoneidx if event.highest_zoneidx is not None else len(gfpbits.ZONE_NAMES) - 1
        return Judged(event, level, klass, judge_request(0, event.order, top, zones, "low"))
    obstacle = _obstacle(event)
    if obstacle or event.gfp is None:
        return Judged(event, level, klass, Verdict(UNDETERMINED, obstacle, "min", ()))
    highest = event.highest_zoneidx
    if highest is None:
        highest = gfpbits.highest_zone(event.gfp)
    verdict = judge_request(event.gfp, event.order, highest, event.zones)
    at_high = None
    if event.kind == "oom_kill":
        at_high = judge_request(event.gfp, event.order, highest, event.zones, "high")
    return Judged(event, level, klass, verdict, at_high)


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
