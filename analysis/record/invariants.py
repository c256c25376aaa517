# SPDX-License-Identifier: GPL-2.0-or-later
"""Can the numbers of a run be true together?

Every finished run must pass every invariant of TABLE.  One that does not is left out of all counts, and
the report says at its top which invariant it broke, and on which line of record.jsonl.  An invariant
compares two accounts that were kept independently (tracer and kernel, guest and device, record and
console), or a number with what bounds it.  What a record does not have (older schema, other workload) is
not compared; what it has must agree.

A probe that lost events is not held to its count: such runs are left out for their loss.

Of a run without a tracer most have nothing to compare: those of the host, of lines and of histograms
apply, the others are named by not_applicable().
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.record import agree_batches, agree_counts, agree_host, agree_times
from analysis.record.facts import Facts, Found
from analysis.record.model import Record


@dataclass(frozen=True)
class Broken:
    """line is that of record.jsonl, 0 when no single one can be named."""

    invariant: str
    line: int
    detail: str

    def __str__(self) -> str:
        place = f"record.jsonl:{self.line}: " if self.line else ""
        return f"{place}{self.invariant}: {self.detail}"


@dataclass(frozen=True)
class Invariant:
    name: str
    says: str
    tolerance: str  # empty: exact
    check: Callable[[Facts], Found]
    untraced: bool = False  # also of a run without a tracer


TABLE = (
    Invariant("lines", "The end line counts the lines before it.", "", agree_counts.lines, untraced=True),
    Invariant(
        "tracer",
        "The tracer lived from before the measured phase to after it.",
        "",
        agree_times.tracer,
    ),
    Invariant(
        "loss lines",
        "Every probe that watches for a shortage has one loss line, and the one on batches where there are any.",
        "",
        agree_counts.loss_lines,
    ),
    Invariant(
        "recorded",
        "A loss line says as many events recorded as the record has of that kind.",
        "two samples, which are read from /proc; a batch that is still out",
        agree_counts.recorded,
    ),
    Invariant(
        "kills, kernel",
        "Kills in the record = growth of the kernel's own count, at every sample.",
        "2 ms; a cgroup killed whole counts one victim twice",
        agree_counts.kills_vmstat,
    ),
    Invariant(
        "kills, console",
        "Kills in the record since the tracer began = kills on the console since then.",
        "250 ms between the kernel's two clocks, around the beginning",
        agree_counts.kills_console,
    ),
    Invariant(
        "kills, exits",
        "A process killed in the record ended by SIGKILL, and was killed once.",
        "2 ms",
        agree_counts.kills_exits,
    ),
    Invariant(
        "direct reclaim",
        "N stalls: the kernel counts at least N tries, and at most four of each.",
        "those under way at the first and last sample",
        agree_counts.reclaim,
    ),
    Invariant(
        "compaction",
        "Compaction stalls in the record = the kernel's count.",
        "those under way at the first and last sample",
        agree_counts.compaction,
    ),
    Invariant(
        "histograms",
        "n and sum of a histogram are those of its events, and its largest value is in its last bucket.",
        "",
        agree_counts.hist_sums,
        untraced=True,
    ),
    Invariant(
        "requests", "Requests in the histogram = those in the load samples.", "", agree_counts.requests
    ),
    Invariant(
        "chunks",
        "Chunks isolated = put back (or into the buffer) = in batches.",
        "a batch that is still out; the buffer's own memory, told once, is not held",
        agree_batches.chunks,
    ),
    Invariant(
        "exchanges",
        "Exchanges counted = chunks in exchange batches, the one still out among them.",
        "batches under way at the first and last sample",
        agree_batches.exchanges,
    ),
    Invariant(
        "batches apart",
        "A batch begins when the one before it is back.",
        "mechanisms that have several out",
        agree_batches.overlap,
    ),
    Invariant("batches in order", "A batch is begun, sent, answered, back.", "", agree_batches.in_order),
    Invariant(
        "held",
        "Memory held at a sample is that of the batch that is out; no more is uncompensated than held.",
        "1 ms; from begin to sending and from answer to end it may be part of the batch; less in a round of hints",
        agree_batches.held,
    ),
    Invariant(
        "buffer", "Level of the buffer + held = B, and nothing is uncompensated.", "", agree_batches.buffer
    ),
    Invariant(
        "largest batch",
        "The largest batch is what the device had out at most.",
        "",
        agree_batches.largest,
    ),
    Invariant(
        "integrals",
        "The integral of held memory lies between pages x (answered - sent) and pages x (back - begun), summed"
        " over batches, and never grows faster than the guest's memory x time.",
        "0.2 % and 1 ms a batch",
        agree_batches.integrals,
    ),
    Invariant(
        "times",
        "Nothing happens after the record ends.",
        "250 ms; host samples on the real clock 10 s",
        agree_times.times,
    ),
    Invariant("durations", "Nothing lasts longer than the record.", "250 ms", agree_times.durations),
    Invariant(
        "covered",
        "Samples of guest, host and load reach from the beginning to the end of the measured phase.",
        "250 ms; host samples 10 s of the host's clock apart; load 2 s",
        agree_times.covered,
    ),
    Invariant("rounds", "Rounds are numbered one after the other and do not overlap.", "", agree_times.rounds),
    Invariant("ledger", "Bytes hinted = received = discarded + skipped.", "", agree_host.ledger, untraced=True),
    Invariant(
        "device bytes",
        "Bytes the device received = bytes in batches sent, at every host sample.",
        "1 ms and what the sample says of its time; samples while a batch is on its way are not compared",
        agree_host.device_bytes,
    ),
    Invariant(
        "answers",
        "The host model answers no earlier than it says.",
        "0.1 % on the real clock, which guest and host count each for themselves",
        agree_host.answers,
    ),
    Invariant(
        "resident",
        "Guest RAM in host memory is at most what was given, and at most the whole process's.",
        "32 MiB beside the RAM; what was discarded between the two readings",
        agree_host.resident,
        untraced=True,
    ),
    Invariant(
        "backed",
        "What the guest manages and has not free is in host memory (or host swap).",
        "32 MiB and 4 % never touched; the most free of the two samples before and after the reading",
        agree_host.backed,
    ),
    Invariant(
        "follows discard",
        "Host memory falls by no more than was discarded or swapped out.",
        "2 MiB; a discard may be in the counters one sample earlier or later",
        agree_host.follows_discard,
        untraced=True,
    ),
)


LISTS = (
    "phases",
    "tracer",
    "shortages",
    "batches",
    "exits",
    "violations",
    "lags",
    "lag_max",
    "guest_samples",
    "host_samples",
    "load_samples",
    "all_hists",
    "losses",
    "marks",
    "gauges",
    "touches",
    "logs",
)


def of_guest(record: Record, guest: int) -> Record:
    """The record of one guest alone."""
    stalls = {kind: found.of_guest(guest) for kind, found in record.stalls.items()}
    mine = {n: tuple(x._replace(guest=0) for x in getattr(record, n) if x.guest == guest) for n in LISTS}
    end = record.end
    if guest < len(end.guests):
        one = end.guests[guest]
        end = end._replace(guests=(one,), device=one.device or {}, ledger=one.ledger, loss=one.loss)
    return dataclasses.replace(record, guests=(record.guests[guest],), end=end, stalls=stalls, **mine)


def applicable(record: Record) -> tuple[Invariant, ...]:
    return tuple(i for i in TABLE if record.spec.traced or i.untraced)


def not_applicable(record: Record) -> tuple[str, ...]:
    """Names of the invariants about which the record of a run without a tracer says nothing."""
    return tuple(i.name for i in TABLE if i not in applicable(record))


def broken(record: Record, folder: Path | None = None) -> tuple[Broken, ...]:
    """Every invariant the record breaks, for each of its guests; folder: of the cell, with its console.log."""
    if len(record.guests) == 1:
        all_facts = [Facts(record, folder)]
    else:
        all_facts = [Facts(of_guest(record, g), None) for g in range(len(record.guests))]
    table = applicable(record)
    return tuple(Broken(i.name, line, detail) for f in all_facts for i in table for line, detail in i.check(f))
