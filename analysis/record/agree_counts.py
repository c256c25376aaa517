# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of counts: what the tracer, the kernel, the console and the workload counted each."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from analysis.record.facts import (
    CONSOLE_SLACK_NS,
    COUNT_SLACK_NS,
    EVENT_PROBES,
    LOAD_SLACK_NS,
    MAX_CONSOLE_BYTES,
    SECOND,
    Facts,
    Found,
)
from analysis.record.hist import upper
from analysis.record.model import GuestSample

KILLED = re.compile(rb"\[ *(\d+\.\d+)\] [^:\n]*[Oo]ut of memory[^:\n]*: Killed process \d+")


def lines(f: Facts) -> Found:
    said, found = f.record.end.nr_lines, f.record.nr_lines
    if said != found:
        yield 0, f"the end line says {said} lines, {found} are there"


def loss_lines(f: Facts) -> Found:
    twice = [p for p, n in Counter((x.probe, x.guest) for x in f.record.losses).items() if n > 1]
    for probe, _ in twice:
        yield 0, f"two loss lines for probe {probe}"
    hints = bool(f.batches)
    wanted = [*EVENT_PROBES, *(("batch",) if hints else ())]
    missing = [p for p in wanted if p not in f.losses]
    if missing:
        yield 0, f"no loss line for {', '.join(missing)}"


def recorded(f: Facts) -> Found:
    present = Counter(s.kind for s in f.record.shortages)
    present.update({kind: len(stalls) for kind, stalls in f.record.stalls.items()})
    for probe in EVENT_PROBES:
        loss = f.losses.get(probe)
        if loss and loss.recorded != present[probe]:
            yield loss.line or 0, f"{probe}: {loss.recorded} recorded, {present[probe]} in the record"
    loss = f.losses.get("batch")
    closed = sum(not b.open for b in f.batches)
    if loss and not closed <= loss.recorded <= len(f.batches):
        yield loss.line or 0, f"batch: {loss.recorded} recorded, {closed} in the record"
    loss = f.losses.get("sample")
    # The first and the last sample come from /proc, and are not the probe's.
    if loss and loss.recorded and abs(len(f.samples) - loss.recorded) > 2:
        yield loss.line or 0, f"sample: {loss.recorded} recorded, {len(f.samples)} in the record"


def _grown(f: Facts, name: str) -> Iterator[tuple[GuestSample, int]]:
    """(sample, growth of a vmstat counter since the first sample)."""
    known = [s for s in f.samples if name in s.vmstat]
    for s in known[1:]:
        yield s, s.vmstat[name] - known[0].vmstat[name]


def kills_vmstat(f: Facts) -> Found:
    if not f.samples or not f.whole("oom_kill"):
        return
    first = f.samples[0].t_ns
    kills = sorted(k.t_ns for k in f.record.shortages if k.kind == "oom_kill" and k.t_ns > first)
    # A kill of a whole cgroup counts its chosen victim twice.
    memcg = sum(k.memcg is not False for k in f.record.shortages if k.kind == "oom_kill")
    for s, grown in _grown(f, "oom_kill"):
        low = bisect.bisect_right(kills, s.t_ns - COUNT_SLACK_NS)
        high = bisect.bisect_right(kills, s.t_ns + COUNT_SLACK_NS) + memcg
        if not low <= grown <= high:
            yield s.line or 0, f"{low} kills so far in the record, the kernel counts {grown}"
            return


def kills_console(f: Facts) -> Found:
    """Since the tracer began: the console has the kills of the whole boot, each with the kernel's time."""
    path = f.folder / "console.log" if f.folder else None
    if path is None or not path.is_file() or path.stat().st_size > MAX_CONSOLE_BYTES or not f.whole("oom_kill"):
        return
    begin = next((x.t_ns for x in f.record.tracer if x.edge == "begin"), -CONSOLE_SLACK_NS)
    kills = sum(k.kind == "oom_kill" and k.t_ns >= begin for k in f.record.shortages)
    shown = [float(m[1]) * SECOND for m in KILLED.finditer(path.read_bytes())]
    least = sum(t > begin + CONSOLE_SLACK_NS for t in shown)
    most = sum(t > begin - CONSOLE_SLACK_NS for t in shown)
    if not least <= kills <= most:
        on_console = most if kills > most else least
        yield 0, f"{kills} kills in the record since the tracer began, {on_console} on the console"


