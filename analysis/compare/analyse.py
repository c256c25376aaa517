# SPDX-License-Identifier: GPL-2.0-or-later
"""From loaded cells to everything the report and summary.json show."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compare import answer as answers
from analysis.compare.absent import Absent, absent_runs
from analysis.compare.answer import Answer, answer
from analysis.compare.arms import BASELINE, CURE, RIVAL, definitions, rank
from analysis.compare.checks import Check, checks
from analysis.compare.claims import Claim, batching, claims_at
from analysis.compare.factors import (
    Curve,
    Entry,
    Factor,
    Group,
    Point,
    curves,
    find_factors,
    groups_of,
    label_of,
    point_of,
    rate,
    show,
)
from analysis.compare.guard import SECOND, Refusal, environment_differences, sound, unique
from analysis.compare.metrics import Number, summarise
from analysis.compare.pairs import Pairing, avoided_by_cell, pair
from analysis.compare.sides import Rounds, Side, rounds_of, sides_of
from analysis.compare.stats import CellStats, arm_numbers, cell_stats
from analysis.record.invariants import Broken, broken
from analysis.record.model import Arm, Cell


@dataclass(frozen=True)
class Analysis:
    """A label is an arm with the factors that apply to it; without factors, the arm's name.

    accepted: cells that the guard let through, lossy ones included; arms: the counted cells of each label;
    references: the label of the baseline each label is paired with; answers: one for each group.
    """

    cells: tuple[Cell, ...]
    accepted: tuple[CellStats, ...]
    arms: dict[str, tuple[CellStats, ...]]
    definitions: dict[str, Arm]
    points: dict[str, Point]
    factors: tuple[Factor, ...]
    groups: tuple[Group, ...]
    curves: tuple[Curve, ...]
    excluded: tuple[Refusal, ...]
    broken: dict[str, tuple[Broken, ...]]
    absent: tuple[Absent, ...]
    numbers: dict[str, dict[str, Number]]
    rounds: dict[str, Rounds]
    references: dict[str, str | None]
    pairings: tuple[Pairing, ...]
    answer: Answer
    answers: tuple[Answer, ...]
    claims: tuple[Claim, ...]
    checks: tuple[Check, ...]
    environment_differences: tuple[str, ...]
    allow_loss: bool

    def count(self, state: str) -> int:
        return sum(c.state == state for c in self.cells)


def _contradictions(cells: Sequence[Cell]) -> dict[str, tuple[Broken, ...]]:
    watched = [c for c in cells if c.state == "finished" and c.record and c.record.spec.traced]
    found = {c.name: broken(c.record, c.folder) for c in watched}
    return {name: b for name, b in found.items() if b}


def _accept(
    cells: Sequence[Cell], contradictions: dict[str, tuple[Broken, ...]]
) -> tuple[list[CellStats], tuple[Factor, ...], list[Refusal]]:
    """The cells that may be compared, with their labels; why not, of the others."""
    refused = [Refusal(name, f"contradicts itself: {b[0]}") for name, b in contradictions.items()]
    finished = [
        (c, (c.name, c.record))
        for c in cells
        if c.state == "finished" and c.record and c.name not in contradictions
    ]
    keep, bad = sound([named for _, named in finished])
    refused += bad
    finished = [finished[i] for i in keep]
    factors = find_factors(record for _, (_, record) in finished)
    keep, bad = unique([named for _, named in finished], factors)
    refused += bad
    stats = [
        dataclasses.replace(cell_stats(finished[i][0]), label=label_of(finished[i][1][1], factors)) for i in keep
    ]
    positions = {f.name: {v: i for i, v in enumerate(f.values)} for f in factors}

    def order(s: CellStats) -> tuple[object, ...]:
        point = point_of(s.record, factors)
        at = tuple(positions[k].get(v, -1) if v is not None else -1 for k, v in point.items())
        return (*rank(s.record), at, s.pair_key)

    return sorted(stats, key=order), factors, refused


def _entries(a: dict[str, tuple[CellStats, ...]], points: dict[str, Point], numbers: dict[str, dict[str, Number]],
             rounds: dict[str, Rounds], absent: Sequence[Absent]) -> list[Entry]:
    out = []
    for label, cells in a.items():
        if not cells:
            continue
        r, e = rounds[label], numbers[label]["exposure_mib_s"]
        out.append(
            Entry(
                arm=cells[0].record.spec.arm,
                point=points[label],
                nr_cells=len(cells),
                kills=rate(r.with_kill, r.total, r.unit),
                attributable=rate(r.attributable, r.total, r.unit),
                exposure=(e.median, e.lo, e.hi),
                missing=sum(x.label == label for x in absent),
            )
        )
    return out


def _claims(
    groups: Sequence[Group], sides: Sequence[Sequence[Side]], numbers: dict[str, dict[str, Number]],
    points: dict[str, Point],
) -> tuple[Claim, ...]:
    out: list[Claim] = []
    for group, here in zip(groups, sides, strict=True):
        out += claims_at(here, group.title)
    # The claim about sizes goes along B, at each value of the other factors.
    sizes: dict[tuple[str, str], dict[str, tuple[Point, Side]]] = {}
    for group, here in zip(groups, sides, strict=True):
        rest = ", ".join(f"{k} {show(k, v)}" for k, v in group.point.items() if k != "B" and v is not None)
        for s in here:
            if s.arm.role == CURE and s.arm.buffer and s.cells:
                sizes.setdefault((s.arm.name, rest), {})[s.label] = (points[s.label], s)
    out += [batching(arm, list(found.values()), numbers, where) for (arm, where), found in sizes.items()]
    return tuple(out)


def analyse(cells: Sequence[Cell], allow_loss: bool = False) -> Analysis:
    """Check, guard, judge, pair and aggregate."""
    contradictions = _contradictions(cells)
    accepted, factors, excluded = _accept(cells, contradictions)
    arms: dict[str, tuple[CellStats, ...]] = {}
    for stats in accepted:
        group = arms.setdefault(stats.label, ())
        if stats.lossy and not allow_loss:
            excluded.append(Refusal(stats.cell.name, "events were lost; --allow-loss counts it all the same"))
            continue
        arms[stats.label] = (*group, stats)
    known = {s.label: s.record for s in reversed(accepted)}
    points: dict[str, Point] = {label: point_of(known[label], factors) for label in arms}
    groups = groups_of(points) or (Group({}, ()),)
    why: dict[str, str] = {}
    for r in excluded:
        if r.why != SECOND:
            why.setdefault(r.cell, r.why)
    made = {label: [s.pair_key for s in group] for label, group in arms.items()}
    absent = absent_runs(cells, why, factors, known, made, points)

    defined = definitions(c.record for c in cells if c.record)
    numbers: dict[str, dict[str, Number]] = {}
    references: dict[str, str | None] = {}
    pairings = []
    for label, group in arms.items():
        reference = next(
            (
                other
                for g in groups
                if label in g.labels
                for other in g.labels
                if other != label and arms[other] and (d := defined.get(known[other].spec.arm)) and d.role == BASELINE
            ),
            None,
        )
        references[label] = reference
        avoided = avoided_by_cell(group, arms[reference]) if reference else {}
        numbers[label] = arm_numbers(group, avoided)
        lost = [s.values["events_lost"] or 0.0 for s in accepted if s.label == label]
        numbers[label]["events_lost"] = summarise(lost, "count")
        if reference:
            pairings.append(pair(group, arms[reference], label, reference))
    rounds = {label: rounds_of(group) for label, group in arms.items()}
    sides = [sides_of(g, arms, defined, absent) for g in groups]
    nr_unknown = sum(s.record.arm is None for s in accepted)
    at = tuple(answer(here, nr_unknown) for here in sides)
    drawn = curves(factors, _entries(arms, points, numbers, rounds, absent))
    whole = at[0]
    if len(groups) > 1:
        names = [d.name for d in defined.values() if d.role in (RIVAL, CURE)]
        titled = [(g.title, one) for g, one in zip(groups, at, strict=True)]
        whole = answers.over_factors(titled, drawn, names, not absent)
    return Analysis(
        cells=tuple(cells),
        accepted=tuple(accepted),
        arms=arms,
        definitions=defined,
        points=points,
        factors=factors,
        groups=groups,
        curves=drawn,
        excluded=tuple(excluded),
        broken=contradictions,
        absent=absent,
        numbers=numbers,
        rounds=rounds,
        references=references,
        pairings=tuple(p for p in pairings if p.nr_cells),
        answer=whole,
        answers=at,
        claims=_claims(groups, sides, numbers, points),
        checks=checks(arms, accepted, [(name, str(b)) for name, found in contradictions.items() for b in found]),
        environment_differences=environment_differences(s.record for s in accepted),
        allow_loss=allow_loss,
    )
