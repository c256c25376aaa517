# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of a cell, and of an arm over its cells.

A boot is the unit of repetition: every metric is one value per cell first, and the median over cells with
an interval second.  Nothing is assumed about distributions.  From six cells on the interval is the
order-statistic one with at least 95 % coverage of the median; with fewer there is none, and least and
largest value are given, named as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from analysis.record import hist
from analysis.judge.judge import ATTRIBUTABLE, FALLBACK, GENUINE, SYSTEM, UNDETERMINED, Judged, judge_event
from analysis.record.model import GIB, MIB, PAGE_BYTES, Cell, GuestSample, Record

NS = 1_000_000_000
CASCADE_NS = NS  # kills closer than this belong to one incident, unless memory recovered between

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}

Window = tuple[int, int]


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    unit: str
    group: str
    note: str = ""
    sample: str = "run"


def _latency_metrics(prefix: str, title: str, note: str) -> list[Metric]:
    shown = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "p9999": "p99.99"}
    return [Metric(f"{prefix}_{k}_us", f"{title} {v}", "us", prefix, note) for k, v in shown.items()]


METRICS: tuple[Metric, ...] = (
    Metric("oom_kills", "OOM kills", "count", "harm", "of the system; memcg and sysrq apart"),
    Metric(
        "attributable_kills", "kills, attributable to hinting", "count", "harm", "the memory was there, held"
    ),
    Metric("genuine_kills", "kills, genuine", "count", "harm", "short even with all held memory"),
    Metric("undetermined_kills", "kills, undetermined", "count", "harm", "the sample does not decide"),
    Metric(
        "avoided_kills",
        "kills, avoided in the paired run",
        "count",
        "harm",
        "nobody killed in that round in none, else in buffer",
    ),
    Metric("incidents", "incidents", "count", "harm", "kills of one shortage are one incident"),
    Metric(
        "kills_while_held", "kills with memory held", "count", "harm", "uncompensated bytes at that instant"
    ),
    Metric("held_at_kill_bytes", "held by hinting at a kill", "bytes", "harm", "median over kills", "kill"),
    Metric("other_kills", "kills by memcg, sysrq or injection", "count", "harm"),
    Metric("alloc_failures", "failed allocations", "count", "harm", "without NORETRY, NOWARN; order up to 3"),
    Metric("alloc_failures_while_held", "failed allocations with memory held", "count", "harm"),
    Metric("alloc_fallbacks", "high-order fallbacks", "count", "harm", "failed attempts with a plan B"),
    Metric("direct_reclaim_stalls", "direct reclaim stalls", "count", "harm"),
    Metric("direct_reclaim_while_held", "stalls with memory held", "count", "harm"),
    Metric("direct_reclaim_ms", "time in direct reclaim", "ms", "harm", "summed over tasks"),
    Metric("compaction_stalls", "compaction stalls", "count", "harm"),
    Metric("kswapd_wakes", "kswapd wake-ups", "count", "harm"),
    Metric("swap_out_pages", "swap-out", "pages", "harm"),
    Metric("swap_in_pages", "swap-in", "pages", "harm"),
    Metric("exposure_mib_s", "exposure", "MiB s", "harm", "held and not made good, over time"),
    *_latency_metrics("latency", "latency", "from the intended start"),
    *_latency_metrics("service", "service time", "from the actual send"),
    Metric("requests", "requests answered", "count", "latency"),
    Metric("request_errors", "requests lost", "count", "latency", "server away"),
    Metric("generator_lag_us", "generator lag, largest", "us", "latency"),
    Metric("host_saved_mib_s", "given back, of RAM given", "MiB s", "benefit", "integral of RAM given - RSS"),
    Metric("host_saved_vs_x_mib_s", "given back, of RAM sold", "MiB s", "benefit", "integral of X - RSS"),
    Metric("rss_mib", "host memory in use, mean", "MiB", "benefit"),
    Metric(
        "residue_mib", "residue never reported", "MiB", "benefit", "free in the guest, backed by the host"
    ),
    Metric("batches", "batches", "count", "cost"),
    Metric("bytes_per_batch", "bytes per batch", "bytes", "cost"),
    Metric("notifications_per_gib", "notifications", "per GiB", "cost", "batches for each GiB hinted"),
    Metric("hinted_mib", "memory hinted", "MiB", "cost"),
    Metric("batch_hold_ms", "hold per batch, median", "ms", "cost", "first chunk taken to last chunk back"),
    Metric("batch_ack_ms", "host answer, median", "ms", "cost", "sent to acknowledged"),
    Metric("exchanges", "exchanges with the buffer", "count", "cost"),
    Metric("exchange_free_delta_pages", "free memory moved", "pages", "cost", "by exchanges; must be 0"),
    Metric("events_lost", "events lost by the tracer", "count", "trust", "over the whole run"),
)


