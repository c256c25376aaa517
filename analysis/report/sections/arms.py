# SPDX-License-Identifier: GPL-2.0-or-later
"""All numbers, arm beside arm."""

from __future__ import annotations

from typing import Any

from analysis.report.page import Section
from analysis.report.tables import arm_table
from analysis.report.view import View

GROUPS = (
    ("harm", "What the guest suffered"),
    ("latency", "Requests, from the intended start"),
    ("benefit", "What the host got back"),
    ("cost", "What hinting cost"),
    ("trust", "Trust"),
)

TEMPLATE = """
<p class="lead">Counts are totals over the runs of an arm, everything else the median over runs, measured phase only. {{ note }}</p>
{{ page.arms(columns, groups) }}
"""


def interval_note(view: View) -> str:
    least = min(len(g) for g in view.arms.values())
    if least >= 6:
        return (
            "Small print: the order-statistic interval of the median, at least 95 %; for counts, of the value"
            " per run."
        )
    return (
        f"Small print: least and largest run. With {least} {'run' if least == 1 else 'runs'} in an arm there"
        " is no 95 % interval of the median; it takes six."
    )


def build(view: View) -> dict[str, Any] | None:
    if not view.arms:
        return None
    return {"columns": view.columns, "groups": arm_table(view.a, GROUPS), "note": interval_note(view)}


SECTION = Section("arms", "Arms compared", build, TEMPLATE)
