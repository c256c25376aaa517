# SPDX-License-Identifier: GPL-2.0-or-later
"""Avoided: does a kill also happen in the paired run with another arm?

Cells with the same seed and repeat have the same schedule of wave rounds, so a kill in round i of arm A
is avoided in arm B when the paired cell of B has no kill in round i.  Rounds after the first difference
between two runs may differ for that reason too: pairing shows what would have happened, not why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.judge.judge import ATTRIBUTABLE, GENUINE
from analysis.compare.stats import CellStats

REFERENCES = ("none", "buffer")


@dataclass(frozen=True)
class Pairing:
    """Kills of arm `a` against the paired cells of arm `b`."""

    a: str
    b: str
    nr_cells: int
    kills: int
    avoided: int
    unplaced: int
    agree: int
    disagree: int
    undecided: int

    @property
    def agreement(self) -> float | None:
        """Share of kills where 'attributable' and 'avoided' say the same; None when no kill was judged."""
        judged = self.agree + self.disagree
        return self.agree / judged if judged else None


def kill_rounds(cell: CellStats) -> frozenset[int]:
    return frozenset(r for r in cell.round_of_kill if r is not None)


def pair(a: Sequence[CellStats], b: Sequence[CellStats], label_a: str, label_b: str) -> Pairing:
    others = {c.pair_key: c for c in b}
    nr_cells = kills = avoided = unplaced = agree = disagree = undecided = 0
    for cell in a:
        other = others.get(cell.pair_key)
        if other is None:
            continue
        nr_cells += 1
        theirs = kill_rounds(other)
        for kill, round_ in zip(cell.kills, cell.round_of_kill, strict=True):
            kills += 1
            if round_ is None:
                unplaced += 1
                continue
            gone = round_ not in theirs
            avoided += gone
            if kill.verdict.kind not in (ATTRIBUTABLE, GENUINE):
                undecided += 1
            elif (kill.verdict.kind == ATTRIBUTABLE) == gone:
                agree += 1
            else:
                disagree += 1
    return Pairing(label_a, label_b, nr_cells, kills, avoided, unplaced, agree, disagree, undecided)


def pair_all(arms: Mapping[str, Sequence[CellStats]]) -> tuple[Pairing, ...]:
    """Every ordered pair of arms that share a seed and repeat."""
    out = [pair(arms[a], arms[b], a, b) for a in arms for b in arms if a != b]
    return tuple(p for p in out if p.nr_cells)


def reference_for(label: str, arms: Mapping[str, Sequence[CellStats]]) -> str | None:
    """The arm that says what would have happened without hinting's hold: none, else buffer."""
    for name in REFERENCES:
        if name in arms and name != label:
            return name
    return None


def avoided_by_cell(cells: Sequence[CellStats], reference: Sequence[CellStats]) -> dict[str, int]:
    """Kills avoided in the reference, per cell that has a partner there."""
    keys = {c.pair_key for c in reference}
    return {c.cell.name: pair([c], reference, "", "").avoided for c in cells if c.pair_key in keys}
