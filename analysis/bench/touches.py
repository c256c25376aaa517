# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the first touch of memory takes that the host has dropped, over that of memory it has.

The workload firsttouch runs its program of that name several times a round.  Each run is a "touch" line and
a histogram for each kind of touch and each backing: "unbacked-page-1.page_unbacked" and so on.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.record import hist as log_linear
from analysis.record.fields import BadRecord
from analysis.record.model import Hist, Record

KINDS = ("page", "block", "huge")
STATES = ("unbacked", "again", "eighth")
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
MEASURES = ("mean", *QUANTILES, "max")

_NAME = re.compile(r"(backed|unbacked|again|eighth)-(page|huge)-(\d+)")


@dataclass(frozen=True)
class Touches:
    """One run of the program."""

    state: str
    size: str  # page or huge: what it touches
    round: int
    nr_bytes: int
    nr: Mapping[str, int]  # backing: touches
    hists: Mapping[str, Hist]  # "page_unbacked" and so on


def touches_of(record: Record) -> list[Touches]:
    out = []
    for t in record.touches:
        m = _NAME.fullmatch(t.name)
        if not m:
            raise BadRecord(record.path, t.line, "name", "not the name of a measurement")
        nr = {"backed": t.backed, "unbacked": t.unbacked, "other": t.other}
        own = {h.name.removeprefix(f"{t.name}."): h for h in record.all_hists if h.name.startswith(f"{t.name}.")}
        out.append(Touches(m[1], m[2], int(m[3]), t.bytes, nr, own))
    return out


@dataclass(frozen=True)
class Spread:
    """Median, least and largest of one number over rounds."""

    n: int
    median: float
    lo: float
    hi: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(len(values), statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Latency:
    """The touches of all rounds together."""

    n: int
    ns: Mapping[str, float]  # by MEASURES


@dataclass(frozen=True)
class Pair:
    """One kind of touch in one arm, unbacked and backed."""

    arm: str
    label: str
    kind: str
    backed: Latency
    unbacked: Latency
    ratio: Mapping[str, Spread]  # by MEASURES, over the rounds


@dataclass(frozen=True)
class Share:
    """Of the first touches of one that takes half of what is free: how many the host has to back."""

    arm: str
    label: str
    state: str
    nr_bytes: Spread
    unbacked: Spread
    other: Spread


@dataclass(frozen=True)
class Landing:
    pairs: tuple[Pair, ...] = ()
    shares: tuple[Share, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def measure(h: Hist, name: str) -> float:
    """By rank: the upper end of the bucket, so of few values a high quantile is the largest of them."""
    if name == "mean":
        return h.sum / h.n
    if name == "max":
        return float(h.max)
    rank, seen = max(1, math.ceil(QUANTILES[name] * h.n - 1e-9)), 0
    for i, n in h.counts:
        seen += n
        if seen >= rank:
            break
    return float(min(log_linear.upper(i, h.sub_bits), h.max))


def _latency(hists: Sequence[Hist]) -> Latency:
    whole = log_linear.merge(hists)
    if whole is None:
        raise ValueError("histograms of different resolution")
    return Latency(whole.n, {m: measure(whole, m) for m in MEASURES})


def _find(touches: Sequence[Touches], state: str, kind: str) -> dict[int, Hist]:
    """round: histogram of touches whose backing is the one the state is named for."""
    name = f"{kind}_{state}"
    return {t.round: t.hists[name] for t in touches if t.state == state and name in t.hists}


def pairs(arm: str, label: str, touches: Sequence[Touches]) -> list[Pair]:
    out = []
    for kind in KINDS:
        backed, unbacked = _find(touches, "backed", kind), _find(touches, "unbacked", kind)
        rounds = sorted(set(backed) & set(unbacked))
        if not rounds:
            continue
        out.append(
            Pair(
                arm=arm,
                label=label,
                kind=kind,
                backed=_latency([backed[r] for r in rounds]),
                unbacked=_latency([unbacked[r] for r in rounds]),
                ratio={
                    m: Spread.of([measure(unbacked[r], m) / max(1.0, measure(backed[r], m)) for r in rounds])
                    for m in MEASURES
                },
            )
        )
    return out


def shares(arm: str, label: str, touches: Sequence[Touches]) -> list[Share]:
    out = []
    for state in STATES:
        found = [t for t in touches if t.state == state and t.size == "page" and sum(t.nr.values()) > 0]

        if found:
            out.append(
                Share(
                    arm,
                    label,
                    state,
                    Spread.of([float(t.nr_bytes) for t in found]),
                    Spread.of([t.nr["unbacked"] / sum(t.nr.values()) for t in found]),
                    Spread.of([t.nr["other"] / sum(t.nr.values()) for t in found]),
                )
            )
    return out


_THP = {
    "always": "on (always)",
    "madvise": "on for guest memory (madvise, which QEMU asks for)",
    "never": "off (never)",
}


def landing_facts(record: Record) -> tuple[tuple[str, str], ...]:
    spec, host = record.spec, record.host
    thp = _THP.get(host.get("thp") or "", "unknown")
    return (
        ("clock", f"real time, {spec.accel.upper()}, one vCPU, no other guest beside it"),
        ("huge pages of the host", f"{thp}, defrag {host.get('thp_defrag') or 'unknown'}"),
        ("guest", f"{spec.mem_bytes >> 20} MiB"),
    )
