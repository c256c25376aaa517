# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what `perf script` printed in the guest: one sample per paragraph, and every switch of tasks.

The fields are those collectors/guest/init.sh asks for: comm, tid, cpu, time, period, ip, sym.

    kworker/0:1-eve    10 [000]    12.345678901:      10000
            ffffffff8120abcd page_reporting_process
            ffffffff8108f7a2 process_one_work

Times are CLOCK_MONOTONIC, periods nanoseconds of the guest: under the virtual clock, instructions.

The timer that takes the samples cannot interrupt a CPU whose interrupts are off, and comes once when they are
on again, however many periods later.  A sample therefore stands for the whole periods since the CPU's last
sample, or since its last switch of tasks if that was later: a task that may be switched has them on.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.record.fields import BadRecord, clean_text

USER = "[user]"
UNKNOWN = "[unknown]"
MAX_BYTES = 512 << 20  # of text; 64 MiB of it compressed may be more than anybody wants to read
MAX_FRAMES = 256

_HEAD = re.compile(r"^\s*(\S.*?)\s+(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d{9}):\s+(\d+)\s*$")
_SWITCH = re.compile(r"\[(\d+)\]\s+(\d+)\.(\d{9}):\s+PERF_RECORD_SWITCH")
_LOST = re.compile(r"PERF_RECORD_LOST(?:_SAMPLES)?\b.*?\blost[: ]+(\d+)")
_FRAME = re.compile(r"^\s+([0-9a-f]+)\s+(.*\S)\s*$")
# What compilers add to the name of a copy they made of a function.
_CLONE = re.compile(r"(?:\.(?:isra|constprop|part|cold|llvm)(?:\.\d+)?)+$")
_KERNEL = 1 << 63


@dataclass(frozen=True)
class Sample:
    comm: str
    tid: int
    t_ns: int
    period_ns: int
    n: int  # periods it stands for
    frames: tuple[str, ...]  # from the root to where it was


@dataclass(frozen=True)
class Script:
    samples: tuple[Sample, ...]
    nr_lost: int


def _frame(line: str, path: Path, nr: int) -> str:
    m = _FRAME.match(line)
    if not m:
        raise BadRecord(path, nr, "", f"neither a sample nor a frame of one: {clean_text(line, 60)!r}")
    if int(m[1], 16) < _KERNEL:
        return USER
    return _CLONE.sub("", clean_text(m[2], 80)) or UNKNOWN


def _ns(seconds: str, fraction: str) -> int:
    return int(seconds) * 1_000_000_000 + int(fraction)


def parse(lines: Iterable[str], path: Path) -> Script:
    samples: list[Sample] = []
    nr_lost = 0
    head: re.Match[str] | None = None
    frames: list[str] = []

    since: dict[str, int] = {}  # by CPU: its last sample or switch

    def finish() -> None:
        if head is None:
            return
        inner = list(dict.fromkeys(frames)) if set(frames) == {USER} else frames
        t_ns, period_ns = _ns(head[4], head[5]), int(head[6])
        waited = t_ns - since.get(head[3], t_ns)
        since[head[3]] = t_ns
        samples.append(
            Sample(
                comm=clean_text(head[1], 32),
                tid=int(head[2]),
                t_ns=t_ns,
                period_ns=period_ns,
                n=max(1, waited // period_ns) if period_ns else 1,
                frames=tuple(reversed(inner)) or (USER,),
            )
        )

    for nr, line in enumerate(lines, 1):
        if switch := _SWITCH.search(line):
            finish()
            head, frames = None, []
            since[switch[1]] = _ns(switch[2], switch[3])
        elif lost := _LOST.search(line):
            nr_lost += int(lost[1])
        elif not line.strip() or line.startswith("#"):
            finish()
            head, frames = None, []
        elif m := _HEAD.match(line):
            finish()
            head, frames = m, []
        elif head is None:
            raise BadRecord(path, nr, "", f"not a sample of perf script: {clean_text(line, 60)!r}")
        elif len(frames) < MAX_FRAMES:
            frames.append(_frame(line, path, nr))
    finish()
    return Script(tuple(samples), nr_lost)


def _lines(path: Path) -> Iterator[str]:
    """Of a compressed file that a guest handed out: whole, and no longer than it may be."""
    try:
        with gzip.open(path) as f:
            left = MAX_BYTES
            for line in f:
                left -= len(line)
                if left < 0:
                    raise BadRecord(path, 0, "", f"longer than {MAX_BYTES >> 20} MiB")
                yield line.decode("utf-8", "replace")
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise BadRecord(path, 0, "", f"not a whole gzip file: {e}") from e


def read_script(path: Path) -> Script:
    return parse(_lines(path), path)
