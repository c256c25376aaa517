# SPDX-License-Identifier: GPL-2.0-or-later
"""What an experiment varies, and how the harm of each arm follows it.

A factor is an input that takes more than one value among the cells of a results folder.  It is found in
their specs, never declared.  Arms are compared at one *point* (one value of every factor) at a time; an arm
to which a factor does not apply has the value None there and belongs to all points of that factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import beta, fisher_exact

from analysis.record.model import MIB, Record, Spec, size_of_b

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


@dataclass(frozen=True)
class Group:
    """Cells that may be compared: one label (arm and factors) per arm, at one point."""

    point: Point
    labels: tuple[str, ...]

    @property
    def title(self) -> str:
        """The point in words; empty when nothing is varied."""
        return ", ".join(f"{TITLES.get(k, k)} {show(k, v)}" for k, v in self.point.items() if v is not None)


TITLES = {
    "mem_bytes": "memory",
    "B": "B",
    "ack_base_ns": "host delay",
    "ack_per_chunk_ns": "host delay per chunk",
    "checkpoint": "checkpoint",
    "stuck_after": "answered batches",
    "order": "order",
    "delay_ms": "reporting delay",
    "capacity": "capacity",
    "vcpus": "vCPUs",
}
UNITS = {"mem_bytes": "bytes", "B": "bytes", "ack_base_ns": "ns", "ack_per_chunk_ns": "ns", "delay_ms": "ms"}
PARAM = "params."
SIGNIFICANT = 0.05


def show(name: str, value: Value | None) -> str:
    """A value with its unit, as short as it can be without rounding: 64 MiB, 200 ms."""
    unit = UNITS.get(name)
    if value is None:
        return "-"
    if unit == "bytes" and isinstance(value, int):
        return f"{value // MIB} MiB" if value % MIB == 0 else f"{value} bytes"
    if unit == "ns" and isinstance(value, int):
        for step, word in ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")):
            if value and value % step == 0:
                return f"{value // step} {word}"
    return f"{value} {unit}" if unit else str(value)


def _checkpoint(spec: Spec) -> str:
    if not spec.checkpoint_period_ns:
        return "none"
    return f"{show('ack_base_ns', spec.checkpoint_window_ns)} in {show('ack_base_ns', spec.checkpoint_period_ns)}"


def _number(text: str) -> Value:
    """A workload's parameter: a number when it reads as one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def inputs(record: Record) -> dict[str, Value | None]:
    """Every input of a run that may be a factor; None where it does not apply to the arm."""
    spec, arm = record.spec, record.arm
    hints = arm.hints if arm else bool(spec.device)
    size = size_of_b(spec, arm)
    out: dict[str, Value | None] = {
        "mem_bytes": spec.mem_bytes,
        "vcpus": spec.vcpus,
        "B": size or None,
    }
    for name in ("ack_base_ns", "ack_per_chunk_ns", "order", "delay_ms", "capacity"):
        out[name] = getattr(spec, name) if hints else None
    out["checkpoint"] = _checkpoint(spec) if hints else None
    out["stuck_after"] = (spec.stuck_after or "all") if hints else None
    for name, value in sorted((spec.params or {}).items()):
        out[PARAM + name] = _number(str(value))
    return out


def _implied_capacity(record: Record) -> bool:
    return record.arm is None or record.arm.capacity in (None, record.spec.capacity)


def find_factors(records: Iterable[Record]) -> tuple[Factor, ...]:
    """The inputs that take more than one value among the cells they apply to.

    The capacity an arm comes with belongs to the arm; it is a factor when the experiment sets another.
    """
    records = list(records)
    every = [inputs(r) for r in records]
    out = []
    for name in sorted({n for i in every for n in i}, key=lambda n: (n.startswith(PARAM), *_rank(n))):
        # A parameter that only some cells set has its default in the others: a value like any other.
        missing: Value | None = "default" if name.startswith(PARAM) else None
        values = {i.get(name, missing) for i in every} - {None}
        if len(values) < 2 or (name == "capacity" and all(map(_implied_capacity, records))):
            continue
        numeric = all(isinstance(v, int | float) for v in values)
        ordered = sorted(values, key=(lambda v: v) if numeric else str)  # type: ignore[arg-type, return-value]
        title = TITLES.get(name, name.removeprefix(PARAM))
        out.append(Factor(name, title, tuple(ordered), numeric, UNITS.get(name, "")))
    return tuple(out)


