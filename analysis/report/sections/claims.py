# SPDX-License-Identifier: GPL-2.0-or-later
"""The claims of the proposal, each with a verdict."""

from __future__ import annotations

from typing import Any

from analysis.report.page import Section
from analysis.report.view import View

BADGES = {"supported": "supported", "refuted": "refuted", "not decided": "undecided", "not tested": "untested"}

TEMPLATE = """
<div class="scroll"><table class="claims reflow">
<thead><tr><th scope="col">claim</th><th scope="col">verdict</th><th scope="col">evidence in these runs</th></tr></thead>
<tbody>
{% for c in claims %}
<tr><td>{{ c.claim }}</td><td><span class="badge {{ badges[c.verdict] }}">{{ c.verdict }}</span></td><td>{{ c.evidence }}</td></tr>
{% endfor %}
</tbody></table></div>
"""


def build(view: View) -> dict[str, Any] | None:
    return {"claims": view.a.claims, "badges": BADGES} if view.arms else None


SECTION = Section("claims", "Claims", build, TEMPLATE, heading="The claims of the proposal")
