# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of batches: chunks, held memory, the buffer and the integrals follow from the batches."""

from __future__ import annotations

import bisect
import itertools

from analysis.record.facts import (
    BATCH_SLACK_NS,
    COUNT_SLACK_NS,
    INTEGRAL_SHARE,
    Facts,
    Found,
)
from analysis.record.model import PAGE_BYTES


def chunks(f: Facts) -> Found:
    """Chunks of batches against the tracer's own counts of isolating and putting back."""
    if not f.whole("batch"):
        return
    closed = sum(b.nr_chunks for b in f.taken if not b.open)
    every = sum(b.nr_chunks for b in f.taken)
    # What was exchanged goes back into the buffer, everything else onto a free list.
    back = "buffer" if f.record.spec.buffer_bytes else "putback"
    # Older records have no line for a batch that was out as the tracer ended.
    untold = f.record.schema == 1 and f.samples and f.samples[-1].held_pages > 0
    # Chunks that are swapped back are exchanged once more, and stored once more.
    both = (("isolate", closed, every), (back, closed, every))
    for probe, least, most in both[:1] if f.may_swap_back else both:
        loss = f.losses.get(probe)
        if loss is None or loss.nr_lost or not loss.seen:
            continue
        if not least <= loss.recorded <= most and not (untold and loss.recorded >= least):
            yield loss.line or 0, f"{probe} {loss.recorded}, chunks in batches {least} to {most}"


def exchanges(f: Facts) -> Found:
    samples = [s for s in f.samples if s.exchanges is not None and s.exchange_free_delta_pages is not None]
    for x, y in zip(samples, samples[1:], strict=False):
        if y.exchanges < x.exchanges or y.exchange_free_delta_pages < x.exchange_free_delta_pages:
            yield y.line or 0, f"fewer exchanges, or less moved by them, than a sample before: {y.exchanges}"
            return
    if len(samples) < 2 or not f.whole("batch") or f.may_swap_back:
        return
    a, b = samples[0], samples[-1]
    counted = b.exchanges - a.exchanges
    lent = [x for x in f.batches if x.exchange]
    sure = sum(x.nr_chunks for x in lent if a.t_ns < x.start_ns and f.done(x) < b.t_ns)
    most = sum(x.nr_chunks for x in lent if a.t_ns <= f.done(x) and x.start_ns <= b.t_ns)
    # Older records have no line for a batch that was out as the tracer ended.
    untold = f.record.schema == 1 and b.held_pages > 0
    if not sure <= counted <= most and not (untold and counted >= sure):
        yield b.line or 0, f"{counted} exchanges counted, {sure} to {most} chunks in exchange batches"


def overlap(f: Facts) -> Found:
    if f.may_overlap:
        return
    for a, b in zip(f.batches, f.batches[1:], strict=False):
        if b.start_ns < f.done(a):
            yield b.line or 0, "a batch begins before the one before it is back"
            return


def in_order(f: Facts) -> Found:
    for b in f.batches:
        steps = [b.start_ns, *([b.sent_ns] if b.sent_ns else ())]
        if not b.open:
            steps += [*([b.ack_ns] if b.ack_ns else ()), b.done_ns]
        if steps != sorted(steps):
            yield b.line or 0, "a batch is not begun, sent, answered and back in this order"
        small, large = b.min_order or 0, b.max_order if b.max_order is not None else 64
        if not b.nr_chunks << small <= b.nr_pages <= b.nr_chunks << large:
            yield b.line or 0, f"{b.nr_pages} pages in {b.nr_chunks} chunks of order {b.min_order} to {b.max_order}"


