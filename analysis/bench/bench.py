# SPDX-License-Identifier: GPL-2.0-or-later
"""What hinting costs, and what watching it costs: the boots of the bench turned into numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.bench.boots import FIRSTTOUCH, HINTCOST, TRACECOST, Boot
from analysis.bench.locks import Hold, Locks, lock_holds
from analysis.bench.touches import Landing, landing_facts, pairs, shares, touches_of
from analysis.bench.watching import Tracer, tracer
from analysis.compare.arms import CURE, RIVAL, rank
from analysis.record.fields import BadRecord
from analysis.record.invariants import applicable, not_applicable
from analysis.record.model import GIB, MIB, PAGE_BYTES, Record

#: A larger buffer pays when the next size costs less by more than this.
WORTH = 0.05


@dataclass
class Mechanism:
    """One row of the table of mechanisms."""

    label: str
    arm: str
    role: str
    colour: tuple[str, str] | None  # light, dark
    mem_bytes: int
    buffer_bytes: int
    order: int
    capacity: int
    # None where nothing was reported
    instructions_per_gib: float | None
    spread: tuple[float, float] | None
    notifications_per_gib: float | None
    report_all_ns: int | None
    report_all_bytes: int
    batch_max_bytes: int
    residue_bytes: dict[str, int]
    scattered_per_gib: float | None
    event_cost: float
    # Holds of the zone lock by the task that reports, all rounds together
    hold_p50: float | None
    hold_p999: float | None
    hold_max: float | None
    hold_per_gib: float | None  # the sum of them
    nr_holds: int
    exchange_max: float | None
    exchange_median: float | None
    nr_exchanges: int
    nr_lost: int
    ratio: dict[str, float] = field(default_factory=dict)


def _rank(values: Sequence[float], q: float) -> float | None:
    """Of few values a high quantile is the largest."""
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)] if values else None


def _net(holds: Sequence[Hold], cost: float) -> list[float]:
    return [max(0.0, h.ticks - h.nr_events * cost) for h in holds]


def _per_gib(value: float, nr_bytes: int) -> float:
    return value * GIB / nr_bytes


def _label(record: Record) -> str:
    """A cure is told from another by what it is given; by the arm's name where it is given nothing."""
    given = record.spec.extra_bytes
    return f"{record.spec.arm} {given // MIB} MiB" if given else record.spec.arm


def mechanism(boot: Boot) -> Mechanism:
    p, record = boot.parts, boot.record
    spec, arm = record.spec, record.arm
    missing = [
        n for n in ("sixteenth", "eighth", "all", "again", "traced", "packed", "scattered") if n not in p
    ]
    if missing:
        raise BadRecord(record.path, 0, "gauge", f"no part {missing[0]}")
    steady = [p["all"], p["again"]]
    reports = all(part.nr_bytes for part in (*steady, p["traced"]))

    # What the host has been told, less the buffer: that is not free memory.
    own = record.guest.buffer_held_pages * PAGE_BYTES if record.guest else 0
    residue, told = {}, -own
    for name in ("sixteenth", "eighth", "all"):
        told += p[name].nr_bytes
        residue[name] = max(0, p[name].free_bytes - max(0, told))
    came_free = p["scattered"].free_bytes - p["packed"].free_bytes
    residue["scattered"] = max(0, came_free - p["scattered"].nr_bytes)

    locks, cost = Locks(), 0.0
    if reports:
        locks = lock_holds(boot.artefact("traced"), boot.artefact("held"))
        untraced = p["again"].instructions * p["traced"].nr_bytes / p["again"].nr_bytes
        cost = max(0.0, p["traced"].instructions - untraced) / max(1, locks.nr_events)
    holds, exchanges = _net(locks.holds, cost), _net(locks.exchanges, cost)
    held_bytes = sum(part.nr_bytes for name, part in p.items() if name.startswith("held-"))
    each = [_per_gib(s.instructions, s.nr_bytes) for s in steady] if reports else []
    total = sum(s.nr_bytes for s in steady)
    scattered = p["scattered"]
    return Mechanism(
        label=_label(record),
        arm=spec.arm,
        role=arm.role if arm else "",
        colour=(arm.colour.light, arm.colour.dark) if arm else None,
        mem_bytes=spec.mem_bytes,
        buffer_bytes=spec.buffer_bytes,
        order=spec.order,
        capacity=spec.capacity,
        instructions_per_gib=_per_gib(sum(s.instructions for s in steady), total) if reports else None,
        spread=(min(each), max(each)) if reports else None,
        notifications_per_gib=_per_gib(sum(len(s.batches) for s in steady), total) if reports else None,
        report_all_ns=p["all"].elapsed if reports else None,
        report_all_bytes=p["all"].nr_bytes,
        batch_max_bytes=max((b.nr_bytes for s in steady for b in s.batches), default=0),
        residue_bytes=residue,
        # Whole blocks that happened to be free say nothing about holes.
        scattered_per_gib=(
            _per_gib(scattered.instructions, scattered.nr_bytes)
            if 2 * scattered.nr_bytes > came_free
            else None
        ),
        event_cost=cost,
        hold_p50=_rank(holds, 0.5),
        hold_p999=_rank(holds, 0.999),
        hold_max=max(holds, default=None),
        hold_per_gib=_per_gib(sum(holds), held_bytes) if held_bytes else None,
        nr_holds=len(holds),
        exchange_max=max(exchanges, default=None),
        exchange_median=statistics.median(exchanges) if exchanges else None,
        nr_exchanges=len(exchanges),
        nr_lost=locks.nr_lost,
    )


