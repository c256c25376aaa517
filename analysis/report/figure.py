# SPDX-License-Identifier: GPL-2.0-or-later
"""A figure of the page: inline SVG, title, caption, and a legend in HTML, which wraps on a small screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib.pyplot as plt

WIDTH = 10.8  # inch; at 72 points the SVG is as wide as the text column

# What a key looks like, drawn in its colour on 22 by 10.
SHAPES = {
    "line": '<path d="M1 5H21" stroke="currentColor" stroke-width="2"/>',
    "thin": '<path d="M1 5H21" stroke="currentColor"/>',
    "dashed": '<path d="M1 5H21" stroke="currentColor" stroke-dasharray="6 3"/>',
    "dotted": '<path d="M1 5H21" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2 2"/>',
    "area": '<path d="M1 1H21V9H1z" fill="currentColor" opacity=".75"/>',
    "pale": '<path d="M1 1H21V9H1z" fill="currentColor" opacity=".22"/>',
    "full": '<path d="M6.5 .5h9v9h-9z" fill="currentColor"/>',
    "open": '<path d="M7 1h8v8h-8z" fill="none" stroke="currentColor" stroke-width="1.2"/>',
    "crossed": (
        '<path d="M7 1h8v8h-8zM8.5 2.5l5 5m0-5l-5 5" fill="none" stroke="currentColor" stroke-width="1.2"/>'
    ),
    "dot": '<circle cx="11" cy="5" r="1.8" fill="currentColor"/>',
    "kill": '<path d="M6 1H16L11 9.5z" fill="currentColor"/>',
    "kill-open": '<path d="M6.5 1H15.5L11 9z" fill="none" stroke="currentColor"/>',
    "cross": '<path d="M8 2l6 6m0-6l-6 6" stroke="currentColor"/>',
}


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    shape: str
    text: str
    css: str = "var(--text)"


@dataclass(frozen=True)
class FigureSvg:
    svg: str
    title: str
    caption: str
    keys: tuple[Key, ...] = field(default=())


def stack(rows: int, height: float, ratios: Sequence[float] | None = None, **kwargs: object):
    """Figure and axes, one under the other, as wide as the text."""
    return plt.subplots(
        rows,
        1,
        figsize=(WIDTH, height),
        squeeze=False,
        gridspec_kw={"height_ratios": ratios} if ratios else None,
        **kwargs,
    )
