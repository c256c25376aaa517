# SPDX-License-Identifier: GPL-2.0-or-later
"""What hinting costs, and what watching it costs: the boots of the bench turned into numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.bench.boots import PAGE, Boot, whole_number
from analysis.bench.landing import Landing, check_discarded, landing_facts, pairs, shares
from analysis.bench.locks import Hold, Locks, lock_holds
from analysis.bench.watching import Tracer, tracer
from analysis.record.fields import BadRecord, clean_text
from analysis.record.model import GIB

#: A larger buffer pays when the next size costs less by more than this.
WORTH = 0.05


@dataclass
class Mechanism:
    """One row of the table of mechanisms."""

    label: str
    arm: str
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


def _label(buffer_bytes: int) -> str:
    return f"buffer {buffer_bytes >> 20} MiB" if buffer_bytes else "reporting"


def mechanism(boot: Boot) -> Mechanism:
    p = boot.parts
    missing = [
        n for n in ("sixteenth", "eighth", "all", "again", "traced", "packed", "scattered") if n not in p
    ]
    if missing:
        raise BadRecord(boot.trace.parent / "work.stream", 0, "gauge", f"no part {missing[0]}")
    buffer_bytes = boot.number("HINT_BUFFER_BYTES")
    steady = [p["all"], p["again"]]
    reports = all(part.nr_bytes for part in (*steady, p["traced"]))

    # What the host has been told, less the buffer: that is not free memory.
    own = whole_number(boot.hello, "buffer_held_pages", boot.trace.parent / "work.stream", 1) * PAGE
    residue, told = {}, -own
    for name in ("sixteenth", "eighth", "all"):
        told += p[name].nr_bytes
        residue[name] = max(0, p[name].free_bytes - max(0, told))
    came_free = p["scattered"].free_bytes - p["packed"].free_bytes
    residue["scattered"] = max(0, came_free - p["scattered"].nr_bytes)

    locks, cost = Locks(), 0.0
    if reports:
        with boot.trace.open(encoding="utf-8", errors="replace") as f:
            locks = lock_holds(f)
        untraced = p["again"].instructions * p["traced"].nr_bytes / p["again"].nr_bytes
        cost = max(0.0, p["traced"].instructions - untraced) / max(1, locks.nr_events)
    holds, exchanges = _net(locks.holds, cost), _net(locks.exchanges, cost)
    held_bytes = sum(part.nr_bytes for name, part in p.items() if name.startswith("held-"))
    each = [_per_gib(s.instructions, s.nr_bytes) for s in steady] if reports else []
    total = sum(s.nr_bytes for s in steady)
    scattered = p["scattered"]
    return Mechanism(
        label=_label(buffer_bytes),
        arm="buffer" if buffer_bytes else "reporting",
        mem_bytes=boot.number("HINT_MEM_BYTES"),
        buffer_bytes=buffer_bytes,
        order=boot.number("HINT_ORDER"),
        capacity=boot.number("HINT_CAPACITY"),
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
    """Over `reporting` of the same guest and order at the least capacity."""
    for row in rows:
        same = [r for r in rows if (r.mem_bytes, r.order) == (row.mem_bytes, row.order)]
        base = [r for r in same if not r.buffer_bytes]
        first = min(base, key=lambda r: r.capacity, default=None)
        for name in _RATIOS if first else ():
            value, one = getattr(row, name), getattr(first, name)
            if value is not None and one:
                row.ratio[name] = value / one


def enough(rows: Sequence[Mechanism]) -> Mechanism | None:
    """The smallest buffer beyond which the next larger one saves no more than WORTH."""
    sizes = [(r.buffer_bytes, r.instructions_per_gib, r) for r in rows if r.buffer_bytes]
    costs = [(cost, r) for _, cost, r in sorted(sizes, key=lambda s: s[0]) if cost is not None]
    best = None
    for i, (cost, row) in enumerate(costs):
        if i == 0 or cost < (1 - WORTH) * costs[i - 1][0]:
            best = row
    return best


def landing(boots: Sequence[Boot]) -> Landing:
    """Of the guests in real time, reporting first."""
    boots = sorted(boots, key=lambda b: b.number("HINT_BUFFER_BYTES"))
    all_pairs, all_shares = [], []
    for boot in boots:
        check_discarded(
            boot.trace.parent / "device.log",
            sum(b.nr_bytes for b in boot.batches),
            sum(b.nr_discarded for b in boot.batches),
        )
        size = boot.number("HINT_BUFFER_BYTES")
        arm = ("buffer" if size else "reporting", _label(size))
        all_pairs += pairs(*arm, boot.touches)
        all_shares += shares(*arm, boot.touches)
    facts = landing_facts(boots[0].env) if boots else ()
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
    return sorted({b.env["HINT_KERNEL"] for b in boots if "HINT_KERNEL" in b.env})


def _facts(boots: Sequence[Boot]) -> list[tuple[str, str]]:
    releases = sorted({clean_text(str(b.hello["release"])) for b in boots if "release" in b.hello})
    sizes = sorted(
        {b.number("HINT_MEM_BYTES") >> 20 for b in boots if b.env.get("HINT_BENCH") == "mechanism"}
    )
    return [
        ("guest kernel", ", ".join(releases) + f" ({', '.join(kernels(boots))})"),
        ("clock", "virtual: QEMU TCG, one instruction a nanosecond, idle time skipped; one vCPU"),
        ("memory", ", ".join(f"{s} MiB" for s in sizes) + " in guests of the mechanisms, buffer beside it"),
        ("boots", str(len(boots))),
    ]


def analyse_bench(boots: Sequence[Boot]) -> Bench:
    good = [b for b in boots if not b.failure]
    rows = [mechanism(b) for b in good if b.env.get("HINT_BENCH") == "mechanism"]
    rows.sort(key=lambda r: (r.mem_bytes, -r.order, r.buffer_bytes, r.capacity))
    _set_ratios(rows)
    return Bench(
        tracer=tracer([b for b in good if b.env.get("HINT_BENCH") == "tracer"]),
        mechanisms=tuple(rows),
        landing=landing([b for b in good if b.env.get("HINT_BENCH") == "landing"]),
        nr_kernels=len(kernels(boots)),
        failed=tuple((b.name, b.failure) for b in boots if b.failure),
        facts=tuple(_facts(boots)),
    )
