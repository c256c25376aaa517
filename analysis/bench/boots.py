# SPDX-License-Identifier: GPL-2.0-or-later
"""The folders of bench/run.sh.

One folder is one boot.  Its work.stream has a "mark" and a "gauge" line around each measured part
(bench/gauge.c); device.log has QEMU's trace of every batch and of every write to the guest's ports, so a batch
belongs to the part between whose two lines it stands.  Under the virtual clock a tick of the TSC is one
instruction or, while the CPU idles, skipped time, which the kernel counts: instructions = ticks - idle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.bench.landing import Touch, load_hist, load_touch
from analysis.record.fields import BadRecord, Fields, clean_text

PAGE = 4096
WORK_PORT = 1
#: A part of the run may be off by its own reading, never by more than this between the two clocks.
CLOCK_TOLERANCE = 1e-3
CLOCK_SLACK = 1000

_ENV = re.compile(r"([A-Z_]+)='?([A-Za-z0-9_.+-]*)'?")
_REPORT = re.compile(r"virtio_balloon_report chunks: (\d+) bytes: (\d+) discarded: (\d+)")
_PORT = re.compile(r"virtio_console_flush_buf port (\d+), in_len (\d+), out_len (-?\d+)")


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

    @property
    def nr_chunks(self) -> int:
        return sum(b.nr_chunks for b in self.batches)


@dataclass(frozen=True)
class Boot:
    name: str
    env: Mapping[str, str]
    hello: Mapping[str, Any]
    parts: Mapping[str, Part]
    logs: tuple[str, ...]
    trace: Path
    failure: str
    touches: tuple[Touch, ...] = ()
    batches: tuple[Batch, ...] = ()  # all of the boot

    def number(self, key: str) -> int:
        value = self.env.get(key, "")
        if not value.isdigit():
            raise BadRecord(self.trace.parent / "cell.env", 0, key, f"'{value}' is not a whole number")
        return int(value)


def whole_number(line: Mapping[str, Any], key: str, path: Path, nr: int) -> int:
    value = line.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise BadRecord(path, nr, key, "not a whole number")
    return value


def json_lines(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(line number, offset of its end, object) of a stream of the guest."""
    end = 0
    with path.open("rb") as f:
        for nr, raw in enumerate(f, 1):
            end += len(raw)
            try:
                obj = json.loads(raw)
            except ValueError:
                raise BadRecord(path, nr, "", "not JSON") from None
            if not isinstance(obj, dict):
                raise BadRecord(path, nr, "", "not an object")
            yield nr, end, obj


def _device(path: Path) -> list[tuple[int, Batch]]:
    """The batches, each with the bytes that the work port had taken before it."""
    written, out = 0, []
    with path.open(encoding="utf-8", errors="replace") as f:
        for line in f:
            if m := _REPORT.search(line):
                out.append((written, Batch(int(m[1]), int(m[2]), int(m[3]))))
            elif (m := _PORT.search(line)) and int(m[1]) == WORK_PORT:
                written += max(0, int(m[3]))
    return out


def _part(path: Path, nr: int, line: Mapping[str, Any], batches: Sequence[Batch]) -> Part:
    ticks, ns = whole_number(line, "elapsed_tsc", path, nr), whole_number(line, "elapsed_ns", path, nr)
    if abs(ticks - ns) > CLOCK_SLACK + CLOCK_TOLERANCE * ticks:
        raise BadRecord(
            path, nr, "elapsed_tsc", f"{ticks} ticks in {ns} ns: not one instruction a nanosecond"
        )
    idle = whole_number(line, "idle_ns", path, nr)
    return Part(
        name=str(line.get("name", "")),
        elapsed=ticks,
        instructions=max(0, ticks - idle),
        free_bytes=whole_number(line, "free_pages", path, nr) * PAGE,
        batches=tuple(batches),
        nr_requests=None,
    )


def load_boot(folder: Path) -> Boot:
    words = map(_ENV.fullmatch, (folder / "cell.env").read_text().split())
    env = {m[1]: m[2] for m in words if m}
    work, parts, logs = folder / "work.stream", {}, []
    touches: list[Touch] = []
    hello: dict[str, Any] = {}
    device = _device(folder / "device.log")
    mark: tuple[str, int] | None = None
    last, status = "", None
    for nr, end, line in json_lines(work):
        kind = line.get("type")
        if kind == "hello":
            hello = line
        elif kind == "mark":
            mark = (str(line.get("name")), end)
        elif kind == "gauge":
            if not mark or mark[0] != line.get("name"):
                raise BadRecord(work, nr, "name", "a gauge line without its mark")
            part = _part(work, nr, line, [b for at, b in device if mark[1] <= at < end])
            last = part.name
            parts[last] = part
        elif kind == "hist" and line.get("name") == "request_latency" and last:
            parts[last] = replace(parts[last], nr_requests=whole_number(line, "n", work, nr))
        elif kind == "touch":
            touches.append(load_touch(Fields(line, work, nr)))
        elif kind == "hist" and touches:
            h = load_hist(Fields(line, work, nr))
            touches[-1].hists[h.name] = h
        elif kind == "log":
            logs.append(clean_text(str(line.get("text", ""))))
        elif kind == "bye":
            status = whole_number(line, "status", work, nr)
    failure = "" if status == 0 else "no bye" if status is None else f"ended with status {status}"
    return Boot(
        name=folder.name,
        env=env,
        hello=hello,
        parts=parts,
        logs=tuple(logs),
        trace=folder / "trace.stream",
        failure=failure,
        touches=tuple(touches),
        batches=tuple(b for _, b in device),
    )


def load_bench(results: Path) -> list[Boot]:
    folders = sorted(p.parent for p in results.glob("*/cell.env"))
    if not folders:
        raise BadRecord(results, 0, "", "no guest of a bench in it; `make bench` makes one")
    boots = []
    for folder in folders:
        try:
            boots.append(load_boot(folder))
        except (BadRecord, FileNotFoundError) as e:
            # One guest that broke off must not hide the others.
            boots.append(Boot(folder.name, {}, {}, {}, (), folder / "trace.stream", clean_text(str(e))))
    return boots
