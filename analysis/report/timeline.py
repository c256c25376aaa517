# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures over time: one run of each arm, and the seconds around a kill."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.report.figure import WIDTH, FigureSvg, Key, stack
from analysis.report.figures import Arms, Look
from analysis.judge.judge import ATTRIBUTABLE, GENUINE
from analysis.record import hist
from analysis.record.model import MIB, PAGE_BYTES, GuestSample
from analysis.compare.stats import NS, CellStats
from analysis.report.style import ALARM, GRID, MUTED, PAPER, RC, TEXT, ArmStyle, to_svg

PAGES_PER_MIB = MIB // PAGE_BYTES
MAX_POINTS = 2000  # of a line; more than the page has pixels

MEMORY_KEYS = (
    Key("line", "free memory"),
    Key("area", "held by hinting, not usable"),
    Key("pale", "held, made good by the buffer"),
    Key("dotted", "buffer level"),
    Key("dashed", "watermarks min, low, high", "var(--muted)"),
    Key("kill", "OOM kill, attributable", "var(--alarm)"),
    Key("kill-open", "genuine (grey: undetermined)", "var(--alarm)"),
)
LATENCY_KEYS = (
    Key("line", "latency p99"),
    Key("thin", "largest latency", "var(--muted)"),
    Key("cross", "requests lost", "var(--alarm)"),
)


def _axis_time(cell: CellStats, t_ns: Sequence[int]) -> np.ndarray:
    return (np.array(t_ns, dtype=float) - cell.windows[0][0]) / NS


def _thinned(cell: CellStats, span: tuple[float, float]) -> list[GuestSample]:
    """Samples within the span and one on either side, since there are none while nothing changes.

    Of a long run those with least free memory, MAX_POINTS at most.
    """
    t = _axis_time(cell, [s.t_ns for s in cell.record.guest_samples])
    first, last = np.searchsorted(t, span[0], side="right") - 1, np.searchsorted(t, span[1]) + 1
    samples = cell.record.guest_samples[max(int(first), 0) : int(last)]
    bins = np.array_split(np.arange(len(samples)), min(MAX_POINTS, len(samples)) or 1)
    return [samples[min(group, key=lambda i: samples[i].free_pages)] for group in bins if len(group)]


def _memory_panel(
    ax: Axes, cell: CellStats, style: ArmStyle, span: tuple[float, float], labels: bool
) -> None:
    """Free and held memory, the buffer, watermarks and kills of one run on one axis."""
    samples = _thinned(cell, span)
    t = _axis_time(cell, [s.t_ns for s in samples])

    def mib(values: list[int]) -> np.ndarray:
        return np.array(values, dtype=float) / PAGES_PER_MIB

    free = mib([s.free_pages for s in samples])
    away = mib([s.uncompensated_pages for s in samples])
    held = mib([s.held_pages for s in samples])
    ax.fill_between(t, 0, held, step="post", color=style.colour, alpha=0.22, linewidth=0)
    ax.fill_between(t, 0, away, step="post", color=style.colour, alpha=0.75, linewidth=0)
    ax.plot(t, free, color=TEXT, linewidth=1.0, drawstyle="steps-post")
    if cell.record.spec.buffer_bytes:
        ax.plot(
            t,
            mib([cell.record.buffer_level(s) for s in samples]),
            color=style.colour,
            linewidth=1.2,
            dashes=(1.5, 1.5),
            drawstyle="steps-post",
        )
    if cell.record.guest:
        for name in ("min", "low", "high"):
            level = sum(getattr(z, f"{name}_pages") for z in cell.record.guest.zones) / PAGES_PER_MIB
            ax.axhline(level, color=MUTED, linewidth=0.6, dashes=(4, 3))
            if labels and name != "low":
                ax.annotate(
                    name,
                    (1, level),
                    xycoords=("axes fraction", "data"),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="top" if name == "min" else "bottom",
                    color=MUTED,
                    fontsize=7,
                )
    _kill_marks(ax, cell, span)
    ax.set_xlim(*span)


