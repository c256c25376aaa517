# SPDX-License-Identifier: GPL-2.0-or-later
"""What a record says, as immutable objects.  Times are guest CLOCK_MONOTONIC in ns, pages are 4 KiB.

The fields of the classes are those of the description, collectors/run/record/record.json, which also
says what they mean; below stands only what is computed from them.  A field that a record does not have
is None, unknown, or the description's default.  `line` is the number of the line in record.jsonl.
"""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectors.run.record import describe

if TYPE_CHECKING:
    from analysis.record.stalls import Stalls

PAGE_BYTES = 4096
MIB = 1 << 20
GIB = 1 << 30

DESCRIPTION = describe.load()


def default(f: describe.Field) -> Any:
    """What is read where a field is absent."""
    return tuple(f.default) if isinstance(f.default, list) else f.default


def _described(name: str, shapes: Iterable[describe.Shape], *more: str) -> Any:
    """A class with the fields of these shapes: their own first, then those all lines have, then more.

    A named tuple, because a record may hold a million of them and a frozen dataclass takes five times as
    long to make; dataclasses.fields() and replace() work with it.
    """
    fields: dict[str, Any] = {}
    common = ("t_ns", "guest")
    for shape in shapes:
        fields |= {f.name: default(f) for f in shape.fields if f.name not in fields}
    if common[0] in fields:
        fields |= {n: fields.pop(n) for n in common if n in fields}
    fields |= {n: None for n in more}
    cls = namedtuple(name, fields, defaults=fields.values())
    twin = dataclasses.make_dataclass(
        name, [(n, Any, dataclasses.field(default_factory=lambda v=v: v)) for n, v in fields.items()]
    )
    cls.__dataclass_fields__ = twin.__dataclass_fields__  # type: ignore[attr-defined]
    return cls


def _line(name: str, line_type: str, *kinds: str) -> Any:
    shapes = [DESCRIPTION.line(line_type, kind) for kind in kinds or ("",)]
    return _described(name, shapes, *(("kind",) if len(kinds) > 1 else ()), "line")


def _object(name: str) -> Any:
    return _described(name.title().replace("_", ""), [DESCRIPTION.objects[name]])


STALLS = ("direct_reclaim", "compaction_stall", "kswapd_wake")
SHORTAGES = ("oom_kill", "alloc_fail", *STALLS)


class Spec(_described("Spec", [DESCRIPTION.objects["spec"]], "raw")):
    """Every input of a run; raw is the object as it stands in the record."""

    __slots__ = ()

    @property
    def given_bytes(self) -> int:
        """Memory the host gave the guest."""
        return self.mem_bytes + self.extra_bytes + self.overhead_bytes

    @property
    def traced(self) -> bool:
        """The guest's init ran the tracer; else the workload brought its own observers, or none."""
        return (self.params or {}).get("tracer") != "off"


class Colour(_object("colours")):
    __slots__ = ()


class Expect(_object("expect")):
    __slots__ = ()


class Arm(_object("arm")):
    """One mechanism, as arms/NAME.json defines it."""

    __slots__ = ()


class GuestZone(_object("hello_zone")):
    __slots__ = ()


class Guest(_object("hello")):
    """What the guest said about itself at boot, read back inside it; features is a number."""

    __slots__ = ()


# Of B, what stands for it in an arm's definition: bytes a unit.
UNITS_OF_B = {"$buffer": 1, "$buffer_kib": 1024}


def size_of_b(spec: Spec, arm: Arm | None) -> int:
    """B, whatever it is used for in this arm: memory, or else a kernel parameter.  0 when it is for nothing."""
    if spec.extra_bytes:
        return spec.extra_bytes
    for name, text in (arm.kernel if arm else {}).items():
        value = str((spec.kernel_params or {}).get(name, ""))
        if text in UNITS_OF_B and value.isdecimal():
            return int(value) * UNITS_OF_B[text]
    return 0


class RunClock(_object("run_clock")):
    __slots__ = ()


class Phase(_line("Phase", "phase")):
    __slots__ = ()

    @property
    def begin(self) -> bool:
        return self.edge == "begin"


class TracerEdge(_line("TracerEdge", "tracer")):
    """The tracer has attached everything (edge "begin") or writes its last line ("end")."""

    __slots__ = ()


class ZoneState(_object("zone")):
    """One zone at the instant of an event, all of it sampled in one probe."""

    __slots__ = ()


class Shortage(_line("Shortage", "event", *SHORTAGES)):
    """A request that memory was short for: kill, failed allocation, stall or kswapd wake-up.

    pid and comm are those of the task that asked, and gfp is None when the tracer saw a kill but not the
    request.
    """

    __slots__ = ()


class Batch(_line("Batch", "event", "batch")):
    __slots__ = ()


class ProcExit(_line("ProcExit", "event", "proc_exit")):
    __slots__ = ()


class Violation(_line("Violation", "event", "exchange_violation")):
    __slots__ = ()


class LoadLag(_line("LoadLag", "event", "load_lag")):
    __slots__ = ()


class LoadLagMax(_line("LoadLagMax", "event", "load_lag_max")):
    __slots__ = ()


class SampleZone(_object("sample_zone")):
    __slots__ = ()


