# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of arms: a row per metric, a column per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compare.analyse import Analysis
from analysis.compare.metrics import METRICS, Metric
from analysis.report import text

# Shown although zero everywhere: that nothing happened is the result.
ALWAYS = frozenset(
    {
        "oom_kills",
        "attributable_kills",
        "genuine_kills",
        "avoided_kills",
        "kills_while_held",
        "alloc_failures",
        "direct_reclaim_stalls",
        "swap_out_pages",
        "exposure_mib_s",
        "exchange_free_delta_pages",
        "events_lost",
    }
)


@dataclass(frozen=True)
class TableCell:
    main: str
    sub: str = ""
    zero: bool = False
    alarm: str = ""


@dataclass(frozen=True)
class TableRow:
    title: str
    unit: str
    note: str
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class TableGroup:
    title: str
    rows: tuple[TableRow, ...]
    quiet: str = ""  # metrics that are 0 in every arm


def _lost(a: Analysis, label: str, metric: Metric) -> str:
    """Beside a percentile of requests: how many got no answer, since those are the slowest of all."""
    errors = a.numbers[label]["request_errors"].total
    answered = a.numbers[label]["requests"].total
    if not metric.key.endswith("_us") or metric.group not in ("latency", "service", "head"):
        return ""
    if metric.key == "generator_lag_us" or not errors or answered is None:
        return ""
    return f"{text.percent(errors / (errors + answered))} lost"


def _row(a: Analysis, labels: Sequence[str], metric: Metric) -> TableRow:
    cells = []
    for label in labels:
        n = a.numbers[label][metric.key]
        cells.append(
            TableCell(
                text.headline(metric, n), text.spread(metric, n), not n.hi, _lost(a, label, metric)
            )
        )
    return TableRow(metric.title, text.shown_unit(metric.unit), metric.note, tuple(cells))


def arm_table(
    a: Analysis, labels: Sequence[str], wanted: tuple[tuple[str, str], ...]
) -> tuple[TableGroup, ...]:
    """Metrics by group; those that are zero everywhere are named in a line instead of a row."""
    groups = []
    for key, title in wanted:
        rows, quiet = [], []
        for metric in (m for m in METRICS if m.group == key):
            numbers = [a.numbers[label][metric.key] for label in labels]
            if metric.key not in ALWAYS and all(
                n.hi == 0 or (n.n == 0 and not n.why.startswith("n too")) for n in numbers
            ):
                if any(n.hi == 0 for n in numbers):
                    quiet.append(metric.title)
                continue
            rows.append(_row(a, labels, metric))
        groups.append(TableGroup(title, tuple(rows), ", ".join(quiet)))
    return tuple(g for g in groups if g.rows)
