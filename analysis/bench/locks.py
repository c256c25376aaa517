# SPDX-License-Identifier: GPL-2.0-or-later
"""For how long the lock of a zone is held by the task that reports, from the kernel's trace of a guest.

The workload hintcost hands it out as two files: "traced" has every step of a flush, "held" only what begins a
hold of a lock and what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TRACE = re.compile(r"\s*.*-(\d+)\s+\[\d+\]\s+\S+\s+(\d+): (\w+): (.*)")
_LOCK = re.compile(r"lock=(0x[0-9a-f]+)")
_LOST = re.compile(r"(?:overrun|dropped events): (\d+)")

#: Work of reporting under the lock of a zone.
_INSIDE = (
    "page_reporting_isolate",
    "page_reporting_putback",
    "page_reporting_exchange_begin",
    "page_reporting_exchange",
    "page_reporting_buffer",
)
#: What marks a task as one that reports.
_REPORTS = (*_INSIDE, "page_reporting_batch", "page_reporting_ack")


@dataclass(frozen=True)
class Event:
    pid: int
    ticks: int
    name: str
    rest: str

    @property
    def lock(self) -> str:
        """Address of the lock that this event takes, or nothing."""
        found = _LOCK.search(self.rest) if self.name == "lock_irq" else None
        return found[1] if found else ""


@dataclass(frozen=True)
class Hold:
    """Ticks between two events, and the events that lengthened them."""

    ticks: int
    nr_events: int


@dataclass(frozen=True)
class Locks:
    holds: tuple[Hold, ...] = ()
    exchanges: tuple[Hold, ...] = ()
    nr_events: int = 0  # in the trace of every step
    nr_lost: int = 0


def _read(path: Path) -> tuple[list[Event], int]:
    """The events of the tasks that report, and how many of all were lost."""
    events, nr_lost = [], 0
    with path.open(encoding="utf-8", errors="replace") as f:
        for line in f:
            if m := _TRACE.match(line):
                events.append(Event(int(m[1]), int(m[2]), m[3], m[4]))
            elif m := _LOST.match(line):
                nr_lost += int(m[1])
    tasks = {e.pid for e in events if e.name in _REPORTS}
    return [e for e in events if e.pid in tasks], nr_lost


def _zone_locks(events: Iterable[Event]) -> set[str]:
    """Those under which reporting was seen to work."""
    lock, found = "", set()
    for e in events:
        if e.lock:
            lock = e.lock
        elif e.name in _INSIDE:
            found.add(lock)
    return found


def _holds(events: list[Event], locks: set[str]) -> list[Hold]:
    """From taking a lock to the task's next event: none of those traced can happen while it is held.

    An interrupt that waited for the release, a switch to another task and the next lock are among them, so a
    hold is too long by the few instructions to there, never too short.
    """
    return [
        Hold(after.ticks - e.ticks, 1)
        for e, after in zip(events, events[1:], strict=False)
        if e.lock and e.lock in locks
    ]


def _exchanges(events: list[Event]) -> list[Hold]:
    out = []
    begin: tuple[int, int] | None = None
    for i, e in enumerate(events):
        if e.name == "page_reporting_exchange_begin":
            begin = (e.ticks, i)
        elif e.name == "page_reporting_exchange" and begin:
            out.append(Hold(e.ticks - begin[0], i - begin[1]))
            begin = None
    return out


def lock_holds(traced: Path, held: Path) -> Locks:
    """The first tells which locks count; the second has nothing inside a hold."""
    steps, lost = _read(traced)
    takes, lost_too = _read(held)
    return Locks(
        holds=tuple(_holds(takes, _zone_locks(steps))),
        exchanges=tuple(_exchanges(steps)),
        nr_events=len(steps),
        nr_lost=lost + lost_too,
    )
