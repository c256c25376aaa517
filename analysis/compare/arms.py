# SPDX-License-Identifier: GPL-2.0-or-later
"""Arms by their role.  What an arm is called, is for and is judged by comes from its definition in the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis.compare.stats import CellStats
from analysis.record.model import Arm, Record

BASELINE = "baseline"
RIVAL = "rival"
CURE = "cure"
CONTROL = "control"

# By label, in order of display.
Arms = Mapping[str, Sequence[CellStats]]

LAST = 1 << 30


def rank(record: Record) -> tuple[int, str]:
    """Place of a record's arm in tables: as defined; the unknown ones of old records last, by name."""
    return (record.arm.order if record.arm else LAST, record.spec.arm)


def definitions(records: Iterable[Record]) -> dict[str, Arm]:
    """Definition by arm name, of the first record that has one."""
    out: dict[str, Arm] = {}
    for r in records:
        if r.arm is not None:
            out.setdefault(r.spec.arm, r.arm)
    return out
