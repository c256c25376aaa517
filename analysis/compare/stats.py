# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of a cell, and of an arm over its cells (metrics.py has the list of them)."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from analysis.compare.metrics import METRICS, Number, pooled, summarise
from analysis.judge.judge import (
    ATTRIBUTABLE,
    FALLBACK,
    GENUINE,
    OWN,
    SYSTEM,
    UNDETERMINED,
    Judged,
    classify,
    judge_event,
)
from analysis.record import hist
from analysis.record.model import GIB, MIB, PAGE_BYTES, Cell, GuestSample, HostSample, Record, Shortage
from analysis.record.stalls import UNKNOWN, Stalls

NS = 1_000_000_000
CASCADE_NS = NS  # kills closer than this belong to one incident, unless memory recovered between

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}

Window = tuple[int, int]
_Sample = TypeVar("_Sample", GuestSample, HostSample)


@dataclass(frozen=True)
class Incident:
    kills: tuple[Judged, ...]


@dataclass(frozen=True)
class CellStats:
    cell: Cell
    record: Record
    windows: tuple[Window, ...]
    windows_note: str
    kills: tuple[Judged, ...]
    kills_outside: int
    incidents: tuple[Incident, ...]
    rounds: tuple[int, ...]  # whole ones: begun and ended while measured
    round_of_kill: tuple[int | None, ...]
    values: Mapping[str, float | None]
    why: Mapping[str, str]
    lost: Mapping[str, int]
    label: str  # the arm and the factors that apply to it

    @property
    def pair_key(self) -> tuple[int, int]:
        return self.record.spec.seed, self.record.spec.repeat

    @property
    def lossy(self) -> bool:
        return bool(self.lost)


def measure_windows(record: Record) -> tuple[tuple[Window, ...], str]:
    """The measured stretches of a run, and a note when they are not what the workload should have marked."""
    times = [s.t_ns for s in record.guest_samples]
    times += [s.t_ns for s in record.host_samples] + [e.t_ns for e in record.shortages]
    times += [int(s.t_ns[i]) for s in record.stalls.values() if len(s) for i in (0, -1)]
    last = max(times, default=0)
    windows: list[Window] = []
    start: int | None = None
    note = ""
    for phase in record.phases:
        if phase.name != "measure":
            continue
        if phase.begin:
            start = phase.t_ns
        elif start is not None:
            windows.append((start, phase.t_ns))
            start = None
    if start is not None:
        windows.append((start, max(last, start)))
        note = "the measure phase has no end; it runs to the last sample"
    if not windows:
        return ((min(times, default=0), last),), "no measure phase; the whole run counts"
    return tuple(windows), note


def inside(t_ns: int, windows: Sequence[Window]) -> bool:
    return any(a <= t_ns <= b for a, b in windows)


def counted(t_ns: int, windows: Sequence[Window]) -> bool:
    """Whether a sample that sums up the interval before it belongs to the windows."""
    return any(a < t_ns <= b for a, b in windows)


def seconds(windows: Sequence[Window]) -> float:
    return sum(b - a for a, b in windows) / NS


def growth(
    samples: Sequence[GuestSample], get: Callable[[GuestSample], int], windows: Sequence[Window]
) -> float | None:
    """Growth of a running counter within the windows: last sample up to each edge, linear between samples."""
    if len(samples) < 2:
        return None
    base = samples[0].t_ns
    value0 = get(samples[0])
    t = np.array([s.t_ns - base for s in samples], dtype=float)
    v = np.array([get(s) - value0 for s in samples], dtype=float)
    return float(sum(np.interp(b - base, t, v) - np.interp(a - base, t, v) for a, b in windows))


def count_growth(
    samples: Sequence[_Sample], get: Callable[[_Sample], int | None], windows: Sequence[Window]
) -> float | None:
    """As growth(), for a counter of events: whole numbers, the last sample at or before each edge.

    None when a sample that counts does not have the counter.
    """
    if len(samples) < 2:
        return None
    times = [s.t_ns for s in samples]

    def at(t: int) -> int | None:
        return get(samples[max(bisect.bisect_right(times, t) - 1, 0)])

    edges = [(at(a), at(b)) for a, b in windows]
    return None if any(None in edge for edge in edges) else float(sum(b - a for a, b in edges))


