# SPDX-License-Identifier: GPL-2.0-or-later
"""Config guard: what was built, and how it was run, must be the same in all cells that are compared.

Debug options in one of two kernels have produced 'results' in this field before.  What an experiment may
vary is found by factors.py and compared only at equal values; what is here may not be varied at all: the
largest group of equal cells is counted, the others are refused and listed with what differs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.compare.factors import Factor, label_of
from analysis.record.fields import clean_text
from analysis.record.model import PAGE_BYTES, UNITS_OF_B, Record, size_of_b

NEVER_VARIED = frozenset(
    {"schema", "workload", "workload_hash", "clock", "accel", "kernel", "qemu", "rootfs", "tools"}
)
# What the arm and the factors decide, and which must be so alike in all cells of one label.
DECIDED = frozenset(
    {"buffer_bytes", "extra_bytes", "overhead_bytes", "order", "delay_ms", "capacity", "device", "kernel_params"}
)

BIT_REPORTING = 1 << 5
BIT_BUFFER = 1 << 20

# The reason that is no gap: the boot it doubles is counted.
SECOND = "second cell of this label, seed and repeat"
# Such a cell measures something else.
UNTRACED = "a run without a tracer: nobody watched what the answer is about"

ENVIRONMENT = ("cpu", "release", "qemu_version", "governor", "microcode", "revision")


@dataclass(frozen=True)
class Refusal:
    cell: str
    why: str


def _key(spec: dict[str, Any] | Any, names: Iterable[str]) -> str:
    return json.dumps({n: spec.get(n) for n in sorted(names)}, sort_keys=True)


def _difference(a: Any, b: Any, names: Iterable[str]) -> str:
    parts = []
    for n in sorted(names):
        if a.get(n) != b.get(n):
            ours, theirs = (clean_text(json.dumps(x.get(n), sort_keys=True), 80) for x in (a, b))
            parts.append(f"{n} is {ours}, counted cells have {theirs}")
    return "; ".join(parts)


def _majority(
    records: Sequence[tuple[str, Record]], names: frozenset[str]
) -> tuple[list[int], list[Refusal]]:
    """Indexes of the largest group equal in `names` (first in order on a tie), and refusals of the rest."""
    keys = [_key(r.spec.raw, names) for _, r in records]
    best = Counter(keys).most_common(1)[0][0] if keys else ""
    keep = [i for i, k in enumerate(keys) if k == best]
    refused = []
    for i, (name, record) in enumerate(records):
        if keys[i] != best:
            why = _difference(record.spec.raw, records[keep[0]][1].spec.raw, names)
            refused.append(Refusal(name, why))
    return keep, refused


def _asked(text: str, record: Record) -> str:
    """A value of an arm's definition with what stands for the cell's own numbers."""
    spec = record.spec
    size = size_of_b(spec, record.arm)
    known = {name: size // unit for name, unit in UNITS_OF_B.items()} | {"$capacity": spec.capacity}
    return str(known.get(text, text))


def _not_as_the_arm_says(record: Record, features: int, parameters: dict[str, str] | Any) -> list[str]:
    arm = record.arm
    if arm is None or arm.expect is None:
        return []
    problems = []
    for bit, wanted in sorted((arm.expect.features or {}).items()):
        if bool(features >> int(bit) & 1) != wanted:
            problems.append(f"feature bit {bit} was {'not ' if wanted else ''}negotiated")
    for name, text in sorted((arm.expect.parameters or {}).items()):
        wanted = _asked(text, record)
        got = (parameters or {}).get(name, "unknown")
        if got != wanted:
            problems.append(f"parameter {name} is {got} in the guest, {wanted} was asked")
    return problems


def readback_problem(record: Record) -> str:
    """What the guest read back that is not what the cell asked for; empty when all agrees."""
    spec, guest = record.spec, record.guest
    if guest is None:
        return "the guest never said hello: its parameters are unknown"
    reporting = bool(guest.features & BIT_REPORTING)
    buffer = bool(guest.features & BIT_BUFFER)
    problems = _not_as_the_arm_says(record, guest.features, guest.parameters)
    if bool(spec.buffer_bytes) != buffer:
        problems.append(f"hinting buffer {'negotiated' if buffer else 'not negotiated'}")
    if buffer and guest.buffer_wanted_pages * PAGE_BYTES != spec.buffer_bytes:
        problems.append(
            f"the guest was told of {guest.buffer_wanted_pages} buffer pages, the cell asks for"
            f" {spec.buffer_bytes // PAGE_BYTES}"
        )
    if reporting:
        for name in ("order", "delay_ms"):
            asked, got = getattr(spec, name), getattr(guest, name)
            if got is not None and got != asked:
                problems.append(f"{name} is {got} in the guest, {asked} was asked")
        # The smaller of this and the device's queue counts, and the queue is what a cell varies.
        if guest.capacity is not None and guest.capacity < spec.capacity:
            problems.append(f"capacity is {guest.capacity} in the guest, {spec.capacity} was asked")
    return "; ".join(problems)


def sound(records: Sequence[tuple[str, Record]]) -> tuple[list[int], list[Refusal]]:
    """Indexes of the cells in which the guest was as asked and what may not vary does not; refusals of the rest."""
    refused: list[Refusal] = []
    good: list[int] = []
    for i, (name, record) in enumerate(records):
        problem = readback_problem(record) if record.spec.traced else UNTRACED
        if problem:
            refused.append(Refusal(name, problem))
        else:
            good.append(i)
    keep, bad = _majority([records[i] for i in good], NEVER_VARIED)
    return [good[i] for i in keep], refused + bad


def unique(
    records: Sequence[tuple[str, Record]], factors: Sequence[Factor]
) -> tuple[list[int], list[Refusal]]:
    """Of cells equal in arm and factors: those alike in what the arm decides, one for each seed and repeat."""
    kept: list[int] = []
    refused: list[Refusal] = []
    labels = [label_of(r, factors) for _, r in records]
    for label in dict.fromkeys(labels):
        group = [i for i, one in enumerate(labels) if one == label]
        keep, bad = _majority([records[i] for i in group], DECIDED)
        refused += bad
        kept += [group[i] for i in keep]
    # The same seed and repeat twice in a label would count one boot twice.
    seen: set[tuple[str, int, int]] = set()
    once: list[int] = []
    for i in sorted(kept):
        spec = records[i][1].spec
        key = (labels[i], spec.seed, spec.repeat)
        if key in seen:
            refused.append(Refusal(records[i][0], SECOND))
        else:
            seen.add(key)
            once.append(i)
    return once, refused


def environment_differences(records: Iterable[Record]) -> tuple[str, ...]:
    """Host facts that are not the same in all counted cells."""
    records = list(records)
    out = []
    for name in ENVIRONMENT:
        values = sorted({r.host.get(name, "unknown") for r in records})
        if len(values) > 1:
            out.append(f"{name}: {', '.join(values)}")
    return tuple(out)
