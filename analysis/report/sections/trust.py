# SPDX-License-Identifier: GPL-2.0-or-later
"""What the result rests on: the checks, and what became of every run."""

from __future__ import annotations

from typing import Any

from analysis.report import text
from analysis.report.page import Section
from analysis.report.view import View

TEMPLATE = """
{% if checks %}
<div class="scroll"><table class="claims reflow">
<thead><tr><th scope="col">check</th><th scope="col">result</th><th scope="col">what was compared</th></tr></thead>
<tbody>
{% for c in checks %}
<tr><td>{{ c.name }}</td><td>{% if c.ok is none %}<span class="badge untested">nothing to check</span>{% elif c.ok %}<span class="badge good-state">holds</span>{% else %}<span class="badge bad-state">broken</span>{% endif %}</td><td>{{ c.detail }}{% for p in c.places[:10] %}<br><span class="mono">{{ p }}</span>{% endfor %}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
<h3>Every run</h3>
<p class="lead">{{ a.count("finished") }} finished, {{ a.count("failed") }} failed, {{ a.count("unfinished") }} unfinished; {{ a.excluded|length }} finished but not counted.</p>
<div class="scroll"><table class="reflow">
<thead><tr><th scope="col">run</th><th scope="col">state</th><th scope="col" class="n">kills</th><th scope="col" class="n">events lost</th><th scope="col" class="n">wall time</th></tr></thead>
<tbody>
{% for c in cells %}
<tr><td><span class="mono">{{ c.name }}</span>{% if c.why %}<br><small>{{ c.why }}</small>{% endif %}</td><td data-label="state">{{ c.state }}</td><td class="n" data-label="kills">{{ c.kills }}</td><td class="n" data-label="events lost">{{ c.lost }}</td><td class="n" data-label="wall time">{{ c.wall }}</td></tr>
{% endfor %}
</tbody></table></div>
"""


def cell_rows(view: View) -> list[dict[str, Any]]:
    stats = {s.cell.name: s for s in view.a.accepted}
    why = {r.cell: r.why for r in view.a.excluded}
    rows = []
    for c in view.a.cells:
        s = stats.get(c.name)
        rows.append(
            {
                "name": c.name,
                "state": c.state if c.name not in why else "not counted",
                "why": why.get(c.name, c.why),
                "kills": text.NONE if s is None else str(len(s.kills)),
                "lost": text.NONE if s is None else str(sum(s.lost.values())),
                "wall": text.NONE if c.record is None or c.record.end.wall_s is None else f"{c.record.end.wall_s:.0f} s",
            }
        )
    return rows


def build(view: View) -> dict[str, Any] | None:
    if not view.a.cells:
        return None
    return {"a": view.a, "checks": view.a.checks if view.a.accepted else (), "cells": cell_rows(view)}


SECTION = Section("trust", "Checks and runs", build, TEMPLATE)
