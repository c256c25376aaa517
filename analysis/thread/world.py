# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule looks at: arms beside each other at one point, and what to say when they are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.compare.analyse import Analysis
from analysis.compare.arms import BASELINE
from analysis.compare.claims import REFUTED, SUPPORTED, Claim
from analysis.compare.factors import TITLES, Value, show
from analysis.compare.sides import Side, sides_of

BORNE_OUT = "borne out"
CONTRADICTED = "contradicted"
UNDECIDED = "not decided"

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The numbers behind a verdict; the first column is text."""

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
        """Every point at which all these arms have counted runs, each set of labels once."""
        seen: set[tuple[str, ...]] = set()
        for group in self.a.groups:
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


def combined(findings: Sequence[Finding]) -> Finding:
    """Of one sentence at several points: contradicted anywhere, else borne out anywhere, else not decided."""
    for verdict in (CONTRADICTED, BORNE_OUT):
        for f in findings:
            if f.verdict == verdict:
                return f
    first = findings[0]
    reasons = list(dict.fromkeys(f"{f.where}: {f.reason}" if f.where else f.reason for f in findings))
    if len(findings) == 1:
        return first
    return Finding(UNDECIDED, "; ".join(reasons[:3]), first.table, "")
