# SPDX-License-Identifier: GPL-2.0-or-later
"""Host memory of arms that kill: compared up to the first kill only.

A killed process gives its memory back, and one that served requests does not grow back to what it was.  So
the arm that kills most has the least host memory in use for the rest of the run, and looks cheapest.  What
is comparable is the time before any run of a pair has lost a process.
"""

from __future__ import annotations

from collections.abc import Iterable

from analysis.compare.stats import NS, CellStats, host_memory_used, seconds

# Of the measured time that must be left before a first kill for a mean to say something.
LEAST = 0.25


def first_kill(cell: CellStats) -> int | None:
    """Nanoseconds from the start of the measured phase to the first kill of any kind; 0 for one before."""
    start, end = cell.windows[0][0], cell.windows[-1][1]
    kills = [e.t_ns for e in cell.record.shortages if e.kind == "oom_kill" and e.t_ns <= end]
    return max(min(kills) - start, 0) if kills else None


def comparable(cells: Iterable[CellStats]) -> int | None:
    """How long none of these runs had lost a process; None when none did at all."""
    return min((t for c in cells if (t := first_kill(c)) is not None), default=None)


def mean_rss_mib(cell: CellStats, until_ns: int | None = None) -> float | None:
    """Mean host memory of the measured phase, of its first until_ns; None when that is too little of it."""
    windows = cell.windows
    if until_ns is not None:
        if until_ns < LEAST * seconds(windows) * NS:
            return None
        last = windows[0][0] + until_ns
        windows = tuple((a, min(b, last)) for a, b in windows if a < last)
    used, length = host_memory_used(cell.record, windows), seconds(windows)
    return None if used is None or not length else used / length


def pair_rss_mib(a: CellStats, b: CellStats) -> tuple[float | None, float | None]:
    """Means of both while neither has lost a process."""
    until = comparable((a, b))
    return mean_rss_mib(a, until), mean_rss_mib(b, until)
