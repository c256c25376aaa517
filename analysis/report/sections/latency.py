# SPDX-License-Identifier: GPL-2.0-or-later
"""Latency of the requests of the load."""

from __future__ import annotations

from typing import Any

from analysis.report.figures import latency_ccdf
from analysis.report.page import Section
from analysis.report.tables import arm_table
from analysis.report.view import View

GROUPS = (
    ("service", "From the actual send"),
    ("head", "While it was the oldest on its connection"),
)

TEMPLATE = """
{{ page.figure(figure) }}
{% if sent %}
<p class="lead gap">Latency from the intended start is in the table of arms above. Here the clock starts when a request is actually sent: the time the generator itself was late is left out. Requests are pipelined, so one that was sent while the server was stopped waited in the socket, and that wait is in these numbers.{% if sent|length > 1 %} The second group starts the clock only when nothing sent before on that connection is unanswered: that is what a generator sees that waits for each answer.{% endif %}</p>
{{ page.arms(columns, sent) }}
{% endif %}
"""


def build(view: View) -> dict[str, Any] | None:
    figure = latency_ccdf(view.drawn, view.drawn_look)
    if not figure:
        return None
    return {
        "figure": figure,
        "columns": view.columns(tuple(view.arms)),
        "sent": arm_table(view.a, tuple(view.arms), GROUPS),
    }


SECTION = Section("latency", "Latency", build, TEMPLATE)
