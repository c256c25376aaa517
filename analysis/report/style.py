# SPDX-License-Identifier: GPL-2.0-or-later
"""Colours of arms and figures, and how a matplotlib figure becomes inline SVG.

Figures are drawn in marker colours which are replaced by CSS variables, so one SVG serves light, dark and
print.  The palette is Okabe and Ito's with lightness adjusted per theme; arms also differ in dash and marker.
"""

from __future__ import annotations

import io
import re
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

# arm: (slot, light, dark, marker). Fixed, so that an arm looks the same in every report.
_PALETTE: tuple[tuple[str, str, str, str], ...] = (
    ("none", "#5f6b7a", "#a3afbf", "o"),
    ("reporting", "#c44e00", "#ff8d4d", "s"),
    ("reporting-xb", "#a87900", "#f0bf3c", "D"),
    ("buffer", "#0067a5", "#5db7f0", "^"),
    ("buffer-back", "#00797d", "#4fd0d3", "v"),
    ("hint", "#a83c78", "#ee8fc0", "P"),
    ("async", "#6f4bb0", "#b79cf2", "X"),
    ("sync", "#007a56", "#3fcf9c", "p"),
    ("cap", "#4d6a00", "#b4d24b", "h"),
    ("keep", "#8a4b2a", "#d99a77", "<"),
    ("oom-wait", "#3f51a5", "#98a7ff", ">"),
    ("wait-on-ack", "#7a7a00", "#dede5a", "d"),
)
_OTHER = ("other", "#444444", "#cccccc", "*")
_DASHES = ((), (5, 2), (2, 2), (7, 2, 2, 2))


@dataclass(frozen=True)
class ArmStyle:
    slot: str
    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def css(self) -> str:
        return f"var(--arm-{self.slot})"


def _marker_colour(i: int) -> str:
    return f"#0a{i:02x}0a"


def arm_style(arm: str, variant: int = 0) -> ArmStyle:
    """Colour, marker and dash of an arm; variant tells labels of one arm apart."""
    for i, (name, _, _, marker) in enumerate(_PALETTE):
        if name == arm:
            return ArmStyle(name, _marker_colour(i), marker, _DASHES[variant % len(_DASHES)])
    return ArmStyle(_OTHER[0], _marker_colour(len(_PALETTE)), _OTHER[3], _DASHES[variant % len(_DASHES)])


def css_variables(theme: str) -> str:
    """--arm-* declarations for 'light' or 'dark'."""
    column = {"light": 1, "dark": 2}[theme]
    return " ".join(f"--arm-{row[0]}: {row[column]};" for row in (*_PALETTE, _OTHER))


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


def to_svg(fig: Figure, name: str, title: str, description: str) -> str:
    """Inline SVG with unique ids, CSS colours, the page's font, a title and a description."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(fig)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    colours = _VARIABLES | {
        _marker_colour(i): f"var(--arm-{row[0]})" for i, row in enumerate((*_PALETTE, _OTHER))
    }
    for colour, variable in colours.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"font: ((?:bold |italic |\d+ )*)([\d.]+)px [^;\"]*", r"font: \1\2px var(--sans)", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
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
