# SPDX-License-Identifier: GPL-2.0-or-later
"""What hinting costs, and what watching it costs: the folders of bench/run.sh turned into numbers.

One folder is one boot.  Its work.stream has a "mark" and a "gauge" line around each measured part
(bench/gauge.c); device.log has QEMU's trace of every batch and of every write to the guest's ports, so a batch
belongs to the part between whose two lines it stands.  Under the virtual clock a tick of the TSC is one
instruction or, while the CPU idles, skipped time, which the kernel counts: instructions = ticks - idle.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .fields import BadRecord, clean_text
from .model import GIB

PAGE = 4096
WORK_PORT = 1
#: A part of the run may be off by its own reading, never by more than this between the two clocks.
CLOCK_TOLERANCE = 1e-3
CLOCK_SLACK = 1000
#: A larger buffer pays when the next size costs less by more than this.
WORTH = 0.05

WAYS = ("none", "probes", "hinttrace", "perf")
LOADS = ("alone", "workload")
RESIDUES = ("sixteenth", "eighth", "all", "scattered")

_ENV = re.compile(r"([A-Z_]+)='?([A-Za-z0-9_.-]*)'?")
_REPORT = re.compile(r"virtio_balloon_report chunks: (\d+) bytes: (\d+) discarded: (\d+)")
_PORT = re.compile(r"virtio_console_flush_buf port (\d+), in_len (\d+), out_len (-?\d+)")
_TRACE = re.compile(r"\s*.*-(\d+)\s+\[\d+\]\s+\S+\s+(\d+): (\w+): (.*)")
_LOCK = re.compile(r"lock=(0x[0-9a-f]+)")
_LOST = re.compile(r"(?:overrun|dropped events): (\d+)")


@dataclass(frozen=True)
class Batch:
    nr_chunks: int
    nr_bytes: int


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

    def number(self, key: str) -> int:
        value = self.env.get(key, "")
        if not value.isdigit():
            raise BadRecord(self.trace.parent / "cell.env", 0, key, f"'{value}' is not a whole number")
        return int(value)


# ---------------------------------------------------------------- load


def _whole(line: Mapping[str, Any], key: str, path: Path, nr: int) -> int:
    value = line.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise BadRecord(path, nr, key, "not a whole number")
    return value


def _lines(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
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
                out.append((written, Batch(int(m[1]), int(m[2]))))
            elif (m := _PORT.search(line)) and int(m[1]) == WORK_PORT:
                written += max(0, int(m[3]))
    return out


def _part(path: Path, nr: int, line: Mapping[str, Any], batches: Sequence[Batch]) -> Part:
    ticks, ns = _whole(line, "elapsed_tsc", path, nr), _whole(line, "elapsed_ns", path, nr)
    if abs(ticks - ns) > CLOCK_SLACK + CLOCK_TOLERANCE * ticks:
        raise BadRecord(
            path, nr, "elapsed_tsc", f"{ticks} ticks in {ns} ns: not one instruction a nanosecond"
        )
    idle = _whole(line, "idle_ns", path, nr)
    return Part(
        name=str(line.get("name", "")),
        elapsed=ticks,
        instructions=max(0, ticks - idle),
        free_bytes=_whole(line, "free_pages", path, nr) * PAGE,
        batches=tuple(batches),
        nr_requests=None,
    )


def load_boot(folder: Path) -> Boot:
    words = map(_ENV.fullmatch, (folder / "cell.env").read_text().split())
    env = {m[1]: m[2] for m in words if m}
    work, parts, logs = folder / "work.stream", {}, []
    hello: dict[str, Any] = {}
    device = _device(folder / "device.log")
    mark: tuple[str, int] | None = None
    last, status = "", None
    for nr, end, line in _lines(work):
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
            parts[last] = replace(parts[last], nr_requests=_whole(line, "n", work, nr))
        elif kind == "log":
            logs.append(clean_text(str(line.get("text", ""))))
        elif kind == "bye":
            status = _whole(line, "status", work, nr)
    failure = "" if status == 0 else "no bye" if status is None else f"ended with status {status}"
    return Boot(folder.name, env, hello, parts, tuple(logs), folder / "trace.stream", failure)


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


# ---------------------------------------------------------------- locks


@dataclass(frozen=True)
class Hold:
    """Ticks for which the lock of a zone was held, and the trace events that lengthened them."""

    ticks: int
    nr_events: int


@dataclass(frozen=True)
class Locks:
    holds: tuple[Hold, ...] = ()
    exchanges: tuple[Hold, ...] = ()
    nr_events: int = 0
    nr_lost: int = 0


#: These happen without the lock of a zone: the hold before them is over.
_OUTSIDE = ("lock_irq", "page_reporting_batch", "page_reporting_ack")
_INSIDE = (
    "page_reporting_isolate",
    "page_reporting_putback",
    "page_reporting_exchange_begin",
    "page_reporting_exchange",
    "page_reporting_buffer",
)


def _events(lines: Iterable[str]) -> tuple[list[tuple[int, int, str, str]], int]:
    events, lost = [], 0
    for line in lines:
        if m := _TRACE.match(line):
            events.append((int(m[1]), int(m[2]), m[3], m[4]))
        elif m := _LOST.match(line):
            lost += int(m[1])
    return events, lost


def lock_holds(lines: Iterable[str]) -> Locks:
    """Holds of zone locks by the task that reports, from taking the lock to the first event after it.

    A zone lock is one under which reporting was seen to work.  What follows its release is an event a few
    instructions later, so a hold is too long by those, never too short.
    """
    events, lost = _events(lines)
    tasks = {pid for pid, _, name, _ in events if name.startswith("page_reporting_")}
    events = [e for e in events if e[0] in tasks]
    lock, zone_locks = "", set()
    for _, _, name, rest in events:
        if name == "lock_irq" and (m := _LOCK.search(rest)):
            lock = m[1]
        elif name in _INSIDE:
            zone_locks.add(lock)
    holds, exchanges = [], []
    begin: tuple[int, int] | None = None
    exchange: tuple[int, int] | None = None
    for i, (_, t, name, rest) in enumerate(events):
        if begin and name in _OUTSIDE:
            holds.append(Hold(t - begin[0], i - begin[1]))
            begin = None
        if name == "lock_irq" and (m := _LOCK.search(rest)) and m[1] in zone_locks:
            begin = (t, i)
        elif name == "page_reporting_exchange_begin":
            exchange = (t, i)
        elif name == "page_reporting_exchange" and exchange:
            exchanges.append(Hold(t - exchange[0], i - exchange[1]))
            exchange = None
    return Locks(tuple(holds), tuple(exchanges), len(events), lost)


# ---------------------------------------------------------------- mechanisms


@dataclass
class Mechanism:
    """One row of the table of mechanisms."""

    label: str
    arm: str
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
    hold_max: float | None
    hold_median: float | None
    nr_holds: int
    exchange_max: float | None
    exchange_median: float | None
    nr_exchanges: int
    nr_lost: int
    ratio: dict[str, float] = field(default_factory=dict)


def _net(holds: Sequence[Hold], cost: float) -> list[float]:
    return [max(0.0, h.ticks - h.nr_events * cost) for h in holds]


def _per_gib(value: float, nr_bytes: int) -> float:
    return value * GIB / nr_bytes


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
    own = _whole(boot.hello, "buffer_held_pages", boot.trace.parent / "work.stream", 1) * PAGE
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
    each = [_per_gib(s.instructions, s.nr_bytes) for s in steady] if reports else []
    total = sum(s.nr_bytes for s in steady)
    scattered = p["scattered"]
    return Mechanism(
        label=f"buffer {buffer_bytes >> 20} MiB" if buffer_bytes else "reporting",
        arm="buffer" if buffer_bytes else "reporting",
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
        hold_max=max(holds, default=None),
        hold_median=statistics.median(holds) if holds else None,
        nr_holds=len(holds),
        exchange_max=max(exchanges, default=None),
        exchange_median=statistics.median(exchanges) if exchanges else None,
        nr_exchanges=len(exchanges),
        nr_lost=locks.nr_lost,
    )


_RATIOS = ("instructions_per_gib", "notifications_per_gib", "report_all_ns", "hold_max")


def _set_ratios(rows: Sequence[Mechanism]) -> None:
    """Over `reporting` of the same order at the least capacity."""
    for row in rows:
        base = [r for r in rows if r.arm == "reporting" and r.order == row.order]
        first = min(base, key=lambda r: r.capacity, default=None)
        for name in _RATIOS if first else ():
            value, one = getattr(row, name), getattr(first, name)
            if value is not None and one:
                row.ratio[name] = value / one


def enough(rows: Sequence[Mechanism]) -> Mechanism | None:
    """The smallest buffer from which on no next larger one saves more than WORTH."""
    sizes = [(r.buffer_bytes, r.instructions_per_gib, r) for r in rows if r.arm == "buffer"]
    costs = [(cost, r) for _, cost, r in sorted(sizes, key=lambda s: s[0]) if cost is not None]
    best = None
    for i, (cost, row) in enumerate(costs):
        if i == 0 or cost < (1 - WORTH) * costs[i - 1][0]:
            best = row
    return best


# ---------------------------------------------------------------- tracer


@dataclass(frozen=True)
class Spread:
    """Median, least and largest of one number over rounds."""

    n: int
    median: float
    lo: float
    hi: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(len(values), statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Watching:
    """One way of watching under one load: instructions a request, and over not watching in the same round."""

    load: str
    rate: int
    way: str
    per_request: Spread
    ratio: Spread


@dataclass(frozen=True)
class Tracer:
    rows: tuple[Watching, ...]
    at_rest: Mapping[str, Spread]  # instructions a second of a guest that has nothing to do
    firings: Mapping[str, int]  # probe: times it ran, all rounds
    nr_dropped: int
    perf_events: int


def _rounds(boot: Boot, load: str) -> dict[str, dict[str, Part]]:
    """round: way: part"""
    out: dict[str, dict[str, Part]] = {}
    for name, part in boot.parts.items():
        words = name.split("-")
        if len(words) == 3 and words[0] == load and words[1] in WAYS:
            out.setdefault(words[2], {})[words[1]] = part
    return {k: v for k, v in out.items() if set(v) == set(WAYS)}


def _per_request(boot: Boot, part: Part) -> float:
    if not part.nr_requests:
        raise BadRecord(boot.trace.parent / "work.stream", 0, part.name, "no request was answered")
    return part.instructions / part.nr_requests


def _losses(boots: Sequence[Boot]) -> tuple[dict[str, int], int]:
    firings: dict[str, int] = {}
    dropped = 0
    for boot in boots:
        for nr, _, line in _lines(boot.trace):
            if line.get("type") == "loss":
                probe = clean_text(str(line.get("probe", "")), 64)
                firings[probe] = firings.get(probe, 0) + _whole(line, "seen", boot.trace, nr)
                drops = line.get("dropped")
                if not isinstance(drops, dict):
                    raise BadRecord(boot.trace, nr, "dropped", "not an object")
                dropped += sum(_whole(drops, key, boot.trace, nr) for key in drops)
    return firings, dropped


def tracer(boots: Sequence[Boot]) -> Tracer:
    rows = []
    for load in LOADS:
        for rate in sorted({b.number("HINT_RATE") for b in boots}):
            rounds = [
                (b, r) for b in boots if b.number("HINT_RATE") == rate for r in _rounds(b, load).values()
            ]
            for way in WAYS if rounds else ():
                rows.append(
                    Watching(
                        load,
                        rate,
                        way,
                        Spread.of([_per_request(b, r[way]) for b, r in rounds]),
                        Spread.of([_per_request(b, r[way]) / _per_request(b, r["none"]) for b, r in rounds]),
                    )
                )
    rest = [r for b in boots for r in _rounds(b, "rest").values()]
    firings, dropped = _losses(boots)
    captured = re.compile(r"\((\d+) samples\)")
    return Tracer(
        rows=tuple(rows),
        at_rest={
            way: Spread.of([r[way].instructions * 1e9 / r[way].elapsed for r in rest]) for way in WAYS if rest
        },
        firings=firings,
        nr_dropped=dropped,
        perf_events=sum(int(m[1]) for b in boots for text in b.logs if (m := captured.search(text))),
    )


# ---------------------------------------------------------------- all of it


@dataclass(frozen=True)
class Bench:
    tracer: Tracer
    mechanisms: tuple[Mechanism, ...]
    failed: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]


def _facts(boots: Sequence[Boot]) -> list[tuple[str, str]]:
    hello: Mapping[str, Any] = next((b.hello for b in boots if b.hello), {})
    sizes = sorted(
        {b.number("HINT_MEM_BYTES") >> 20 for b in boots if b.env.get("HINT_BENCH") == "mechanism"}
    )
    return [
        ("guest kernel", clean_text(str(hello.get("release", "")))),
        ("clock", "virtual: QEMU TCG, one instruction a nanosecond, idle time skipped; one vCPU"),
        ("memory", ", ".join(f"{s} MiB" for s in sizes) + " in guests of the mechanisms, buffer beside it"),
        ("boots", str(len(boots))),
    ]


def analyse_bench(boots: Sequence[Boot]) -> Bench:
    good = [b for b in boots if not b.failure]
    rows = [mechanism(b) for b in good if b.env.get("HINT_BENCH") == "mechanism"]
    rows.sort(key=lambda r: (-r.order, r.buffer_bytes, r.capacity))
    _set_ratios(rows)
    return Bench(
        tracer=tracer([b for b in good if b.env.get("HINT_BENCH") == "tracer"]),
        mechanisms=tuple(rows),
        failed=tuple((b.name, b.failure) for b in boots if b.failure),
        facts=tuple(_facts(boots)),
    )
