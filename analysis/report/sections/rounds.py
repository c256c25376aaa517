# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rounds lost a process."""

from __future__ import annotations

from typing import Any

from analysis.report.figures import round_map
from analysis.report.page import Section
from analysis.report.view import View

TEMPLATE = "{{ page.figure(figure) }}"


def build(view: View) -> dict[str, Any] | None:
    figure = round_map(view.drawn, view.drawn_look)
    return {"figure": figure} if figure else None


SECTION = Section("rounds", "Rounds", build, TEMPLATE)
