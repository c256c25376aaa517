# SPDX-License-Identifier: GPL-2.0-or-later
"""Config guard: only cells that differ in declared factors are compared.

Debug options in one of two kernels have produced 'results' in this field before.  Everything in a cell's
spec that is not declared a factor must be the same in all cells that are counted; the largest group of
equal cells is counted, the others are refused and listed with what differs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.record.fields import clean_text
from analysis.record.model import PAGE_BYTES, Record

# What an experiment varies on purpose: the arm with its own parameters, seed and repeat.
ARM_FACTORS = frozenset(
    {
        "arm",
        "label",
        "buffer_bytes",
        "extra_bytes",
        "overhead_bytes",
        "order",
        "delay_ms",
        "capacity",
        "device",
    }
)
FACTORS = ARM_FACTORS | {"seed", "repeat"}

BIT_REPORTING = 1 << 5
BIT_BUFFER = 1 << 20

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


def readback_problem(record: Record) -> str:
    """What the guest read back that is not what the cell asked for; empty when all agrees."""
    spec, guest = record.spec, record.guest
    if guest is None:
        return "the guest never said hello: its parameters are unknown"
    reporting = bool(guest.features & BIT_REPORTING)
    buffer = bool(guest.features & BIT_BUFFER)
    problems = []
    if spec.arm == "none" and reporting:
        problems.append("reporting was negotiated in arm none")
    if spec.arm.startswith(("reporting", "buffer")) and not reporting:
        problems.append("reporting was not negotiated")
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
        if guest.capacity and guest.capacity < spec.capacity:
            problems.append(f"capacity is {guest.capacity} in the guest, {spec.capacity} was asked")
    return "; ".join(problems)


def guard(records: Sequence[tuple[str, Record]]) -> tuple[list[int], tuple[Refusal, ...]]:
    """Indexes of the cells that may be compared, and why the others may not."""
    if not records:
        return [], ()
    refused: list[Refusal] = []
    sound: list[int] = []
    for i, (name, record) in enumerate(records):
        problem = readback_problem(record)
        if problem:
            refused.append(Refusal(name, problem))
        else:
            sound.append(i)
    common = frozenset(k for i in sound for k in records[i][1].spec.raw) - FACTORS
    keep, bad = _majority([records[i] for i in sound], common)
    refused += bad
    sound = [sound[i] for i in keep]

    # Within a label the arm's own parameters must be equal as well.
    kept: list[int] = []
    for label in dict.fromkeys(records[i][1].spec.label for i in sound):
        group = [i for i in sound if records[i][1].spec.label == label]
        keep, bad = _majority([records[i] for i in group], ARM_FACTORS)
        refused += bad
        kept += [group[i] for i in keep]

    # The same seed and repeat twice in a label would count one boot twice.
    seen: set[tuple[str, int, int]] = set()
    unique: list[int] = []
    for i in sorted(kept):
        spec = records[i][1].spec
        key = (spec.label, spec.seed, spec.repeat)
        if key in seen:
            refused.append(Refusal(records[i][0], "second cell of this label, seed and repeat"))
        else:
            seen.add(key)
            unique.append(i)
    return unique, tuple(refused)


def environment_differences(records: Iterable[Record]) -> tuple[str, ...]:
    """Host facts that are not the same in all counted cells."""
    records = list(records)
    out = []
    for name in ENVIRONMENT:
        values = sorted({r.host.get(name, "unknown") for r in records})
        if len(values) > 1:
            out.append(f"{name}: {', '.join(values)}")
    return tuple(out)