def kills_exits(f: Facts) -> Found:
    if not f.whole("oom_kill"):
        return
    kills: dict[int, list[int]] = {}
    for k in f.record.shortages:
        if k.kind == "oom_kill":
            if k.t_ns in kills.setdefault(k.victim_pid, []):
                yield k.line or 0, f"process {k.victim_pid} was killed twice at one instant"
            kills[k.victim_pid].append(k.t_ns)
    # The other way round says nothing: a workload may send SIGKILL to its own. A kill that is missing in the
    # record shows in the kernel's count and on the console.
    for e in f.record.exits:
        killed = any(t <= e.t_ns + COUNT_SLACK_NS for t in kills.get(e.pid, ()))
        if killed and e.signal not in (9, None):
            yield e.line or 0, f"process {e.pid} was killed, its exit says signal {e.signal}"


def _stall_counts(f: Facts, kind: str, counter: str) -> Found:
    if not f.samples or not f.whole(kind):
        return
    grown = list(_grown(f, counter))
    if not grown:
        return
    last, count = grown[-1]
    first = f.samples[0].t_ns
    stalls = f.record.stalls[kind]
    begun, done = stalls.t_ns, stalls.end_ns
    sure = np.count_nonzero((begun > first + COUNT_SLACK_NS) & (done < last.t_ns - COUNT_SLACK_NS))
    may = np.count_nonzero((done > first - COUNT_SLACK_NS) & (begun < last.t_ns + COUNT_SLACK_NS))
    if kind == "direct_reclaim":
        # The kernel counts tries, up to four of one stall: walking all cgroups, then without sparing
        # active pages, then without sparing a cgroup's protected ones.
        least, most = sure, 4 * may
    else:
        least, most = sure, may
    if not least <= count <= most:
        yield last.line or 0, f"{len(stalls)} in the record, so {least} to {most}; the kernel counts {count}"


def reclaim(f: Facts) -> Found:
    return _stall_counts(f, "direct_reclaim", "allocstall")


def compaction(f: Facts) -> Found:
    return _stall_counts(f, "compaction_stall", "compact_stall")


def hist_sums(f: Facts) -> Found:
    for h in f.record.all_hists:
        if h.counts and not h.n <= h.sum + h.n or (h.n and h.max * h.n < h.sum):
            yield h.line or 0, f"{h.name}: the sum {h.sum} is more than {h.n} times the largest {h.max}"
        if h.counts and h.max > upper(h.counts[-1][0], h.sub_bits):
            yield h.line or 0, f"{h.name}: the largest {h.max} is in no bucket"
    if not f.record.spec.traced:
        return  # of a tracer the workload ran itself, there may be several of a name
    hists = f.record.hists
    for name in ("direct_reclaim", "compaction_stall"):
        h = hists.get(name)
        if h is None or not f.whole(name):
            continue
        lengths = f.record.stalls[name].column("duration_ns").tolist()
        if (h.n, h.sum) != (len(lengths), sum(lengths)):
            yield h.line or 0, f"{name}: n {h.n}, sum {h.sum}; its events {len(lengths)}, {sum(lengths)}"
    closed = [b for b in f.batches if not b.open]
    h = hists.get("batch_hold")
    if h is not None and f.whole("batch") and (h.n, h.sum) != (
        len(closed),
        sum(b.done_ns - b.start_ns for b in closed),
    ):
        yield h.line or 0, f"batch_hold: n {h.n}, its events {len(closed)}, or the sums differ"


def requests(f: Facts) -> Found:
    h, window = f.record.hists.get("request_latency"), f.measured
    if h is None or window is None or not f.record.load_samples:
        return
    # A sample counts the interval before it: the one at the left edge is of the warm-up.
    loads = [s for s in f.record.load_samples if window[0] < s.t_ns <= window[1] + LOAD_SLACK_NS]
    answered, lost = sum(s.n for s in loads), sum(s.errors for s in loads)
    # Still open when their sample was written: answered or lost later.
    pending = sum(s.pending or 0 for s in loads)
    if h.lost is None:
        if h.n != answered:
            yield h.line or 0, f"{h.n} requests in the histogram, {answered} in the load samples"
    elif h.n != answered + lost + pending or not lost <= h.lost <= lost + pending:
        yield (
            h.line or 0,
            f"{h.n} requests of which {h.lost} lost; in the load samples {answered} answered, {lost} lost,"
            f" {pending} open",
        )
    for x in f.record.lag_max:
        if h.lost is not None and x.nr != h.n:
            yield x.line or 0, f"{h.n} requests in the histogram, the generator looked at {x.nr}"
