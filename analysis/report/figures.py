# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of the report that are not over time, each an inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from analysis.record import hist
from analysis.judge.judge import ATTRIBUTABLE, GENUINE
from analysis.record.model import Hist
from analysis.compare.stats import CellStats
from analysis.report.figure import WIDTH, FigureSvg, Key, stack
from analysis.report.style import GRID, MUTED, PAPER, RC, ArmStyle, to_svg

MAX_ROUNDS = 400
MAX_ROWS = 40

Arms = Mapping[str, Sequence[CellStats]]
Look = Mapping[str, ArmStyle]


def arm_keys(labels: Iterable[str], look: Look) -> tuple[Key, ...]:
    return tuple(Key("dashed" if look[x].dash else "line", x, look[x].css) for x in labels)


def _verdict_mark(ax: Axes, x: float, y: float, kind: str, colour: str) -> None:
    """One square of the round map: full, crossed or open, so that it reads without colour."""
    square = {"linestyle": "", "marker": "s", "markersize": 9, "markeredgewidth": 1.2, "color": colour}
    ax.plot([x], [y], markerfacecolor=colour if kind == ATTRIBUTABLE else PAPER, **square)
    if kind == GENUINE:
        ax.plot([x], [y], linestyle="", marker="x", markersize=7, markeredgewidth=1.2, color=colour)


def round_map(arms: Arms, look: Look) -> FigureSvg | None:
    """Which rounds lost a process: a row per run, a column per round; runs of one repeat line up."""
    rows = [(label, c) for label, cells in arms.items() for c in cells if c.rounds][:MAX_ROWS]
    if not rows:
        return None
    last = min(max(max(c.rounds) for _, c in rows), MAX_ROUNDS)
    first = min(min(c.rounds) for _, c in rows)
    with plt.rc_context(RC):
        fig, axes = stack(1, 0.5 + 0.235 * len(rows))
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
        fig.tight_layout(pad=0.4)
        svg = to_svg(
            fig, "rounds", "Rounds that lost a process", f"{len(rows)} runs, rounds {first} to {last}."
        )
    return FigureSvg(
        svg,
        "Rounds that lost a process",
        (
            "A row is one run (one boot), a column one round of the workload;"
            " rows with the same # had the same seed and schedule."
        ),
        keys=(
            Key("full", "killed, attributable: the memory was there, held by hinting"),
            Key("crossed", "killed, genuine: short of memory anyway"),
            Key("open", "killed, undetermined"),
            Key("dot", "no process killed", "var(--muted)"),
        ),
    )


def _merged(cells: Sequence[CellStats], name: str) -> Hist | None:
    return hist.merge([c.record.hists[name] for c in cells if name in c.record.hists])


def latency_ccdf(arms: Arms, look: Look) -> FigureSvg | None:
    """Share of requests slower than x, all runs of an arm together."""
    with plt.rc_context(RC):
        fig, axes = stack(1, 3.7)
        ax = axes[0, 0]
        fewest = 0
        drawn = []
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
                    **style,
                    **extra,
                )
                fewest = max(fewest, h.n)
                drawn.append(label)
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
        fig.tight_layout(pad=0.4)
        svg = to_svg(
            fig, "ccdf", "Request latency", "Complementary cumulative distribution, logarithmic axes."
        )
    return FigureSvg(
        svg,
        "Share of requests slower than a latency",
        (
            "All runs of an arm together. Thick: from the intended start, so a stalled"
            " server is charged for the requests it kept waiting; thin: from the actual send. Requests that"
            " got no answer are in neither."
        ),
        keys=arm_keys(dict.fromkeys(drawn), look),
    )


def hold_and_ack(arms: Arms, look: Look) -> FigureSvg | None:
    """How long batches were away, and how much of that the host took."""
    data = {
        label: [
            (b.done_ns - b.start_ns, max(b.ack_ns - b.sent_ns, 0))
            for c in cells
            for b in c.record.batches
            if not b.open
        ]
        for label, cells in arms.items()
    }
    data = {label: rows for label, rows in data.items() if rows}
    if not data:
        return None
    values = np.array([max(v, 1) for rows in data.values() for row in rows for v in row], dtype=float) / 1e6
    low, high = np.floor(np.log10(values.min())), np.ceil(np.log10(values.max()) + 1e-9)
    bins = np.logspace(low, max(high, low + 1), int(max(high - low, 1)) * 12 + 1)
    columns = (
        "Hold: first chunk taken to last chunk back",
        "Answer of the host: sent to acknowledged",
    )
    with plt.rc_context(RC):
        # A row per arm: on common axes arms with the same host would hide each other.
        fig, axes = plt.subplots(
            len(data), 2, figsize=(WIDTH, 0.7 + 0.95 * len(data)), squeeze=False, sharey=True, sharex=True
        )
        for (label, rows), pair in zip(data.items(), axes, strict=True):
            for i, ax in enumerate(pair):
                x = np.maximum(np.array([row[i] for row in rows], dtype=float), 1) / 1e6
                ax.hist(
                    x,
                    bins=bins,
                    weights=np.full(len(x), 100 / len(x)),
                    histtype="stepfilled",
                    facecolor=look[label].colour,
                    edgecolor=look[label].colour,
                    linewidth=1.2,
                    alpha=0.55,
                )
                ax.set_xscale("log")
                ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
                ax.annotate(
                    f"{label} \N{MIDDLE DOT} {len(x)} batches",
                    (0, 1),
                    xycoords="axes fraction",
                    xytext=(6, -4),
                    textcoords="offset points",
                    va="top",
                    color=look[label].colour,
                    fontweight="bold",
                )
            pair[0].set_ylabel("% of batches")
        # Room for the names above the highest bar; the axes are shared.
        axes[0, 0].set_ylim(top=1.4 * axes[0, 0].get_ylim()[1])
        axes[0, 0].set_yticks([t for t in axes[0, 0].get_yticks() if 0 <= t <= 100])
        for i, title in enumerate(columns):
            axes[0, i].set_title(title)
            axes[-1, i].set_xlabel("ms")
        fig.tight_layout(pad=0.4, w_pad=1.5, h_pad=0.6)
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


def trade(arms: Arms, look: Look) -> FigureSvg | None:
    """What the host gets against what the guest gives up, a point per run."""
    with plt.rc_context(RC):
        fig, axes = stack(1, 2.9)
        ax = axes[0, 0]
        shown = []
        for label, cells in arms.items():
            points = [
                (c.values["rss_mib"], c.values["exposure_mib_s"])
                for c in cells
                if c.values.get("rss_mib") is not None and c.values.get("exposure_mib_s") is not None
            ]
            if not points:
                continue
            shown.append(label)
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
        fig.tight_layout(pad=0.6)
        svg = to_svg(fig, "trade", "Host memory against exposure", "A point per run.")
    return FigureSvg(
        svg,
        "What the host gets, against what the guest is without",
        "A point per run; bottom left is best for both.",
        keys=tuple(Key("full", label, look[label].css) for label in shown),
    )
