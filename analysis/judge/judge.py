# SPDX-License-Identifier: GPL-2.0-or-later
"""Was the memory there?  The verdict on one event.

Pure functions.  A request is judged in every zone it may use, with the zone's free pages F and again with
F plus the chunks hinting held uncompensated (H):

  attributable   no zone passes with F, at least one passes with F + H
  genuine        no zone passes with F + H either
  undetermined   the record does not settle it; the reason is given

What a record leaves open (the nodes of a bound request, free CMA pages, the rights of the task) is tried
both ways: a verdict stands only when it is the same whatever the missing value was.  So a record that
lacks what decides ends as undetermined, never as attributable.

This is static: it says the memory was there at that instant, not that nobody else would have taken it.
Whether the event is absent without hinting is a separate question, answered by pairing (compare/pairs.py).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.judge import gfp as gfpbits
from analysis.judge.gfp import AllocFlags
from analysis.judge.watermark import MAX_BOOST, ZoneVerdict, judge_zone, zone_title
from analysis.record.model import Shortage, ZoneState

ATTRIBUTABLE = "attributable"
GENUINE = "genuine"
UNDETERMINED = "undetermined"

# Classes of events that are not the system running short of memory for the workload.
SYSTEM = "system"
MEMCG = "memcg"
SYSRQ = "sysrq"
OWN = "own"
FALLBACK = "fallback"

LEVELS = {
    "oom_kill": "F1",
    "alloc_fail": "F2",
    "direct_reclaim": "F4",
    "compaction_stall": "F4",
    "kswapd_wake": "F5",
}

BOUND = ("cpuset", "memory_policy", "thisnode")

# Zones of a kill are sampled before the kernel prints its report, those of a stall when it begins.
# Older ones belong to something else; the clocks of two CPUs may differ by the second.
MAX_STATE_AGE_NS = 1_000_000_000
MAX_CLOCK_SKEW_NS = 1_000_000

OVER = "the shortage was over"
BLOCKS = (
    "the only large enough free blocks may be isolated, or in a reserve or CMA area that this request may"
    " not use"
)


@dataclass(frozen=True)
class Verdict:
    kind: str
    reason: str
    mark: str
    zones: tuple[ZoneVerdict, ...]


@dataclass(frozen=True)
class Judged:
    """An event with its class and level.

    The verdict is found when it is asked for: a run may have a million stalls, and of those the class is
    all that is counted.
    """

    event: Shortage
    level: str
    klass: str

    @cached_property
    def verdict(self) -> Verdict:
        return _verdict(self.event, "low" if self.event.kind == "kswapd_wake" else "min")

    @cached_property
    def at_high(self) -> Verdict | None:
        """Of a kill, at the mark of the last attempt."""
        if self.event.kind != "oom_kill" or _obstacle(self.event):
            return None
        return _verdict(self.event, "high")


def _merge_could_help(v: ZoneVerdict) -> bool:
    """Enough pages with H and no block: held chunks might merge with free neighbours into one."""
    return v.with_held.block is False and v.with_held.shortfall == 0 and v.zone.uncompensated_pages > 0


def judge_zones(zones: Iterable[ZoneState], order: int, flags: AllocFlags, mark_name: str) -> Verdict:
    """The verdict on a request of which all is known; `zones` are those it may use."""
    judged = tuple(judge_zone(z, order, flags, mark_name) for z in zones)

    def verdict(kind: str, reason: str = "") -> Verdict:
        return Verdict(kind, reason, mark_name, judged)

    for v in judged:
        if v.without.passes is True:
            return verdict(
                UNDETERMINED,
                f"when sampled, {zone_title(v.zone)} had {v.without.usable} usable pages, more than the"
                f" {v.without.need} needed: {OVER}",
            )
    if any(v.without.passes is None for v in judged):
        return verdict(UNDETERMINED, BLOCKS)
    if any(v.with_held.passes is True for v in judged):
        return verdict(ATTRIBUTABLE)
    if any(v.with_held.passes is None and v.without.block is None for v in judged):
        return verdict(UNDETERMINED, BLOCKS)
    if any(v.with_held.passes is None for v in judged):
        return verdict(UNDETERMINED, "free and held pages were not sampled closely enough to decide")
    if any(_merge_could_help(v) for v in judged):
        return verdict(
            UNDETERMINED, "only merging held chunks with free neighbours could have made the block"
        )
    return verdict(GENUINE)


@dataclass(frozen=True)
class _Open:
    """One thing the record may leave open: what it may have been, and the sentence when that decides."""

    choices: tuple
    why: str


def _nodes_open(event: Shortage, nodes: frozenset[int], lifted: bool) -> _Open:
    """The sets of nodes the request may have used.

    Of a set nobody knows, each node on its own stands for all: when every single one is genuine (or every
    one attributable), so is any union of them.
    """
    singles = tuple(frozenset((n,)) for n in sorted(nodes))
    bound = event.constraint in BOUND or bool((event.gfp or 0) & gfpbits.THISNODE)
    if event.allowed_nodes is not None:
        allowed = frozenset(event.allowed_nodes)
        # PF_MEMALLOC and OOM victims leave nodemask and cpuset behind on their second attempt.
        if lifted and nodes - allowed and event.constraint != "thisnode":
            return _Open((allowed, nodes | allowed), "a task with these rights may leave its nodes")
        return _Open((allowed,), "")
    if bound:
        how = event.constraint if event.constraint in BOUND else "thisnode"
        words = {"thisnode": "bound to one node", "cpuset": "bound by a cpuset"}.get(
            how, "bound by a memory policy"
        )
        return _Open(singles, f"the request was {words} and the record does not say which nodes that left")
    if event.constraint == "none":
        return _Open((nodes,), "")
    return _Open(singles, "the record does not say which nodes the request could use")


def _rights_open(event: Shortage) -> tuple[_Open, _Open]:
    """PF_MEMALLOC and the rights of an OOM victim, as far as the record and the kernel settle them."""
    gfp = event.gfp or 0
    never = _Open((False,), "")
    if gfp & gfpbits.NOMEMALLOC or event.kind == "kswapd_wake":
        return never, never
    # In an interrupt a task's rights do not hold, and only there nothing may block.
    task_context = bool(gfp & gfpbits.DIRECT_RECLAIM)

    def rights(known: bool | None, why: str) -> _Open:
        if known is False or (known is True and task_context):
            return _Open((known,), "")
        return _Open((False, True), why)

    # A task in reclaim neither reclaims nor compacts again nor calls the OOM killer, and an OOM victim
    # that calls it is let go, not recorded as the cause of another kill.
    reclaim = never
    if event.kind == "alloc_fail" or event.pf_memalloc:
        reclaim = rights(
            event.pf_memalloc,
            "whether watermarks held for the task (PF_MEMALLOC, in reclaim) is not in the record"
            if event.pf_memalloc is None
            else "whether the task's PF_MEMALLOC held where the request was made is not in the record",
        )
    victim = never
    if event.kind != "oom_kill" or event.oom_victim:
        victim = rights(
            event.oom_victim, "whether the task was an OOM victim with its reserves is not in the record"
        )
    return reclaim, victim


def _cma_open(event: Shortage, zones: Sequence[ZoneState], mark: str) -> _Open:
    """Whether CMA pages count (None: not in the record, nor is the request)."""
    if mark == "high":
        return _Open((False,), "")  # the last attempt runs without ALLOC_CMA
    if event.gfp is None:
        return _Open((False, True), "whether the request could use CMA pages is not in the record")
    return _Open((gfpbits.may_use_cma(event.gfp),), "")


def _filled(zone: ZoneState, cma_most: bool, boost_most: bool) -> ZoneState:
    """A zone with what the record lacks at one end of its range."""
    cma, boost = zone.cma_pages, zone.boost_pages
    if cma is None:
        cma = max(zone.free_pages, 0) if cma_most else 0
    if boost is None:
        boost = int(zone.high_pages * MAX_BOOST) if boost_most else 0
    return dataclasses.replace(zone, cma_pages=cma, boost_pages=boost)


def judge_request(event: Shortage, highest_zoneidx: int, mark: str = "min") -> Verdict:
    """The verdict on the request of an event; see the head of this file."""
    if not event.allowed_nodes:  # an empty set says nothing
        event = dataclasses.replace(event, allowed_nodes=None)
    eligible = [z for z in event.zones if z.zone <= highest_zoneidx]
    if not event.zones:
        return Verdict(UNDETERMINED, "the record has no state of a zone this request may use", mark, ())
    in_record = frozenset(z.node for z in event.zones)
    if event.allowed_nodes is not None and not in_record.issuperset(event.allowed_nodes):
        lacking = ", ".join(str(n) for n in event.allowed_nodes if n not in in_record)
        return Verdict(UNDETERMINED, f"no zone of node {lacking}, which the request may use", mark, ())
    if event.allowed_nodes is None and event.constraint in BOUND and len(in_record) == 1:
        return Verdict(
            UNDETERMINED, "the request was bound, and its nodes are not in the record", mark, ()
        )
    if not eligible and event.allowed_nodes is None:
        return Verdict(UNDETERMINED, "the record has no state of a zone this request may use", mark, ())

    reclaim, victim = _rights_open(event)
    unmovable = not gfpbits.may_use_cma(event.gfp or 0) or mark == "high"
    cma_unknown = unmovable and any(z.cma_pages is None for z in eligible)
    boost_unknown = any(z.boost_pages is None for z in eligible)
    dimensions = (
        reclaim,
        victim,
        _nodes_open(event, in_record, bool(event.pf_memalloc or event.oom_victim)),
        _cma_open(event, eligible, mark),
        _Open((False, True) if cma_unknown else (False,), "free CMA pages are not in the record"),
        _Open((False, True) if boost_unknown else (False,), "the watermark boost is not in the record"),
    )

    def one(world: tuple) -> Verdict:
        in_reclaim, oom_victim, nodes, cma, cma_most, boost_most = world
        # The last attempt under the OOM lock runs with ALLOC_WMARK_HIGH alone, the fast path with low.
        flags = AllocFlags()
        if mark == "min":
            flags = gfpbits.alloc_flags(event.gfp or 0, event.order, in_reclaim, oom_victim)
        flags = dataclasses.replace(flags, cma=cma)
        zones = [_filled(z, cma_most, boost_most) for z in eligible if z.node in nodes]
        return judge_zones(zones, event.order, flags, mark)

    verdicts = {world: one(world) for world in itertools.product(*(d.choices for d in dimensions))}
    first = next(iter(verdicts.values()))
    if len({v.kind for v in verdicts.values()}) == 1:
        return first
    # A request that failed had no rights with which it would have passed.  That settles "genuine" only:
    # before hinting is accused the rights must be in the record.
    likely = {
        v.kind
        for (in_reclaim, oom_victim, *_), v in verdicts.items()
        if not ((in_reclaim or oom_victim) and v.reason.endswith(OVER))
    }
    if likely == {GENUINE}:
        return next(v for v in verdicts.values() if v.kind == GENUINE)
    # Name what decides alone; when nothing does, everything that was open.
    decides = [
        d.why
        for i, d in enumerate(dimensions)
        if len(d.choices) > 1
        and any(
            verdicts[w].kind != verdicts[(*w[:i], choice, *w[i + 1 :])].kind
            for w in verdicts
            for choice in d.choices
        )
    ]
    return Verdict(UNDETERMINED, "; ".join(decides), mark, first.zones)


def classify(event: Shortage) -> str:
    """System-wide shortage, or one of the classes that are not."""
    if event.memcg:
        return MEMCG
    if event.sysrq:
        return SYSRQ
    if event.own:
        return OWN
    if event.kind == "alloc_fail" and event.gfp is not None and gfpbits.is_fallback(event.gfp, event.order):
        return FALLBACK
    return SYSTEM


def _obstacle(event: Shortage) -> str:
    """Why an event cannot be judged from its record; empty when it can."""
    if event.gfp is None and event.kind != "kswapd_wake":
        return "the record does not have the request that failed"
    if event.order is None:
        return "the record does not have the size of the request"
    if event.zones_missing:
        return "more zones than the record can hold"
    if event.memcg:
        return "the limit of a cgroup was short, not memory"
    if event.state_ns is not None:
        age = event.t_ns - event.state_ns
        if age < -MAX_CLOCK_SKEW_NS:
            return f"the zones were sampled {-age / 1e6:.1f} ms after the event"
        if age > MAX_STATE_AGE_NS + (event.duration_ns or 0):
            return f"the zones were sampled {age / 1e9:.1f} s before the event"
    return ""


def _unknown_class(event: Shortage) -> str:
    """What the record does not say and would put the event into a class of its own; empty when it says all."""
    if event.kind in ("oom_kill", "alloc_fail") and event.memcg is None:
        return "whether the limit of a cgroup was short, not memory, is not in the record"
    if event.kind == "oom_kill" and event.sysrq is None:
        return "whether the kill was asked for by sysrq is not in the record"
    return ""


def _verdict(event: Shortage, mark: str) -> Verdict:
    obstacle = _obstacle(event)
    if obstacle:
        return Verdict(UNDETERMINED, obstacle, mark, ())
    highest = event.highest_zoneidx
    if event.kind == "kswapd_wake":
        # kswapd is woken for a node, whatever the request was bound to.
        zones = tuple(z for z in event.zones if event.node in (None, z.node))
        event = dataclasses.replace(event, zones=zones, allowed_nodes=None, constraint="none")
        highest = len(gfpbits.ZONE_NAMES) - 1 if highest is None else highest
    if highest is None:
        highest = gfpbits.highest_zone(event.gfp or 0)
    verdict = judge_request(event, highest, mark)
    unknown = _unknown_class(event)
    if unknown and verdict.kind != UNDETERMINED:
        return dataclasses.replace(verdict, kind=UNDETERMINED, reason=unknown)
    return verdict


def judge_event(event: Shortage) -> Judged:
    """Class and level of one event of a record, and on demand its verdict."""
    klass = classify(event)
    return Judged(event, "F3" if klass == FALLBACK else LEVELS[event.kind], klass)
