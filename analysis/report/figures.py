# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of the report that are not over time, each an inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from analysis.record import hist
from analysis.judge.judge import ATTRIBUTABLE, GENUINE
from analysis.record.model import Hist
from analysis.compare.stats import CellStats
from analysis.report.style import GRID, MUTED, PAPER, RC, TEXT, ArmStyle, arm_style, to_svg

WIDTH = 10.8  # inch; at 72 points the SVG is as wide as the text column
MAX_ROUNDS = 400
MAX_ROWS = 40

Arms = Mapping[str, Sequence[CellStats]]


@dataclass(frozen=True)
class FigureSvg:
    svg: str
    title: str
    caption: str


def styles(arms: Arms) -> dict[str, ArmStyle]:
    """A style per label: colour by arm, dash by label within the arm."""
    seen: dict[str, int] = {}
    out = {}
    for label, cells in arms.items():
        arm = cells[0].record.spec.arm if cells else label
        out[label] = arm_style(arm, seen.get(arm, 0))
        seen[arm] = seen.get(arm, 0) + 1
    return out


def stack(rows: int, height: float, ratios: Sequence[float] | None = None, **kwargs: object):
    return plt.subplots(
        rows,
        1,
        figsize=(WIDTH, height),
        squeeze=False,
        gridspec_kw={"height_ratios": ratios} if ratios else None,
        **kwargs,
    )


def _verdict_mark(ax: Axes, x: float, y: float, kind: str, colour: str) -> None:
    """One square of the round map: full, crossed or open, so that it reads without colour."""
    square = {"linestyle": "", "marker": "s", "markersize": 9, "markeredgewidth": 1.2, "color": colour}
    ax.plot([x], [y], markerfacecolor=colour if kind == ATTRIBUTABLE else PAPER, **square)
    if kind == GENUINE:
        ax.plot([x], [y], linestyle="", marker="x", markersize=7, markeredgewidth=1.2, color=colour)


def round_map(arms: Arms) -> FigureSvg | None:
    """Which rounds lost a process: a row per run, a column per round; runs of one repeat line up."""
    rows = [(label, c) for label, cells in arms.items() for c in cells if c.rounds][:MAX_ROWS]
    if not rows:
        return None
    look = styles(arms)
    last = min(max(max(c.rounds) for _, c in rows), MAX_ROUNDS)
    first = min(min(c.rounds) for _, c in rows)
    with plt.rc_context(RC):
        fig, axes = stack(1, 0.75 + 0.235 * len(rows))
        ax = axes[0, 0]
        ax.grid(visible=False)
        for y, (label, cell) in enumerate(rows):
            ran = sorted({r for r in cell.rounds if r <= last})
            ax.scatter(ran, [y] * len(ran), s=3, color=MUTED, linewidths=0, alpha=0.55)
            worst: dict[int, str] = {}
            for kill, r in zip(cell.kills, cell.round_of_kill, strict=True):
                if r is not None and r <= last and worst.get(r) != ATTRIBUTABLE:
                    worst[r] = kill.verdict.kind
            for r, kind in worst.items():
                _verdict_mark(ax, r, y, kind, look[label].colour)
            if y and rows[y - 1][0] != label:
                ax.axhline(y - 0.5, color=GRID, linewidth=0.8)
        previous = ""
        ticks = []
        for label, cell in rows:
            ticks.append(f"{label if label != previous else ''}   #{cell.record.spec.repeat}")
            previous = label
        ax.set_yticks(range(len(rows)), ticks)
        for tick, (label, _) in zip(ax.get_yticklabels(), rows, strict=True):
            tick.set_color(look[label].colour)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlim(first - 1, last + 1)
        ax.set_xlabel("round of the workload (the same schedule in every row)")
        ax.spines["left"].set_visible(False)
        square = {"marker": "s", "linestyle": "", "markersize": 7, "color": TEXT}
        handles = [
            Line2D([], [], **square),
            (
                Line2D([], [], markerfacecolor=PAPER, **square),
                Line2D([], [], marker="x", linestyle="", markersize=5, color=TEXT),
            ),
            Line2D([], [], markerfacecolor=PAPER, **square),
            Line2D([], [], marker="o", linestyle="", markersize=2, color=MUTED),
        ]
        names = [
            "killed, attributable: the memory was there, held by hinting",
            "genuine: short of memory anyway",
            "undetermined",
            "nobody killed",
        ]
        height = fig.get_figheight()
        fig.tight_layout(pad=0.4, rect=(0, 0, 1, 1 - 0.25 / height))
        fig.legend(
            handles,
            names,
            loc="upper left",
            bbox_to_anchor=(0, 1),
            ncol=4,
            handletextpad=0.3,
            columnspacing=1.8,
            borderaxespad=0.1,
        )
        svg = to_svg(
            fig, "rounds", "Rounds that lost a process", f"{len(rows)} runs, rounds {first} to {last}."
        )
    return FigureSvg(
        svg,
        "Rounds that lost a process",
        (
            "A row is one run (one boot), a column one round of the neighbour's wave;"
            " rows with the same # had the same seed and schedule."
        ),
    )


def _merged(cells: Sequence[CellStats], name: str) -> Hist | None:
    return hist.merge([c.record.hists[name] for c in cells if name in c.record.hists])


