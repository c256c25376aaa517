# SPDX-License-Identifier: GPL-2.0-or-later
"""Read run records (docs/record.md) of every schema into the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.record.fields import BadRecord, clean_text, parse_object, read_lines
from analysis.record.model import (
    DESCRIPTION,
    STALLS,
    Batch,
    Cell,
    End,
    EndGuest,
    Gauge,
    GuestSample,
    Hist,
    HostSample,
    LoadLag,
    LoadLagMax,
    LoadSample,
    Log,
    Loss,
    LossSum,
    Mark,
    Phase,
    ProcExit,
    Record,
    Shortage,
    Touch,
    TracerEdge,
    Violation,
)
from analysis.record.reader import Place, ZoneReader, bad, line_reader

if TYPE_CHECKING:
    from analysis.record.stalls import StallRows

MAX_CELLS = 10_000
MAX_CELL_DEPTH = 3

# What the tracer may write first: its probes, the edge, a sample; filtered by kind, an event.
STREAM_FIRST = ("log", "tracer", "sample", "event", "loss", "hist")

ARTEFACT = re.compile(r"(guest-([1-9]|1[0-5])/)?[A-Za-z0-9_][A-Za-z0-9._-]*")

Line = Mapping[str, Any]



def _shortage(s: Shortage) -> Shortage:
    """The task that asked is the culprit, where the tracer names one."""
    if s.constraint == "memcg":
        s = s._replace(memcg=True)
    if s.culprit_comm is None:
        return s
    return s._replace(
        pid=s.culprit_pid,
        comm=s.culprit_comm,
        # The tracer leaves the culprit empty when it saw the kill but not the request.
        gfp=s.gfp if s.culprit_comm else None,
    )


def _batch(b: Batch, place: Place) -> Batch:
    if b.done_ns is not None and b.done_ns < b.start_ns:
        raise bad(place, "done_ns", "earlier than start_ns")
    return b


def _load_sample(s: LoadSample, o: Line, place: Place) -> LoadSample:
    for name in ("p50_us", "p99_us", "max_us"):
        if s.n and o.get(name) is None:
            raise bad(place, name, "missing though n > 0")
    return s


def _hist(h: Hist, place: Place) -> Hist:
    total = sum(c for _, c in h.counts)
    if total != h.n:
        raise bad(place, "counts", f"add up to {total}, n is {h.n}")
    if h.counts and h.counts[-1][0] >= (65 - h.sub_bits) << h.sub_bits:
        raise bad(place, "counts", f"index {h.counts[-1][0]} is beyond 64 bits")
    return h


class _FullStall:
    """Names the list of stalls that are kept with all their fields."""


class _Builder:
    """Collects the lines of one record."""

    def __init__(self, path: Path, stall_state: bool) -> None:
        self.path = path
        self.stall_state = stall_state
        self.schema = 0
        self.is_stream = False
        self.run: dict[str, Any] = {}
        self.guests = range(0)
        self.parse = parse_object
        self.end: End | None = None
        self.nr_lines = 0
        self.lists: dict[type, list[Any]] = {}
        self.stalls: dict[str, StallRows] = {}
        self.readers: dict[str, tuple[str, dict[str, Callable[[Line, Place], Any]]]] = {}

    def _keep(
        self, line_type: str, kind: str, into: Any, check: Callable[..., Any] | None = None, on: Any = None
    ) -> None:
        """Lines of this type and kind are checked, made into a class and put on its list (or that of `on`)."""
        read = line_reader(line_type, kind, self.schema, into)
        found = self.lists.setdefault(on or into, [])
        by, kinds = self.readers.setdefault(line_type, (DESCRIPTION.line(line_type, kind).by, {}))
        if check is None:
            kinds[kind] = lambda o, place: found.append(read(o, place))
        else:
            kinds[kind] = lambda o, place: found.append(check(read(o, place), o, place))

    def _keep_stalls(self) -> None:
        """As columns, or each in full where verdicts on them are wanted."""
        self.lists[_FullStall] = []
        if self.stall_state:
            for kind in STALLS:
                self._keep("event", kind, Shortage, on=_FullStall)
            return
        from analysis.record.stalls import Stall, StallRows  # needs numpy, which verdicts do without

        _, kinds = self.readers["event"]
        for kind in STALLS:
            rows = self.stalls[kind] = StallRows()
            read = line_reader("event", kind, self.schema, Stall)
            kinds[kind] = lambda o, place, add=rows.add, read=read: add(read(o, place))

    def _prepare(self) -> None:
        for kind in ("oom_kill", "alloc_fail"):
            self._keep("event", kind, Shortage, lambda s, o, place: _shortage(s))
        self._keep_stalls()
        self._keep("event", "batch", Batch, lambda b, o, place: _batch(b, place))
        self._keep("event", "proc_exit", ProcExit)
        self._keep("event", "exchange_violation", Violation)
        self._keep("event", "load_lag", LoadLag)
        self._keep("event", "load_lag_max", LoadLagMax)
        self._keep("sample", "guest", GuestSample)
        self._keep("sample", "host", HostSample)
        self._keep("sample", "load", LoadSample, _load_sample)
        self._keep("phase", "", Phase)
        self._keep("tracer", "", TracerEdge)
        self._keep("hist", "", Hist, lambda h, o, place: self._new_hist(_hist(h, place), place))
        self._keep("loss", "", Loss)
        self._keep("mark", "", Mark)
        self._keep("gauge", "", Gauge)
        self._keep("touch", "", Touch)
        self._keep("log", "", Log)
        # Nothing is computed from the others, as a new kind of event: they are checked all the same.
        for shape in DESCRIPTION.lines:
            if shape.in_record and shape.type not in ("run", "end"):
                _, kinds = self.readers.setdefault(shape.type, (shape.by, {}))
                kinds.setdefault(shape.kind, line_reader(shape.type, shape.kind, self.schema, None))

    def _new_hist(self, h: Hist, place: Place) -> Hist:
        # A workload that runs the tracer itself may do so several times.
        traced = self.is_stream or self.run["spec"].traced
        if traced and any((g.guest, g.name) == (h.guest, h.name) for g in self.lists[Hist]):
            raise bad(place, "name", f"second histogram {h.name!r}")
        return h

    def first_of_stream(self) -> None:
        """What `hinttrace -j` writes: one guest, today's fields, and nothing of a run."""
        self.is_stream = True
        self.schema = DESCRIPTION.schema
        self.guests = range(1)
        self.parse = ZoneReader(self.schema, () if self.stall_state else STALLS).parse
        self._prepare()

    def first(self, o: Line, place: Place) -> None:
        if o.get("type") != "run":
            raise bad(place, "type", "the first line must be the run line")
        schema = o.get("schema")
        if type(schema) is not int or not 1 <= schema <= DESCRIPTION.schema:
            raise bad(place, "schema", f"{clean_text(str(schema), 24)} is outside 1..{DESCRIPTION.schema}")
        self.schema = schema
        run = line_reader("run", "", schema, None)(o, place)
        run["spec"] = run["spec"]._replace(raw=o["spec"])
        # null guests are left out of the dict
        run["guests"] = run["guests"] if schema > 1 else (run.get("guest"),)
        if not run["guests"]:
            raise bad(place, "guests", "there is none")
        self.run = run
        self.guests = range(len(run["guests"]))
        self.parse = ZoneReader(schema, () if self.stall_state else STALLS).parse
        self._prepare()

    def last(self, o: Line, place: Place) -> None:
        end: End = line_reader("end", "", self.schema, End)(o, place)
        if self.schema == 1:
            end = end._replace(guests=(EndGuest(end.device or {}, end.ledger, end.loss or LossSum()),))
        elif len(end.guests) != len(self.guests):
            raise bad(place, "guests", f"{len(end.guests)}, the run line has {len(self.guests)}")
        else:
            one = end.guests[0]
            end = end._replace(device=one.device, ledger=one.ledger, loss=one.loss)
        for i, file in enumerate(end.artefacts or ()):
            if not ARTEFACT.fullmatch(file.name):
                raise bad(place, f"artefacts[{i}].name", "expected NAME or guest-N/NAME")
        end = end._replace(device=end.device or {})
        self.end = end

    def add(self, o: Line, place: Place) -> None:
        if not self.schema:
            self.first(o, place)
            return
        if self.end is not None:
            raise bad(place, "type", "a line after the end line")
        line_type = o.get("type")
        if line_type == "end":
            self.last(o, place)
            return
        self.nr_lines += 1
        found = self.readers.get(line_type) if type(line_type) is str else None
        if found is None:
            raise bad(place, "type", f"unknown type {clean_text(str(line_type), 32)!r}")
        if "guest" in o and o["guest"] not in self.guests:
            raise bad(place, "guest", f"{clean_text(str(o['guest']), 24)} of {len(self.guests)} guests")
        by, kinds = found
        kind = o.get(by) if by else ""
        add = kinds.get(kind) if type(kind) is str else None
        if add is None:
            name = {"kind": "event", "src": "source"}[by]
            raise bad(place, by, f"unknown {name} {clean_text(str(kind), 32)!r}")
        add(o, place)

    def _list(self, cls: type, sort: bool = False) -> tuple[Any, ...]:
        found = self.lists[cls]
        if sort:
            found.sort(key=lambda x: x.t_ns)
        return tuple(found)

    def events(self) -> Events:
        """What a verdict is found on, of a stream or of a finished record."""
        cut = self.is_stream and not any(e.edge == "end" for e in self.lists[TracerEdge])
        found = [*self._list(Shortage), *self._list(_FullStall)]
        found.sort(key=lambda e: (e.t_ns, e.line))
        return Events(tuple(found), self.is_stream or self.run["spec"].traced, cut)

    def record(self, last_line: int) -> Record:
        if not self.schema:
            raise BadRecord(self.path, 0, "", "empty record")
        if self.end is None:
            raise BadRecord(self.path, last_line, "type", "no end line: the run did not finish")
        run = self.run
        return Record(
            path=self.path,
            schema=self.schema,
            cell=run["cell"],
            experiment=run["experiment"],
            command=run.get("command") or "",
            spec=run["spec"],
            arm=run.get("arm"),
            host=run["host"],
            guests=run["guests"],
            clock=run["clock"],
            phases=self._list(Phase, sort=True),
            tracer=self._list(TracerEdge),
            shortages=self._list(Shortage, sort=True),
            stalls={kind: rows.stalls() for kind, rows in self.stalls.items()},
            judged_stalls=self._list(_FullStall, sort=True),
            batches=self._list(Batch),
            exits=self._list(ProcExit),
            violations=self._list(Violation),
            lags=self._list(LoadLag),
            lag_max=self._list(LoadLagMax),
            guest_samples=self._list(GuestSample, sort=True),
            host_samples=self._list(HostSample, sort=True),
            load_samples=self._list(LoadSample, sort=True),
            all_hists=self._list(Hist),
            losses=self._list(Loss),
            marks=self._list(Mark),
            gauges=self._list(Gauge),
            touches=self._list(Touch),
            logs=self._list(Log),
            end=self.end,
            nr_lines=self.nr_lines,
        )


def load_record(path: Path, stall_state: bool = False) -> Record:
    """One record; raises BadRecord (file, line, field) or OSError.

    stall_state: keep all of a stall or wake-up, for a verdict on it; without, its zones are not even read.
    """
    builder = _Builder(path, stall_state)
    number = 0
    for number, data in read_lines(path):
        builder.add(builder.parse(data, path, number), (path, number, ""))
    return builder.record(number)


@dataclass(frozen=True)
class Events:
    """The events that memory was short for, in full, by time."""

    found: tuple[Shortage, ...]
    traced: bool
    cut: bool  # a tracer's own stream that does not say its end


def load_events(path: Path) -> Events:
    """Those of a record, or of what `hinttrace -j` wrote; raises BadRecord or OSError.

    A stream may have been cut at any byte: its last line counts only when it is whole.
    """
    builder = _Builder(path, stall_state=True)
    number = 0
    for number, data in read_lines(path):
        if builder.is_stream and not data.endswith(b"\n"):
            break
        line = builder.parse(data, path, number)
        if number == 1 and line.get("type") in STREAM_FIRST:
            builder.first_of_stream()
        builder.add(line, (path, number, ""))
    if not builder.is_stream:
        builder.record(number)
    return builder.events()


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
