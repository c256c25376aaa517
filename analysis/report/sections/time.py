# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of each arm over time."""

from __future__ import annotations

from typing import Any

from analysis.report.page import Section
from analysis.report.timeline import time_strip, zoom
from analysis.report.view import View

TEMPLATE = "{{ page.figure(zoom) }}{{ page.figure(strip) }}"


def build(view: View) -> dict[str, Any] | None:
    strip = time_strip(view.drawn, view.drawn_look)
    return {"zoom": zoom(view.drawn, view.drawn_look), "strip": strip} if strip else None


SECTION = Section("time", "Over time", build, TEMPLATE)