def _rank(name: str) -> tuple[int, str]:
    order = list(TITLES)
    return (order.index(name) if name in order else len(order), name)


def point_of(record: Record, factors: Sequence[Factor]) -> dict[str, Value | None]:
    values = inputs(record)
    return {f.name: values.get(f.name, "default" if f.name.startswith(PARAM) else None) for f in factors}


def label_of(record: Record, factors: Sequence[Factor]) -> str:
    """The arm, and the value of each factor that applies to it."""
    point = point_of(record, factors)
    parts = [f"{f.title} {show(f.name, point[f.name])}" for f in factors if point[f.name] is not None]
    return f"{record.spec.arm} ({', '.join(parts)})" if parts else record.spec.arm


def _fits(general: Point, special: Point) -> bool:
    return all(v is None or v == special[k] for k, v in general.items())


def _order(p: Point) -> tuple[Any, ...]:
    """Numbers by size, before words."""
    return tuple((v is not None, isinstance(v, str), str(v) if isinstance(v, str) else v or 0) for v in p.values())


def groups_of(labels: Mapping[str, Point]) -> tuple[Group, ...]:
    """One group for each point that says no less than any other; who says less belongs to several."""
    points = {tuple(p.items()): p for p in labels.values()}
    whole = [
        p
        for key, p in points.items()
        if not any(key != other and _fits(p, q) for other, q in points.items())
    ]

    return tuple(
        Group(p, tuple(label for label, q in labels.items() if _fits(q, p))) for p in sorted(whole, key=_order)
    )


def rate(with_kill: int, total: int, unit: str) -> Rate:
    """A share with its exact (Clopper-Pearson) 95 % interval; rounds are taken as independent."""
    if not total:
        return Rate(with_kill, total, None, None, None, unit)
    lo = float(beta.ppf(0.025, with_kill, total - with_kill + 1)) if with_kill else 0.0
    hi = float(beta.ppf(0.975, with_kill + 1, total - with_kill)) if with_kill < total else 1.0
    return Rate(with_kill, total, with_kill / total, lo, hi, unit)


def p_value(a: Rate, b: Rate) -> float | None:
    """Of Fisher's exact test, two-sided; None when there is nothing to compare."""
    if not a.total or not b.total:
        return None
    table = [[a.with_kill, a.total - a.with_kill], [b.with_kill, b.total - b.with_kill]]
    return float(fisher_exact(table)[1])


def lower(a: Rate, b: Rate) -> bool | None:
    """Whether a is below b: True or False when Fisher's exact test tells them apart at 5 %, else None."""
    p = p_value(a, b)
    if p is None or p >= SIGNIFICANT:
        return None
    return a.with_kill * b.total < b.with_kill * a.total


@dataclass(frozen=True)
class Entry:
    """What a curve needs of a label."""

    arm: str
    point: Point
    nr_cells: int
    kills: Rate
    attributable: Rate
    exposure: tuple[float | None, float | None, float | None]
    missing: int


def _drawn(factor: Factor, fixed: Point, arm: str, entries: Sequence[Entry]) -> ArmCurve:
    row = []
    for value in factor.values:
        at = dict(fixed) | {factor.name: value}
        e = next((e for e in entries if e.arm == arm and _fits(e.point, at)), None)
        if e:
            row.append(CurvePoint(value, e.nr_cells, e.kills, e.attributable, *e.exposure, e.missing))
    return ArmCurve(arm, tuple(row), next((p.value for p in row if p.kills.with_kill), None))


def curves(factors: Sequence[Factor], entries: Sequence[Entry]) -> tuple[Curve, ...]:
    """For each numeric factor and each setting of the others, every arm over the factor's values."""
    out = []
    for factor in (f for f in factors if f.numeric):
        rest = {tuple((k, v) for k, v in e.point.items() if k != factor.name) for e in entries}
        whole = [r for r in rest if not any(r != q and _fits(dict(r), dict(q)) for q in rest)]
        for fixed in sorted(map(dict, whole), key=_order):
            drawn = [_drawn(factor, fixed, arm, entries) for arm in dict.fromkeys(e.arm for e in entries)]
            out.append(Curve(factor, fixed, tuple(d for d in drawn if d.points)))
    return tuple(out)
