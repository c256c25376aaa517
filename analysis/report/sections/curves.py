# SPDX-License-Identifier: GPL-2.0-or-later
"""Harm against what the experiment varies: a curve per arm, and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from analysis.compare.factors import ArmCurve, Curve, CurvePoint, Factor, Point, Value
from analysis.record.model import MIB
from analysis.report import text
from analysis.report.figure import WIDTH, FigureSvg, Key
from analysis.report.page import Section
from analysis.report.style import RC, ArmStyle, to_svg
from analysis.report.tables import TableCell, TableGroup, TableRow
from analysis.report.view import View

WIDE = 10  # largest over smallest value, from which on the axis is logarithmic
SHIFT = 0.012  # of the axis, between arms at one value, so that their intervals do not hide each other
SCALES = {"ns": (1e6, "ms"), "bytes": (MIB, "MiB"), "ms": (1, "ms")}
MAX_OPEN = 2  # curves before the fold

TEMPLATE = """
{% macro one(c) %}
{% if c.fixed %}<h3>{{ c.fixed }}</h3>{% endif %}
<p class="lead">{{ c.sentence }}</p>
{{ page.figure(c.figure) }}
<p class="lead gap">Rounds that lost a process, of all rounds, with the exact 95 % interval of the share; and exposure per run, median with least and largest.</p>
{{ page.arms(c.columns, c.groups, c.title) }}
{% endmacro %}
{% for c in curves[:open] %}{{ one(c) }}{% endfor %}
{% if curves|length > open %}
<details class="fold"><summary>{{ curves|length - open }} more settings</summary>
{% for c in curves[open:] %}{{ one(c) }}{% endfor %}
</details>
{% endif %}
"""


def show(unit: str, value: Value | None) -> str:
    if value is None:
        return text.NONE
    if isinstance(value, str):
        return value
    if unit == "bytes":
        return text.size(value)
    if unit == "ns":
        return text.duration(value)
    # As it was set: rounded, two settings could look alike.
    number = text.whole(value) if isinstance(value, int) else str(value)
    return f"{number}{text.NBSP}{unit}" if unit else number


def setting(point: Point, factors: Mapping[str, Factor]) -> str:
    """The values of the other factors."""
    known = [(factors[name], value) for name, value in point.items() if name in factors and value is not None]
    return ", ".join(f"{f.title} {show(f.unit, value)}" for f, value in known)


def _known(curve: ArmCurve) -> list[CurvePoint]:
    return [p for p in curve.points if p.nr_cells and p.kills.share is not None]


def sentence(curve: Curve) -> str:
    """Where kills begin, arm by arm."""
    unit = curve.factor.unit
    begun = [f"in {c.arm} at {show(unit, c.begins)}" for c in curve.arms if c.begins is not None]
    free = [c.arm for c in curve.arms if c.begins is None and _known(c)]
    span = f"{show(unit, curve.factor.values[0])} to {show(unit, curve.factor.values[-1])}"
    missing = sum(p.missing for c in curve.arms for p in c.points)
    out = f"{text.capital(curve.factor.title)} {span}: "
    out += f"kills begin {', '.join(begun)}" if begun else "no process was killed at any value"
    if begun and free:
        out += f"; none at any value in {', '.join(free)}"
    if missing:
        out += f". {text.count(missing, 'run')} missing, failed or not counted: gaps, not zeros"
    return out + "."


def is_wide(values: Sequence[float]) -> bool:
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > WIDE * min(positive)


def _positions(factor: Factor) -> tuple[list[float], str]:
    scale, unit = SCALES.get(factor.unit, (1, factor.unit))
    return [float(v) / scale for v in factor.values if not isinstance(v, str)], unit


def _axis(ax: Axes, xs: list[float], title: str, unit: str) -> None:
    positive = [x for x in xs if x > 0]
    if is_wide(xs):
        # Zero has no place on a logarithmic axis: the stretch below the least value is linear.
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.6) if min(xs) <= 0 else ax.set_xscale("log")
    ax.set_xticks(xs, [f"{x:g}" for x in xs])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"{title}, {unit}" if unit else title)


def _shifted(ax: Axes, x: list[float], place: float) -> np.ndarray:
    """Moved sideways by a share of the axis, on whatever scale it has."""
    forth, back = ax.transData.transform, ax.transData.inverted().transform
    pixels = forth(np.column_stack([x, np.zeros(len(x))]))
    pixels[:, 0] += place * ax.bbox.width
    return back(pixels)[:, 0]


def _panel(ax: Axes, curve: Curve, look: Mapping[str, ArmStyle], rows: Mapping[str, list]) -> None:
    """rows: (x, middle, low, high) of each arm, NaN where there is no run."""
    ax.set_xlim(*_limits(ax, [x for row in rows.values() for x, *_ in row]))
    for i, (arm, row) in enumerate(rows.items()):
        x, middle, low, high = (np.array(v, dtype=float) for v in zip(*row, strict=True))
        x = _shifted(ax, list(x), (i - (len(rows) - 1) / 2) * SHIFT)
        style = look[arm]
        ax.vlines(x, low, high, color=style.colour, linewidth=1.0, alpha=0.55)
        ax.plot(
            x,
            middle,
            color=style.colour,
            marker=style.marker,
            markersize=5.5,
            markeredgecolor="none",
            dashes=style.dash or (None, None),
            clip_on=False,
            zorder=3,
        )
    ax.set_ylim(bottom=0)


def _limits(ax: Axes, xs: list[float]) -> tuple[float, float]:
    """With room at both ends for what is moved sideways."""
    if ax.get_xscale() == "log":
        step = (max(xs) / min(xs)) ** 0.06
        return min(xs) / step, max(xs) * step
    step = (max(xs) - min(xs)) * 0.06 or 1.0
    return min(xs) - (step if min(xs) > 0 else min(step, min(x for x in xs if x > 0) * 0.2)), max(xs) + step


def _rows(curve: Curve, xs: list[float], get) -> dict[str, list]:
    """(x, *get(point)) at every value; NaN where an arm has no counted run, so that the line has a gap."""
    at = dict(zip(curve.factor.values, xs, strict=True))
    out = {}
    for c in curve.arms:
        have = {p.value: p for p in _known(c)}
        if have:
            gap = (np.nan, np.nan, np.nan)
            out[c.arm] = [(x, *(get(have[v]) if v in have else gap)) for v, x in at.items()]
    return out


def _share(p: CurvePoint) -> tuple[float, ...]:
    return tuple(np.nan if v is None else 100 * v for v in (p.kills.share, p.kills.lo, p.kills.hi))


def _exposure(p: CurvePoint) -> tuple[float, ...]:
    return tuple(np.nan if v is None else v for v in (p.exposure_median, p.exposure_lo, p.exposure_hi))


def curve_figure(curve: Curve, look: Mapping[str, ArmStyle], name: str) -> FigureSvg | None:
    """Rounds that lost a process and exposure, over the factor."""
    xs, unit = _positions(curve.factor)
    shares, exposures = _rows(curve, xs, _share), _rows(curve, xs, _exposure)
    if not shares:
        return None
    title = curve.factor.title
    with plt.rc_context(RC):
        fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.5))
        for ax in axes:
            _axis(ax, xs, title, unit)
        fig.tight_layout(pad=0.4, w_pad=2.0, rect=(0, 0, 0.99, 0.97))
        _panel(axes[0], curve, look, shares)
        _panel(axes[1], curve, look, exposures)
        axes[0].set_title("Rounds that lost a process, %")
        axes[1].set_title("Exposure per run, MiB s")
        _mark_begins(axes[0], curve, look, xs)
        svg = to_svg(fig, name, f"Harm against {title}", sentence(curve))
    keys = [Key("dashed" if look[arm].dash else "line", arm, look[arm].css) for arm in shares]
    if any(c.begins is not None for c in curve.arms):
        keys.append(Key("kill", "where kills begin"))
    return FigureSvg(
        svg,
        f"Harm against {title}",
        "Left the share of rounds with its exact 95 % interval, right the median of the runs with least and"
        " largest. Arms at one value are drawn side by side.",
        tuple(keys),
    )


def _mark_begins(ax: Axes, curve: Curve, look: Mapping[str, ArmStyle], xs: list[float]) -> None:
    at = dict(zip(curve.factor.values, xs, strict=True))
    arms = [c.arm for c in curve.arms if _known(c)]
    for c in (c for c in curve.arms if c.begins is not None):
        place = (arms.index(c.arm) - (len(arms) - 1) / 2) * SHIFT
        x = _shifted(ax, [at[c.begins]], place)
        ax.plot(
            x,
            [1.0],
            marker="v",
            markersize=7,
            color=look[c.arm].colour,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
        )


def _cells(curve: Curve, value: Value, get) -> tuple[TableCell, ...]:
    out = []
    for c in curve.arms:
        p = next((p for p in c.points if p.value == value), None)
        lost = f"{text.count(p.missing, 'run')} missing" if p and p.missing else ""
        if p is None or not p.nr_cells:
            out.append(TableCell(text.NONE, "", True, lost))
        else:
            main, sub, zero = get(p)
            out.append(TableCell(main, sub, zero, lost))
    return tuple(out)


def _rate_cell(p: CurvePoint) -> tuple[str, str, bool]:
    k = p.kills
    if k.share is None or k.lo is None or k.hi is None:
        return text.NONE, "", True
    return f"{k.with_kill} of {text.whole(k.total)}", f"{text.percent(k.lo)} … {text.percent(k.hi)}", not k.with_kill


def _exposure_cell(p: CurvePoint) -> tuple[str, str, bool]:
    if p.exposure_median is None or p.exposure_lo is None or p.exposure_hi is None:
        return text.NONE, "", True
    span = f"{text.plain(p.exposure_lo)} … {text.plain(p.exposure_hi)}"
    return text.plain(p.exposure_median), span if p.exposure_lo < p.exposure_hi else "", not p.exposure_median


def table(curve: Curve) -> tuple[TableGroup, ...]:
    unit = curve.factor.unit
    groups = []
    for title, get in (("Rounds that lost a process", _rate_cell), ("Exposure, MiB s", _exposure_cell)):
        rows = [TableRow(show(unit, v), "", "", _cells(curve, v, get)) for v in curve.factor.values]
        groups.append(TableGroup(title, tuple(rows)))
    return tuple(groups)


def build(view: View) -> dict[str, Any] | None:
    factors = {f.name: f for f in view.a.factors}
    out = []
    for i, curve in enumerate(c for c in view.a.curves if any(map(_known, c.arms))):
        columns = [(c.arm, view.arm_look[c.arm].css, view.role_of(c.arm)) for c in curve.arms]
        out.append(
            {
                "fixed": setting(curve.fixed, factors),
                "title": curve.factor.title,
                "sentence": sentence(curve),
                "figure": curve_figure(curve, view.arm_look, f"curve{i}"),
                "columns": columns,
                "groups": table(curve),
            }
        )
    return {"curves": out, "open": MAX_OPEN} if out else None


SECTION = Section("curves", "What was varied", build, TEMPLATE, heading="Harm against what was varied")
