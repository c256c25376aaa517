# SPDX-License-Identifier: GPL-2.0-or-later
"""Arithmetic of the log-linear histograms in a record (docs/record.md, Conventions).

With s sub bits, values below 2^s have a bucket each; above, every power of two is split into 2^s equal
buckets, so a bucket is at most 2^-s of its value wide.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.record.model import Hist

# A quantile q needs some requests beyond it: 10 / (1 - q).
TAIL_REQUESTS = 10
# A lost request stands in the histograms and samples of the load with this latency, above any real one.
LOST_NS = 1 << 40
LOST_US = LOST_NS // 1000


def index(value: int, sub_bits: int) -> int:
    """Bucket of a value."""
    if value < 1 << sub_bits:
        return value
    e = value.bit_length() - 1
    return ((e - sub_bits + 1) << sub_bits) + ((value >> (e - sub_bits)) - (1 << sub_bits))


def lower(i: int, sub_bits: int) -> int:
    """Least value of a bucket."""
    if i < 1 << sub_bits:
        return i
    shift = (i >> sub_bits) - 1
    return ((i & ((1 << sub_bits) - 1)) + (1 << sub_bits)) << shift


def upper(i: int, sub_bits: int) -> int:
    """Largest value of a bucket."""
    return lower(i + 1, sub_bits) - 1


def merge(hists: Iterable[Hist]) -> Hist | None:
    """Sum of histograms of one resolution; None when there is none or they differ in resolution."""
    hists = list(hists)
    if not hists or len({(h.sub_bits, h.unit) for h in hists}) != 1:
        return None
    counts: dict[int, int] = {}
    for h in hists:
        for i, n in h.counts:
            counts[i] = counts.get(i, 0) + n
    return Hist(
        name=hists[0].name,
        unit=hists[0].unit,
        sub_bits=hists[0].sub_bits,
        n=sum(h.n for h in hists),
        sum=sum(h.sum for h in hists),
        max=max(h.max for h in hists),
        counts=tuple(sorted(counts.items())),
    )


def needed(q: float) -> int:
    """How many requests quantile q needs."""
    return round(TAIL_REQUESTS / (1.0 - q))


def quantile(h: Hist, q: float, lost: int = 0) -> float | None:
    """Largest value of the bucket with rank ceil(q n), not above the maximum; None when n is too small.

    `lost` requests more than the histogram has rank as slowest: LOST_NS when the rank falls on one.
    """
    n = h.n + lost
    if n < needed(q):
        return None
    rank = max(int(np.ceil(q * n - 1e-9)), 1)
    seen = 0
    for i, count in h.counts:
        seen += count
        if seen >= rank:
            return float(min(upper(i, h.sub_bits), h.max))
    return float(LOST_NS if lost else h.max)


def ccdf(h: Hist) -> tuple[np.ndarray, np.ndarray]:
    """(value, share of requests above it) at the upper end of every bucket in use."""
    values = np.array([min(upper(i, h.sub_bits), h.max) for i, _ in h.counts], dtype=float)
    above = h.n - np.cumsum(np.array([n for _, n in h.counts], dtype=float))
    return values, above / h.n