def _kill_marks(ax: Axes, cell: CellStats, span: tuple[float, float]) -> None:
    """A line and a mark where a process was killed; what would fall on one point of the page is drawn once."""
    places: dict[str, dict[int, float]] = {}
    step = (span[1] - span[0]) / (WIDTH * 72)
    for kill in cell.kills:
        x = (kill.event.t_ns - cell.windows[0][0]) / NS
        if span[0] <= x <= span[1]:
            places.setdefault(kill.verdict.kind, {}).setdefault(int(x / step), x)
    for kind, xs in places.items():
        at = list(xs.values())
        ax.vlines(at, 0, 1, transform=ax.get_xaxis_transform(), color=ALARM, linewidth=0.9)
        ax.plot(
            at,
            [0.97] * len(at),
            linestyle="",
            marker="v",
            markersize=6.5,
            color=ALARM,
            markerfacecolor={ATTRIBUTABLE: ALARM, GENUINE: PAPER}.get(kind, GRID),
            transform=ax.get_xaxis_transform(),
            clip_on=False,
        )


def _latency_panel(ax: Axes, cell: CellStats, style: ArmStyle) -> None:
    answered = [s for s in cell.record.load_samples if s.n]
    t = _axis_time(cell, [s.t_ns for s in answered])
    ax.plot(t, [s.max_us / 1000 for s in answered], color=style.colour, linewidth=0.5, alpha=0.55)
    # A quantile that falls on a lost request has no height: the cross below stands for it.
    p99 = [s.p99_us / 1000 if s.p99_us < hist.LOST_US else math.nan for s in answered]
    ax.plot(t, p99, color=style.colour, linewidth=1.1)
    lost = _axis_time(cell, [s.t_ns for s in cell.record.load_samples if s.errors])
    if len(lost):
        ax.plot(
            lost,
            [0.94] * len(lost),
            linestyle="",
            marker="x",
            markersize=4,
            color=ALARM,
            transform=ax.get_xaxis_transform(),
        )
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Whole decades round the values."""
    low, high = np.floor(np.log10(min(values))), np.ceil(np.log10(max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def pick_repeat(arms: Arms) -> dict[str, CellStats]:
    """One run per arm, same seed and repeat: those present in most arms, then those with most kills."""
    keys: dict[tuple[int, int], tuple[int, float]] = {}
    for cells in arms.values():
        for c in cells:
            n, kills = keys.get(c.pair_key, (0, 0.0))
            keys[c.pair_key] = (n + 1, kills + len(c.kills))
    if not keys:
        return {}
    best = max(keys, key=lambda k: (*keys[k], tuple(-x for x in k)))
    return {label: c for label, cells in arms.items() for c in cells if c.pair_key == best}


def time_strip(arms: Arms, look: Look) -> FigureSvg | None:
    """A run per arm over time, all on the same axes."""
    cells = {k: c for k, c in pick_repeat(arms).items() if len(c.record.guest_samples) > 1}
    if not cells:
        return None
    with_load = any(s.n for c in cells.values() for s in c.record.load_samples)
    per_arm = 2 if with_load else 1
    span = (0.0, max((c.windows[-1][1] - c.windows[0][0]) / NS for c in cells.values()))
    with plt.rc_context(RC):
        fig, axes = stack(
            per_arm * len(cells),
            0.7 + (1.5 + 0.85 * (per_arm - 1)) * len(cells),
            [1.9, 1.0][:per_arm] * len(cells),
            sharex=True,
        )
        memory = [axes[i * per_arm, 0] for i in range(len(cells))]
        latency = [axes[i * per_arm + 1, 0] for i in range(len(cells))] if with_load else []
        for i, (label, cell) in enumerate(cells.items()):
            _memory_panel(memory[i], cell, look[label], span, labels=True)
            memory[i].set_ylabel("MiB")
            title = f"{label} \N{MIDDLE DOT} {len(cell.kills) or 'no'} kill{'' if len(cell.kills) == 1 else 's'}"
            memory[i].set_title(title, color=look[label].colour, pad=5)
            if with_load:
                _latency_panel(latency[i], cell, look[label])
                latency[i].set_ylabel("ms")
        for group in (memory, latency):
            for ax in group[1:]:
                ax.sharey(group[0])
        top = max(
            max((s.free_pages for s in c.record.guest_samples if s.t_ns >= c.windows[0][0]), default=1)
            for c in cells.values()
        )
        memory[0].set_ylim(0, top / PAGES_PER_MIB * 1.08)
        if with_load:
            spread = [
                v / 1000
                for c in cells.values()
                for s in c.record.load_samples
                if s.n
                for v in (s.p99_us, s.max_us)
                if 0 < v < hist.LOST_US
            ]
            latency[0].set_ylim(*_decades(spread))
        axes[-1, 0].set_xlabel("guest time since the measured phase began, s")
        fig.tight_layout(pad=0.4, h_pad=0.5, rect=(0, 0, 0.975, 1))
        svg = to_svg(
            fig,
            "strip",
            "A run of each arm over time",
            "Free and held memory, buffer level, watermarks, kills and latency.",
        )
    seed, repeat = next(iter(cells.values())).pair_key
    return FigureSvg(
        svg,
        "One run of each arm over time",
        (
            f"Seed {seed}, repeat {repeat}, the pair with most kills; all arms on the same axes."
            " Kills closer than the width of a line are drawn as one."
        ),
        keys=MEMORY_KEYS + (LATENCY_KEYS if with_load else ()),
    )


def zoom(arms: Arms, look: Look) -> FigureSvg | None:
    """The seconds around the first attributable kill, in every arm of that repeat."""
    cells = {k: c for k, c in pick_repeat(arms).items() if len(c.record.guest_samples) > 1}
    hits = [
        (k.event.t_ns - c.windows[0][0], label)
        for label, c in cells.items()
        for k in c.kills
        if k.verdict.kind == ATTRIBUTABLE
    ]
    if not hits:
        return None
    at, label = min(hits)
    x0 = at / NS
    span = (max(x0 - 2.5, 0.0), x0 + 1.5)
    with plt.rc_context(RC):
        n = len(cells)
        fig, axes = plt.subplots(1, n, figsize=(WIDTH, 2.6), squeeze=False, sharey=True)
        for i, (name, cell) in enumerate(cells.items()):
            ax = axes[0, i]
            _memory_panel(ax, cell, look[name], span, labels=i == n - 1)
            base = cell.windows[0][0]
            # A batch that never came back is out for as long as the panel shows.
            out = [
                ((b.start_ns - base) / NS, span[1] if b.open else (b.done_ns - base) / NS)
                for b in cell.record.batches
            ]
            out = [(start, done) for start, done in out if done >= span[0] and start <= span[1]]
            ax.hlines(
                [-0.035] * len(out),
                [max(start, span[0]) for start, _ in out],
                [min(done, span[1]) for _, done in out],
                color=look[name].colour,
                linewidth=3,
                transform=ax.get_xaxis_transform(),
                clip_on=False,
            )
            ax.set_title(name, color=look[name].colour)
            ax.set_xlabel("s")
            ax.tick_params(axis="x", pad=6)
        axes[0, 0].set_ylabel("MiB")
        axes[0, 0].set_ylim(bottom=0)
        fig.tight_layout(pad=0.4, w_pad=1.0, rect=(0, 0, 0.98, 1))
        svg = to_svg(
            fig,
            "zoom",
            "The seconds around the first attributable kill",
            f"{label} at {x0:.2f} s, and the same seconds in the other arms.",
        )
    return FigureSvg(
        svg,
        "The same seconds in every arm",
        (
            f"Around the first attributable kill of that repeat ({label}, {x0:.2f} s); bars under the axis:"
            " batches that are with the host."
        ),
        keys=MEMORY_KEYS,
    )
