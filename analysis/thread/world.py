# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule looks at: arms beside each other at one point, and what to say when they are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.compare.analyse import Analysis
from analysis.compare.arms import BASELINE
from analysis.compare.claims import REFUTED, SUPPORTED, Claim
from analysis.compare.factors import TITLES, Value, show
from analysis.compare.sides import Side, plural, sides_of

BORNE_OUT = "borne out"
CONTRADICTED = "contradicted"
UNDECIDED = "not decided"

Row = tuple[str, ...]

MAX_ROWS = 24  # of a table over several points


@dataclass(frozen=True)
class Table:
    """The numbers behind a verdict; the first column is text, and a row of one cell a heading."""

    head: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Finding:
    """A verdict at one point; where is empty when there is nothing else."""

    verdict: str
    reason: str
    table: Table | None = None
    where: str = ""


@dataclass(frozen=True)
class Place:
    """Arms that may be compared, by name; each has counted runs."""

    sides: Mapping[str, Side]
    where: str

    def of(self, arm: str) -> Side:
        return self.sides[arm]

    @property
    def baseline(self) -> Side:
        return next(s for s in self.sides.values() if s.arm.role == BASELINE)


@dataclass(frozen=True)
class World:
    a: Analysis

    @property
    def baseline(self) -> str:
        """The arm without hinting; empty when no record has one."""
        return next((d.name for d in self.a.definitions.values() if d.role == BASELINE), "")

    def places(self, *arms: str) -> Iterator[Place]:
        """Every point at which all these arms have counted runs, each set of labels once; that with most arms first."""
        seen: set[tuple[str, ...]] = set()
        for group in sorted(self.a.groups, key=lambda g: -len(g.labels)):
            found = {s.name: s for s in sides_of(group, self.a.arms, self.a.definitions, self.a.absent)}
            if not all(arm in found and found[arm].cells for arm in arms):
                continue
            sides = {arm: found[arm] for arm in arms}
            labels = tuple(s.label for s in sides.values())
            if labels not in seen:
                seen.add(labels)
                yield Place(sides, self.title([s.label for s in sides.values()]))

    def title(self, labels: Sequence[str]) -> str:
        """What these labels have in common, of what is varied."""
        point: dict[str, Value] = {}
        for label in labels:
            point |= {k: v for k, v in self.a.points[label].items() if v is not None}
        return ", ".join(f"{factor_title(k)} {show(k, v)}" for k, v in point.items())

    def gap(self, *arms: str) -> str:
        """Which of these arms are not there, or not together."""
        missing = []
        for arm in arms:
            sides = [c for cells in self.a.arms.values() for c in cells if c.record.spec.arm == arm]
            absent = [x for x in self.a.absent if x.arm == arm]
            if not arm:
                missing.append("no arm without hinting has a counted run")
            elif not sides and absent:
                missing.append(f"no run of arm {arm} counts ({absent[0].short})")
            elif not sides:
                missing.append(f"no run of arm {arm} is in these results")
        return "; ".join(missing) or f"at no point do {', '.join(arms)} stand beside each other"

    def missing(self, *arms: str) -> Finding:
        return Finding(UNDECIDED, self.gap(*arms))


def factor_title(name: str) -> str:
    return TITLES.get(name, name.removeprefix("params."))


def from_claim(claim: Claim, table: Table | None, where: str) -> Finding:
    verdict = {SUPPORTED: BORNE_OUT, REFUTED: CONTRADICTED}.get(claim.verdict, UNDECIDED)
    return Finding(verdict, claim.evidence, table, where)


def _merged(findings: Sequence[Finding]) -> Table | None:
    """The tables of several points as one; a row of one cell says what tells the next ones apart."""
    found = [(f.where.split(", "), f.table) for f in findings if f.table]
    if len(found) < 2 or any(t.head != found[0][1].head for _, t in found):
        return found[0][1] if found else None
    shared = set.intersection(*(set(where) for where, _ in found))
    rows: list[Row] = []
    for where, t in found:
        rows += [(", ".join(x for x in where if x not in shared),), *t.rows]
    return Table(found[0][1].head, tuple(rows[:MAX_ROWS]))


def combined(findings: Sequence[Finding]) -> Finding:
    """Of one sentence at several points: contradicted anywhere, else borne out anywhere, else not decided."""
    verdict = next((v for v in (CONTRADICTED, BORNE_OUT) if any(f.verdict == v for f in findings)), UNDECIDED)
    chosen = [f for f in findings if f.verdict == verdict]
    first = chosen[0]
    if len(chosen) == 1:
        return first
    if verdict == UNDECIDED:
        reasons = list(dict.fromkeys(f"{f.where}: {f.reason}" if f.where else f.reason for f in chosen))
        table = _merged(chosen)
        if table and len(reasons) > 1:
            more = "1 other setting does" if len(reasons) == 2 else (
                f"{len(reasons) - 1} other settings do"
            )
            return Finding(verdict, f"{first.reason}; {more} not decide it either", table, first.where)
        return Finding(verdict, "; ".join(reasons[:3]), table)
    more = len(chosen) - 1
    reason = f"{first.reason}; the same verdict at {plural(more, 'other setting')}"
    return Finding(verdict, reason, _merged(chosen), first.where)
