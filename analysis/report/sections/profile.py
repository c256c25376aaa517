# SPDX-License-Identifier: GPL-2.0-or-later
"""Where perf ran in a guest: the way to its page, and to what it recorded."""

from __future__ import annotations

from typing import Any

from analysis.report.page import Section
from analysis.report.view import View

DATA = "perf.data"

TEMPLATE = """
<p class="lead">perf ran in {{ runs }} runs and was part of what was measured. Flame graphs and the hottest functions: <a href="profile.html">profile.html</a>, which <code>python3 -m analysis profile</code> makes of this folder.</p>
{{ page.plain(["run", "what perf wrote"], rows, (), "table of profiles") }}
"""


def build(view: View) -> dict[str, Any] | None:
    records = [c.record for c in view.a.cells if c.record is not None]
    found = [r for r in records if any(a.name == DATA for a in r.end.artefacts or ())]
    if not found:
        return None
    return {
        "runs": f"{len(found)} of {len(records)}",
        "rows": [(r.cell, f"{r.path.parent.name}/artefacts/{DATA}") for r in found],
    }


SECTION = Section("profile", "Profile", build, TEMPLATE)
