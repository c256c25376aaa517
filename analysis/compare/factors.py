# SPDX-License-Identifier: GPL-2.0-or-later
"""What an experiment varies, and how the harm of each arm follows it.

A factor is an input that takes more than one value among the cells of a results folder.  It is found in
their specs, never declared.  Arms are compared at one *point* (one value of every factor) at a time; an arm
to which a factor does not apply has the value None there and belongs to all points of that factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = int | float | str
# Factor name to value; None where the factor does not apply to the arm.
Point = Mapping[str, Value | None]


@dataclass(frozen=True)
class Factor:
    """One varied input. `values` ascend when numeric; `unit` is "ns", "bytes", "ms" or empty."""

    name: str
    title: str
    values: tuple[Value, ...]
    numeric: bool
    unit: str


@dataclass(frozen=True)
class Rate:
    """Rounds with a kill among all rounds, with the exact 95 % interval (Clopper-Pearson)."""

    with_kill: int
    total: int
    share: float | None
    lo: float | None
    hi: float | None
    unit: str  # "round", or "run" when the workload has no rounds


@dataclass(frozen=True)
class CurvePoint:
    """One arm at one value of a factor, over all its counted runs there."""

    value: Value
    nr_cells: int
    kills: Rate
    attributable: Rate
    exposure_median: float | None  # MiB s in a run
    exposure_lo: float | None
    exposure_hi: float | None
    missing: int  # runs that are missing, failed or excluded here: a gap, not a zero


@dataclass(frozen=True)
class ArmCurve:
    """`begins` is the least value at which a process was killed, None when none was at any value."""

    arm: str
    points: tuple[CurvePoint, ...]
    begins: Value | None


@dataclass(frozen=True)
class Curve:
    """Every arm over one numeric factor, all other factors held at `fixed`.

    An arm to which the factor does not apply has the same numbers at every value.
    """

    factor: Factor
    fixed: Point
    arms: tuple[ArmCurve, ...]
