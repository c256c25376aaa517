# SPDX-License-Identifier: GPL-2.0-or-later
"""Read run records (docs/record.md) into the dataclasses of model.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.record.fields import MAX_U32, MAX_U64, BadRecord, Fields, clean_text, parse_object, read_lines
from analysis.record.model import (
    Batch,
    Cell,
    End,
    Guest,
    GuestSample,
    GuestZone,
    Hist,
    HostSample,
    Ledger,
    LoadSample,
    Loss,
    Phase,
    ProcExit,
    Record,
    Shortage,
    Spec,
    ZoneState,
)

SCHEMA = 1
MAX_ZONES = 64 * 8
MAX_NODES = 1024
MAX_ORDER = 32
MAX_BUCKETS = 1 << 16
MAX_PAGES = 1 << 40
MAX_BYTES = 1 << 52
MAX_CELLS = 10_000
MAX_CELL_DEPTH = 3

EARLIEST_NS = -(2**62)  # a host sample may be older than the guest's clock

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,63}")
HEX = re.compile(r"(0[xX])?[0-9a-fA-F]{1,32}")

RUN_FIELDS = frozenset({"type", "schema", "cell", "experiment", "command", "spec", "arm", "host", "guest", "clock"})
END_FIELDS = frozenset(
    {
        "type",
        "status",
        "failure",
        "failure_detail",
        "wall_s",
        "nr_lines",
        "nr_bad_lines",
        "device",
        "ledger",
        "loss",
    }
)
HOST_FIELDS = ("release", "cpu", "nr_cpus", "qemu_version", "qemu_cmd", "revision", "governor", "microcode")
CONSTRAINTS = frozenset({"none", "cpuset", "memory_policy", "memcg", "thisnode", "unknown"})
SHORTAGES = frozenset({"oom_kill", "alloc_fail", "direct_reclaim", "compaction_stall", "kswapd_wake"})


def _spec(f: Fields) -> Spec:
    def label(name: str) -> str:
        text = f.text(name, 64)
        if not LABEL.fullmatch(text):
            raise f.bad(name, "expected letters, digits and . _ + = -, at most 64")
        return text

    clock = f.text("clock", 16)
    if clock not in ("virtual", "real"):
        raise f.bad("clock", "expected virtual or real")
    return Spec(
        workload=f.text("workload", 256),
        arm=label("arm"),
        label=label("label"),
        mem_bytes=f.integer("mem_bytes", 1, MAX_BYTES),
        buffer_bytes=f.integer("buffer_bytes", 0, MAX_BYTES),
        extra_bytes=f.integer("extra_bytes", 0, MAX_BYTES),
        overhead_bytes=f.integer("overhead_bytes", 0, MAX_BYTES, default=0),
        vcpus=f.integer("vcpus", 1, 4096),
        order=f.integer("order", 0, MAX_ORDER),
        delay_ms=f.integer("delay_ms", 0, MAX_U32),
        capacity=f.integer("capacity", 0, MAX_U32),
        ack_base_ns=f.integer("ack_base_ns"),
        ack_per_chunk_ns=f.integer("ack_per_chunk_ns"),
        clock=clock,
        accel=f.text("accel", 16),
        seed=f.integer("seed"),
        repeat=f.integer("repeat", 0, MAX_U32),
        kernel=f.text("kernel", 128),
        qemu=f.text("qemu", 128),
        rootfs=f.text("rootfs", 128),
        tools=f.text("tools", 128),
        raw=f.values,
    )


def _guest(f: Fields) -> Guest:
    features = f.text("features", 40)
    if not HEX.fullmatch(features):
        raise f.bad("features", "expected a hexadecimal string")
    zones = tuple(
        GuestZone(
            node=z.integer("node", 0, 1023),
            zone=_zone_name(z),
            managed_pages=z.integer("managed_pages", 0, MAX_PAGES),
            min_pages=z.integer("min_pages", 0, MAX_PAGES),
            low_pages=z.integer("low_pages", 0, MAX_PAGES),
            high_pages=z.integer("high_pages", 0, MAX_PAGES),
        )
        for z in f.children("zones", MAX_ZONES)
    )

    def readback(name: str) -> int | None:
        """A parameter, None when the kernel does not have it (-1)."""
        value = f.integer(name, -1, MAX_U32, default=-1)
        return None if value < 0 else value

    return Guest(
        release=f.text("release", 256),
        cmdline=f.text("cmdline"),
        mem_total_kib=f.integer("mem_total_kib", 0, MAX_BYTES),
        min_free_kib=f.integer("min_free_kib", 0, MAX_BYTES),
        features=int(features, 16),
        order=readback("order"),
        delay_ms=readback("delay_ms"),
        capacity=readback("capacity"),
        buffer_wanted_pages=f.integer("buffer_wanted_pages", 0, MAX_PAGES, default=0),
        buffer_held_pages=f.integer("buffer_held_pages", 0, MAX_PAGES, default=0),
        swap_kib=f.integer("swap_kib", 0, MAX_BYTES, default=0),
        zones=zones,
    )


def _zone_name(f: Fields) -> str:
    """The zone of a hello line: a name from /proc/zoneinfo or an index."""
    if isinstance(f.values.get("zone"), str):
        return f.text("zone", 16)
    return str(f.integer("zone", 0, 7))


def _zone_state(f: Fields) -> ZoneState:
    def pages(name: str, default: int | None = None) -> int:
        return f.integer(name, 0, MAX_PAGES, default=default)

    nr_free = []
    for i, n in enumerate(f.items("nr_free_by_order", MAX_ORDER)):
        if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= MAX_PAGES:
            raise f.bad(f"nr_free_by_order[{i}]", "expected a count")
        nr_free.append(n)
    held = f.pairs("held_by_order", MAX_ORDER, MAX_PAGES)
    if held and held[-1][0] >= MAX_ORDER:
        raise f.bad("held_by_order", f"order {held[-1][0]} is not below {MAX_ORDER}")
    return ZoneState(
        node=f.integer("node", 0, 1023),
        zone=f.integer("zone", 0, 7),
        # NR_FREE_PAGES may be read as slightly negative while per-CPU deltas are folded
        free_pages=f.integer("free_pages", -MAX_PAGES, MAX_PAGES),
        min_pages=pages("min_pages"),
        low_pages=pages("low_pages"),
        high_pages=pages("high_pages"),
        reserve_pages=_pages(f, "reserve_pages"),
        highatomic_pages=_pages(f, "highatomic_pages"),
        held_pages=_pages(f, "held_pages"),
        uncompensated_pages=_pages(f, "uncompensated_pages"),
        buffer_pages=f.integer("buffer_pages", -MAX_PAGES, MAX_PAGES, default=0),
        held_by_order=held,
        nr_free_by_order=tuple(nr_free),
        boost_pages=_optional(f, "boost_pages", MAX_PAGES),
        cma_pages=_optional(f, "cma_pages", MAX_PAGES),
        isolated_pageblocks=_optional(f, "isolated_pageblocks", MAX_PAGES),
    )


def _optional(f: Fields, name: str, high: int) -> int | None:
    """A number that may be missing or, where the kernel has none, -1."""
    value = f.integer(name, -1, high, default=-1)
    return None if value < 0 else value


def _known_flag(f: Fields, name: str) -> bool | None:
    """A flag that older records lack."""
    return f.flag(name) if f.has(name) else None


def _nodes(f: Fields, name: str) -> tuple[int, ...] | None:
    """A list of node numbers, None when the record has none."""
    if not f.has(name):
        return None
    nodes = f.items(name, MAX_NODES)
    for i, node in enumerate(nodes):
        if isinstance(node, bool) or not isinstance(node, int) or not 0 <= node < MAX_NODES:
            raise f.bad(f"{name}[{i}]", "expected a node number")
    return tuple(sorted(set(nodes))) or None


def _pages(f: Fields, name: str, default: int | None = None) -> int:
    """Pages from a counter that two CPUs change: a sample in between may be briefly below 0."""
    return max(f.integer(name, -MAX_PAGES, MAX_PAGES, default=default), 0)


def _shortage(f: Fields, kind: str) -> Shortage:
    prefix = "culprit_" if f.has("culprit_comm") else ""
    constraint = f.text("constraint", 16, default="unknown")
    if constraint not in CONSTRAINTS:
        raise f.bad("constraint", f"expected one of {', '.join(sorted(CONSTRAINTS))}")
    comm = f.text(prefix + "comm", 64, default="")
    return Shortage(
        kind=kind,
        t_ns=f.integer("t_ns"),
        pid=max(f.integer(prefix + "pid", -1, MAX_U32, default=0), 0),
        comm=comm,
        # The tracer leaves the culprit empty when it saw the kill but not the request.
        gfp=None if prefix and not comm else _optional(f, "gfp", MAX_U32),
        # -1 in a kill asked for by sysrq
        order=max(f.integer("order", -1, MAX_ORDER, default=0), 0),
        highest_zoneidx=_optional(f, "highest_zoneidx", 7),
        zones=tuple(_zone_state(z) for z in f.children("zones", MAX_ZONES)) if f.has("zones") else (),
        held_pages=_pages(f, "held_pages", 0),
        uncompensated_pages=_pages(f, "uncompensated_pages", 0),
        batch_age_ns=f.integer("batch_age_ns", default=0),
        duration_ns=f.integer("duration_ns", default=0),
        node=_optional(f, "node", 1023),
        victim_pid=max(f.integer("victim_pid", -1, MAX_U32, default=0), 0),
        victim_comm=f.text("victim_comm", 64, default=""),
        victim_rss_pages=_pages(f, "victim_rss_pages", 0),
        memcg=f.flag("memcg", False) or constraint == "memcg",
        sysrq=f.flag("sysrq", False),
        injected=f.flag("injected", False),
        zones_missing=f.flag("zones_missing", False),
        constraint=None if constraint == "unknown" else constraint,
        allowed_nodes=_nodes(f, "allowed_nodes"),
        pf_memalloc=_known_flag(f, "pf_memalloc"),
        oom_victim=_known_flag(f, "oom_victim"),
        own=_known_flag(f, "own"),
        state_ns=_optional(f, "state_ns", MAX_U64),
    )


def _batch(f: Fields) -> Batch:
    batch = Batch(
        t_ns=f.integer("t_ns"),
        start_ns=f.integer("start_ns"),
        sent_ns=f.integer("sent_ns"),
        ack_ns=f.integer("ack_ns"),
        done_ns=f.integer("done_ns"),
        nr_chunks=f.integer("nr_chunks", 0, MAX_PAGES),
        nr_pages=f.integer("nr_pages", 0, MAX_PAGES),
        err=f.integer("err", -4095, 0),
        exchange=f.flag("exchange", False),
    )
    if batch.done_ns < batch.start_ns:
        raise f.bad("done_ns", "earlier than start_ns")
    return batch


def _exit(f: Fields) -> ProcExit:
    return ProcExit(
        t_ns=f.integer("t_ns"),
        pid=max(f.integer("pid", -1, MAX_U32, default=0), 0),
        name=f.text("name", 64, default=""),
        status=f.integer("status", -MAX_U32, MAX_U32, default=0),
        signal=max(f.integer("signal", -1, 128, default=0), 0),
        round=_optional(f, "round", MAX_U32),
    )


def _phase(f: Fields) -> Phase:
    edge = f.text("edge", 8)
    if edge not in ("begin", "end"):
        raise f.bad("edge", "expected begin or end")
    return Phase(f.integer("t_ns"), f.text("name", 64), edge == "begin", _optional(f, "index", MAX_U32))


def _guest_sample(f: Fields) -> GuestSample:
    free = {}
    held = uncompensated = buffer = 0
    for z in f.children("zones", MAX_ZONES):
        key = (z.integer("node", 0, 1023), z.integer("zone", 0, 7))
        free[key] = z.integer("free_pages", -MAX_PAGES, MAX_PAGES)
        held += _pages(z, "held_pages")
        uncompensated += _pages(z, "uncompensated_pages")
        buffer += z.integer("buffer_pages", -MAX_PAGES, MAX_PAGES, default=0)
    vmstat = f.child("vmstat")
    return GuestSample(
        t_ns=f.integer("t_ns"),
        free_pages=sum(free.values()),
        held_pages=held,
        uncompensated_pages=uncompensated,
        buffer_pages=buffer,
        uncompensated_page_ns=f.integer("uncompensated_page_ns", 0, 2**80),
        held_page_ns=f.integer("held_page_ns", 0, 2**80),
        exchanges=f.integer("exchanges", default=0),
        exchange_free_delta_pages=f.integer("exchange_free_delta_pages", default=0),
        vmstat={clean_text(k, 32): vmstat.integer(k) for k in vmstat.values},
        free_by_zone=free,
    )


def _load_sample(f: Fields) -> LoadSample:
    n = f.integer("n", 0, MAX_U32)

    def us(name: str) -> float:
        return f.number(name, 0.0, 1e13, default=0.0 if n == 0 else None)

    return LoadSample(
        f.integer("t_ns"), n, f.integer("errors", 0, MAX_U32), us("p50_us"), us("p99_us"), us("max_us")
    )


def _hist(f: Fields) -> Hist:
    hist = Hist(
        name=f.text("name", 64),
        unit=f.text("unit", 16),
        sub_bits=f.integer("sub_bits", 0, 16),
        n=f.integer("n"),
        sum=f.integer("sum", 0, 2**96),
        max=f.integer("max"),
        counts=f.pairs("counts", MAX_BUCKETS),
        lost=f.integer("lost") if f.has("lost") else None,
    )
    total = sum(c for _, c in hist.counts)
    if total != hist.n:
        raise f.bad("counts", f"add up to {total}, n is {hist.n}")
    if hist.counts and hist.counts[-1][0] >= (65 - hist.sub_bits) << hist.sub_bits:
        raise f.bad("counts", f"index {hist.counts[-1][0]} is beyond 64 bits")
    return hist


def _counts(f: Fields) -> dict[str, int]:
    return {clean_text(k, 64): f.integer(k) for k in f.values}


def _loss(f: Fields) -> Loss:
    return Loss(f.text("probe", 64), f.integer("seen"), f.integer("recorded"), _counts(f.child("dropped")))


def _end(f: Fields) -> End:
    f.only(END_FIELDS)
    status = f.text("status", 16)
    if status not in ("done", "failed"):
        raise f.bad("status", "expected done or failed")
    device: dict[str, int] = {}
    skipped: dict[str, int] = {}
    if f.has("device"):
        d = f.child("device")
        for name, value in d.values.items():
            if isinstance(value, bool) or not isinstance(value, int):
                continue  # guest_features is a string in some versions, bytes_skipped an object
            device[clean_text(name, 64)] = d.integer(name)
        if d.has("bytes_skipped"):
            skipped = _counts(d.child("bytes_skipped"))
    ledger = None
    if f.has("ledger"):
        g = f.child("ledger")
        ledger = Ledger(
            g.integer("guest_hinted_bytes"),
            g.integer("device_received_bytes"),
            g.integer("device_discarded_bytes"),
            g.integer("device_skipped_bytes"),
            g.flag("ok") if g.has("ok") else None,
            g.integer("from_ns", EARLIEST_NS, default=0),
            g.integer("to_ns", EARLIEST_NS, default=0),
            g.text("detail", 256, default=""),
        )
    return End(
        status=status,
        failure=f.text("failure", 64, default=""),
        failure_detail=f.text("failure_detail", 1024, default=""),
        wall_s=f.number("wall_s", 0.0, 1e9, default=0.0),
        nr_bad_lines=f.integer("nr_bad_lines", default=0),
        device=device,
        skipped=skipped,
        ledger=ledger,
    )


class _Builder:
    """Collects the lines of one record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: Fields | None = None
        self.end: End | None = None
        self.phases: list[Phase] = []
        self.shortages: list[Shortage] = []
        self.batches: list[Batch] = []
        self.exits: list[ProcExit] = []
        self.guest: list[GuestSample] = []
        self.host: list[HostSample] = []
        self.load: list[LoadSample] = []
        self.hists: dict[str, Hist] = {}
        self.losses: list[Loss] = []
        self.nr_violations = 0
        self.max_lag_ns = 0

    def event(self, f: Fields) -> None:
        kind = f.text("kind", 64)
        if kind in SHORTAGES:
            self.shortages.append(_shortage(f, kind))
        elif kind == "batch":
            self.batches.append(_batch(f))
        elif kind == "proc_exit":
            self.exits.append(_exit(f))
        elif kind == "exchange_violation":
            self.nr_violations += 1
        elif kind in ("load_lag", "load_lag_max"):
            self.max_lag_ns = max(self.max_lag_ns, f.integer("lag_ns"))
        else:
            raise f.bad("kind", f"unknown event {kind!r}")

    def sample(self, f: Fields) -> None:
        src = f.text("src", 16)
        if src == "guest":
            self.guest.append(_guest_sample(f))
        elif src == "host":
            batches = None
            if f.has("device") and f.child("device").has("batches"):
                batches = f.child("device").integer("batches")
            rss = f.integer("rss_bytes", 0, MAX_BYTES)
            self.host.append(HostSample(f.integer("t_ns", EARLIEST_NS), rss, batches))
        elif src == "load":
            self.load.append(_load_sample(f))
        else:
            raise f.bad("src", f"unknown source {src!r}")

    def hist(self, f: Fields) -> None:
        hist = _hist(f)
        if hist.name in self.hists:
            raise f.bad("name", f"second histogram {hist.name!r}")
        self.hists[hist.name] = hist

    def add(self, f: Fields) -> None:
        kind = f.text("type", 32)
        if self.run is None:
            if kind != "run":
                raise f.bad("type", "the first line must be the run line")
            f.only(RUN_FIELDS)
            f.integer("schema", SCHEMA, SCHEMA)
            self.run = f
            return
        if self.end is not None:
            raise f.bad("type", "a line after the end line")
        if kind == "end":
            self.end = _end(f)
            return
        handlers: dict[str, Callable[[Fields], Any]] = {
            "event": self.event,
            "sample": self.sample,
            "hist": self.hist,
            "phase": lambda g: self.phases.append(_phase(g)),
            "loss": lambda g: self.losses.append(_loss(g)),
            "log": lambda g: g.text("text"),
        }
        if kind not in handlers:
            raise f.bad("type", f"unknown type {kind!r}")
        handlers[kind](f)

    def record(self, last_line: int) -> Record:
        if self.run is None:
            raise BadRecord(self.path, 0, "", "empty record")
        if self.end is None:
            raise BadRecord(self.path, last_line, "type", "no end line: the run did not finish")
        host = self.run.child("host")
        return Record(
            path=self.path,
            cell=self.run.text("cell", 256),
            experiment=self.run.text("experiment", 256),
            spec=_spec(self.run.child("spec")),
            host={
                name: clean_text(str(host.values[name]))
                for name in HOST_FIELDS
                if isinstance(host.values.get(name), str | int)
            },
            guest=_guest(self.run.child("guest")) if self.run.has("guest") else None,
            phases=tuple(sorted(self.phases, key=lambda p: p.t_ns)),
            shortages=tuple(sorted(self.shortages, key=lambda s: s.t_ns)),
            batches=tuple(self.batches),
            exits=tuple(self.exits),
            nr_violations=self.nr_violations,
            max_lag_ns=self.max_lag_ns,
            guest_samples=tuple(sorted(self.guest, key=lambda s: s.t_ns)),
            host_samples=tuple(sorted(self.host, key=lambda s: s.t_ns)),
            load_samples=tuple(sorted(self.load, key=lambda s: s.t_ns)),
            hists=self.hists,
            losses=tuple(self.losses),
            end=self.end,
        )


