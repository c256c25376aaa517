# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules that decide a sentence.  Each looks at every point where its arms stand beside each other.

A rule gets the arms and factors it is about from sentences.json: no arm is named here.  Shares of rounds are
compared by Fisher's exact test at 5 %; a share is given with its exact interval.  What holds for runs that do
not count holds here, too: nothing is decided in favour of an arm of which runs are missing (compare/claims.py).
docs/thread.md has the rules in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.compare import claims
from analysis.compare.factors import Rate, lower, p_value, rate, show
from analysis.compare.metrics import Number, summarise
from analysis.compare.sides import Side, plural
from analysis.compare.stats import NS
from analysis.record.model import MIB
from analysis.thread import measures
from analysis.thread.measures import spread
from analysis.thread.world import (
    BORNE_OUT,
    CONTRADICTED,
    UNDECIDED,
    Finding,
    Place,
    Table,
    World,
    combined,
    factor_title,
    from_claim,
)

Args = Mapping[str, Any]

ALIKE = 0.10  # two shares whose exact intervals lie within this of each other are the same
CLOSE = 0.05  # two numbers of a pair of runs that differ by no more are the same
PAIRS = 3  # pairs of runs it takes to say so


def share(r: Rate) -> str:
    if r.share is None or r.lo is None or r.hi is None:
        return "–"
    return f"{r.with_kill} of {r.total} ({100 * r.lo:.0f} to {100 * r.hi:.0f} %)"


def p_text(a: Rate, b: Rate) -> str:
    p = p_value(a, b)
    return "–" if p is None else f"{p:.2g}"


def _number(side: Side, key: str, how: str = "") -> str:
    return spread([v for c in side.cells if (v := c.values.get(key)) is not None], how)


def kill_table(sides: Sequence[Side]) -> Table:
    """Rounds with a kill of each arm, and what else there is to know of them; p against the first."""
    against = f"p against {sides[0].name}"
    head = ("arm", "rounds with a kill (95 %)", "attributable", against, "runs", "exposure, MiB s", "stalls", "p99, ms")
    rows = []
    for s in sides:
        p99 = [v / 1000 for c in s.cells if (v := c.values.get("latency_p99_us")) is not None]
        rows.append(
            (
                s.name,
                share(s.rate),
                str(s.rounds.attributable),
                "" if s is sides[0] else p_text(s.rate, sides[0].rate),
                str(len(s.cells)),
                _number(s, "exposure_mib_s"),
                _number(s, "direct_reclaim_stalls", "{:.0f}"),
                spread(p99),
            )
        )
    return Table(head, tuple(rows))


def unfit(place: Place, baseline: str) -> str:
    """Why nothing can be laid at the door of hinting; empty when the workload fits without it."""
    none = place.of(baseline)
    if none.clean:
        return ""
    return none.gap() or f"the workload does not fit even without hinting ({plural(none.kills + none.outside, 'kill')})"


def at_each(
    world: World, arms: Sequence[str], decide: Callable[[Place], Finding], *, fits: bool = False
) -> Finding:
    """The rule at every point that has these arms; fits: and where the workload fits without hinting."""
    names = [*arms, *([world.baseline] if fits else [])]
    places = list(world.places(*names)) if all(names) else []
    if not places:
        return world.missing(*names)
    found = []
    for place in places:
        why = unfit(place, world.baseline) if fits else ""
        found.append(Finding(UNDECIDED, why, None, place.where) if why else decide(place))
    return combined(found)


def creates(world: World, s: Args) -> Finding:
    """That hinting this way can take a process its memory: one is enough, and none proves nothing."""

    def decide(place: Place) -> Finding:
        side, none = place.of(s["arm"]), place.of(world.baseline)
        return from_claim(claims.fake_oom([side, none], place.where), kill_table([none, side]), place.where)

    return at_each(world, [s["arm"]], decide, fits=True)


def spares(world: World, s: Args) -> Finding:
    """That an arm has no fake OOM where another has."""

    def decide(place: Place) -> Finding:
        arm, rival = place.of(s["arm"]), place.of(s["rival"])
        table = kill_table([rival, arm, place.of(world.baseline)])
        return from_claim(claims.removes(arm, [rival], place.where), table, place.where)

    return at_each(world, [s["arm"], s["rival"]], decide, fits=True)


def spares_not(world: World, s: Args) -> Finding:
    """That it is no cure."""
    f = spares(world, s)
    turned = {BORNE_OUT: CONTRADICTED, CONTRADICTED: BORNE_OUT}
    return Finding(turned.get(f.verdict, f.verdict), f.reason, f.table, f.where)


