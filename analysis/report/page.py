# SPDX-License-Identifier: GPL-2.0-or-later
"""The skeleton of every page: one self-contained HTML file, no network, no script, all input escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from analysis.report.figure import SHAPES
from analysis.report.style import ArmStyle, css_variables

TEMPLATES = Path(__file__).with_name("templates")
MACROS = '{% import "macros.html" as page %}'


@dataclass(frozen=True)
class Section:
    """A section of a page: adding one is its file and a line in the list of sections of the page.

    `build` makes the variables of `template` from what the page is about, or None when there is nothing to
    say: then section and link are left out.  The template may use the macros of templates/macros.html.
    """

    id: str
    title: str
    build: Callable[[Any], Mapping[str, Any] | None]
    template: str
    heading: str = ""  # where it is longer than the title in the list of contents


@dataclass(frozen=True)
class Tile:
    """One figure at the top, with the small ones beside it."""

    name: str
    role: str
    css: str
    big: str
    of: str
    caption: str
    rows: Sequence[tuple[str, str]]
    words: str = ""


@dataclass(frozen=True)
class Top:
    """What stands above the sections."""

    title: str
    eyebrow: Sequence[str]
    tone: str  # good, bad, mixed, unknown
    sentence: str
    details: Sequence[str] = ()
    notices: Sequence[tuple[str, Sequence[str]]] = ()
    tiles: Sequence[Tile] = ()
    words: Sequence[tuple[str, str]] = field(default=())  # what the words above mean


def render_page(
    top: Top, sections: Sequence[Section], subject: Any, look: Mapping[str, ArmStyle], footer: str
) -> str:
    """The whole page about `subject`."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals["shapes"] = {name: Markup(svg) for name, svg in SHAPES.items()}
    env.filters["svg"] = Markup
    built = []
    for s in sections:
        variables = s.build(subject)
        if variables is not None:
            body = Markup(env.from_string(MACROS + s.template).render(**variables))
            built.append({"id": s.id, "title": s.title, "heading": s.heading or s.title, "body": body})
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    for theme in ("light", "dark"):
        css = css.replace(f"/* arms: {theme} */", css_variables(look, theme))
    return env.get_template("page.html").render(top=top, sections=built, css=Markup(css), footer=footer)