@dataclass(frozen=True)
class Number:
    """One metric of an arm. n counts cells (kills for held_at_kill_bytes)."""

    n: int
    total: float | None
    median: float | None
    lo: float | None
    hi: float | None
    unit: str
    interval: str = ""
    why: str = ""


@dataclass(frozen=True)
class Incident:
    kills: tuple[Judged, ...]


@dataclass(frozen=True)
class CellStats:
    cell: Cell
    record: Record
    windows: tuple[Window, ...]
    windows_note: str
    judged: tuple[Judged, ...]
    kills: tuple[Judged, ...]
    kills_outside: int
    incidents: tuple[Incident, ...]
    rounds: tuple[int, ...]
    round_of_kill: tuple[int | None, ...]
    values: Mapping[str, float | None]
    why: Mapping[str, str]
    lost: Mapping[str, int]

    @property
    def label(self) -> str:
        return self.record.spec.label

    @property
    def pair_key(self) -> tuple[int, int]:
        return self.record.spec.seed, self.record.spec.repeat

    @property
    def lossy(self) -> bool:
        return bool(self.lost)


def median_interval(n: int, coverage: float = 0.95) -> tuple[int, int] | None:
    """0-based ranks of the narrowest order-statistic interval of the median, None if none is wide enough.

    P(x(r) <= median <= x(n-1-r)) = 1 - 2 P(Binomial(n, 1/2) <= r).
    """
    best = None
    tail = 0.0
    for r in range(n // 2):
        tail += comb(n, r) / 2**n
        if 1 - 2 * tail < coverage:
            break
        best = (r, n - 1 - r)
    return best


def summarise(values: Iterable[float], unit: str, why: str = "") -> Number:
    """Median, total and interval over one value per cell."""
    data = sorted(values)
    n = len(data)
    if not n:
        return Number(0, None, None, None, None, unit, "", why or "no data")
    middle = float(np.median(data))
    ranks = median_interval(n)
    if ranks is None:
        interval = "min..max" if n > 1 else "single"
        return Number(n, float(sum(data)), middle, data[0], data[-1], unit, interval)
    return Number(n, float(sum(data)), middle, data[ranks[0]], data[ranks[1]], unit, "95 % of the median")


def measure_windows(record: Record) -> tuple[tuple[Window, ...], str]:
    """The measured stretches of a run, and a note when they are not what the workload should have marked."""
    times = [s.t_ns for s in record.guest_samples]
    times += [s.t_ns for s in record.host_samples] + [e.t_ns for e in record.shortages]
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


def _seconds(windows: Sequence[Window]) -> float:
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
    samples: Sequence[GuestSample], get: Callable[[GuestSample], int], windows: Sequence[Window]
) -> float | None:
    """As growth(), for a counter of events: whole numbers, the last sample at or before each edge."""
    if len(samples) < 2:
        return None
    times = [s.t_ns for s in samples]

    def at(t: int) -> int:
        return get(samples[max(int(np.searchsorted(times, t, side="right")) - 1, 0)])

    return float(sum(at(b) - at(a) for a, b in windows))


def _integral(t_ns: np.ndarray, values: np.ndarray, windows: Sequence[Window]) -> float | None:
    """Integral over the windows in units of value x s, by trapezoids; None when they are not covered."""
    if len(t_ns) < 2:
        return None
    total = 0.0
    for a, b in windows:
        edges = np.array([a, b], dtype=float)
        t = np.union1d(t_ns[(t_ns > a) & (t_ns < b)], edges)
        total += float(np.trapz(np.interp(t, t_ns, values), t)) / NS
    return total


