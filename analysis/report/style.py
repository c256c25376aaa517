# SPDX-License-Identifier: GPL-2.0-or-later
"""Colours of arms and figures, and how a matplotlib figure becomes inline SVG.

Figures are drawn in marker colours which are replaced by CSS variables, so one SVG serves light, dark and
print.  Colour and place of an arm come from its definition in the record; records without one get neutral
colours in the order in which their arms first appear.  Arms also differ in marker, labels of one arm in dash.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)
from matplotlib.figure import Figure  # noqa: E402

TEXT = "#010101"
MUTED = "#020202"
GRID = "#030303"
PAPER = "#040404"
ALARM = "#050505"

_VARIABLES = {
    TEXT: "var(--text)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    ALARM: "var(--alarm)",
}
MAX_SLOTS = 256  # marker colours

# (light, dark), from Okabe and Ito's palette with the lightness adjusted per theme, for arms without a colour.
_NEUTRAL = (
    ("#5f6b7a", "#a3afbf"),
    ("#6f4bb0", "#b79cf2"),
    ("#00797d", "#4fd0d3"),
    ("#8a4b2a", "#d99a77"),
    ("#a83c78", "#ee8fc0"),
    ("#4d6a00", "#b4d24b"),
    ("#3f51a5", "#98a7ff"),
    ("#7a7a00", "#dede5a"),
)
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p", "h", "<", ">", "d")
_DASHES = ((), (5, 2), (2, 2), (7, 2, 2, 2))
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class ArmStyle:
    slot: int
    light: str
    dark: str
    marker: str
    dash: tuple[float, ...]

    @property
    def css(self) -> str:
        return f"var(--arm-{self.slot})"

    @property
    def colour(self) -> str:
        """For matplotlib; to_svg() turns it into css."""
        return f"#0a{self.slot:02x}0a"


def arm_styles(labels: Iterable[tuple[str, str, tuple[str, str] | None]]) -> dict[str, ArmStyle]:
    """A style per label; labels are (label, arm, (light, dark) or None), in the order of the page."""
    out: dict[str, ArmStyle] = {}
    seen: dict[str, list[str]] = {}
    for label, arm, colours in labels:
        variants = seen.setdefault(arm, [])
        first = out[variants[0]] if variants else None
        place = len(seen) - 1
        if first:
            light, dark = first.light, first.dark
        elif colours and all(_COLOUR.fullmatch(c) for c in colours):
            light, dark = colours
        else:
            light, dark = _NEUTRAL[place % len(_NEUTRAL)]
        out[label] = ArmStyle(
            slot=len(out) % MAX_SLOTS,
            light=light,
            dark=dark,
            marker=first.marker if first else _MARKERS[place % len(_MARKERS)],
            dash=_DASHES[len(variants) % len(_DASHES)],
        )
        variants.append(label)
    return out


def css_variables(look: Mapping[str, ArmStyle], theme: str) -> str:
    """--arm-* declarations for 'light' or 'dark'."""
    return " ".join(f"--arm-{s.slot}: {getattr(s, theme)};" for s in look.values())


RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hint",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": TEXT,
    "axes.titlecolor": TEXT,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.visible": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 0.5,
    "path.simplify_threshold": 0.2,
}


def _page_tag(tag: str, name: str) -> str:
    """A tag of matplotlib's with the page's colours, font and ids, and coordinates of two decimals."""
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, variable)
    tag = re.sub(r"#0a([0-9a-f]{2})0a", lambda m: f"var(--arm-{int(m[1], 16)})", tag)
    tag = re.sub(r"font: ((?:bold |italic |\d+ )*)([\d.]+)px [^;\"]*", r"font: \1\2px var(--sans)", tag)
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', tag)
    tag = re.sub(r"url\(#", f"url(#{name}-", tag)
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", tag)


def to_svg(fig: Figure, name: str, title: str, description: str) -> str:
    """Inline SVG with unique ids, CSS colours, the page's font, a title and a description."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(fig)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    # In tags only. What stands between them is read by people: p99.999 must stay what it is.
    svg = re.sub(r"<[^>]*>", lambda tag: _page_tag(tag[0], name), svg)
    svg = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        (
            r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1" role="img"'
            rf' aria-labelledby="{name}-t {name}-d">'
        ),
        svg,
        count=1,
    )
    head = f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
    return svg.replace(">", ">" + head, 1)