def integral(t_ns: np.ndarray, values: np.ndarray, windows: Sequence[Window]) -> float | None:
    """Integral over the windows in units of value x s, by trapezoids; None when they are not covered."""
    if len(t_ns) < 2:
        return None
    total = 0.0
    for a, b in windows:
        edges = np.array([a, b], dtype=float)
        t = np.union1d(t_ns[(t_ns > a) & (t_ns < b)], edges)
        total += float(np.trapz(np.interp(t, t_ns, values), t)) / NS
    return total


def host_memory(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Times in ns, and the host memory in use in MiB, of all host samples."""
    t = np.array([s.t_ns for s in record.host_samples], dtype=float)
    return t, np.array([s.rss_bytes for s in record.host_samples], dtype=float) / MIB


def host_memory_used(record: Record, windows: Sequence[Window]) -> float | None:
    """MiB x s of host memory in the windows."""
    # Before schema 2 this was the size of another mapping.
    return integral(*host_memory(record), windows) if record.schema >= 2 else None


def _host_values(record: Record, windows: Sequence[Window]) -> dict[str, float | None]:
    t, rss = host_memory(record)
    spec = record.spec
    used = host_memory_used(record, windows)
    length = seconds(windows)
    out: dict[str, float | None] = dict.fromkeys(
        ("host_saved_mib_s", "host_saved_vs_x_mib_s", "rss_mib", "residue_mib")
    )
    stopped_ns = count_growth(record.host_samples, lambda s: (s.device or {}).get("stopped_ns"), windows)
    out["vcpu_stopped_ms"] = None if stopped_ns is None else stopped_ns / 1e6
    if used is None or not length:
        return out
    out["host_saved_mib_s"] = spec.given_bytes / MIB * length - used
    out["host_saved_vs_x_mib_s"] = spec.mem_bytes / MIB * length - used
    out["rss_mib"] = used / length
    g = record.guest_samples
    within = np.array([inside(int(x), windows) for x in t])
    levels = [record.buffer_level(s) for s in g]
    if len(g) >= 2 and within.any() and None not in levels:
        gt = np.array([s.t_ns for s in g], dtype=float)
        idle = (
            np.array([s.free_pages + s.held_pages + n for s, n in zip(g, levels, strict=True)], dtype=float)
            * PAGE_BYTES
            / MIB
        )
        backed = rss[within] + np.interp(t[within], gt, idle) - spec.given_bytes / MIB
        out["residue_mib"] = float(np.median(np.maximum(backed, 0.0)))
    return out


def _latency_values(record: Record, lost: int) -> tuple[dict[str, float | None], dict[str, str]]:
    """Quantiles of all requests; `lost` of them have no answer and rank as slowest (hist.LOST_US)."""
    values: dict[str, float | None] = {}
    why: dict[str, str] = {}
    for prefix, name in (("latency", "request_latency"), ("service", "request_service"), ("head", "request_head")):
        h = record.hists.get(name)
        # Older records have only the answered in their histograms.
        beyond = lost if h and h.lost is None else 0
        for short, q in QUANTILES.items():
            key = f"{prefix}_{short}_us"
            ns = hist.quantile(h, q, beyond) if h else None
            values[key] = None if ns is None else min(ns / 1000, float(hist.LOST_US))
            if h is None:
                why[key] = "no requests were measured"
            elif ns is None:
                why[key] = f"n too small: {h.n + beyond} requests in a run, {hist.needed(q)} needed"
    h = record.hists.get("request_latency")
    values["requests"] = float(h.n - (h.lost or 0)) if h else None
    # Before there was a line for the largest lag, only lags worth an event were known.
    values["generator_lag_us"] = (
        max(e.lag_ns for e in (*record.lag_max, *record.lags)) / 1000 if record.lag_max else None
    )
    if not record.lag_max:
        why["generator_lag_us"] = "not measured"
    return values, why


def union_ns(stalls: Stalls) -> int:
    """Length of the union of stalls: tasks that wait at the same time wait once."""
    if not len(stalls):
        return 0
    begin, end = stalls.t_ns, stalls.end_ns
    reached = np.concatenate(([begin[0]], np.maximum.accumulate(end)[:-1]))
    return int(np.maximum(end - np.maximum(begin, reached), 0).sum())


def _batch_values(record: Record, windows: Sequence[Window]) -> dict[str, float | None]:
    """Of batches begun while measured.  One still out is hinted, and never answered nor back."""
    batches = [b for b in record.batches if inside(b.start_ns, windows)]
    hinted = sum(b.nr_pages for b in batches if not b.err and b.sent_ns) * PAGE_BYTES
    closed = [b for b in batches if not b.open]
    n = len(batches)
    return {
        "batches": float(n),
        "bytes_per_batch": sum(b.nr_pages for b in batches) * PAGE_BYTES / n if n else None,
        "notifications_per_gib": n / (hinted / GIB) if hinted else None,
        "hinted_mib": hinted / MIB,
        "batch_hold_ms": (
            float(np.median([b.done_ns - b.start_ns for b in closed])) / 1e6 if closed else None
        ),
        "batch_ack_ms": (
            float(np.median([max(b.ack_ns - b.sent_ns, 0) for b in closed])) / 1e6 if closed else None
        ),
    }


def group_incidents(kills: Sequence[Judged], samples: Sequence[GuestSample]) -> tuple[Incident, ...]:
    """Kills of one shortage together: closer than CASCADE_NS, and no sample between shows memory recovered.

    Recovered: the zones of the earlier request hold more free pages than their high watermarks together.
    """
    groups: list[list[Judged]] = []
    times = [s.t_ns for s in samples]
    for kill in kills:
        last = groups[-1][-1].event if groups else None
        if last is None or kill.event.t_ns - last.t_ns >= CASCADE_NS:
            groups.append([kill])
            continue
        zones = {(z.node, z.zone) for z in last.zones}
        high = sum(z.high_pages for z in last.zones)
        between = samples[bisect.bisect_right(times, last.t_ns) : bisect.bisect_left(times, kill.event.t_ns)]
        recovered = zones and any(
            sum(n for key, n in s.free_by_zone.items() if key in zones) > high for s in between
        )
        if recovered:
            groups.append([kill])
        else:
            groups[-1].append(kill)
    return tuple(Incident(tuple(g)) for g in groups)


class RoundsOfKills:
    """The round of each kill of a record."""

    def __init__(self, record: Record) -> None:
        self.exits: dict[int, list[tuple[int, int]]] = {}
        for e in record.exits:
            if e.round is not None and e.signal:
                self.exits.setdefault(e.pid, []).append((e.t_ns, e.round))
        edges = [p for p in record.phases if p.name == "round"]
        self.times = [p.t_ns for p in edges]
        self.after = [p.index if p.begin else None for p in edges]

    def of(self, kill: Judged) -> int | None:
        """As the victim's exit says, else the round under way; None between rounds."""
        e = kill.event
        for t, index in self.exits.get(e.victim_pid, ()):
            if t >= e.t_ns:
                return index
        i = bisect.bisect_right(self.times, e.t_ns)
        return self.after[i - 1] if i else None


def whole_rounds(record: Record, windows: Sequence[Window]) -> tuple[int, ...]:
    """Rounds that began and ended while measured."""
    begun: dict[int, int] = {}
    whole = []
    for p in record.phases:
        if p.name != "round" or p.index is None:
            continue
        if p.begin:
            begun[p.index] = p.t_ns
        elif p.index in begun and inside(begun.pop(p.index), windows) and inside(p.t_ns, windows):
            whole.append(p.index)
    return tuple(whole)


def cell_stats(cell: Cell) -> CellStats:
    """All numbers of one finished cell."""
    record = cell.record
    if record is None:
        raise ValueError(f"{cell.name}: no record")
    windows, note = measure_windows(record)
    classes: dict[tuple[str, str], list[Shortage]] = {}
    for e in record.shortages:
        if inside(e.t_ns, windows):
            classes.setdefault((classify(e), e.kind), []).append(e)

    def events(kind: str, klass: str = SYSTEM) -> list[Shortage]:
        return classes.get((klass, kind), [])

    # A record may hold a million stalls: what is counted of them is counted by column.
    measured = {
        kind: stalls.where(np.any([(stalls.t_ns >= a) & (stalls.t_ns <= b) for a, b in windows], axis=0))
        for kind, stalls in record.stalls.items()
    }
    own = {kind: stalls.column("own") == 1 for kind, stalls in measured.items()}
    system = {kind: stalls.where(~own[kind]) for kind, stalls in measured.items()}

    def held(items: Sequence[Shortage]) -> float | None:
        pages = [e.uncompensated_pages for e in items]
        return None if None in pages else float(sum(map(bool, pages)))

    kills = tuple(judge_event(e) for e in events("oom_kill"))
    outside = sum(
        1
        for e in record.shortages
        if e.kind == "oom_kill" and not inside(e.t_ns, windows) and classify(e) == SYSTEM
    )
    reclaim = system["direct_reclaim"]
    away = reclaim.column("uncompensated_pages")
    failures = events("alloc_fail")
    fallbacks = [e for (klass, _), found in classes.items() if klass == FALLBACK for e in found]
    incidents = group_incidents(kills, record.guest_samples)
    g = record.guest_samples
    latencies = record.hists.get("request_latency")
    lost = latencies.lost if latencies else None
    if lost is None:
        lost = sum(s.errors for s in record.load_samples if counted(s.t_ns, windows))
    exposure = growth(g, lambda s: s.uncompensated_page_ns, windows)
    values: dict[str, float | None] = {
        "oom_kills": float(len(kills)),
        "attributable_kills": float(sum(k.verdict.kind == ATTRIBUTABLE for k in kills)),
        "genuine_kills": float(sum(k.verdict.kind == GENUINE for k in kills)),
        "undetermined_kills": float(sum(k.verdict.kind == UNDETERMINED for k in kills)),
        "incidents": float(len(incidents)),
        "kills_while_held": held(events("oom_kill")),
        "other_kills": float(
            sum(
                len(found)
                for (klass, kind), found in classes.items()
                if kind == "oom_kill" and klass not in (SYSTEM, OWN)
            )
        ),
        "own_kills": float(len(events("oom_kill", OWN))),
        "own_stalls": float(own["direct_reclaim"].sum() + own["compaction_stall"].sum()),
        "alloc_failures": float(len(failures)),
        "alloc_failures_while_held": held(failures),
        "alloc_fallbacks": float(len(fallbacks)),
        "alloc_fallbacks_high": float(sum(e.order > 3 for e in fallbacks)),
        "direct_reclaim_stalls": float(len(reclaim)),
        "direct_reclaim_while_held": None if (away == UNKNOWN).any() else float(np.count_nonzero(away)),
        "direct_reclaim_ms": union_ns(reclaim) / 1e6,
        "direct_reclaim_task_ms": int((reclaim.end_ns - reclaim.t_ns).sum()) / 1e6,
        "compaction_stalls": float(len(system["compaction_stall"])),
        "kswapd_wakes": float(len(system["kswapd_wake"])),
        "swap_out_pages": count_growth(g, lambda s: s.vmstat.get("pswpout"), windows),
        "swap_in_pages": count_growth(g, lambda s: s.vmstat.get("pswpin"), windows),
        "exposure_mib_s": None if exposure is None else exposure * PAGE_BYTES / MIB / NS,
        "exchanges": count_growth(g, lambda s: s.exchanges, windows),
        "exchange_free_delta_pages": count_growth(g, lambda s: s.exchange_free_delta_pages, windows),
        "request_errors": float(lost),
        "events_lost": float(sum(x.nr_lost for x in record.losses)),
    }
    latency, why = _latency_values(record, lost)
    values |= latency | _host_values(record, windows) | _batch_values(record, windows)
    return CellStats(
        cell=cell,
        record=record,
        windows=windows,
        windows_note=note,
        kills=kills,
        kills_outside=outside,
        incidents=incidents,
        rounds=whole_rounds(record, windows),
        round_of_kill=tuple(map(RoundsOfKills(record).of, kills)),
        values=values,
        why=why,
        lost={x.probe: x.nr_lost for x in record.losses if x.nr_lost or not x.identity_holds},
        label=record.spec.arm,
    )


def arm_numbers(cells: Sequence[CellStats], avoided: Mapping[str, int]) -> dict[str, Number]:
    """Every metric of one arm; avoided: kills avoided per cell name, only for cells with a partner."""
    out: dict[str, Number] = {}
    for m in METRICS:
        if m.key == "held_at_kill_bytes":
            pages = [k.event.uncompensated_pages for c in cells for k in c.kills]
            held = [] if None in pages else [float(n * PAGE_BYTES) for n in pages]
            out[m.key] = pooled(held, m.unit, "not in every record" if pages else "no kill")
        elif m.key == "avoided_kills":
            values = [float(avoided[c.cell.name]) for c in cells if c.cell.name in avoided]
            out[m.key] = summarise(values, m.unit, "no paired run without hinting")
        else:
            present = [(c.values.get(m.key), c.why.get(m.key, "")) for c in cells]
            why = next((w for v, w in present if v is None and w), "")
            # A quantile that some cells cannot give would compare different sets of cells.
            complete = all(v is not None for v, _ in present) or not why
            data = [v for v, _ in present if v is not None] if complete else []
            out[m.key] = summarise(data, m.unit, why, m.adds)
    return out