def load_record(path: Path) -> Record:
    """One record; raises BadRecord (file, line, field) or OSError."""
    builder = _Builder(path)
    number = 0
    for number, data in read_lines(path):
        f = Fields(parse_object(data, path, number), path, number)
        if builder.run is not None and f.values.get("type") != "end":
            f.integer("t_ns", EARLIEST_NS if f.values.get("src") == "host" else 0, MAX_U64)
        builder.add(f)
    return builder.record(number)


def _load_cell(folder: Path) -> Cell:
    path = folder / "record.jsonl"
    name = clean_text(folder.name, 200)
    if not path.is_file():
        return Cell(folder, name, "unfinished", "no record.jsonl: the run did not finish", None)
    try:
        record = load_record(path)
    except BadRecord as e:
        return Cell(folder, name, "failed", f"unreadable record: {e}", None)
    except OSError as e:
        return Cell(folder, name, "failed", f"unreadable record: {path}: {e.strerror}", None)
    if record.end.status == "failed":
        detail = f": {record.end.failure_detail}" if record.end.failure_detail else ""
        return Cell(folder, name, "failed", f"{record.end.failure or 'unknown reason'}{detail}", record)
    if record.end.nr_bad_lines:
        return Cell(folder, name, "failed", f"stream: {record.end.nr_bad_lines} bad lines", record)
    return Cell(folder, name, "finished", "", record)


def find_cells(results: Path) -> list[Path]:
    """Cell folders at most three levels down; the runner keeps earlier attempts in folders with a dot."""
    found: list[Path] = []
    level = [results]
    for _ in range(MAX_CELL_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if (folder / "cell.json").exists() or (folder / "record.jsonl").exists():
                found.append(folder)
            else:
                below += [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()]
        level = sorted(p for p in below if not p.name.startswith("."))
        if len(found) + len(level) > MAX_CELLS:
            raise BadRecord(results, 0, "", f"more than {MAX_CELLS} cell folders")
    return sorted(found)


def load_results(results: Path) -> tuple[Cell, ...]:
    """Every cell below a results folder; unreadable ones are returned as failed."""
    return tuple(_load_cell(folder) for folder in find_cells(results))
