# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics of a run, and how an arm's runs are summed up.

A boot is the unit of repetition: every metric is one value per cell first, and the median over cells with
an interval second.  Nothing is assumed about distributions.  From six cells on the interval is the
order-statistic one with at least 95 % coverage of the median; with fewer there is none, and least and
largest value are given, named as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb

import numpy as np

from analysis.record.hist import LOST_US


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    unit: str
    group: str
    note: str = ""
    sample: str = "run"
    # Whether values of several runs add up to something: counts and integrals do, quantiles, means and
    # ratios do not.
    adds: bool = True


def _latency_metrics(prefix: str, title: str, note: str) -> list[Metric]:
    shown = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "p9999": "p99.99"}
    return [Metric(f"{prefix}_{k}_us", f"{title} {v}", "us", prefix, note, adds=False) for k, v in shown.items()]


METRICS: tuple[Metric, ...] = (
    Metric("oom_kills", "OOM kills", "count", "harm", "of the system; memcg, sysrq and the toolkit's own apart"),
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
        "nobody killed in that round of the paired run without hinting",
    ),
    Metric("incidents", "incidents", "count", "harm", "kills of one shortage are one incident"),
    Metric(
        "kills_while_held", "kills with memory held", "count", "harm", "uncompensated bytes at that instant"
    ),
    Metric("held_at_kill_bytes", "held by hinting at a kill", "bytes", "harm", "median over kills", "kill", False),
    Metric("other_kills", "kills by memcg or sysrq", "count", "harm"),
    Metric("own_kills", "kills the toolkit asked for", "count", "harm", "tracer, generator or agent; apart"),
    Metric("own_stalls", "stalls of the toolkit itself", "count", "harm", "direct reclaim and compaction; apart"),
    Metric("alloc_failures", "failed allocations", "count", "harm", "without NORETRY, NOWARN; order up to 3"),
    Metric("alloc_failures_while_held", "failed allocations with memory held", "count", "harm"),
    Metric("alloc_fallbacks", "failed attempts with a plan B", "count", "harm", "NORETRY, NOWARN or order above 3"),
    Metric("alloc_fallbacks_high", "of these, of high order", "count", "harm", "above 3"),
    Metric("direct_reclaim_stalls", "direct reclaim stalls", "count", "harm"),
    Metric("direct_reclaim_while_held", "stalls with memory held", "count", "harm"),
    Metric("direct_reclaim_ms", "time with a task in direct reclaim", "ms", "harm", "overlapping stalls count once"),
    Metric("direct_reclaim_task_ms", "time in direct reclaim, all tasks", "ms", "harm", "summed over tasks"),
    Metric("compaction_stalls", "compaction stalls", "count", "harm"),
    Metric("kswapd_wakes", "kswapd wake-ups", "count", "harm"),
    Metric("swap_out_pages", "swap-out", "pages", "harm"),
    Metric("swap_in_pages", "swap-in", "pages", "harm"),
    Metric("exposure_mib_s", "exposure", "MiB s", "harm", "held and not made good, over time"),
    Metric("vcpu_stopped_ms", "vCPUs stopped by hinting", "ms", "harm", "summed up; until the host has a block"),
    *_latency_metrics("latency", "latency", "from the intended start"),
    *_latency_metrics("service", "from the send", "from the actual send, behind what was sent before"),
    *_latency_metrics("head", "as oldest on its connection", "what a generator that waits for answers sees"),
    Metric("requests", "requests answered", "count", "latency"),
    Metric("request_errors", "requests lost", "count", "latency", "rank as slowest in every quantile"),
    Metric("generator_lag_us", "generator lag, largest", "us", "latency", adds=False),
    Metric("host_saved_mib_s", "given back, of RAM given", "MiB s", "benefit", "integral of RAM given - RSS"),
    Metric("host_saved_vs_x_mib_s", "given back, of RAM sold", "MiB s", "benefit", "integral of X - RSS"),
    Metric(
        "rss_mib", "host memory in use, mean", "MiB", "benefit", "the whole phase; a kill lowers the rest of it",
        adds=False,
    ),
    Metric(
        "residue_mib", "residue never reported", "MiB", "benefit", "free in the guest, backed by the host",
        adds=False,
    ),
    Metric("batches", "batches", "count", "cost"),
    Metric("bytes_per_batch", "bytes per batch", "bytes", "cost", adds=False),
    Metric("notifications_per_gib", "notifications", "per GiB", "cost", "batches for each GiB hinted", adds=False),
    Metric("hinted_mib", "memory hinted", "MiB", "cost"),
    Metric("batch_hold_ms", "hold per batch, median", "ms", "cost", "first chunk taken to last chunk back", adds=False),
    Metric("batch_ack_ms", "host answer, median", "ms", "cost", "sent to acknowledged", adds=False),
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


def summarise(values: Iterable[float], unit: str, why: str = "", adds: bool = True) -> Number:
    """Median, total (where it means something) and interval over one value per cell."""
    data = sorted(values)
    n = len(data)
    if not n:
        return Number(0, None, None, None, None, unit, "", why or "no data")
    middle = float(np.median(data))
    if unit == "us" and data[n // 2] >= LOST_US:
        middle = float(LOST_US)  # a lost request has no latency to take the mean with
    total = float(sum(data)) if adds else None
    ranks = median_interval(n)
    if ranks is None:
        interval = "min..max" if n > 1 else "single"
        return Number(n, total, middle, data[0], data[-1], unit, interval)
    return Number(n, total, middle, data[ranks[0]], data[ranks[1]], unit, "95 % of the median")


def pooled(values: Iterable[float], unit: str, why: str) -> Number:
    """Values that several runs share out unevenly (kills): median, least and largest, no interval.

    Kills of one run are not independent, so an order-statistic interval over them would be false.
    """
    data = sorted(values)
    if not data:
        return Number(0, None, None, None, None, unit, "", why)
    interval = "min..max" if len(data) > 1 else "single"
    return Number(len(data), None, float(np.median(data)), data[0], data[-1], unit, interval)
