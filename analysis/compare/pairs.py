# SPDX-License-Identifier: GPL-2.0-or-later
"""Avoided: does a kill also happen in the paired run without hinting?

Cells with the same seed and repeat have the same schedule of rounds, so a kill in round i of an arm is
avoided when the paired cell of the baseline went through round i and lost nobody there.  Only the baseline
says what would have happened without hinting; an arm that hints does not.  Rounds after the first
difference between two runs may differ for that reason too: pairing shows what would have happened, not why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compare.stats import CellStats
from analysis.judge.judge import ATTRIBUTABLE, GENUINE


@dataclass(frozen=True)
class Pairing:
    """Kills of label `a` against the paired cells of the baseline, label `b`.

    unplaced: kills in no round, or in one that the partner did not go through whole.
    """

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
            if round_ is None or (round_ not in other.rounds and round_ not in theirs):
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


def avoided_by_cell(cells: Sequence[CellStats], reference: Sequence[CellStats]) -> dict[str, int]:
    """Kills avoided in the reference, per cell that has a partner there."""
    keys = {c.pair_key for c in reference}
    return {c.cell.name: pair([c], reference, "", "").avoided for c in cells if c.pair_key in keys}
