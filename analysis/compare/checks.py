# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks a result rests on: nothing lost, counters agree, a guest with a buffer looks like size X."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.compare.claims import Arms, cells_of, plural
from analysis.compare.guard import BIT_BUFFER
from analysis.record.model import MIB, PAGE_BYTES
from analysis.compare.stats import CellStats


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool | None
    detail: str
    places: tuple[str, ...] = field(default=())


def _check_ledger(cells: Sequence[CellStats]) -> Check:
    known = [(c, c.record.end.ledger) for c in cells if c.record.end.ledger]
    closed = [(c, ledger) for c, ledger in known if ledger.ok is not None]
    bad = [f"{c.cell.name}: {ledger.detail or 'the sums differ'}" for c, ledger in closed if not ledger.ok]
    open_ = [f"{c.cell.name}: not closed, {ledger.detail}" for c, ledger in known if ledger.ok is None]
    if not closed:
        return Check("Ledger", None, "no record has one that could be closed", tuple(open_))
    return Check(
        "Ledger",
        not bad,
        (
            "bytes hinted by the guest = received by the device = discarded + skipped with a reason:"
            f" {len(closed) - len(bad)} of {plural(len(cells), 'run')}"
        ),
        tuple(bad + open_),
    )


def _check_batches(cells: Sequence[CellStats]) -> Check:
    """Batches sent between the two host samples that close the ledger, as tracer and device count them."""
    compared = 0
    bad = []
    for c in cells:
        ledger = c.record.end.ledger
        if ledger is None or ledger.to_ns <= ledger.from_ns or c.lossy:
            continue
        at = {h.t_ns: h.batches for h in c.record.host_samples}
        first, last = at.get(ledger.from_ns), at.get(ledger.to_ns)
        if first is None or last is None:
            continue
        compared += 1
        traced = sum(ledger.from_ns < b.sent_ns <= ledger.to_ns for b in c.record.batches)
        if traced != last - first:
            bad.append(f"{c.cell.name}: {traced} and {last - first}")
    if not compared:
        return Check("Batches", None, "no run has device counters at both ends of its ledger")
    return Check(
        "Batches",
        not bad,
        f"as many batches seen by the tracer as by the device: {compared - len(bad)} of {compared} runs",
        tuple(bad),
    )


def _check_exchanges(cells: Sequence[CellStats]) -> Check:
    """Each chunk of a batch marked `exchange` is one exchange, over the whole run."""
    known = [c for c in cells if c.record.spec.buffer_bytes and c.record.guest_samples]
    if not known:
        return Check("Exchanges", None, "no run with a buffer")
    bad = []
    for c in known:
        counted = c.record.guest_samples[-1].exchanges - c.record.guest_samples[0].exchanges
        first, last = c.record.guest_samples[0].t_ns, c.record.guest_samples[-1].t_ns
        sure = sum(
            b.nr_chunks for b in c.record.batches if b.exchange and first < b.start_ns and b.done_ns < last
        )
        most = sum(
            b.nr_chunks for b in c.record.batches if b.exchange and first <= b.done_ns and b.start_ns <= last
        )
        if not sure <= counted <= most and not c.lossy:
            bad.append(f"{c.cell.name}: {counted} counted, {sure} to {most} chunks in batches")
    return Check(
        "Exchanges",
        not bad,
        f"exchanges counted = chunks in exchange batches: {len(known) - len(bad)} of {len(known)} runs",
        tuple(bad),
    )


def _check_violations(cells: Sequence[CellStats]) -> Check:
    known = [c for c in cells if c.record.spec.buffer_bytes]
    if not known:
        return Check("Never more out than B", None, "no run with a buffer")
    bad = []
    for c in known:
        d = c.record.end.device
        out = d.get("bytes_out_max", 0)
        if d.get("violations", 0) or c.record.nr_violations or out > c.record.spec.buffer_bytes:
            bad.append(
                f"{c.cell.name}: device {d.get('violations', 0)}, guest {c.record.nr_violations},"
                f" {out // MIB} MiB out at most"
            )
    return Check(
        "Never more out than B", not bad, f"{len(known) - len(bad)} of {len(known)} runs", tuple(bad)
    )


def _check_same_size(arms: Arms) -> Check:
    """A guest with a buffer must look like one without: MemTotal and every watermark."""
    reference = next(
        (c.record.guest for a in ("none", "reporting") for c in cells_of(arms, a) if c.record.guest), None
    )
    buffers = [(c, c.record.guest) for c in cells_of(arms, "buffer") if c.record.guest]
    name = "A guest of size X"
    if reference is None or not buffers:
        return Check(name, None, "needs arm buffer and none or reporting")
    bad = []
    for c, g in buffers:
        diffs = []
        for what in ("mem_total_kib", "min_free_kib"):
            ours, theirs = getattr(g, what), getattr(reference, what)
            if ours != theirs:
                diffs.append(f"{what} {ours} instead of {theirs}")
        for ours, theirs in zip(g.zones, reference.zones, strict=False):
            if (ours.min_pages, ours.low_pages, ours.high_pages) != (
                theirs.min_pages,
                theirs.low_pages,
                theirs.high_pages,
            ):
                diffs.append(f"watermarks of node {ours.node} zone {ours.zone}")
        if diffs:
            bad.append(f"{c.cell.name}: {', '.join(diffs)}")
    return Check(
        name,
        not bad,
        (
            "MemTotal, min_free_kbytes and all watermarks equal with and without buffer:"
            f" {len(buffers) - len(bad)} of {len(buffers)} runs"
        ),
        tuple(bad),
    )


def _check_filled(cells: Sequence[CellStats]) -> Check:
    known = [c for c in cells if c.record.guest and c.record.guest.features & BIT_BUFFER]
    bad = [
        f"{c.cell.name}: {c.record.guest.buffer_held_pages * PAGE_BYTES // MIB} MiB"
        f" of {c.record.guest.buffer_wanted_pages * PAGE_BYTES // MIB}"
        for c in known
        if c.record.guest and c.record.guest.buffer_held_pages < c.record.guest.buffer_wanted_pages
    ]
    if not known:
        return Check("Buffer filled", None, "no run with a buffer")
    return Check(
        "Buffer filled", not bad, f"whole at start: {len(known) - len(bad)} of {len(known)} runs", tuple(bad)
    )


def checks(arms: Arms, accepted: Sequence[CellStats]) -> tuple[Check, ...]:
    lossy = [c for c in accepted if c.lossy]
    return (
        Check(
            "Nothing lost",
            not lossy,
            (
                f"every probe recorded what it saw: {len(accepted) - len(lossy)} of"
                f" {plural(len(accepted), 'run')}"
            ),
            tuple(f"{c.cell.name}: " + ", ".join(f"{p} {n}" for p, n in c.lost.items()) for c in lossy),
        ),
        _check_ledger(accepted),
        _check_batches(accepted),
        _check_exchanges(accepted),
        _check_violations(accepted),
        _check_filled(accepted),
        _check_same_size(arms),
    )
