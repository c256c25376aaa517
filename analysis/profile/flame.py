# SPDX-License-Identifier: GPL-2.0-or-later
"""A flame graph as SVG: no script, the full name and numbers of every box as its tooltip.

Width is instructions, the root is at the bottom, boxes of one parent stand in order of their names, so two graphs
of the same code can be laid beside each other.  Colours are CSS variables of the page; shade tells boxes apart
and is a hash of the name, so a function has the same shade everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from analysis.profile.fold import Folded

WIDTH = 1060
ROW = 18
FONT = 11
CHARACTER = 6.3  # width of one, as wide as the sans fonts of the page have it
LEAST_WIDTH = 0.7  # narrower boxes are not drawn, nor what stands on them
LEAST_TEXT = 3  # characters


@dataclass
class Box:
    name: str
    n: int = 0
    inner: dict[str, Box] = field(default_factory=dict)


def tree(folded: Folded) -> Box:
    root = Box("all")
    for stack, n in folded.stacks.items():
        root.n += n
        box = root
        for name in stack:
            box = box.inner.setdefault(name, Box(name))
            box.n += n
    return root


@dataclass(frozen=True)
class Placed:
    name: str
    n: int
    x: float
    width: float
    depth: int


def place(root: Box, width: float = WIDTH) -> Iterator[Placed]:
    """Boxes with their places; the deep ones last."""
    scale = width / root.n if root.n else 0.0
    level = [(root, 0.0)]
    depth = 0
    while level:
        above: list[tuple[Box, float]] = []
        for box, x in level:
            yield Placed(box.name, box.n, x, box.n * scale, depth)
            for name in sorted(box.inner):
                inner = box.inner[name]
                if inner.n * scale >= LEAST_WIDTH:
                    above.append((inner, x))
                x += inner.n * scale
        level, depth = above, depth + 1


def _shade(name: str) -> float:
    return 0.24 + (zlib.crc32(name.encode()) % 29) / 100


def _label(name: str, width: float) -> str:
    room = int((width - 6) / CHARACTER)
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}\N{HORIZONTAL ELLIPSIS}" if room >= LEAST_TEXT else ""


def flame_svg(folded: Folded, name: str, title: str, description: str, css: str, unit_ns: int) -> str:
    """Inline SVG; css is the colour of the boxes, unit_ns the period."""
    boxes = list(place(tree(folded)))
    total = boxes[0].n if boxes else 0
    height = (max((b.depth for b in boxes), default=0) + 1) * ROW
    out = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d"'
        f' font-size="{FONT}" style="font-family: var(--sans)">',
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>',
    ]
    for b in boxes:
        y = height - (b.depth + 1) * ROW
        share = 100 * b.n / total if total else 0.0
        tip = f"{b.name}: {b.n * unit_ns / 1000:.0f} of {total * unit_ns / 1000:.0f} \N{MICRO SIGN}s, {share:.1f} %"
        out.append(
            f'<g><title>{escape(tip)}</title><rect x="{b.x:.1f}" y="{y}" width="{b.width:.1f}"'
            f' height="{ROW - 1}" rx="1" fill="{css}" fill-opacity="{_shade(b.name):.2f}"/>'
        )
        if label := _label(b.name, b.width):
            out.append(f'<text x="{b.x + 3:.1f}" y="{y + 12.5}" fill="var(--text)">{escape(label)}</text>')
        out.append("</g>")
    return "".join([*out, "</svg>"])
