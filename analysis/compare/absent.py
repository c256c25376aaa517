# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs that do not count, and whose they are.

An arm must not look better because its runs died.  A run that ended in a panic, a hang or a dead guest is
harm of its arm; one that failed otherwise, was left out, or was never made leaves a gap about which
nothing is known.  While an arm has either, no claim is decided in its favour.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.compare.factors import Factor, inputs
from analysis.record.fields import clean_text
from analysis.record.model import Cell, Record

# Names of failures (docs/record.md) that say that the guest did not survive.
DEAD = ("panic", "splat", "hang", "died")

MAX_CELL_JSON = 1 << 20


@dataclass(frozen=True)
class Absent:
    """One run that does not count. `dead`: the guest did not survive it, which is harm of the arm."""

    cell: str
    arm: str
    label: str
    why: str
    dead: bool

    @property
    def short(self) -> str:
        """The reason in a word or two."""
        return self.why.split(":", 1)[0].split(";", 1)[0]


def spec_of(cell: Cell) -> Mapping[str, Any]:
    """The cell's inputs, from its record or from cell.json; empty when neither can be read."""
    if cell.record is not None:
        return cell.record.spec.raw or {}
    path = cell.folder / "cell.json"
    try:
        if path.stat().st_size > MAX_CELL_JSON:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_dead(cell: Cell) -> bool:
    return cell.state == "failed" and cell.record is not None and cell.record.end.failure in DEAD


def _key(spec: Mapping[str, Any], factors: Sequence[Factor], known: Mapping[str, Record]) -> str:
    """The label a cell of this spec would have had: that of a counted cell equal in arm and factors."""
    arm = spec.get("arm")
    for label, record in known.items():
        if record.spec.arm != arm:
            continue
        mine = inputs(record)
        raw = record.spec.raw or {}
        same = all(
            mine.get(f.name) is None or all(raw.get(n) == spec.get(n) for n in _spec_names(f.name)) for f in factors
        )
        if same:
            return label
    return clean_text(str(arm or "unknown"), 64)


def _spec_names(factor: str) -> tuple[str, ...]:
    if factor == "B":
        return ("buffer_bytes", "extra_bytes", "kernel_params")
    return ("params",) if factor.startswith("params.") else (factor,)


def absent_runs(
    cells: Iterable[Cell],
    excluded: Mapping[str, str],
    factors: Sequence[Factor],
    known: Mapping[str, Record],
    made: Mapping[str, Sequence[tuple[int, int]]],
    points: Mapping[str, Mapping[str, Any]],
) -> tuple[Absent, ...]:
    """Every run that does not count, of those with a tracer: the others measure something else.

    excluded: reason by cell name; known: one record of each label; made: (seed, repeat) of the counted
    cells of each label; points: of each label.  A seed and repeat that another arm has at a comparable
    point and this one has not was never made.
    """
    out = []
    had: dict[str, set[tuple[int, int]]] = {label: set(keys) for label, keys in made.items()}
    for cell in cells:
        why = excluded.get(cell.name, "" if cell.state == "finished" else cell.why or cell.state)
        if not why:
            continue
        spec = spec_of(cell)
        if (spec.get("params") or {}).get("tracer") == "off":
            continue
        label = _key(spec, factors, known)
        out.append(Absent(cell.name, clean_text(str(spec.get("arm", "unknown")), 64), label, why, is_dead(cell)))
        seed, repeat = spec.get("seed"), spec.get("repeat")
        if isinstance(seed, int) and isinstance(repeat, int):
            had.setdefault(label, set()).add((seed, repeat))
    for label, mine in had.items():
        if label not in points:
            continue
        near = {
            key
            for other, keys in had.items()
            if other in points
            and all(
                v is None or points[other].get(k) in (None, v) for k, v in points[label].items()
            )
            for key in keys
        }
        arm = known[label].spec.arm
        for seed, repeat in sorted(near - mine):
            out.append(Absent("", arm, label, f"missing: seed {seed}, repeat {repeat} was not run", False))
    return tuple(out)


def reasons(absent: Iterable[Absent]) -> str:
    """How many and why: "2 panic, 1 events were lost"."""
    counts = Counter(a.short for a in absent)
    return ", ".join(f"{n} {why}" for why, n in counts.most_common())
