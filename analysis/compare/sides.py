# SPDX-License-Identifier: GPL-2.0-or-later
"""One arm at one point, as claims and the answer see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compare.absent import Absent, reasons
from analysis.compare.factors import Group, Rate, rate
from analysis.compare.stats import CellStats
from analysis.judge.judge import ATTRIBUTABLE, GENUINE
from analysis.record.model import Arm


@dataclass(frozen=True)
class Rounds:
    """Whole rounds of an arm over its cells; without rounds a run counts as one.

    between counts kills in no whole round: between two, or in one that the measured phase cut.
    """

    total: int
    with_kill: int
    attributable: int
    genuine: int
    unit: str
    between: int = 0


def plural(n: int, word: str) -> str:
    return f"{n} {word}" + ("" if n == 1 else "s")


def rounds_of(cells: Sequence[CellStats]) -> Rounds:
    hits: dict[tuple[int, int], set[str]] = {}
    between = 0
    by_round = any(c.rounds for c in cells)
    for i, c in enumerate(cells):
        for kill, r in zip(c.kills, c.round_of_kill, strict=True):
            if not by_round:
                hits.setdefault((i, 0), set()).add(kill.verdict.kind)
            elif r is not None and r in c.rounds:
                hits.setdefault((i, r), set()).add(kill.verdict.kind)
            else:
                between += 1
    return Rounds(
        sum(len(set(c.rounds)) for c in cells) if by_round else len(cells),
        len(hits),
        sum(ATTRIBUTABLE in kinds for kinds in hits.values()),
        sum(GENUINE in kinds for kinds in hits.values()),
        "round" if by_round else "run",
        between,
    )


@dataclass(frozen=True)
class Side:
    """An arm at a point: its counted cells, and its runs that do not count."""

    label: str
    arm: Arm
    cells: tuple[CellStats, ...]
    absent: tuple[Absent, ...]
    rounds: Rounds

    @property
    def name(self) -> str:
        """As it is called among the arms of one point, where every arm has one label."""
        return self.arm.name

    @property
    def kills(self) -> int:
        return sum(len(c.kills) for c in self.cells)

    @property
    def outside(self) -> int:
        """Kills before or after the measured phase, which no rate has."""
        return sum(c.kills_outside for c in self.cells)

    @property
    def own_kills(self) -> int:
        return round(self.sum("own_kills"))

    @property
    def dead(self) -> int:
        return sum(a.dead for a in self.absent)

    @property
    def rate(self) -> Rate:
        return rate(self.rounds.with_kill, self.rounds.total, self.rounds.unit)

    @property
    def clean(self) -> bool:
        """No process was killed, anywhere in the runs, and every run is there."""
        return not (self.kills or self.outside or self.absent)

    @property
    def nr_runs(self) -> int:
        return len(self.cells) + len(self.absent)

    def sum(self, key: str) -> float | None:
        """Over all runs; None when it is unknown of one."""
        values = [c.values[key] for c in self.cells]
        return None if None in values else sum(values)

    def sum_words(self, key: str, how: str = ".0f") -> str:
        total = self.sum(key)
        return "an unknown number of" if total is None else format(total, how)

    def rate_words(self) -> str:
        """E.g. "23 of 72 rounds"."""
        r = self.rounds
        return f"{r.with_kill} of {plural(r.total, r.unit)}"

    def gap(self) -> str:
        """Runs that do not count, how many and why; empty when all do."""
        if not self.absent:
            return ""
        gone = f"{len(self.absent)} of {plural(self.nr_runs, 'run')} of {self.name}"
        return f"{gone} do not count ({reasons(self.absent)})"


def sides_of(
    group: Group,
    cells: dict[str, tuple[CellStats, ...]],
    arms: dict[str, Arm],
    absent: Sequence[Absent],
) -> tuple[Side, ...]:
    """The arms of a group whose definition is known, in order; those of which no run counts, too."""
    out = []
    seen: set[str] = set()
    for label in group.labels:
        group_cells = cells.get(label, ())
        arm = group_cells[0].record.spec.arm if group_cells else label
        seen.add(arm)
        if arm in arms:
            gone = tuple(a for a in absent if a.label == label)
            out.append(Side(label, arms[arm], group_cells, gone, rounds_of(group_cells)))
    for name in dict.fromkeys(a.arm for a in absent):
        gone = tuple(a for a in absent if a.arm == name and a.label == name)
        if name not in seen and name in arms and gone:
            out.append(Side(name, arms[name], (), gone, rounds_of(())))
    return tuple(sorted(out, key=lambda s: (s.arm.order, s.label)))
