# SPDX-License-Identifier: GPL-2.0-or-later
"""What hinting costs, and what watching it costs: the folders of bench/run.sh turned into numbers.

One folder is one boot.  Its work.stream has a "mark" and a "gauge" line around each measured part
(bench/gauge.c); device.log has QEMU's trace of every batch and of every write to the guest's ports, so a batch
belongs to the part between whose two lines it stands.  Under the virtual clock a tick of the TSC is one
instruction or, while the CPU idles, skipped time, which the kernel counts: instructions = ticks - idle.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis.bench.landing import (
    Landing,
    Spread,
    Touch,
    check_discarded,
    landing_facts,
    load_hist,
    load_touch,
    pairs,
    shares,
)
from analysis.bench.locks import Hold, Locks, lock_holds
from analysis.record.fields import BadRecord, Fields, clean_text
from analysis.record.model import GIB

PAGE = 4096
WORK_PORT = 1
#: A part of the run may be off by its own reading, never by more than this between the two clocks.
CLOCK_TOLERANCE = 1e-3
CLOCK_SLACK = 1000
#: A larger buffer pays when the next size costs less by more than this.
WORTH = 0.05

WAYS = ("none", "probes", "hinttrace", "perf")
LOADS = ("alone", "workload")

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
                out.append((written, Batch(int(m[1]), int(m[2]), int(m[3]))))
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
    touches: list[Touch] = []
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
        elif kind == "touch":
            touches.append(load_touch(Fields(line, work, nr)))
        elif kind == "hist" and touches:
            h = load_hist(Fields(line, work, nr))
            touches[-1].hists[h.name] = h
        elif kind == "log":
            logs.append(clean_text(str(line.get("text", ""))))
        elif kind == "bye":
            status = _whole(line, "status", work, nr)
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


# ---------------------------------------------------------------- mechanisms


@dataclass
class Mechanism:
    """One row of the table of mechanisms."""

    label: str
    arm: str
    mem_bytes: int
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
    # Holds of the zone lock by the task that reports, all rounds together
    hold_p50: float | None
    hold_p999: float | None
    hold_max: float | None
    hold_per_gib: float | None  # the sum of them
    nr_holds: int
    exchange_max: float | None
    exchange_median: float | None
    nr_exchanges: int
    nr_lost: int
    ratio: dict[str, float] = field(default_factory=dict)


def _rank(values: Sequence[float], q: float) -> float | None:
    """Of few values a high quantile is the largest."""
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)] if values else None


def _net(holds: Sequence[Hold], cost: float) -> list[float]:
    return [max(0.0, h.ticks - h.nr_events * cost) for h in holds]


def _per_gib(value: float, nr_bytes: int) -> float:
    return value * GIB / nr_bytes


def _label(buffer_bytes: int) -> str:
    return f"buffer {buffer_bytes >> 20} MiB" if buffer_bytes else "reporting"


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
    held_bytes = sum(part.nr_bytes for name, part in p.items() if name.startswith("held-"))
    each = [_per_gib(s.instructions, s.nr_bytes) for s in steady] if reports else []
    total = sum(s.nr_bytes for s in steady)
    scattered = p["scattered"]
    return Mechanism(
        label=_label(buffer_bytes),
        arm="buffer" if buffer_bytes else "reporting",
        mem_bytes=boot.number("HINT_MEM_BYTES"),
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
        hold_p50=_rank(holds, 0.5),
        hold_p999=_rank(holds, 0.999),
        hold_max=max(holds, default=None),
        hold_per_gib=_per_gib(sum(holds), held_bytes) if held_bytes else None,
        nr_holds=len(holds),
        exchange_max=max(exchanges, default=None),
        exchange_median=statistics.median(exchanges) if exchanges else None,
        nr_exchanges=len(exchanges),
        nr_lost=locks.nr_lost,
    )


_RATIOS = ("instructions_per_gib", "notifications_per_gib", "report_all_ns", "hold_p999", "hold_max")


def _set_ratios(rows: Sequence[Mechanism]) -> None:
    """Over `reporting` of the same guest and order at the least capacity."""
    for row in rows:
        same = [r for r in rows if (r.mem_bytes, r.order) == (row.mem_bytes, row.order)]
        base = [r for r in same if r.arm == "reporting"]
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


# ---------------------------------------------------------------- landing


def landing(boots: Sequence[Boot]) -> Landing:
    """Of the guests in real time, reporting first."""
    boots = sorted(boots, key=lambda b: b.number("HINT_BUFFER_BYTES"))
    all_pairs, all_shares = [], []
    for boot in boots:
        check_discarded(
            boot.trace.parent / "device.log",
            sum(b.nr_bytes for b in boot.batches),
            sum(b.nr_discarded for b in boot.batches),
        )
        size = boot.number("HINT_BUFFER_BYTES")
        arm = ("buffer" if size else "reporting", _label(size))
        all_pairs += pairs(*arm, boot.touches)
        all_shares += shares(*arm, boot.touches)
    facts = landing_facts(boots[0].env) if boots else ()
    return Landing(tuple(all_pairs), tuple(all_shares), facts)


# ---------------------------------------------------------------- all of it


@dataclass(frozen=True)
class Bench:
    tracer: Tracer
    mechanisms: tuple[Mechanism, ...]
    landing: Landing
    nr_kernels: int
    failed: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]


def kernels(boots: Sequence[Boot]) -> list[str]:
    return sorted({b.env["HINT_KERNEL"] for b in boots if "HINT_KERNEL" in b.env})


def _facts(boots: Sequence[Boot]) -> list[tuple[str, str]]:
    releases = sorted({clean_text(str(b.hello["release"])) for b in boots if "release" in b.hello})
    sizes = sorted(
        {b.number("HINT_MEM_BYTES") >> 20 for b in boots if b.env.get("HINT_BENCH") == "mechanism"}
    )
    return [
        ("guest kernel", ", ".join(releases) + f" ({', '.join(kernels(boots))})"),
        ("clock", "virtual: QEMU TCG, one instruction a nanosecond, idle time skipped; one vCPU"),
        ("memory", ", ".join(f"{s} MiB" for s in sizes) + " in guests of the mechanisms, buffer beside it"),
        ("boots", str(len(boots))),
    ]


def analyse_bench(boots: Sequence[Boot]) -> Bench:
    good = [b for b in boots if not b.failure]
    rows = [mechanism(b) for b in good if b.env.get("HINT_BENCH") == "mechanism"]
    rows.sort(key=lambda r: (r.mem_bytes, -r.order, r.buffer_bytes, r.capacity))
    _set_ratios(rows)
    return Bench(
        tracer=tracer([b for b in good if b.env.get("HINT_BENCH") == "tracer"]),
        mechanisms=tuple(rows),
        landing=landing([b for b in good if b.env.get("HINT_BENCH") == "landing"]),
        nr_kernels=len(kernels(boots)),
        failed=tuple((b.name, b.failure) for b in boots if b.failure),
        facts=tuple(_facts(boots)),
    )
