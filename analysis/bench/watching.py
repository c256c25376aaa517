# SPDX-License-Identifier: GPL-2.0-or-later
"""What watching costs: instructions per request, watched in several ways and not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.bench.boots import Boot, Part
from analysis.bench.touches import Spread
from analysis.record.fields import BadRecord

WAYS = ("none", "probes", "hinttrace", "perf")
LOADS = ("alone", "workload")
DEFAULT_RATE = 250


@dataclass(frozen=True)
class Watching:
    """One way of watching under one load: instructions a request, and over not watching in the same round."""

    load: str
    rate: int
    way: str
    per_request: Spread
    ratio: Spread


@dataclass(frozen=True)
class Tracer:
    rows: tuple[Watching, ...]
    at_rest: Mapping[str, Spread]  # instructions a second of a guest that has nothing to do
    firings: Mapping[str, int]  # probe: times it ran, all rounds
    nr_dropped: int
    perf_events: int


def _rounds(boot: Boot, load: str) -> dict[str, dict[str, Part]]:
    """round: way: part"""
    out: dict[str, dict[str, Part]] = {}
    for name, part in boot.parts.items():
        words = name.split("-")
        if len(words) == 3 and words[0] == load and words[1] in WAYS:
            out.setdefault(words[2], {})[words[1]] = part
    return {k: v for k, v in out.items() if set(v) == set(WAYS)}


def _per_request(boot: Boot, part: Part) -> float:
    if not part.nr_requests:
        raise BadRecord(boot.record.path, 0, part.name, "no request was answered")
    return part.instructions / part.nr_requests


def _losses(boots: Sequence[Boot]) -> tuple[dict[str, int], int]:
    firings: dict[str, int] = {}
    losses = [x for boot in boots for x in boot.record.losses]
    for x in losses:
        firings[x.probe] = firings.get(x.probe, 0) + x.seen
    return firings, sum(sum(x.dropped.values()) for x in losses)


def _rate(boot: Boot) -> int:
    """Requests a second; the workload's own where the cell says nothing."""
    return int((boot.record.spec.params or {}).get("rate", DEFAULT_RATE))


def tracer(boots: Sequence[Boot]) -> Tracer:
    rows = []
    for load in LOADS:
        for rate in sorted({_rate(b) for b in boots}):
            rounds = [(b, r) for b in boots if _rate(b) == rate for r in _rounds(b, load).values()]
            for way in WAYS if rounds else ():
                rows.append(
                    Watching(
                        load,
                        rate,
                        way,
                        Spread.of([_per_request(b, r[way]) for b, r in rounds]),
                        Spread.of([_per_request(b, r[way]) / _per_request(b, r["none"]) for b, r in rounds]),
                    )
                )
    rest = [r for b in boots for r in _rounds(b, "rest").values()]
    firings, dropped = _losses(boots)
    captured = re.compile(r"\((\d+) samples\)")
    return Tracer(
        rows=tuple(rows),
        at_rest={
            way: Spread.of([r[way].instructions * 1e9 / r[way].elapsed for r in rest]) for way in WAYS if rest
        },
        firings=firings,
        nr_dropped=dropped,
        perf_events=sum(
            int(m[1]) for b in boots for x in b.record.logs if x.src == "perf" and (m := captured.search(x.text))
        ),
    )