def latency_ccdf(arms: Arms) -> FigureSvg | None:
    """Share of requests slower than x, all runs of an arm together."""
    look = styles(arms)
    with plt.rc_context(RC):
        fig, axes = stack(1, 3.7)
        ax = axes[0, 0]
        fewest = 0
        for label, cells in arms.items():
            for name, style in (
                ("request_latency", {"linewidth": 1.6}),
                ("request_service", {"linewidth": 0.7}),
            ):
                h = _merged(cells, name)
                if h is None or not h.n:
                    continue
                x, y = hist.ccdf(h)
                seen = y > 0
                extra = {"dashes": look[label].dash} if look[label].dash else {}
                ax.step(
                    x[seen] / 1e6,
                    y[seen],
                    where="post",
                    color=look[label].colour,
                    label=label if name == "request_latency" else None,
                    **style,
                    **extra,
                )
                fewest = max(fewest, h.n)
        if not fewest:
            plt.close(fig)
            return None
        ax.set_xscale("log")
        ax.set_yscale("log")
        levels = [
            (0.5, "p50"),
            (0.1, "p90"),
            (0.01, "p99"),
            (1e-3, "p99.9"),
            (1e-4, "p99.99"),
            (1e-5, "p99.999"),
        ]
        bottom = 0.7 / fewest
        shown = [(y, name) for y, name in levels if y > bottom]
        ax.set_yticks([y for y, _ in shown], [name for _, name in shown])
        ax.yaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(bottom, 1.0)
        ax.set_xlabel("request latency, ms")
        ax.set_ylabel("share of requests slower")
        ax.legend(loc="upper right")
        fig.tight_layout(pad=0.4)
        svg = to_svg(
            fig, "ccdf", "Request latency", "Complementary cumulative distribution, logarithmic axes."
        )
    return FigureSvg(
        svg,
        "Share of requests slower than a latency",
        (
            "All runs of an arm together. Thick: from the intended start, so a stalled"
            " server is charged for the requests it kept waiting; thin: service time, from the actual send."
        ),
    )


def hold_and_ack(arms: Arms) -> FigureSvg | None:
    """How long batches were away, and how much of that the host took."""
    look = styles(arms)
    data = {
        label: [
            (b.done_ns - b.start_ns, max(b.ack_ns - b.sent_ns, 0)) for c in cells for b in c.record.batches
        ]
        for label, cells in arms.items()
    }
    data = {label: rows for label, rows in data.items() if rows}
    if not data:
        return None
    values = np.array([max(v, 1) for rows in data.values() for row in rows for v in row], dtype=float) / 1e6
    low, high = np.floor(np.log10(values.min())), np.ceil(np.log10(values.max()) + 1e-9)
    bins = np.logspace(low, max(high, low + 1), int(max(high - low, 1)) * 12 + 1)
    with plt.rc_context(RC):
        fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.7), squeeze=False, sharey=True, sharex=True)
        for i, title in enumerate(
            ("Hold: first chunk taken to last chunk back", "Answer of the host: sent to acknowledged")
        ):
            ax = axes[0, i]
            for label, rows in data.items():
                x = np.maximum(np.array([row[i] for row in rows], dtype=float), 1) / 1e6
                ax.hist(
                    x,
                    bins=bins,
                    weights=np.full(len(x), 100 / len(x)),
                    histtype="stepfilled",
                    color=look[label].colour,
                    alpha=0.12,
                )
                ax.hist(
                    x,
                    bins=bins,
                    weights=np.full(len(x), 100 / len(x)),
                    histtype="step",
                    linewidth=1.3,
                    color=look[label].colour,
                    label=f"{label} ({len(x)})",
                )
            ax.set_xscale("log")
            ax.set_title(title)
            ax.set_xlabel("ms")
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes[0, 0].set_ylabel("% of batches")
        handles = [
            Line2D([], [], color=look[k].colour, label=f"{k} ({len(v)} batches)") for k, v in data.items()
        ]
        fig.tight_layout(pad=0.4, w_pad=1.5, rect=(0, 0, 1, 1 - 0.28 / fig.get_figheight()))
        fig.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncol=4, borderaxespad=0.1)
        svg = to_svg(
            fig, "hold", "Hold and acknowledgement time of batches", "Histograms over logarithmic time."
        )
    return FigureSvg(
        svg,
        "How long a batch is away",
        (
            "Left the whole time, right the part of it that is the host's answer. All batches of the counted"
            " runs."
        ),
    )


def trade(arms: Arms) -> FigureSvg | None:
    """What the host gets against what the guest gives up, a point per run."""
    look = styles(arms)
    with plt.rc_context(RC):
        fig, axes = stack(1, 2.9)
        ax = axes[0, 0]
        shown = False
        for label, cells in arms.items():
            points = [
                (c.values["rss_mib"], c.values["exposure_mib_s"])
                for c in cells
                if c.values.get("rss_mib") is not None and c.values.get("exposure_mib_s") is not None
            ]
            if not points:
                continue
            shown = True
            x, y = np.array(points, dtype=float).T
            ax.plot(
                x,
                y,
                linestyle="",
                marker=look[label].marker,
                markersize=7,
                color=look[label].colour,
                markeredgecolor=PAPER,
                markeredgewidth=0.8,
                label=label,
                clip_on=False,
                zorder=3,
            )
        if not shown:
            plt.close(fig)
            return None
        ax.set_ylim(bottom=0)
        ax.margins(x=0.08)
        ax.set_xlabel("host memory in use, mean over the measured phase, MiB (less is better for the host)")
        ax.set_ylabel("exposure, MiB s\n(less is better for the guest)")
        ax.legend(loc="upper left", bbox_to_anchor=(1.005, 1))
        fig.tight_layout(pad=0.6)
        svg = to_svg(fig, "trade", "Host memory against exposure", "A point per run.")
    return FigureSvg(
        svg,
        "What the host gets, against what the guest is without",
        "A point per run; bottom left is best for both.",
    )
