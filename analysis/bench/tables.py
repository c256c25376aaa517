# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the tables of the bench, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.bench.bench import Bench, Mechanism
from analysis.bench.touches import MEASURES, Landing, Pair, Spread
from analysis.bench.watching import Watching
from analysis.compare.arms import CURE, RIVAL
from analysis.report.text import NONE, duration, plain, size, whole

WAY_TITLES = {
    "none": "not watched",
    "probes": "hinttrace, probes only",
    "hinttrace": "hinttrace as in a run",
    "perf": "perf record, same tracepoints",
}
LOAD_TITLES = {"alone": "memcached alone", "workload": "memcached beside the waves"}
RESIDUE_TITLES = {
    "sixteenth": "left, 1/16 of memory free",
    "eighth": "left, 1/8 free",
    "all": "left, all free",
    "scattered": "left of 64 KiB holes",
}


KIND_TITLES = {
    "page": "4 KiB at a touch",
    "block": "2 MiB in touches of 4 KiB",
    "huge": "2 MiB at a touch",
}
MEASURE_TITLES = {"mean": "mean", "p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
STATE_TITLES = {
    "unbacked": "all free memory has been reported",
    "again": "the same, but another used as much since",
    "eighth": "an eighth of memory free, and reported",
}


@dataclass(frozen=True)
class Group:
    """Rows of one table: guests of one size, one reporting order."""

    mem_bytes: int
    order: int
    rows: tuple[Mechanism, ...]

    @property
    def title(self) -> str:
        return f"{size(self.mem_bytes)}, order {self.order}"

    def of(self, role: str) -> list[Mechanism]:
        return [r for r in self.rows if r.role == role]


def names(rows: Sequence[Mechanism], role: str) -> str:
    """Of the arms of that role."""
    return ", ".join(dict.fromkeys(r.arm for r in rows if r.role == role))


def groups(bench: Bench) -> list[Group]:
    keys = sorted({(r.mem_bytes, -r.order) for r in bench.mechanisms})
    return [
        Group(mem, -order, tuple(r for r in bench.mechanisms if (r.mem_bytes, -r.order) == (mem, order)))
        for mem, order in keys
    ]


def ratio_text(value: float) -> str:
    return f"{value:.3f}" if value < 10 else plain(value)


def times(row: Mechanism, name: str) -> str:
    return f"\N{MULTIPLICATION SIGN} {ratio_text(row.ratio[name])}" if name in row.ratio else ""


def or_none(value: float | None) -> str:
    return NONE if value is None else plain(value)


def duration_or_none(value: int | None) -> str:
    return NONE if value is None else duration(value)


def _of(value: float | None, n: int) -> str:
    return "" if value is None else f"{plain(value)} of {n}"


def mechanism_rows(rows: Sequence[Mechanism]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(title, note, one (value, small print) for each mechanism)."""
    out: list[tuple[str, str, list[tuple[str, str]]]] = [
        (
            "instructions per GiB reported",
            f"small print: over {names(rows, RIVAL) or 'the rival'} at the least capacity",
            [(or_none(r.instructions_per_gib), times(r, "instructions_per_gib")) for r in rows],
        ),
        (
            "notifications per GiB",
            "each is an exit to the host and an interrupt, which instructions do not show",
            [(or_none(r.notifications_per_gib), times(r, "notifications_per_gib")) for r in rows],
        ),
        (
            "time to report all free memory",
            "at one instruction a nanosecond, by a host that answers at once; small print: how much that was",
            [(duration_or_none(r.report_all_ns), size(r.report_all_bytes)) for r in rows],
        ),
        (
            "largest batch",
            f"out of use at once, without replacement but in {names(rows, CURE) or 'the cure'}",
            [(size(r.batch_max_bytes), "") for r in rows],
        ),
        (
            "zone lock held, p50",
            "instructions, less those of tracing; small print: holds seen",
            [(or_none(r.hold_p50), f"{whole(r.nr_holds)} holds" if r.nr_holds else "") for r in rows],
        ),
        (
            "zone lock held, p99.9",
            "of less than 1 000 holds this is the longest",
            [(or_none(r.hold_p999), times(r, "hold_p999")) for r in rows],
        ),
        (
            "zone lock held, longest",
            "all rounds together",
            [(or_none(r.hold_max), times(r, "hold_max")) for r in rows],
        ),
        (
            "zone lock held, sum per GiB",
            "instructions",
            [(or_none(r.hold_per_gib), "") for r in rows],
        ),
        (
            "one exchange, longest",
            "instructions; small print: median",
            [(or_none(r.exchange_max), _of(r.exchange_median, r.nr_exchanges)) for r in rows],
        ),
    ]
    for name, title in RESIDUE_TITLES.items():
        out.append(
            (
                title,
                "free memory the host was not told about",
                [(size(r.residue_bytes[name]), "") for r in rows],
            )
        )
    out.append(
        (
            "instructions per GiB of holes",
            "memory in pieces of 64 KiB, where the order admits them",
            [(or_none(r.scattered_per_gib), "") for r in rows],
        )
    )
    return out


def _spread(s: Spread) -> str:
    return f"{ratio_text(s.lo)} to {ratio_text(s.hi)}, n = {s.n}"


def watch_row(bench: Bench, load: str, way: str) -> Watching | None:
    """At the least rate: that of the default experiment."""
    rows = [r for r in bench.tracer.rows if (r.load, r.way) == (load, way)]
    return min(rows, key=lambda r: r.rate) if rows else None


def watch_rows(bench: Bench) -> list[dict[str, Any]]:
    return [
        {
            "load": f"{LOAD_TITLES[r.load]}, {r.rate} requests/s",
            "way": WAY_TITLES[r.way],
            "instructions": plain(r.per_request.median),
            "ratio": NONE if r.way == "none" else ratio_text(r.ratio.median),
            "spread": "" if r.way == "none" else _spread(r.ratio),
        }
        for r in bench.tracer.rows
    ]


def rest_rows(bench: Bench) -> list[tuple[str, str]]:
    return [
        (
            WAY_TITLES[way],
            f"{plain(s.median / 1e6)} million a second ({plain(s.lo / 1e6)} to {plain(s.hi / 1e6)})",
        )
        for way, s in bench.tracer.at_rest.items()
    ]


def spread_text(s: Spread) -> str:
    return f"{ratio_text(s.median)} ({ratio_text(s.lo)} to {ratio_text(s.hi)})"


def landing_rows(landing: Landing) -> list[dict[str, Any]]:
    """Two rows, ns, and one of ratios for each arm and kind of touch."""

    def row(pair: Pair, what: str, cells: list[str]) -> dict[str, Any]:
        return {"arm": pair.label, "kind": KIND_TITLES[pair.kind], "what": what, "cells": cells}

    out = []
    for pair in landing.pairs:
        for what, latency in (("backed", pair.backed), ("unbacked", pair.unbacked)):
            cells = [whole(latency.n), *(duration(latency.ns[m]) for m in MEASURES)]
            out.append(row(pair, what, cells))
        rounds = f"{pair.ratio['p50'].n} rounds"
        out.append(row(pair, "ratio", [rounds, *(spread_text(pair.ratio[m]) for m in MEASURES)]))
    return out


def _share(s: Spread) -> str:
    return f"{s.median:.1%} ({s.lo:.1%} to {s.hi:.1%})"


def share_rows(landing: Landing) -> list[dict[str, str]]:
    return [
        {
            "arm": s.label,
            "state": STATE_TITLES[s.state],
            "size": size(s.nr_bytes.median),
            "unbacked": _share(s.unbacked),
            "other": _share(s.other),
        }
        for s in landing.shares
    ]


def notices(bench: Bench) -> list[str]:
    out = [f"guest {name}: {why}" for name, why in bench.failed]
    if bench.nr_kernels > 1:
        out.append(f"the guests ran {bench.nr_kernels} different kernels: they do not compare")
    lost = sum(r.nr_lost for r in bench.mechanisms)
    if lost:
        out.append(f"the kernel's trace lost {whole(lost)} events: holds may be missing")
    if bench.tracer.nr_dropped:
        out.append(f"hinttrace dropped {whole(bench.tracer.nr_dropped)} events")
    return out
