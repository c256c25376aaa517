# SPDX-License-Identifier: GPL-2.0-or-later
"""Harm against a factor: the axis, where kills begin, gaps that are not zeros, many factors on one page."""

from __future__ import annotations

import re

from analysis.compare.factors import ArmCurve, Curve, CurvePoint, Factor, Rate
from analysis.report.sections import curves
from analysis.report.style import arm_styles

MS = 1_000_000
DELAY = Factor("ack_base_ns", "host answers after", tuple(n * MS for n in (5, 50, 500)), True, "ns")
LOOK = arm_styles((name, name, None) for name in ("a", "b", "c"))


def point(value: int, killed: int, exposure: float = 1.0, cells: int = 2, missing: int = 0) -> CurvePoint:
    share = killed / 24 if cells else None
    rate = Rate(killed, 24 * bool(cells), share, 0.0 if cells else None, 0.9 if cells else None, "round")
    some = exposure if cells else None
    return CurvePoint(value, cells, rate, rate, some, some, some, missing)


def curve(factor: Factor = DELAY) -> Curve:
    low, middle, high = factor.values
    return Curve(
        factor,
        {},
        (
            ArmCurve("a", (point(low, 0), point(middle, 2), point(high, 9)), middle),
            ArmCurve("b", (point(low, 0), point(middle, 0, cells=0, missing=2), point(high, 0)), None),
            ArmCurve("c", (point(low, 0, cells=0, missing=1),), None),
        ),
    )


def test_where_kills_begin_is_said():
    said = curves.sentence(curve()).replace("\N{NO-BREAK SPACE}", " ")
    assert said.startswith("Host answers after 5 ms to 500 ms: kills begin in a at 50 ms; none at any value in b.")
    assert "3 runs missing" in said and "gaps, not zeros" in said
    nothing = Curve(DELAY, {}, (ArmCurve("a", (point(5 * MS, 0),), None),))
    assert "no process was killed at any value" in curves.sentence(nothing)


def test_the_axis_is_logarithmic_where_values_span_more_than_ten_times():
    assert curves.is_wide([5, 500]) and not curves.is_wide([50, 500]) and curves.is_wide([0, 1, 11])
    assert not curves.is_wide([0]) and not curves.is_wide([])


def test_a_missing_run_is_a_gap_and_not_a_zero():
    xs, unit = curves._positions(DELAY)
    assert (xs, unit) == ([5.0, 50.0, 500.0], "ms")
    rows = curves._rows(curve(), xs, curves._share)
    assert list(rows) == ["a", "b"]  # c has no counted run at all
    assert rows["b"][1][1] != rows["b"][1][1]  # NaN
    cells = {r.title.replace("\N{NO-BREAK SPACE}", " "): r.cells for r in curves.table(curve())[0].rows}
    assert [c.main for c in cells["50 ms"]] == ["2 of 24", "–", "–"]
    assert cells["50 ms"][1].alarm == "2 runs missing"


def test_figures_of_all_kinds_of_factor():
    sizes = Factor("B", "B", (0, 16 << 20, 64 << 20), True, "bytes")
    few = Factor("vcpus", "vCPUs", (1, 2, 4), True, "")
    for i, factor in enumerate((DELAY, sizes, few)):
        figure = curves.curve_figure(curve(factor), LOOK, f"c{i}")
        assert figure and "where kills begin" in [k.text for k in figure.keys]
        words = re.findall(r">([^<>]+)</text>", figure.svg)
        assert "Rounds that lost a process, %" in words and "nan" not in "".join(words)
    assert ">500<" in curves.curve_figure(curve(), LOOK, "x").svg
    empty = Curve(DELAY, {}, (ArmCurve("a", (point(5 * MS, 0, cells=0, missing=1),), None),))
    assert curves.curve_figure(empty, LOOK, "y") is None
