# SPDX-License-Identifier: GPL-2.0-or-later
"""A record with what several invariants need of it, and their tolerances."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from analysis.record.model import MIB, Batch, GuestSample, Loss, Record

MS = 1_000_000
SECOND = 1_000_000_000

# Samples are 100 ms apart; the last one may be that much before the end of what is measured.
SAMPLE_SLACK_NS = 250 * MS
# Host samples are 100 ms of host time apart. On the virtual clock that says nothing of guest time: an idle guest
# sleeps for minutes in between, and on a busy machine several samples share one instant.
HOST_GAP_NS = 10 * SECOND
# The guest's clocks run at the host's rate only as far as the kernel has calibrated them at boot.
RATE_SHARE = {"virtual": 0.0, "real": 0.001}
# Load samples are 250 ms apart, and the last one closes just after the phase.
LOAD_SLACK_NS = 250 * MS
# vmstat sums up CPUs while they count: an event this close to a sample may be on either side.
COUNT_SLACK_NS = 2 * MS
# Between the kernel's begin of a batch and the tracer's note of it.
BATCH_SLACK_NS = MS
# QEMU's main loop sees the guest's clock as of the vCPU's last stop. On the real clock a sample says how far off
# its time may be.
SEND_SLACK_NS = MS
INTEGRAL_SHARE = 0.002
# QEMU's memory of a guest beside its RAM: firmware, video, ROMs.
BESIDE_RAM_BYTES = 32 * MIB
# What the guest manages, has not on its free lists, and never touched: per-CPU lists of free pages (refilled
# from untouched blocks), preallocated tables, slack of slabs.
NEVER_TOUCHED_BYTES = 32 * MIB
NEVER_TOUCHED_SHARE = 1 / 25
RSS_SLACK_BYTES = 2 * MIB
MAX_CONSOLE_BYTES = 64 * MIB
# The console has printk's clock, which starts apart from CLOCK_MONOTONIC: seen 23 ms behind it.
CONSOLE_SLACK_NS = 250 * MS

EVENT_PROBES = ("oom_kill", "alloc_fail", "direct_reclaim", "compaction_stall", "kswapd_wake")

# (line of record.jsonl, what is wrong) for everything found; line 0 when no single one can be named.
Found = Iterator[tuple[int, str]]


class Facts:
    """A record with what several invariants need of it."""

    def __init__(self, record: Record, folder: Path | None) -> None:
        self.record = record
        self.folder = folder

    @cached_property
    def losses(self) -> dict[str, Loss]:
        return {x.probe: x for x in self.record.losses}

    def whole(self, probe: str) -> bool:
        """The probe has a loss line, it says that nothing was lost, and of each batch is known what is counted."""
        loss = self.losses.get(probe)
        if probe == "batch" and self.record.spec.buffer_bytes and any(b.exchange is None for b in self.batches):
            return False
        return loss is not None and not loss.nr_lost

    @property
    def may_swap_back(self) -> bool:
        """The guest's kernel gives each chunk back to its old place after the hint, or does not say."""
        guest = self.record.guest
        if guest is None or guest.parameters is None:
            return True
        return guest.parameters.get("swap_back", "0") not in ("0", "N")

    @property
    def may_overlap(self) -> bool:
        """The mechanism hands a batch over without waiting for the one before, or on several CPUs."""
        guest = self.record.guest
        return guest is not None and (guest.parameters or {}).get("mechanism") in ("async", "sync")

    @property
    def may_return_early(self) -> bool:
        """Chunks may go back before their batch is answered: the shrinker of free page hints (feature bit 3)."""
        guest = self.record.guest
        return guest is not None and bool(guest.features >> 3 & 1)

    @cached_property
    def samples(self) -> tuple[GuestSample, ...]:
        return self.record.guest_samples

    @cached_property
    def measured(self) -> tuple[int, int] | None:
        begins = [p.t_ns for p in self.record.phases if p.name == "measure" and p.begin]
        ends = [p.t_ns for p in self.record.phases if p.name == "measure" and not p.begin]
        return (min(begins), max(ends)) if begins and ends else None

    @cached_property
    def batches(self) -> tuple[Batch, ...]:
        return tuple(sorted(self.record.batches, key=lambda b: b.start_ns))

    @cached_property
    def taken(self) -> tuple[Batch, ...]:
        """Batches of chunks taken from free memory; those of the buffer itself, told once, are not held."""
        return tuple(b for b in self.batches if b.exchange or not self.record.spec.buffer_bytes)

    def done(self, b: Batch) -> int:
        """When a batch was back; that of an open one never is."""
        return 2**62 if b.open else b.done_ns

    @cached_property
    def end_ns(self) -> int:
        """The latest instant the record can speak of: its last sample, or the device's clock if later."""
        last = max((s.t_ns for s in self.samples), default=0)
        device_ns = self.record.end.device.get("virtual_ns", 0)
        if self.record.spec.clock == "virtual" and isinstance(device_ns, int):
            last = max(last, device_ns)
        return max(last, *(x.t_ns for x in self.record.tracer), 0)
