# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers that only the thread asks for, a run or a pair of runs at a time."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compare.factors import Rate, rate
from analysis.compare.hostmem import comparable, pair_rss_mib
from analysis.compare.sides import Side
from analysis.compare.stats import NS, CellStats, inside, seconds, union_ns
from analysis.record.model import MIB, PAGE_BYTES
from analysis.report.text import plain

# A request waits for one disk access about so long, a user does not notice it.
STALL_MS = 10
# A guest sample later than this after a stop says nothing about it.
SAMPLE_NS = NS


@dataclass(frozen=True)
class Stops:
    """How long the CPUs that free stood still, over the runs of an arm."""

    nr: int
    ns: int
    cpu_ns: float  # measured time of all CPUs
    needless: Rate  # of those followed by a sample of the guest
    longest_ns: int


def stops(side: Side) -> Stops:
    """Each batch of a mechanism that blocks is a stop, from the hand-over to the answer.

    One is needless when the guest, at the next sample, would have had more free than its low watermarks even
    if the chunk had not come back: nothing that anybody did needed it, and so nobody had to be stopped.
    """
    nr = ns = longest = known = needless = 0
    cpu_ns = 0.0
    for c in side.cells:
        record = c.record
        cpu_ns += seconds(c.windows) * NS * record.spec.vcpus
        low = sum(z.low_pages for z in record.guest.zones) if record.guest else None
        times = [s.t_ns for s in record.guest_samples]
        for b in record.batches:
            if b.open or not b.sent_ns or not inside(b.start_ns, c.windows):
                continue
            length = max(b.ack_ns - b.sent_ns, 0)
            nr, ns, longest = nr + 1, ns + length, max(longest, length)
            i = bisect.bisect_left(times, b.done_ns)
            if low is None or i == len(times) or times[i] - b.done_ns > SAMPLE_NS:
                continue
            known += 1
            needless += record.guest_samples[i].free_pages - b.nr_pages > low
    return Stops(nr, ns, cpu_ns, rate(needless, known, "stop"), longest)


def stalled_rounds(side: Side, min_ms: int = STALL_MS) -> Rate:
    """Rounds in which some task of the system was in direct reclaim for so long, of all whole rounds."""
    nr = hit = 0
    for c in side.cells:
        stalls = c.record.stalls.get("direct_reclaim")
        begun: dict[int | None, int] = {}
        for p in c.record.phases:
            if p.name != "round" or p.index not in c.rounds:
                continue
            if p.begin:
                begun[p.index] = p.t_ns
                continue
            start = begun.pop(p.index, None)
            if start is None:
                continue
            nr += 1
            if stalls is not None and len(stalls):
                mine = stalls.where(
                    (stalls.t_ns >= start) & (stalls.t_ns <= p.t_ns) & (stalls.column("own") != 1)
                )
                hit += union_ns(mine) >= min_ms * 1_000_000
    return rate(hit, nr, "round")


def paired(a: Side, b: Side, value: Callable[[CellStats, CellStats], float | None]) -> list[float]:
    """value(of a, of b) of each pair of runs with one seed and repeat, where it is known."""
    partners = {c.pair_key: c for c in b.cells}
    found = [value(c, partners[c.pair_key]) for c in a.cells if c.pair_key in partners]
    return [v for v in found if v is not None]


def host_less(a: CellStats, b: CellStats) -> float | None:
    """Host memory of b less that of a, MiB, while neither has lost a process."""
    ours, theirs = pair_rss_mib(a, b)
    return None if ours is None or theirs is None else theirs - ours


def ratio_of(key: str) -> Callable[[CellStats, CellStats], float | None]:
    def value(a: CellStats, b: CellStats) -> float | None:
        ours, theirs = a.values.get(key), b.values.get(key)
        return None if ours is None or not theirs else ours / theirs

    return value


def host_ratio(a: CellStats, b: CellStats) -> float | None:
    ours, theirs = pair_rss_mib(a, b)
    return None if ours is None or not theirs else ours / theirs


def residue_mib(cell: CellStats) -> float | None:
    """Free memory never reported; unknown of a run that lost a process, which has more that is free."""
    return None if comparable((cell,)) is not None else cell.values.get("residue_mib")


def peak_mib(cell: CellStats) -> float | None:
    """Most host memory in use at a sample of the measured phase."""
    found = [s.rss_bytes for s in cell.record.host_samples if inside(s.t_ns, cell.windows)]
    return max(found) / MIB if found and cell.record.schema >= 2 else None


def told_at_start(cell: CellStats) -> int:
    """Bytes of the buffer itself that were reported before the workload's measured phase.

    They come from the allocator when the buffer is filled, so nothing was exchanged for them.
    """
    start = cell.windows[0][0]
    batches = [b for b in cell.record.batches if not b.open and not b.err and b.done_ns <= start]
    return sum(b.nr_pages for b in batches if not b.exchange) * PAGE_BYTES


def first_kills(side: Side) -> list[int | None]:
    """Uncompensated pages at the first kill of each incident: kills of one shortage are not independent."""
    return [i.kills[0].event.uncompensated_pages for c in side.cells for i in c.incidents]


def spread(values: Sequence[float], how: str = "") -> str:
    """Median, and least to most where there are several."""
    if not values:
        return "–"

    def show(v: float) -> str:
        return how.format(v) if how else plain(v)

    middle = show(float(np.median(values)))
    return middle if len(values) == 1 else f"{middle} ({show(min(values))} to {show(max(values))})"
