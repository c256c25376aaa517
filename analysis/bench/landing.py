# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the first touch of memory takes that the host has dropped, over that of memory it has.

A guest of kind "landing" (bench/guest-init.sh) runs bench/firsttouch.c several times a round.  Each run is a
"touch" line and a histogram for each kind of touch and each backing: "page_unbacked", "huge_backed" and so on.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.record import hist as log_linear
from analysis.record.fields import BadRecord, Fields
from analysis.record.model import Hist

BACKINGS = ("backed", "unbacked", "other")
KINDS = ("page", "block", "huge")
STATES = ("unbacked", "again", "eighth")
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
MEASURES = ("mean", *QUANTILES, "max")

_NAME = re.compile(r"(backed|unbacked|again|eighth)-(page|huge)-(\d+)")
_MAX_BUCKETS = 65 << 7


@dataclass
class Touch:
    """One run of firsttouch."""

    state: str
    size: str  # page or huge: what it touches
    round: int
    nr_bytes: int
    nr: Mapping[str, int]  # backing: touches
    hists: dict[str, Hist] = field(default_factory=dict)


def load_touch(f: Fields) -> Touch:
    m = _NAME.fullmatch(f.text("name", 64))
    if not m:
        raise f.bad("name", "not the name of a measurement")
    nr = {b: f.integer(b, 0, 2**40) for b in BACKINGS}
    return Touch(m[1], m[2], int(m[3]), f.integer("bytes"), nr)


def load_hist(f: Fields) -> Hist:
    h = Hist(
        name=f.text("name", 64),
        unit=f.text("unit", 16),
        sub_bits=f.integer("sub_bits", 1, 7),
        n=f.integer("n", 1),
        sum=f.integer("sum"),
        max=f.integer("max"),
        counts=f.pairs("counts", _MAX_BUCKETS),
    )
    if sum(n for _, n in h.counts) != h.n:
        raise f.bad("counts", "do not add up to n")
    return h


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


def _find(touches: Sequence[Touch], state: str, kind: str) -> dict[int, Hist]:
    """round: histogram of touches whose backing is the one the state is named for."""
    name = f"{kind}_{state}"
    return {t.round: t.hists[name] for t in touches if t.state == state and name in t.hists}


def pairs(arm: str, label: str, touches: Sequence[Touch]) -> list[Pair]:
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


def shares(arm: str, label: str, touches: Sequence[Touch]) -> list[Share]:
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


def landing_facts(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    thp = env.get("HINT_HOST_THP", "")
    return (
        ("clock", f"real time, {env.get('HINT_ACCEL', '').upper()}, one vCPU, no other guest beside it"),
        ("huge pages of the host", f"{_THP.get(thp, 'unknown')}, defrag {env.get('HINT_HOST_DEFRAG', '')}"),
        ("guest", f"{int(env.get('HINT_MEM_BYTES', '0')) >> 20} MiB"),
    )


def check_discarded(where: Any, nr_bytes: int, nr_discarded: int) -> None:
    """What the host did not drop is not unbacked."""
    if nr_discarded != nr_bytes:
        raise BadRecord(where, 0, "", f"the host dropped {nr_discarded} bytes of {nr_bytes} reported")
