# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of time: everything happens within the record, and the record covers what is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.record.facts import HOST_GAP_NS, SAMPLE_SLACK_NS, SECOND, Facts, Found
from analysis.record.hist import LOST_NS, LOST_US
from analysis.record.model import HostSample


def times(f: Facts) -> Found:
    end = f.end_ns + SAMPLE_SLACK_NS
    r = f.record
    for x in (*r.phases, *r.shortages, *r.batches, *r.exits, *r.violations, *r.load_samples, *r.lags):
        if x.t_ns > end:
            yield x.line or 0, f"{x.t_ns} ns is after the last sample at {f.end_ns} ns"
            return
    for stalls in r.stalls.values():
        if len(stalls) and (x := stalls[-1]).t_ns > end:
            yield x.line, f"{x.t_ns} ns is after the last sample at {f.end_ns} ns"
            return
    # The last one is of the guest's end; on the real clock QEMU takes a while to stop there.
    slack = HOST_GAP_NS if r.spec.clock == "real" else 0
    for h in r.host_samples:
        if h.t_ns > end + slack:
            yield h.line or 0, f"host sample at {h.t_ns} ns, the last of the guest at {f.end_ns} ns"
            return


def durations(f: Facts) -> Found:
    end = f.end_ns + SAMPLE_SLACK_NS
    for s in f.record.shortages:
        if (s.batch_age_ns or 0) > s.t_ns:
            yield s.line or 0, f"{s.kind} at {s.t_ns} ns, batch of {s.batch_age_ns} ns"
            return
    for kind, stalls in f.record.stalls.items():
        odd = np.flatnonzero((stalls.end_ns > end) | (stalls.column("batch_age_ns") > stalls.t_ns))
        if len(odd):
            s = stalls[odd[0]]
            yield s.line, f"{kind} of {s.duration_ns} ns, batch of {s.batch_age_ns} ns in a record of {end} ns"
            return
    for h in f.record.all_hists:
        if h.unit == "ns" and h.max > end and not (h.lost and h.max == LOST_NS):
            yield h.line or 0, f"{h.name}: {h.max} ns in a record of {end} ns"
    for s in f.record.load_samples:
        took = max((x for x in (s.p50_us, s.p99_us, s.max_us) if x is not None and x < LOST_US), default=0)
        if s.n and took * 1000 > end:
            yield s.line or 0, f"a request took {took:.0f} us in a record of {end} ns"
            return
    for b in f.batches:
        if not b.open and b.done_ns > end:
            yield b.line or 0, f"a batch is back at {b.done_ns} ns, the record ends at {end} ns"
            return


def covered(f: Facts) -> Found:
    if f.measured is None:
        return
    begin, end = f.measured
    if not f.samples or f.samples[-1].t_ns < end - SAMPLE_SLACK_NS or f.samples[0].t_ns > begin + SAMPLE_SLACK_NS:
        last = f.samples[-1] if f.samples else None
        when = f"from {f.samples[0].t_ns} to {last.t_ns} ns" if last else "not at all"
        yield (last.line or 0) if last else 0, f"measured from {begin} to {end} ns, guest sampled {when}"
    yield from _covered_by_host(f.record.host_samples, begin, end)
    loads = f.record.load_samples
    if loads and loads[-1].t_ns < end - 2 * SECOND:
        yield loads[-1].line or 0, f"measured until {end} ns, load samples end at {loads[-1].t_ns} ns"


def _covered_by_host(samples: Sequence[HostSample], begin: int, end: int) -> Found:
    """The first is from before the workload and the last of the guest's end, on either clock; between them
    counts how far they are apart on the host's own clock."""
    if not samples or samples[0].t_ns > begin + SAMPLE_SLACK_NS or samples[-1].t_ns < end:
        when = f"from {samples[0].t_ns} to {samples[-1].t_ns} ns" if samples else "not at all"
        yield (samples[-1].line or 0) if samples else 0, f"measured from {begin} to {end} ns, host sampled {when}"
        return
    for a, b in zip(samples, samples[1:], strict=False):
        if a.t_ns > end or b.t_ns < begin or a.host_ns is None or b.host_ns is None:
            continue
        if b.host_ns - a.host_ns > HOST_GAP_NS:
            yield b.line or 0, f"no host sample for {(b.host_ns - a.host_ns) / 1e9:.1f} s of the host's clock"
            return


def rounds(f: Facts) -> Found:
    open_index: int | None = None
    last: int | None = None
    for p in f.record.phases:
        if p.name != "round" or p.index is None:
            continue
        if p.begin:
            if open_index is not None or (last is not None and p.index != last + 1):
                yield p.line or 0, f"round {p.index} begins after round {last}"
                return
            open_index = last = p.index
        elif p.index != open_index:
            yield p.line or 0, f"round {p.index} ends, {open_index} had begun"
            return
        else:
            open_index = None


def tracer(f: Facts) -> Found:
    if f.record.schema == 1:
        return
    begin = next((x for x in f.record.tracer if x.edge == "begin"), None)
    end = next((x for x in f.record.tracer if x.edge == "end"), None)
    if begin is None or end is None:
        yield 0, "the tracer never said that it had " + ("begun" if begin is None else "ended")
    elif f.measured and not begin.t_ns <= f.measured[0] <= f.measured[1] <= end.t_ns:
        yield end.line or 0, f"the tracer lived from {begin.t_ns} to {end.t_ns} ns, measured {f.measured}"
