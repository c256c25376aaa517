# SPDX-License-Identifier: GPL-2.0-or-later
"""How the numbers are made."""

from __future__ import annotations

from typing import Any

from analysis.report.page import Section
from analysis.report.view import View

TEMPLATE = """
<p class="lead">A boot is the unit of repetition: one value per run, then the median over runs; with fewer than six runs least and largest stand in for an interval. A quantile q is shown from 10 / (1 − q) requests per run on. Latency counts from the intended start of a request. Exposure is the integral of memory held by hinting and not made good by the buffer, kept exactly at every change. Arms are compared only between runs that are alike in everything else. Kills of cgroups, sysrq and fault injection are classes of their own. Details: docs/report.md.</p>
"""


def build(view: View) -> dict[str, Any] | None:
    return {} if view.arms else None


SECTION = Section("method", "Method", build, TEMPLATE, heading="How the numbers are made")