def _host_values(record: Record, windows: Sequence[Window]) -> dict[str, float | None]:
    t = np.array([s.t_ns for s in record.host_samples], dtype=float)
    rss = np.array([s.rss_bytes for s in record.host_samples], dtype=float) / MIB
    spec = record.spec
    used = _integral(t, rss, windows)
    seconds = _seconds(windows)
    out: dict[str, float | None] = dict.fromkeys(
        ("host_saved_mib_s", "host_saved_vs_x_mib_s", "rss_mib", "residue_mib")
    )
    if used is None or not seconds:
        return out
    out["host_saved_mib_s"] = spec.given_bytes / MIB * seconds - used
    out["host_saved_vs_x_mib_s"] = spec.mem_bytes / MIB * seconds - used
    out["rss_mib"] = used / seconds
    g = record.guest_samples
    within = np.array([inside(int(x), windows) for x in t])
    if len(g) >= 2 and within.any():
        gt = np.array([s.t_ns for s in g], dtype=float)
        idle = (
            np.array([s.free_pages + s.held_pages + record.buffer_level(s) for s in g], dtype=float)
            * PAGE_BYTES
            / MIB
        )
        backed = rss[within] + np.interp(t[within], gt, idle) - spec.given_bytes / MIB
        out["residue_mib"] = float(np.median(np.maximum(backed, 0.0)))
    return out


def _latency_values(record: Record) -> tuple[dict[str, float | None], dict[str, str]]:
    values: dict[str, float | None] = {}
    why: dict[str, str] = {}
    for prefix, name in (("latency", "request_latency"), ("service", "request_service")):
        h = record.hists.get(name)
        for short, q in QUANTILES.items():
            key = f"{prefix}_{short}_us"
            ns = hist.quantile(h, q) if h else None
            values[key] = None if ns is None else ns / 1000
            if h is None:
                why[key] = "no requests were measured"
            elif ns is None:
                why[key] = f"n too small: {h.n} requests in a run, {hist.needed(q)} needed"
    h = record.hists.get("request_latency")
    values["requests"] = float(h.n) if h else None
    return values, why


def _batch_values(record: Record, windows: Sequence[Window]) -> dict[str, float | None]:
    batches = [b for b in record.batches if inside(b.start_ns, windows)]
    hinted = sum(b.nr_pages for b in batches if not b.err) * PAGE_BYTES
    n = len(batches)
    return {
        "batches": float(n),
        "bytes_per_batch": sum(b.nr_pages for b in batches) * PAGE_BYTES / n if n else None,
        "notifications_per_gib": n / (hinted / GIB) if hinted else None,
        "hinted_mib": hinted / MIB,
        "batch_hold_ms": float(np.median([b.done_ns - b.start_ns for b in batches])) / 1e6 if n else None,
        "batch_ack_ms": (
            float(np.median([max(b.ack_ns - b.sent_ns, 0) for b in batches])) / 1e6 if n else None
        ),
    }


def group_incidents(kills: Sequence[Judged], samples: Sequence[GuestSample]) -> tuple[Incident, ...]:
    """Kills of one shortage together: closer than CASCADE_NS, and no sample between shows memory recovered.

    Recovered: the zones of the earlier request hold more free pages than their high watermarks together.
    """
    groups: list[list[Judged]] = []
    for kill in kills:
        if groups:
            last = groups[-1][-1].event
            zones = {(z.node, z.zone) for z in last.zones}
            high = sum(z.high_pages for z in last.zones)
            recovered = zones and any(
                sum(n for key, n in s.free_by_zone.items() if key in zones) > high
                for s in samples
                if last.t_ns < s.t_ns < kill.event.t_ns
            )
            if kill.event.t_ns - last.t_ns < CASCADE_NS and not recovered:
                groups[-1].append(kill)
                continue
        groups.append([kill])
    return tuple(Incident(tuple(g)) for g in groups)


def round_of(record: Record, kill: Judged) -> int | None:
    """The wave round of a kill: as the victim's exit says, else the round under way."""
    for e in record.exits:
        if e.round is not None and e.signal and e.pid == kill.event.victim_pid and e.t_ns >= kill.event.t_ns:
            return e.round
    current = None
    for p in record.phases:
        if p.t_ns > kill.event.t_ns:
            break
        if p.name == "round" and p.begin:
            current = p.index
    return current


