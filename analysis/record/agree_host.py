# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants between guest and host: device counters, host memory, the ledger."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence

from analysis.record.facts import (
    BESIDE_RAM_BYTES,
    NEVER_TOUCHED_BYTES,
    NEVER_TOUCHED_SHARE,
    RATE_SHARE,
    RSS_SLACK_BYTES,
    SEND_SLACK_NS,
    Facts,
    Found,
)
from analysis.record.model import PAGE_BYTES, Batch, HostSample


def _model_ns(f: Facts, b: Batch) -> float:
    """The least the host takes for a batch, as its model says, on the guest's clock."""
    spec = f.record.spec
    return (spec.ack_base_ns + spec.ack_per_chunk_ns * b.nr_chunks) * (1 - RATE_SHARE[spec.clock])


def _sums(batches: Iterable[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """(times in order, bytes of all batches before each of them), of (time, pages)."""
    ordered = sorted(batches)
    sums = itertools.accumulate((n * PAGE_BYTES for _, n in ordered), initial=0)
    return [t for t, _ in ordered], list(sums)


def device_bytes(f: Facts) -> Found:
    """Bytes the device received, against the batches sent, at every host sample.

    A batch is on its way from when it was sent; when it was answered the device had had it for as long as
    the host model takes. In between nobody can tell, and the sample is not compared.
    """
    if not f.whole("batch"):
        return
    sent = [b for b in f.batches if b.sent_ns]
    begins, begun = _sums((b.sent_ns, b.nr_pages) for b in sent)
    ends, received_for_sure = _sums(
        (max(b.ack_ns - _model_ns(f, b), b.sent_ns), b.nr_pages) for b in sent if b.ack_ns and not b.open
    )
    # What is sent once the tracer takes its programs away, before its last sample, is in no batch; in older
    # records nor is the one out then.
    until = f.samples[-2].t_ns if len(f.samples) > 1 else 0
    if f.record.schema == 1:
        until = min(until, max((b.done_ns for b in f.batches), default=0))
    base: int | None = None
    for h in f.record.host_samples:
        received = (h.device or {}).get("bytes_received")
        error = 0 if f.record.spec.clock == "virtual" else h.t_error_ns
        if received is None or error is None or not f.samples or not f.samples[0].t_ns <= h.t_ns < until:
            continue
        slack = SEND_SLACK_NS + error
        low = received_for_sure[bisect.bisect_right(ends, h.t_ns - slack)]
        high = begun[bisect.bisect_right(begins, h.t_ns + slack)]
        if low != high:
            continue
        if base is None:
            base = received - low
        elif received - base != low:
            yield h.line or 0, f"the device received {received - base} bytes, batches sent have {low}"
            return


def answers(f: Facts) -> Found:
    """The modelled host answers no earlier than its model says."""
    one_by_one = (f.record.spec.device or {}).get("free-page-hint") == "on"
    for b in f.batches:
        if b.open or b.err or not b.sent_ns or not b.ack_ns:
            continue
        model = _model_ns(f, b)
        # The device counts from when it has the batch, the guest from just before.  Blocks that are handed over
        # one by one it has from the first of them on, before the guest says that it has sent them.
        took = b.ack_ns - (b.start_ns if one_by_one else b.sent_ns)
        if took < model:
            yield b.line or 0, f"answered after {took} ns, the host model takes {model:.0f} ns"
            return


def _discarded(samples: Sequence[HostSample], first: int, last: int) -> float:
    """Bytes discarded from one sample to another; any number when the device was not asked."""
    ends = [samples[min(max(i, 0), len(samples) - 1)].device or {} for i in (first, last)]
    was, now = (end.get("bytes_discarded") for end in ends)
    return math.inf if was is None or now is None else max(now - was, 0)


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
    samples = f.record.host_samples
    # Of the guest's own total, so that what the kernel keeps for itself at boot is on neither side.
    total = guest.mem_total_kib * 1024
    for h, after in zip(samples, (*samples[1:], *samples[-1:]), strict=True):
        i = bisect.bisect_left(times, h.t_ns)
        if not 0 < i < len(times):
            continue
        # Memory was read after the counters that say when: how long, on a clock that jumps, only the next ones tell.
        by = after.t_ns if f.record.spec.clock == "virtual" else h.t_ns + (h.memory_after_ns or 0)
        # A batch taken before the tracer attached is in no guest sample; the device has it.
        out = (h.device or {}).get("bytes_out", 0) // PAGE_BYTES
        idle = max(
            s.free_pages + (0 if f.record.spec.buffer_bytes else max(s.held_pages, out))
            for s in f.samples[max(i - 2, 0) : bisect.bisect_left(times, by) + 2]
        )
        if h.swap_bytes is None:
            continue
        inside = h.rss_bytes + h.swap_bytes
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
        if was.swap_bytes is None or now.swap_bytes is None:
            continue
        discarded = _discarded(samples, i - 2, i + 1)
        fell = was.rss_bytes + was.swap_bytes - now.rss_bytes - now.swap_bytes
        if fell > discarded + RSS_SLACK_BYTES:
            yield now.line or 0, f"resident memory fell by {fell} bytes, {discarded} were discarded"
            return


def ledger(f: Facts) -> Found:
    """Bytes hinted = received = discarded + skipped."""
    for one in f.record.end.guests:
        if one.ledger is not None and one.ledger.ok is False:
            yield 0, one.ledger.detail or "bytes hinted, received and discarded differ"
