# SPDX-License-Identifier: GPL-2.0-or-later
"""The cells of the bench: what their records say, and what the device did in each part that was gauged.

Three workloads are measured, each without the tracer (workloads/*/README.md).  In hintcost a "mark" and a
"gauge" line stand around each part, one write each to the tracer's port, and qemu.log has QEMU's trace of
every batch and of every write to a port: a batch belongs to the part between whose two writes it stands.
Under the virtual clock a tick of the TSC is one instruction or, while the CPU idles, skipped time, which the
kernel counts: instructions = ticks - idle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.compare.absent import spec_of
from analysis.compare.guard import readback_problem
from analysis.record.fields import BadRecord, clean_text, read_lines
from analysis.record.invariants import broken
from analysis.record.load import load_results
from analysis.record.model import PAGE_BYTES, Cell, Gauge, Mark, Record

HINTCOST = "hintcost"
FIRSTTOUCH = "firsttouch"
TRACECOST = "tracecost"
WORKLOADS = (HINTCOST, FIRSTTOUCH, TRACECOST)

TRACE_PORT = 2
#: A part of the run may be off by its own reading, never by more than this between the two clocks.
CLOCK_TOLERANCE = 1e-3
CLOCK_SLACK = 1000

_REPORT = re.compile(rb"virtio_balloon_report chunks: (\d+) bytes: (\d+) discarded: (\d+)")
_PORT = re.compile(rb"virtio_console_flush_buf port (\d+), in_len \d+, out_len -?\d+")


@dataclass(frozen=True)
class Batch:
    nr_chunks: int
    nr_bytes: int
    nr_discarded: int


@dataclass(frozen=True)
class Part:
    """What happened between a mark and its gauge line."""

    name: str
    elapsed: int  # ticks: instructions and skipped time
    instructions: int
    free_bytes: int
    batches: tuple[Batch, ...]
    nr_requests: int | None  # of the load that ran in it

    @property
    def nr_bytes(self) -> int:
        return sum(b.nr_bytes for b in self.batches)


@dataclass(frozen=True)
class Boot:
    """A cell; of one that cannot be used `failure` says why."""

    cell: Cell
    workload: str
    parts: Mapping[str, Part]
    failure: str = ""

    @property
    def record(self) -> Record:
        if self.cell.record is None:
            raise ValueError(f"{self.cell.name} has no record")
        return self.cell.record

    def artefact(self, name: str) -> Path:
        return self.cell.folder / "artefacts" / name


def _device(path: Path) -> tuple[list[tuple[int, Batch]], int]:
    """The batches, each with the number of writes to the trace port before it; all such writes."""
    nr_writes, out = 0, []
    for _, line in read_lines(path):
        if m := _REPORT.search(line):
            out.append((nr_writes, Batch(int(m[1]), int(m[2]), int(m[3]))))
        elif (m := _PORT.search(line)) and int(m[1]) == TRACE_PORT:
            nr_writes += 1
    return out, nr_writes


def _part(path: Path, gauge: Gauge, batches: Sequence[Batch]) -> Part:
    ticks, ns = gauge.elapsed_tsc, gauge.elapsed_ns
    if abs(ticks - ns) > CLOCK_SLACK + CLOCK_TOLERANCE * ticks:
        raise BadRecord(
            path, gauge.line, "elapsed_tsc", f"{ticks} ticks in {ns} ns: not one instruction a nanosecond"
        )
    return Part(
        name=gauge.name,
        elapsed=ticks,
        instructions=max(0, ticks - gauge.idle_ns),
        free_bytes=gauge.free_pages * PAGE_BYTES,
        batches=tuple(batches),
        nr_requests=gauge.nr_requests,
    )


def _parts(cell: Cell, record: Record) -> dict[str, Part]:
    lines: list[Mark | Gauge] = sorted((*record.marks, *record.gauges), key=lambda x: x.line)
    device: list[tuple[int, Batch]] = []
    if record.spec.workload == HINTCOST:
        device, nr_writes = _device(cell.folder / "qemu.log")
        if nr_writes != len(lines):
            raise BadRecord(
                cell.folder / "qemu.log", 0, "", f"{nr_writes} writes to the trace port, {len(lines)} lines of it"
            )
    parts = {}
    for i, line in enumerate(lines):
        if isinstance(line, Mark):
            continue
        if not i or not isinstance(lines[i - 1], Mark) or lines[i - 1].name != line.name:
            raise BadRecord(record.path, line.line, "name", "a gauge line without its mark")
        # The mark is write i, the gauge line write i + 1.
        parts[line.name] = _part(record.path, line, [b for nr, b in device if nr == i])
    return parts


def _problem(cell: Cell, record: Record) -> str:
    """Why its numbers are not to be used, or nothing."""
    found = broken(record, cell.folder)
    if found:
        return f"contradicts itself: {found[0]}"
    device = record.end.device
    received, discarded = device.get("bytes_received", 0), device.get("bytes_discarded", 0)
    # What the host did not drop is not unbacked.
    if record.spec.workload == FIRSTTOUCH and received != discarded:
        return f"the host dropped {discarded} bytes of {received} reported"
    return readback_problem(record)


def load_boot(cell: Cell) -> Boot:
    record = cell.record
    workload = clean_text(str(spec_of(cell).get("workload", "")), 64)
    if cell.state != "finished" or record is None:
        return Boot(cell, workload, {}, cell.why or cell.state)
    try:
        failure = _problem(cell, record)
        return Boot(cell, workload, {} if failure else _parts(cell, record), failure)
    except (BadRecord, OSError) as e:
        # One guest that broke off must not hide the others.
        return Boot(cell, workload, {}, clean_text(str(e)))


def load_bench(results: Path) -> list[Boot]:
    """The cells of these workloads; what else lies in the folder is no business of the bench."""
    boots = [load_boot(c) for c in load_results(results) if spec_of(c).get("workload") in WORKLOADS]
    if not boots:
        raise BadRecord(results, 0, "", "no cell of a bench in it; `make bench` makes some")
    return boots