def least_spares(world: World, s: Args) -> Finding:
    """That the least size of an arm is enough."""
    sizes = [f for f in world.a.factors if f.name == s["factor"]]
    if not sizes:
        return Finding(UNDECIDED, f"nothing varies {factor_title(s['factor'])} in these results")
    arms = [s["arm"], s["rival"], world.baseline]
    places = list(world.places(*arms)) if all(arms) else []
    if not places:
        return world.missing(*arms)

    def size(p: Place) -> Any:
        return world.a.points[p.of(s["arm"]).label].get(s["factor"]) or 0

    least = min(places, key=size)
    why = unfit(least, world.baseline)
    if why:
        return Finding(UNDECIDED, why, None, least.where)
    arm, rival = least.of(s["arm"]), least.of(s["rival"])
    claim = claims.removes(arm, [rival], least.where)
    return from_claim(claim, kill_table([rival, arm, least.of(world.baseline)]), least.where)


def alike(a: Rate, b: Rate) -> bool:
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None:
        return False
    return max(a.hi, b.hi) - min(a.lo, b.lo) <= ALIKE


def depends(world: World, s: Args) -> Finding:
    """That how often an arm kills differs along a factor, all others equal: its least value against its largest."""
    name = s["factor"]
    factor = next((f for f in world.a.factors if f.name == name), None)
    if factor is None:
        return Finding(UNDECIDED, f"nothing varies {factor_title(name)} in these results")
    places = list(world.places(s["arm"], world.baseline)) if world.baseline else []
    if not places:
        return world.missing(s["arm"], world.baseline)
    lines: dict[tuple[tuple[str, Any], ...], list[tuple[Any, Place]]] = {}
    for p in places:
        point = dict(world.a.points[p.of(s["arm"]).label])
        at = point.pop(name)
        if at is not None:
            lines.setdefault(tuple(point.items()), []).append((at, p))
    found = []
    for line in (x for x in lines.values() if len(x) > 1):
        line.sort(key=lambda x: factor.values.index(x[0]))
        found.append(_ends(world, s, name, line))
    if not found:
        why = f"{s['arm']} was not run at two values of {factor_title(name)} with all else equal"
        return Finding(UNDECIDED, why)
    return combined(found)


def _ends(world: World, s: Args, name: str, line: Sequence[tuple[Any, Place]]) -> Finding:
    (lo, first), (hi, last) = line[0], line[-1]
    head = (factor_title(name), "rounds with a kill (95 %)", "attributable", "runs")
    rows = tuple(
        (show(name, v), share(p.of(s["arm"]).rate), str(p.of(s["arm"]).rounds.attributable),
         str(len(p.of(s["arm"]).cells)))
        for v, p in line
    )
    table = Table(head, rows)
    a, b = first.of(s["arm"]), last.of(s["arm"])
    why = unfit(first, world.baseline) or unfit(last, world.baseline) or claims.gaps(a, b)
    ends = f"{factor_title(name)} {show(name, lo)} against {show(name, hi)}: p = {p_text(a.rate, b.rate)}"
    if why:
        return Finding(UNDECIDED, why, table)
    if lower(a.rate, b.rate) is not None:
        return Finding(BORNE_OUT, ends, table)
    if a.rate.with_kill and b.rate.with_kill and alike(a.rate, b.rate):
        return Finding(CONTRADICTED, f"{ends}; both shares lie within {100 * ALIKE:.0f} points", table)
    if not a.rate.with_kill and not b.rate.with_kill:
        return Finding(UNDECIDED, f"{s['arm']} killed at neither end", table)
    return Finding(UNDECIDED, f"{ends}: too few rounds to tell them apart", table)


def blocks_needlessly(world: World, s: Args) -> Finding:
    """That most stops of a mechanism that blocks were for nothing."""

    def decide(place: Place) -> Finding:
        side = place.of(s["arm"])
        st = measures.stops(side)
        table = Table(
            ("arm", "stops", "longest, ms", "stopped, s", "of the CPU's time", "needless (95 %)"),
            ((side.name, str(st.nr), f"{st.longest_ns / 1e6:.3g}", f"{st.ns / NS:.3g}",
              f"{100 * st.ns / st.cpu_ns:.0f} %" if st.cpu_ns else "–", share(st.needless)),),
        )
        n = st.needless
        if n.share is None or n.lo is None or n.hi is None:
            return Finding(UNDECIDED, f"{side.name} stopped no CPU that was sampled afterwards", table, place.where)
        said = f"of {n.total} stops {n.with_kill} took a chunk that nobody needed before it was back"
        if gap := claims.gaps(side):
            return Finding(UNDECIDED, f"{said}; {gap}", table, place.where)
        if n.lo > 0.5:
            return Finding(BORNE_OUT, said, table, place.where)
        verdict = CONTRADICTED if n.hi < 0.5 else UNDECIDED
        return Finding(verdict, said, table, place.where)

    return at_each(world, [s["arm"]], decide)


