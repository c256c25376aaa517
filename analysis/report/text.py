# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers as people read them, and the table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.compare.analyse import Analysis
from analysis.record.hist import LOST_US
from analysis.record.model import GIB, MIB, PAGE_BYTES
from analysis.compare.metrics import METRICS, Metric, Number

NBSP = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
NONE = "\N{EN DASH}"


def plain(value: float) -> str:
    """Three significant digits, thousands apart, no exponent for what is not tiny."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", THIN)
    if abs(value) < 1e-4:
        return f"{value:.2g}"
    return f"{value:#.3g}".rstrip(".")


def whole(value: int) -> str:
    """A whole number with thousands apart."""
    return f"{value:,}".replace(",", THIN)


def count(n: int, word: str) -> str:
    return f"{whole(n)} {word}" + ("" if n == 1 else "s")


def capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def percent(share: float) -> str:
    return f"{plain(100 * share)} %"


def _short(value: float) -> str:
    return whole(int(value)) if float(value).is_integer() else plain(value)


def size(value: float | None) -> str:
    """Bytes with a binary unit."""
    if value is None:
        return "?"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if abs(value) >= unit:
            return f"{_short(value / unit)}{NBSP}{name}"
    return f"{_short(value)}{NBSP}B"


def size_of_pages(pages: int | None) -> str:
    return size(None if pages is None else pages * PAGE_BYTES)


def duration(ns: float) -> str:
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "\N{MICRO SIGN}s")):
        if abs(ns) >= unit:
            return f"{_short(ns / unit)}{NBSP}{name}"
    return f"{_short(ns)}{NBSP}ns"


def value(v: float, unit: str) -> str:
    """A value in the unit its row is shown in (shown_unit)."""
    if unit in ("count", "pages"):
        return _short(v)
    if unit == "us" and v >= LOST_US:
        return "lost"  # the rank falls on a request without an answer
    return plain(v / {"us": 1000, "bytes": MIB}.get(unit, 1))


def shown_unit(unit: str) -> str:
    return {"us": "ms", "bytes": "MiB", "count": "", "MiB s": f"MiB{NBSP}\N{MIDDLE DOT}{NBSP}s"}.get(
        unit, unit
    )


def is_count(metric: Metric) -> bool:
    return metric.unit in ("count", "pages")


def headline(metric: Metric, n: Number) -> str:
    """The figure of a table cell: the total of a count, the median of anything else."""
    if n.median is None:
        return "n too small" if n.why.startswith("n too small") else NONE
    return value(n.total if is_count(metric) and n.total is not None else n.median, n.unit)


def spread(metric: Metric, n: Number) -> str:
    """The small print of a table cell."""
    if n.median is None or n.lo is None or n.hi is None:
        return n.why.removeprefix("n too small: ")
    if n.interval == "single":
        return "" if metric.sample == "run" else f"one {metric.sample}"  # runs are counted in the table's head
    span = f"{value(n.lo, n.unit)} \N{HORIZONTAL ELLIPSIS} {value(n.hi, n.unit)}"
    if n.lo == n.hi:
        if not n.hi:
            return ""
        return f"{value(n.lo, n.unit)} in every run" if is_count(metric) else f"in every {metric.sample}"
    return f"{span} per run" if is_count(metric) else span


TERMINAL = (
    ("oom_kills", "OOM kills"),
    ("attributable_kills", "  attributable"),
    ("alloc_failures", "failed allocations"),
    ("direct_reclaim_stalls", "direct reclaim stalls"),
    ("swap_out_pages", "swap-out, pages"),
    ("exposure_mib_s", "exposure, MiB s"),
    ("vcpu_stopped_ms", "vCPUs stopped, ms"),
    ("latency_p50_us", "latency p50, ms"),
    ("latency_p99_us", "latency p99, ms"),
    ("latency_p999_us", "latency p99.9, ms"),
    ("rss_mib", "host memory, MiB"),
    ("batches", "batches"),
    ("exchanges", "exchanges"),
)


MAX_COLUMNS = 6
BRIEF = ("", "runs", "OOM kills", "  attributable", "exposure, MiB s", "batches")


def _lines(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    keep = [i for i, title in enumerate(columns[0]) if title in BRIEF]
    return [[c[i].strip() for i in keep] for c in columns]


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))
        ).rstrip()
        for r in rows
    ]


def terminal(a: Analysis) -> str:
    """The short form: answer, table of arms, what was left out."""
    by_key = {m.key: m for m in METRICS}
    out = [a.answer.sentence, *a.answer.details, ""]
    if a.arms:
        columns = [["", "runs", *(title for _, title in TERMINAL)]]
        for label, group in a.arms.items():
            figures = [headline(by_key[key], a.numbers[label][key]) for key, _ in TERMINAL]
            columns.append([label, str(len(group)), *figures])
        # A column per label, or a line where they would not fit beside each other.
        out += [*_align(list(zip(*columns, strict=True)) if len(a.arms) <= MAX_COLUMNS else _lines(columns)), ""]
    out.append(
        f"cells: {a.count('finished')} finished, {a.count('failed')} failed,"
        f" {a.count('unfinished')} unfinished"
        + (f", {len(a.excluded)} finished but not counted" if a.excluded else "")
    )
    out += [f"  failed: {c.name}: {c.why}" for c in a.cells if c.state == "failed"]
    out += [f"  not counted: {r.cell}: {r.why}" for r in a.excluded]
    out += [f"  check failed: {c.name}: {c.detail}" for c in a.checks if c.ok is False]
    return "\n".join(out).replace(NBSP, " ").replace(THIN, " ")