def held(f: Facts) -> Found:
    """Held pages of a sample: those of the batch that is out, or of the batches."""
    if not f.whole("batch"):
        return
    starts = [b.start_ns for b in f.taken]
    together = sum if f.may_overlap else lambda pages: max(pages, default=0)
    all_back = list(itertools.accumulate((f.done(b) for b in f.taken), max))
    for s in f.samples:
        held, uncompensated = s.held_pages, s.uncompensated_pages
        if uncompensated > held:
            yield s.line or 0, f"{uncompensated} pages uncompensated, only {held} held"
            return
        begun, ended = s.t_ns - BATCH_SLACK_NS, s.t_ns + s.took_ns + BATCH_SLACK_NS
        i = bisect.bisect_right(starts, ended)
        near = []
        while i and all_back[i - 1] >= begun:
            i -= 1
            if f.done(f.taken[i]) >= begun:
                near.append(f.taken[i])
        most = together([b.nr_pages for b in near])
        out = [
            b
            for b in near
            if b.sent_ns and b.sent_ns < begun and (b.open or ended < b.ack_ns)
        ]
        sure = f.may_overlap or len(out) == 1
        least = sum(b.nr_pages for b in out) if sure and not f.may_return_early else 0
        untold = f.record.schema == 1 and (not f.taken or s.t_ns > f.done(f.taken[-1]))
        if not least <= held <= most and not untold:
            yield s.line or 0, f"{held} pages held, {least} to {most} in the batch that is out"
            return


def buffer(f: Facts) -> Found:
    guest = f.record.guest
    if guest is None or not f.record.spec.buffer_bytes:
        return
    # Held grows with one event of an exchange and the level sinks with the next. A sample taken on another
    # CPU may fall between the two: one chunk more, and that chunk uncompensated.
    between = 1 << max((b.max_order or 0 for b in f.taken), default=0) if f.record.spec.vcpus > 1 else 0
    for s in f.samples:
        level = f.record.buffer_level(s)
        if level is None:
            continue
        together = level + s.held_pages
        if not 0 <= together - guest.buffer_held_pages <= between or s.uncompensated_pages > between:
            yield (
                s.line or 0,
                f"buffer {level} + held {s.held_pages} pages of {guest.buffer_held_pages},"
                f" {s.uncompensated_pages} uncompensated",
            )
            return


def largest(f: Facts) -> Found:
    device = f.record.end.device
    most = device.get("bytes_out_max")
    if not f.batches or not most or not f.whole("batch"):
        return
    largest = max(b.nr_pages for b in f.batches) * PAGE_BYTES
    all_traced = device.get("batches") == sum(bool(b.sent_ns) for b in f.batches)
    # A round of hints is answered block by block, and batches that overlap are out together.
    wrong = largest > most and not f.may_return_early
    if wrong or (all_traced and largest < most and not f.may_overlap):
        yield 0, f"largest batch {largest} bytes, the device had {most} out at most"


def integrals(f: Facts) -> Found:
    limit = f.record.spec.given_bytes // PAGE_BYTES
    for a, b in zip(f.samples, f.samples[1:], strict=False):
        held = b.held_page_ns - a.held_page_ns
        exposed = b.uncompensated_page_ns - a.uncompensated_page_ns
        slack = COUNT_SLACK_NS + b.took_ns
        span = b.t_ns - a.t_ns + slack
        if not 0 <= held <= limit * span or exposed < 0:
            yield b.line or 0, f"held memory grew by {held} page ns in {span / 1e6:.0f} ms of a guest of {limit} pages"
            return
        if exposed > held + limit * slack:
            yield b.line or 0, f"exposure grew by {exposed} page ns, held memory by {held}"
            return
    if len(f.samples) < 2 or not f.whole("batch"):
        return
    first, last = f.samples[0], f.samples[-1]

    def overlap(begin: int, end: int) -> int:
        return max(min(end, last.t_ns) - max(begin, first.t_ns), 0)

    sent = () if f.may_return_early else [b for b in f.taken if b.sent_ns]
    sure = sum(b.nr_pages * overlap(b.sent_ns, last.t_ns if b.open else b.ack_ns) for b in sent)
    most = sum(b.nr_pages * overlap(b.start_ns, f.done(b)) for b in f.taken)
    total = last.held_page_ns - first.held_page_ns
    slack = INTEGRAL_SHARE * most + sum(b.nr_pages for b in f.taken) * BATCH_SLACK_NS
    untold = f.record.schema == 1 and last.held_pages > 0
    if total < sure - slack or (total > most + slack and not untold):
        yield last.line or 0, f"held integral {total} page ns, batches were out for {sure} to {most}"