def outstanding(world: World, s: Args) -> Finding:
    """That when these arms kill, mostly something is out."""
    known = held = 0
    rows = []
    for arm in s["arms"]:
        pages = [n for p in world.places(arm) for n in measures.first_kills(p.of(arm)) if n is not None]
        known += len(pages)
        held += sum(map(bool, pages))
        if pages:
            out = [n * 4096 / MIB for n in pages if n]
            rows.append((arm, str(len(pages)), str(len(out)), spread(out)))
    if not any(True for arm in s["arms"] for _ in world.places(arm)):
        return world.missing(*s["arms"])
    r = rate(held, known, "shortage")
    table = Table(("arm", "shortages that killed", "with memory out", "out at the first kill, MiB"), tuple(rows))
    if r.lo is None or r.hi is None:
        return Finding(UNDECIDED, "no arm that hints lost a process", None)
    reason = f"memory was out in {share(r)} of the shortages that killed"
    return Finding(BORNE_OUT if r.lo > 0.5 else CONTRADICTED if r.hi < 0.5 else UNDECIDED, reason, table)


def along(world: World, s: Args) -> Finding:
    """That a number falls, or rises, with every step of a factor."""
    name, metric, falls = s["factor"], s["metric"], s["falls"]
    factor = next((f for f in world.a.factors if f.name == name), None)
    if factor is None:
        return Finding(UNDECIDED, f"nothing varies {factor_title(name)} in these results")
    lines: dict[tuple[tuple[str, Any], ...], list[tuple[Any, Side]]] = {}
    for p in world.places(s["arm"]):
        side = p.of(s["arm"])
        point = dict(world.a.points[side.label])
        at = point.pop(name)
        if at is not None:
            lines.setdefault(tuple(point.items()), []).append((at, side))
    if not lines:
        return world.missing(s["arm"])
    found = []
    for line in lines.values():
        line.sort(key=lambda x: factor.values.index(x[0]))
        numbers = [(show(name, v), _summed(world, side, metric)) for v, side in line]
        claim = claims.stepwise("", s["what"], numbers, "", falls)
        sides = [side for _, side in line]
        if claim.verdict != claims.UNTESTED:
            claim = claims.settled(claim, *sides)
        rows = tuple(
            (at, "–" if n.median is None else f"{n.median:.4g}", "–" if n.lo is None else f"{n.lo:.4g} to {n.hi:.4g}",
             _number(side, "hinted_mib"), _number(side, "batches", "{:.0f}"), str(len(side.cells)))
            for (at, n), side in zip(numbers, sides, strict=True)
        )
        head = (factor_title(name), s["what"], "least to most", "hinted, MiB", "batches", "runs")
        where = world.title([sides[0].label]) if len(sides) == 1 else _title_without(world, sides[0].label, name)
        f = from_claim(claim, Table(head, rows), where)
        if f.verdict != UNDECIDED and any(len(side.cells) == 1 for side in sides):
            f = replace(f, reason=f"{f.reason}; one run at a value, so without a range")
        found.append(f)
    # One value of the factor says nothing, and is no finding beside a line that has two.
    tried = [f for f in found if f.table and len(f.table.rows) > 1] or found[:1]
    return combined(tried)


def _title_without(world: World, label: str, name: str) -> str:
    point = {k: v for k, v in world.a.points[label].items() if v is not None and k != name}
    return ", ".join(f"{factor_title(k)} {show(k, v)}" for k, v in point.items())


def _summed(world: World, side: Side, metric: str) -> Number:
    if metric == "residue_mib":
        found = [v for c in side.cells if (v := measures.residue_mib(c)) is not None]
        return summarise(found, "MiB", "every run lost a process", adds=False)
    return world.a.numbers[side.label][metric]


def keeps_constant(world: World, s: Args) -> Finding:
    """That exchanges change no free page."""

    def decide(place: Place) -> Finding:
        side = place.of(s["arm"])
        guest = sum(c.record.nr_violations for c in side.cells)
        device = [c.record.end.device.get("violations") for c in side.cells]
        table = Table(
            ("arm", "exchanges", "free pages moved", "exposure, MiB s", "violations seen by the guest", "by the device"),
            ((side.name, side.sum_words("exchanges"), side.sum_words("exchange_free_delta_pages"),
              side.sum_words("exposure_mib_s", ".3g"), str(guest),
              "unknown" if None in device else str(sum(device))),),
        )
        return from_claim(claims.constant(side, place.where), table, place.where)

    return at_each(world, [s["arm"]], decide)