class GuestSample(_line("GuestSample", "sample", "guest")):
    __slots__ = ()

    @property
    def free_pages(self) -> int:
        return sum(z.free_pages for z in self.zones)

    @property
    def held_pages(self) -> int:
        return sum(z.held_pages for z in self.zones)

    @property
    def uncompensated_pages(self) -> int:
        return sum(z.uncompensated_pages for z in self.zones)

    @property
    def buffer_pages(self) -> int | None:
        """Change since the tracer attached, see Record.buffer_level; None when it is not in the record."""
        pages = [z.buffer_pages for z in self.zones]
        return None if None in pages else sum(pages)

    @property
    def free_by_zone(self) -> Mapping[tuple[int, int], int]:
        return {(z.node, z.zone): z.free_pages for z in self.zones}


class HostSample(_line("HostSample", "sample", "host")):
    __slots__ = ()

    @property
    def batches(self) -> int | None:
        """Received by the device so far."""
        return self.device.get("batches") if self.device else None


class LoadSample(_line("LoadSample", "sample", "load")):
    __slots__ = ()


class Hist(_line("Hist", "hist")):
    """Log-linear histogram; hist.py has the arithmetic."""

    __slots__ = ()


class Mark(_line("Mark", "mark")):
    """A part that is gauged begins."""

    __slots__ = ()


class Gauge(_line("Gauge", "gauge")):
    """What the guest executed since the mark of that name."""

    __slots__ = ()


class Touch(_line("Touch", "touch")):
    """Memory was taken and each page of it touched once; histograms whose names begin with its name follow."""

    __slots__ = ()


class Log(_line("Log", "log")):
    """A line of output of init, the tracer or the workload."""

    __slots__ = ()


class Loss(_line("Loss", "loss")):
    __slots__ = ()

    @property
    def nr_lost(self) -> int:
        """Events that did not reach the record, by the larger of the two accounts."""
        return max(sum(self.dropped.values()), self.seen - self.recorded, 0)

    @property
    def identity_holds(self) -> bool:
        return self.seen == self.recorded + sum(self.dropped.values())


class Ledger(_object("ledger")):
    """Bytes hinted, received, discarded; ok is None when it could not be closed, see detail."""

    __slots__ = ()


class LossSum(_object("loss_sum")):
    __slots__ = ()


class EndGuest(_object("end_guest")):
    """What the runner sums up of one guest; device is the counters as a mapping."""

    __slots__ = ()


class Artefact(_object("artefact")):
    """A file below artefacts/ of the cell."""

    __slots__ = ()


class End(_line("End", "end")):
    """The end line.  guests has one entry a guest; device, ledger and loss are those of the first."""

    __slots__ = ()

    @property
    def skipped(self) -> Mapping[str, int]:
        """Bytes the device did not discard, by reason."""
        return self.device.get("bytes_skipped", {})


# The classes of the objects inside lines; those that are not here are mappings.
OBJECTS = {
    "spec": Spec,
    "arm": Arm,
    "colours": Colour,
    "expect": Expect,
    "hello": Guest,
    "hello_zone": GuestZone,
    "run_clock": RunClock,
    "zone": ZoneState,
    "sample_zone": SampleZone,
    "ledger": Ledger,
    "loss_sum": LossSum,
    "end_guest": EndGuest,
    "artefact": Artefact,
}


@dataclass(frozen=True)
class Record:
    path: Path
    schema: int
    cell: str
    experiment: str
    command: str  # repeats the run; empty in older records
    spec: Spec
    arm: Arm | None  # unknown in schema 1
    host: Mapping[str, Any]
    guests: tuple[Guest | None, ...]
    clock: RunClock
    phases: tuple[Phase, ...]
    tracer: tuple[TracerEdge, ...]
    shortages: tuple[Shortage, ...]  # kills and failed allocations
    stalls: Mapping[str, Stalls]  # all others, by kind; empty when they are wanted in full:
    judged_stalls: tuple[Shortage, ...]
    batches: tuple[Batch, ...]
    exits: tuple[ProcExit, ...]
    violations: tuple[Violation, ...]
    lags: tuple[LoadLag, ...]
    lag_max: tuple[LoadLagMax, ...]
    guest_samples: tuple[GuestSample, ...]
    host_samples: tuple[HostSample, ...]
    load_samples: tuple[LoadSample, ...]
    all_hists: tuple[Hist, ...]
    losses: tuple[Loss, ...]
    marks: tuple[Mark, ...]
    gauges: tuple[Gauge, ...]
    touches: tuple[Touch, ...]
    logs: tuple[Log, ...]
    end: End
    nr_lines: int  # between run and end, as found

    @property
    def guest(self) -> Guest | None:
        """The first guest, mostly the only one."""
        return self.guests[0]

    @property
    def hists(self) -> Mapping[str, Hist]:
        """Histograms of the first guest by name."""
        return {h.name: h for h in self.all_hists if h.guest == 0}

    @property
    def nr_violations(self) -> int:
        return len(self.violations)

    @property
    def max_lag_ns(self) -> int:
        """Largest lag of a request known; without lag_max a small one may be unknown."""
        return max((e.lag_ns for e in (*self.lags, *self.lag_max)), default=0)

    def buffer_level(self, sample: GuestSample) -> int | None:
        """Pages in the buffer: what the guest held at boot and the change the tracer has seen since.

        None when one of the two is unknown; of a cell without a buffer nothing is.
        """
        guest, change = self.guests[sample.guest], sample.buffer_pages
        if guest is None or change is None:
            return None if self.spec.buffer_bytes else 0
        return guest.buffer_held_pages + change


@dataclass(frozen=True)
class Cell:
    """A cell folder and what became of it: finished, failed or unfinished."""

    folder: Path
    name: str
    state: str
    why: str
    record: Record | None
