# SPDX-License-Identifier: GPL-2.0-or-later
"""All numbers, arm beside arm."""

from __future__ import annotations

from collections.abc import Iterator
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

MAX_TABLES = 40

TEMPLATE = """
<p class="lead">Counts are totals over the runs of an arm, everything else the median over runs, measured phase only. {{ note }}</p>
{% for t in tables %}
{% if t.title %}<details class="fold"{% if t.open %} open{% endif %}><summary>{{ t.title }}</summary>{% endif %}
{{ page.arms(t.columns, t.groups) }}
{% if t.title %}</details>{% endif %}
{% endfor %}
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


def tables(view: View) -> Iterator[dict[str, Any]]:
    """One for each group of labels that may be compared; all but the one in focus are folded."""
    groups = [(view.focus_title, view.focus)]
    groups += [(g.title, g.labels) for g in view.a.groups if g.labels != view.focus]
    for title, all_labels in groups[:MAX_TABLES]:
        labels = tuple(label for label in all_labels if label in view.a.arms)
        yield {
            "title": title,
            "open": labels == view.focus,
            "columns": view.columns(labels),
            "groups": arm_table(view.a, labels, GROUPS),
        }


def build(view: View) -> dict[str, Any] | None:
    if not view.arms:
        return None
    return {"tables": list(tables(view)), "note": interval_note(view)}


SECTION = Section("arms", "Arms compared", build, TEMPLATE)
