# SPDX-License-Identifier: GPL-2.0-or-later
"""What a record says, as frozen dataclasses.  Times are guest CLOCK_MONOTONIC in ns, pages are 4 KiB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE_BYTES = 4096
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Spec:
    """Every input of a run."""

    workload: str
    arm: str
    label: str
    mem_bytes: int
    buffer_bytes: int
    extra_bytes: int
    overhead_bytes: int
    vcpus: int
    order: int
    delay_ms: int
    capacity: int
    ack_base_ns: int
    ack_per_chunk_ns: int
    clock: str
    accel: str
    seed: int
    repeat: int
    kernel: str
    qemu: str
    rootfs: str
    tools: str
    raw: Mapping[str, Any]

    @property
    def given_bytes(self) -> int:
        """Memory the host gave the guest."""
        return self.mem_bytes + self.extra_bytes + self.overhead_bytes


@dataclass(frozen=True)
class GuestZone:
    node: int
    zone: str
    managed_pages: int
    min_pages: int
    low_pages: int
    high_pages: int


@dataclass(frozen=True)
class Guest:
    """What the guest said about itself at boot, read back inside it."""

    release: str
    cmdline: str
    mem_total_kib: int
    min_free_kib: int
    features: int
    order: int | None
    delay_ms: int | None
    capacity: int | None
    buffer_wanted_pages: int
    buffer_held_pages: int
    swap_kib: int
    zones: tuple[GuestZone, ...]


@dataclass(frozen=True)
class Phase:
    t_ns: int
    name: str
    begin: bool
    index: int | None


@dataclass(frozen=True)
class ZoneState:
    """One zone at the instant of an event, all of it sampled in one probe."""

    node: int
    zone: int
    free_pages: int
    min_pages: int
    low_pages: int
    high_pages: int
    reserve_pages: int
    highatomic_pages: int
    held_pages: int
    uncompensated_pages: int
    buffer_pages: int
    held_by_order: tuple[tuple[int, int], ...]
    nr_free_by_order: tuple[int, ...]
    # None: the record does not say.
    boost_pages: int | None = 0
    cma_pages: int | None = None  # of free_pages, those in CMA areas
    isolated_pageblocks: int | None = None


@dataclass(frozen=True)
class Shortage:
    """A request that memory was short for: kill, failed allocation, stall or kswapd wake-up."""

    kind: str
    t_ns: int
    pid: int
    comm: str
    gfp: int | None
    order: int
    highest_zoneidx: int | None
    zones: tuple[ZoneState, ...]
    held_pages: int
    uncompensated_pages: int
    batch_age_ns: int = 0
    duration_ns: int = 0
    node: int | None = None
    victim_pid: int = 0
    victim_comm: str = ""
    victim_rss_pages: int = 0
    memcg: bool = False
    sysrq: bool = False
    injected: bool = False
    zones_missing: bool = False
    # None: the record does not say.
    constraint: str | None = None
    allowed_nodes: tuple[int, ...] | None = None
    pf_memalloc: bool | None = None  # the task was in reclaim: no watermark held for it
    oom_victim: bool | None = None
    own: bool | None = None  # asked for by the toolkit itself
    state_ns: int | None = None  # when the zones were sampled


@dataclass(frozen=True)
class Batch:
    t_ns: int
    start_ns: int
    sent_ns: int
    ack_ns: int
    done_ns: int
    nr_chunks: int
    nr_pages: int
    err: int
    exchange: bool


@dataclass(frozen=True)
class ProcExit:
    t_ns: int
    pid: int
    name: str
    status: int
    signal: int
    round: int | None


@dataclass(frozen=True)
class GuestSample:
    t_ns: int
    free_pages: int
    held_pages: int
    uncompensated_pages: int
    buffer_pages: int  # change since the tracer attached, see Record.buffer_level
    uncompensated_page_ns: int
    held_page_ns: int
    exchanges: int
    exchange_free_delta_pages: int
    vmstat: Mapping[str, int]
    free_by_zone: Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class HostSample:
    t_ns: int
    rss_bytes: int
    batches: int | None = None  # received by the device so far


@dataclass(frozen=True)
class LoadSample:
    t_ns: int
    n: int
    errors: int
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True)
class Hist:
    """Log-linear histogram; analysis/record/hist.py has the arithmetic."""

    name: str
    unit: str
    sub_bits: int
    n: int
    sum: int
    max: int
    counts: tuple[tuple[int, int], ...]
    lost: int | None = None  # requests recorded as hist.LOST_NS; None: not said


@dataclass(frozen=True)
class Loss:
    probe: str
    seen: int
    recorded: int
    dropped: Mapping[str, int]

    @property
    def nr_lost(self) -> int:
        """Events that did not reach the record, by the larger of the two accounts."""
        return max(sum(self.dropped.values()), self.seen - self.recorded, 0)

    @property
    def identity_holds(self) -> bool:
        return self.seen == self.recorded + sum(self.dropped.values())


@dataclass(frozen=True)
class Ledger:
    guest_hinted_bytes: int
    device_received_bytes: int
    device_discarded_bytes: int
    device_skipped_bytes: int
    ok: bool | None  # None: it could not be closed, see detail
    from_ns: int = 0
    to_ns: int = 0
    detail: str = ""


@dataclass(frozen=True)
class End:
    status: str
    failure: str
    failure_detail: str
    wall_s: float
    nr_bad_lines: int
    device: Mapping[str, int]
    skipped: Mapping[str, int]
    ledger: Ledger | None


@dataclass(frozen=True)
class Record:
    path: Path
    cell: str
    experiment: str
    spec: Spec
    host: Mapping[str, str]
    guest: Guest | None
    phases: tuple[Phase, ...]
    shortages: tuple[Shortage, ...]
    batches: tuple[Batch, ...]
    exits: tuple[ProcExit, ...]
    nr_violations: int
    max_lag_ns: int
    guest_samples: tuple[GuestSample, ...]
    host_samples: tuple[HostSample, ...]
    load_samples: tuple[LoadSample, ...]
    hists: Mapping[str, Hist]
    losses: tuple[Loss, ...]
    end: End

    def buffer_level(self, sample: GuestSample) -> int:
        """Pages in the buffer: what the guest held at boot and the change the tracer has seen since."""
        return (self.guest.buffer_held_pages if self.guest else 0) + sample.buffer_pages


@dataclass(frozen=True)
class Cell:
    """A cell folder and what became of it: finished, failed or unfinished."""

    folder: Path
    name: str
    state: str
    why: str
    record: Record | None