def cell_stats(cell: Cell) -> CellStats:
    """All numbers of one finished cell."""
    record = cell.record
    if record is None:
        raise ValueError(f"{cell.name}: no record")
    windows, note = measure_windows(record)
    judged = tuple(judge_event(e) for e in record.shortages if inside(e.t_ns, windows))
    system = [j for j in judged if j.klass == SYSTEM]

    def events(kind: str) -> list[Judged]:
        return [j for j in system if j.event.kind == kind]

    def held(items: Iterable[Judged]) -> float:
        return float(sum(1 for j in items if j.event.uncompensated_pages))

    kills = tuple(events("oom_kill"))
    outside = sum(1 for e in record.shortages if e.kind == "oom_kill" and not inside(e.t_ns, windows))
    reclaim = events("direct_reclaim")
    failures = events("alloc_fail")
    incidents = group_incidents(kills, record.guest_samples)
    g = record.guest_samples
    exposure = growth(g, lambda s: s.uncompensated_page_ns, windows)
    values: dict[str, float | None] = {
        "oom_kills": float(len(kills)),
        "attributable_kills": float(sum(k.verdict.kind == ATTRIBUTABLE for k in kills)),
        "genuine_kills": float(sum(k.verdict.kind == GENUINE for k in kills)),
        "undetermined_kills": float(sum(k.verdict.kind == UNDETERMINED for k in kills)),
        "incidents": float(len(incidents)),
        "kills_while_held": held(kills),
        "other_kills": float(sum(j.event.kind == "oom_kill" and j.klass != SYSTEM for j in judged)),
        "alloc_failures": float(len(failures)),
        "alloc_failures_while_held": held(failures),
        "alloc_fallbacks": float(sum(j.klass == FALLBACK for j in judged)),
        "direct_reclaim_stalls": float(len(reclaim)),
        "direct_reclaim_while_held": held(reclaim),
        "direct_reclaim_ms": sum(j.event.duration_ns for j in reclaim) / 1e6,
        "compaction_stalls": float(len(events("compaction_stall"))),
        "kswapd_wakes": float(len(events("kswapd_wake"))),
        "swap_out_pages": count_growth(g, lambda s: s.vmstat.get("pswpout", 0), windows),
        "swap_in_pages": count_growth(g, lambda s: s.vmstat.get("pswpin", 0), windows),
        "exposure_mib_s": None if exposure is None else exposure * PAGE_BYTES / MIB / NS,
        "exchanges": count_growth(g, lambda s: s.exchanges, windows),
        "exchange_free_delta_pages": count_growth(g, lambda s: s.exchange_free_delta_pages, windows),
        "request_errors": float(sum(s.errors for s in record.load_samples if inside(s.t_ns, windows))),
        "generator_lag_us": record.max_lag_ns / 1000,
        "events_lost": float(sum(x.nr_lost for x in record.losses)),
    }
    latency, why = _latency_values(record)
    values |= latency | _host_values(record, windows) | _batch_values(record, windows)
    return CellStats(
        cell=cell,
        record=record,
        windows=windows,
        windows_note=note,
        judged=judged,
        kills=kills,
        kills_outside=outside,
        incidents=incidents,
        rounds=tuple(
            p.index
            for p in record.phases
            if p.name == "round" and p.begin and p.index is not None and inside(p.t_ns, windows)
        ),
        round_of_kill=tuple(round_of(record, k) for k in kills),
        values=values,
        why=why,
        lost={x.probe: x.nr_lost for x in record.losses if x.nr_lost or not x.identity_holds},
    )


def arm_numbers(cells: Sequence[CellStats], avoided: Mapping[str, int]) -> dict[str, Number]:
    """Every metric of one arm; avoided: kills avoided per cell name, only for cells with a partner."""
    out: dict[str, Number] = {}
    for m in METRICS:
        if m.key == "held_at_kill_bytes":
            held = [float(k.event.uncompensated_pages * PAGE_BYTES) for c in cells for k in c.kills]
            out[m.key] = summarise(held, m.unit, "no kill")
        elif m.key == "avoided_kills":
            values = [float(avoided[c.cell.name]) for c in cells if c.cell.name in avoided]
            out[m.key] = summarise(values, m.unit, "no paired run of a reference arm")
        else:
            present = [(c.values.get(m.key), c.why.get(m.key, "")) for c in cells]
            why = next((w for v, w in present if v is None and w), "")
            # A quantile that some cells cannot give would compare different sets of cells.
            complete = all(v is not None for v, _ in present) or not why
            data = [v for v, _ in present if v is not None] if complete else []
            out[m.key] = summarise(data, m.unit, why)
    return out
