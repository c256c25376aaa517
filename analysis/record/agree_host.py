# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants between guest and host: device counters, host memory, the ledger."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from analysis.record.facts import (
    BESIDE_RAM_BYTES,
    NEVER_TOUCHED_BYTES,
    NEVER_TOUCHED_SHARE,
    RSS_SLACK_BYTES,
    SEND_SLACK_NS,
    Facts,
    Found,
)
from analysis.record.model import PAGE_BYTES, HostSample


def device_bytes(f: Facts) -> Found:
    """Bytes the device received, against the batches sent, at every host sample."""
    if not f.whole("batch"):
        return
    sent = sorted((b.sent_ns, b.nr_pages * PAGE_BYTES) for b in f.batches if b.sent_ns)
    times = [t for t, _ in sent]
    sums = [0]
    for _, n in sent:
        sums.append(sums[-1] + n)
    slack = SEND_SLACK_NS[f.record.spec.clock]
    # What is sent once the tracer takes its programs away, before its last sample, is in no batch; in older
    # records nor is the one out then.
    until = f.samples[-2].t_ns if len(f.samples) > 1 else 0
    if f.record.schema == 1:
        until = min(until, max((b.done_ns for b in f.batches), default=0))
    base: int | None = None
    for h in f.record.host_samples:
        received = (h.device or {}).get("bytes_received")
        low, high = (bisect.bisect_right(times, h.t_ns + d) for d in (-slack, slack))
        if received is None or low != high or not f.samples or not f.samples[0].t_ns <= h.t_ns < until:
            continue
        if base is None:
            base = received - sums[low]
        elif received - base != sums[low]:
            yield h.line or 0, f"the device received {received - base} bytes, batches sent have {sums[low]}"
            return


def answers(f: Facts) -> Found:
    """The modelled host answers no earlier than its model says."""
    spec = f.record.spec
    for b in f.batches:
        if b.open or b.err or not b.sent_ns or not b.ack_ns:
            continue
        model = spec.ack_base_ns + spec.ack_per_chunk_ns * b.nr_chunks
        # The device counts from when it has the batch, the guest from just before.
        if b.ack_ns - b.sent_ns < model:
            yield b.line or 0, f"answered after {b.ack_ns - b.sent_ns} ns, the host model takes {model} ns"
            return


def _discarded(samples: Sequence[HostSample], first: int, last: int) -> int:
    """Bytes discarded from one sample to another, as far as the device was asked; 0 when it was not."""
    ends = [samples[min(max(i, 0), len(samples) - 1)].device or {} for i in (first, last)]
    return max(ends[1].get("bytes_discarded", 0) - ends[0].get("bytes_discarded", 0), 0)


def resident(f: Facts) -> Found:
    """No more resident than given, nor than the whole process has."""
    given = f.record.spec.given_bytes
    samples = f.record.host_samples
    for i, h in enumerate(samples):
        if h.rss_bytes > given + BESIDE_RAM_BYTES:
            yield h.line or 0, f"{h.rss_bytes} bytes of guest RAM resident, {given} were given"
            return
        if h.process_rss_bytes is None:
            continue
        # The two are read one after the other; what was discarded in between is in the first only.
        if h.rss_bytes > h.process_rss_bytes + _discarded(samples, i - 1, i + 1):
            yield h.line or 0, f"guest RAM {h.rss_bytes} bytes resident, the whole process {h.process_rss_bytes}"
            return


def backed(f: Facts) -> Found:
    """What the guest uses is in host memory: free + resident >= given - never touched."""
    guest = f.record.guest
    if f.record.schema == 1 or guest is None or len(f.samples) < 2:
        return
    times = [s.t_ns for s in f.samples]
    # Of the guest's own total, so that what the kernel keeps for itself at boot is on neither side.
    total = guest.mem_total_kib * 1024
    for h in f.record.host_samples:
        i = bisect.bisect_left(times, h.t_ns)
        if not 0 < i < len(times):
            continue
        idle = max(
            s.free_pages + (0 if f.record.spec.buffer_bytes else s.held_pages)
            for s in f.samples[max(i - 2, 0) : i + 2]
        )
        inside = h.rss_bytes + (h.swap_bytes or 0)
        if inside + idle * PAGE_BYTES < total * (1 - NEVER_TOUCHED_SHARE) - NEVER_TOUCHED_BYTES:
            yield (
                h.line or 0,
                f"{inside} bytes resident and {idle * PAGE_BYTES} free in the guest, of {total} it manages",
            )
            return


def follows_discard(f: Facts) -> Found:
    """Resident memory falls by no more than the device discarded (or the host swapped out).

    Memory and counters of a sample are read one after the other, so a discard may be in one and not yet
    in the other: the counters of the samples around count.
    """
    if f.record.schema == 1:
        return
    samples = f.record.host_samples
    for i in range(1, len(samples)):
        was, now = samples[i - 1], samples[i]
        if was.device is None or now.device is None:
            continue
        discarded = _discarded(samples, i - 2, i + 1)
        fell = was.rss_bytes + (was.swap_bytes or 0) - now.rss_bytes - (now.swap_bytes or 0)
        if fell > discarded + RSS_SLACK_BYTES:
            yield now.line or 0, f"resident memory fell by {fell} bytes, {discarded} were discarded"
            return


def ledger(f: Facts) -> Found:
    """Bytes hinted = received = discarded + skipped."""
    for one in f.record.end.guests:
        if one.ledger is not None and one.ledger.ok is False:
            yield 0, one.ledger.detail or "bytes hinted, received and discarded differ"
