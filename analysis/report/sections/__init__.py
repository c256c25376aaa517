# SPDX-License-Identifier: GPL-2.0-or-later
"""The sections of the report, in order.  A new one is a file here with a SECTION, and its name below."""

from __future__ import annotations

from importlib import import_module

from analysis.report.page import Section

NAMES = (
    "rounds",
    "curves",
    "arms",
    "time",
    "kills",
    "latency",
    "batches",
    "profile",
    "claims",
    "trust",
    "environment",
    "again",
    "method",
)

SECTIONS: tuple[Section, ...] = tuple(import_module(f"{__name__}.{name}").SECTION for name in NAMES)
