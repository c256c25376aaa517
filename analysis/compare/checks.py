# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks a result rests on: no contradictions, nothing lost, a guest with a buffer looks like size X."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.compare.arms import BASELINE, RIVAL, Arms
from analysis.compare.guard import BIT_BUFFER
from analysis.compare.sides import plural
from analysis.compare.stats import CellStats
from analysis.record.model import MIB, PAGE_BYTES, Guest


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


def _check_violations(cells: Sequence[CellStats]) -> Check:
    known = [c for c in cells if c.record.spec.buffer_bytes]
    if not known:
        return Check("Never more out than B", None, "no run with a buffer")
    bad, silent = [], []
    for c in known:
        d = c.record.end.device
        out, violations = d.get("bytes_out_max"), d.get("violations")
        if out is None or violations is None:
            silent.append(f"{c.cell.name}: the device was not asked")
        elif violations or c.record.nr_violations or out > c.record.spec.buffer_bytes:
            bad.append(
                f"{c.cell.name}: device {violations}, guest {c.record.nr_violations}, {out // MIB} MiB out at most"
            )
    good = len(known) - len(bad) - len(silent)
    ok = False if bad else None if silent else True
    return Check("Never more out than B", ok, f"{good} of {len(known)} runs", tuple(bad + silent))


def _size(guest: Guest) -> dict[str, object]:
    """What an application may see of the guest's size."""
    out: dict[str, object] = {"mem_total_kib": guest.mem_total_kib, "min_free_kib": guest.min_free_kib}
    for z in guest.zones:
        marks = (z.managed_pages, z.min_pages, z.low_pages, z.high_pages)
        out[f"managed pages and watermarks of node {z.node} zone {z.zone}"] = marks
    return out


def _check_same_size(arms: Arms) -> Check:
    """A guest with a buffer must look like one without: MemTotal, zones, managed pages and watermarks."""
    name = "A guest of size X"
    plain = {
        (c.record.spec.mem_bytes, c.record.spec.vcpus): c.record.guest
        for cells in arms.values()
        for c in reversed(cells)
        if c.record.guest
        and c.record.arm
        and c.record.arm.role in (BASELINE, RIVAL)
        and not c.record.spec.extra_bytes
    }
    pairs = [
        (c, plain[key])
        for cells in arms.values()
        for c in cells
        if c.record.guest
        and c.record.spec.buffer_bytes
        and (key := (c.record.spec.mem_bytes, c.record.spec.vcpus)) in plain
    ]
    if not pairs:
        return Check(name, None, "needs an arm with a buffer and one of plain X")
    bad = []
    for c, reference in pairs:
        ours, theirs = _size(c.record.guest), _size(reference)
        diffs = [
            f"{what}: {ours.get(what, 'absent')} instead of {theirs.get(what, 'absent')}"
            for what in dict.fromkeys((*ours, *theirs))
            if ours.get(what) != theirs.get(what)
        ]
        if diffs:
            bad.append(f"{c.cell.name}: {', '.join(diffs)}")
    return Check(
        name,
        not bad,
        (
            "MemTotal, min_free_kbytes, zones, managed pages and all watermarks equal with and without buffer:"
            f" {len(pairs) - len(bad)} of {len(pairs)} runs"
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


def _check_same_load(arms: Arms) -> Check:
    """Requests due while measured are the same in all arms of a seed, repeat and workload setting."""
    name = "The same load"
    due: dict[str, dict[str, float]] = {}
    for cells in arms.values():
        for c in cells:
            answered, lost = c.values.get("requests"), c.values.get("request_errors")
            if answered is not None and lost is not None:
                spec = c.record.spec
                key = f"{c.pair_key}, {spec.mem_bytes}, {sorted((spec.params or {}).items())}"
                due.setdefault(key, {})[c.cell.name] = answered + lost
    several = [d for d in due.values() if len(d) > 1]
    if not several:
        return Check(name, None, "no two runs of one seed and repeat have requests")
    bad = [d for d in several if len(set(d.values())) > 1]
    return Check(
        name,
        not bad,
        f"as many requests due in every arm of a seed and repeat: {len(several) - len(bad)} of {len(several)}",
        tuple(", ".join(f"{cell}: {n:.0f}" for cell, n in d.items()) for d in bad),
    )


def checks(arms: Arms, accepted: Sequence[CellStats], broken: Sequence[tuple[str, str]]) -> tuple[Check, ...]:
    """broken: (cell, what) for each invariant that a finished run broke; those runs are not in accepted."""
    lossy = [c for c in accepted if c.lossy]
    cells = {name for name, _ in broken}
    return (
        Check(
            "Invariants",
            not broken,
            f"the numbers of a run can be true together: {len(cells)} left out for a contradiction",
            tuple(f"{name}: {what}" for name, what in broken),
        ),
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
        _check_violations(accepted),
        _check_filled(accepted),
        _check_same_size(arms),
        _check_same_load(arms),
    )
