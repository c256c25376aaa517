# SPDX-License-Identifier: GPL-2.0-or-later
"""How long batches are away, and what the host gets for it."""

from __future__ import annotations

from typing import Any

from analysis.report.figures import hold_and_ack, trade
from analysis.report.page import Section
from analysis.report.view import View

TEMPLATE = "{{ page.figure(hold) }}{{ page.figure(trade) }}"


def build(view: View) -> dict[str, Any] | None:
    hold, memory = hold_and_ack(view.drawn, view.drawn_look), trade(view.drawn, view.drawn_look)
    return {"hold": hold, "trade": memory} if hold or memory else None


SECTION = Section("batches", "Batches and host memory", build, TEMPLATE)