_RATIOS = ("instructions_per_gib", "notifications_per_gib", "report_all_ns", "hold_p999", "hold_max")


def _set_ratios(rows: Sequence[Mechanism]) -> None:
    """Over the rival of the same guest and order at the least capacity."""
    for row in rows:
        same = [r for r in rows if (r.mem_bytes, r.order) == (row.mem_bytes, row.order)]
        base = [r for r in same if r.role == RIVAL]
        first = min(base, key=lambda r: r.capacity, default=None)
        for name in _RATIOS if first else ():
            value, one = getattr(row, name), getattr(first, name)
            if value is not None and one:
                row.ratio[name] = value / one


def enough(rows: Sequence[Mechanism]) -> Mechanism | None:
    """The smallest buffer beyond which the next larger one saves no more than WORTH."""
    sizes = [(r.buffer_bytes, r.instructions_per_gib, r) for r in rows if r.role == CURE]
    costs = [(cost, r) for _, cost, r in sorted(sizes, key=lambda s: s[0]) if cost is not None]
    best = None
    for i, (cost, row) in enumerate(costs):
        if i == 0 or cost < (1 - WORTH) * costs[i - 1][0]:
            best = row
    return best


def landing(boots: Sequence[Boot]) -> Landing:
    """Of the guests in real time, in the order of their arms."""
    all_pairs, all_shares = [], []
    for boot in sorted(boots, key=lambda b: rank(b.record)):
        touches = touches_of(boot.record)
        who = (boot.record.spec.arm, _label(boot.record))
        all_pairs += pairs(*who, touches)
        all_shares += shares(*who, touches)
    facts = landing_facts(boots[0].record) if boots else ()
    return Landing(tuple(all_pairs), tuple(all_shares), facts)


@dataclass(frozen=True)
class Bench:
    tracer: Tracer
    mechanisms: tuple[Mechanism, ...]
    landing: Landing
    nr_kernels: int
    failed: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]


def kernels(boots: Sequence[Boot]) -> list[str]:
    return sorted({b.record.spec.kernel[:12] for b in boots if b.cell.record})


def _facts(boots: Sequence[Boot]) -> list[tuple[str, str]]:
    """Of those that ran; `boots` are all."""
    records = [b.record for b in boots if b.cell.record]
    releases = sorted({r.guest.release for r in records if r.guest})
    sizes = sorted({r.spec.mem_bytes // MIB for r in records if r.spec.workload == HINTCOST})
    out = [
        ("guest kernel", ", ".join(releases) + f" ({', '.join(kernels(boots))})"),
        ("clock", "virtual: QEMU TCG, one instruction a nanosecond, idle time skipped; one vCPU"),
        ("memory", ", ".join(f"{s} MiB" for s in sizes) + " in guests of the mechanisms, buffer beside it"),
        ("boots", str(len(boots))),
    ]
    if records:
        nr = len(applicable(records[0]))
        left = "; ".join(not_applicable(records[0]))  # a name may have a comma
        out.append(("invariants", f"{nr} are checked in every run; without a tracer these do not apply: {left}"))
    return out


def _by(workload: str, boots: Sequence[Boot]) -> list[Boot]:
    return [b for b in boots if b.workload == workload and not b.failure]


def _rows(boots: Sequence[Boot]) -> tuple[list[Mechanism], list[tuple[str, str]]]:
    """A row for each guest, and those that measured something else than they should have."""
    rows, failed = [], []
    for boot in boots:
        try:
            rows.append(mechanism(boot))
        except (BadRecord, OSError) as e:
            failed.append((boot.cell.name, str(e)))
    place = {b.record.spec.arm: rank(b.record) for b in boots}
    rows.sort(key=lambda r: (r.mem_bytes, -r.order, place[r.arm], r.buffer_bytes, r.capacity))
    _set_ratios(rows)
    return rows, failed


def analyse_bench(boots: Sequence[Boot]) -> Bench:
    rows, failed = _rows(_by(HINTCOST, boots))
    return Bench(
        tracer=tracer(_by(TRACECOST, boots)),
        mechanisms=tuple(rows),
        landing=landing(_by(FIRSTTOUCH, boots)),
        nr_kernels=len(kernels(boots)),
        failed=tuple([(b.cell.name, b.failure) for b in boots if b.failure] + failed),
        facts=tuple(_facts(boots)),
    )
