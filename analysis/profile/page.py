# SPDX-License-Identifier: GPL-2.0-or-later
"""profile.html: a flame graph and the hottest functions of each arm, and what differs between two."""

from __future__ import annotations

from typing import Any

from analysis.profile.flame import flame_svg
from analysis.profile.fold import Folded, hottest
from analysis.profile.profiles import MOST, Z95, ArmProfile, Profiles, differences, pairs
from analysis.report.figure import FigureSvg
from analysis.report.page import Section, Top, render_page
from analysis.report.style import ArmStyle, arm_styles
from analysis.report.text import NONE, count, duration, percent, plain, size, whole

FLAMES = """
<p class="lead">Width is instructions, the caller stands below what it calls. Hold the pointer on a box for its name and numbers. Boxes narrower than a thousandth are left out.</p>
{% for f in figures %}{{ page.figure(f) }}{% endfor %}
{% for line in empty %}<p>{{ line }}</p>{% endfor %}
"""

HOTTEST = """
<p class="lead">{{ lead }}</p>
{% for title, rows in tables %}
<h3>{{ title }}</h3>
{{ page.plain(head, rows, (1, 2, 3, 4), "table of functions") }}
{% endfor %}
"""

DIFFERENCE = """
<p class="lead">Own share of the hint path, the largest change first. Noise is half the width of the 95 % interval that the numbers of samples alone give.</p>
{% for title, head, rows in tables %}
<h3>{{ title }}</h3>
{{ page.plain(head, rows, (1, 2, 3), "table of differences") }}
{% endfor %}
"""

METHOD = """
{{ page.facts(facts) }}
<p class="lead">perf in the guest samples its clock at a fixed period. Under the virtual clock that clock counts instructions. While interrupts are off no sample can be taken: one comes when they are on again, stands for all the periods since the last sample or switch of tasks, and belongs to the function that turned them on, or to its caller where that is a function for just that. What such a function calls under a lock of a zone is in its own share. Details: docs/profile.md.</p>
"""


def look_of(p: Profiles) -> dict[str, ArmStyle]:
    return arm_styles((a.label, a.arm, a.colour) for a in p.arms)


def _rate(arm: ArmProfile, n: int) -> str:
    value = arm.per_gib(n)
    return plain(value) if value is not None else NONE


def _figure(p: Profiles, arm: ArmProfile, folded: Folded, what: str, place: int) -> FigureSvg:
    title = f"{arm.label}: {what}"
    caption = (
        f"{count(folded.nr_samples, 'sample')}, together {duration(folded.n * arm.period_ns)} of"
        f" {plain(arm.seconds)} s measured in {count(len(arm.files), 'run')}."
    )
    name = f"flame-{what.split()[-1]}-{place}"
    svg = flame_svg(folded, name, title, caption, look_of(p)[arm.label].css, arm.period_ns)
    return FigureSvg(svg, title, caption)


def _flames(p: Profiles) -> dict[str, Any]:
    return {
        "figures": [_figure(p, a, a.hint, "the hint path", i) for i, a in enumerate(p.arms) if a.hint.n],
        "empty": [f"{a.label}: no sample in the hint path." for a in p.arms if not a.hint.n],
    }


def _whole(p: Profiles) -> dict[str, Any] | None:
    figures = [_figure(p, a, a.whole, "all that was sampled", i) for i, a in enumerate(p.arms) if a.whole.n]
    return {"figures": figures, "empty": []} if figures else None


def _rows(arm: ArmProfile, folded: Folded) -> list[tuple[str, str, str, str, str]]:
    total = folded.n
    return [
        (
            f.name,
            plain(f.own * arm.period_ns / 1000),
            f"{percent(f.own / total)} \N{PLUS-MINUS SIGN} {plain(100 * Z95 * f.error / total)}",
            percent(f.total / total),
            _rate(arm, f.own),
        )
        for f in hottest(folded, MOST)
    ]


HEAD = ("function", "own, \N{MICRO SIGN}s", "own share", "with callees", "own, instructions per GiB hinted")


def _hottest(p: Profiles) -> dict[str, Any]:
    return {
        "lead": "By what is their own. The interval is what the number of samples alone gives, 95 %.",
        "head": HEAD,
        "tables": [(a.label, _rows(a, a.hint)) for a in p.arms if a.hint.n],
    }


def _hottest_whole(p: Profiles) -> dict[str, Any]:
    return {
        "lead": "Everything that was sampled, below the name of its task; [user] is outside the kernel.",
        "head": HEAD,
        "tables": [(a.label, _rows(a, a.whole)) for a in p.arms if a.whole.n],
    }


def _difference(p: Profiles) -> dict[str, Any] | None:
    tables = []
    for a, b in pairs(p.arms):
        found, unit = differences(a, b)
        head = (f"function, {unit}", a.label, b.label, "change", "")
        rows = [
            (
                d.name,
                plain(d.first),
                plain(d.second),
                f"{'+' if d.change > 0 else ''}{plain(d.change)} \N{PLUS-MINUS SIGN} {plain(d.noise)}",
                "within noise" if d.is_noise else "",
            )
            for d in found
        ]
        tables.append((f"From {a.label} to {b.label}", head, rows))
    return {"tables": tables} if tables else None


def _method(p: Profiles) -> dict[str, Any]:
    facts = []
    for a in p.arms:
        hinted = "unknown" if a.hinted_bytes is None else size(a.hinted_bytes)
        facts.append(
            (
                a.label,
                f"{count(a.whole.nr_samples, 'sample')}, {whole(a.hint.nr_samples)} in the hint path, {whole(a.nr_lost)} lost;"
                f" every {duration(a.period_ns)} of the {a.clock} clock; {hinted} hinted; scope {a.scope};"
                f" {', '.join(a.files)}",
            )
        )
    return {"facts": facts}


SECTIONS = (
    Section("flames", "Hint path", _flames, FLAMES, "The hint path"),
    Section("hottest", "Hottest", _hottest, HOTTEST, "The ten hottest functions of the hint path"),
    Section("difference", "Differences", _difference, DIFFERENCE, "What differs between arms"),
    Section("whole", "All samples", _whole, FLAMES, "All that was sampled"),
    Section("hottest-whole", "Hottest of all", _hottest_whole, HOTTEST, "The ten hottest functions of all"),
    Section("method", "Method", _method, METHOD, "How the samples are taken"),
)


def sentence(p: Profiles) -> str:
    parts = []
    for a in (a for a in p.arms if a.hint.n):
        top = hottest(a.hint, 1)[0]
        rate = a.per_gib(a.hint.n)
        cost = duration(a.hint.n * a.period_ns)
        if rate:
            noise = a.per_gib(Z95 * a.hint.error) or 0.0
            cost = f"{plain(rate / 1e6)} \N{PLUS-MINUS SIGN} {plain(noise / 1e6)} million instructions per GiB hinted"
        parts.append(f"{a.label}: {cost}, {percent(top.own / a.hint.n)} of them in {top.name}")
    return "; ".join(parts) or "No sample in the hint path"


def render_profile(p: Profiles) -> str:
    top = Top(
        title="Profile of the hint path",
        eyebrow=("Free page hinting and fake OOM", "profile of the hint path"),
        tone="mixed" if p.problems else "good",
        sentence=sentence(p),
        notices=[("Problems", p.problems)] if p.problems else [],
    )
    return render_page(top, SECTIONS, p, look_of(p), "Every number is in profile.json beside this page.")


def profile_terminal(p: Profiles) -> str:
    out = [sentence(p), ""]
    for a in (a for a in p.arms if a.hint.n):
        out.append(f"{a.label}: {a.hint.nr_samples} samples in the hint path, {a.whole.nr_samples} in all")
        for name, n, share, total, rate in _rows(a, a.hint):
            out.append(f"  {n:>7} {share:>16} {total:>8} {rate:>9}  {name}")
    for a, b in pairs(p.arms):
        found, unit = differences(a, b)
        out += ["", f"from {a.label} to {b.label}, {unit}"]
        for d in found:
            mark = "  (within noise)" if d.is_noise else ""
            out.append(f"  {plain(d.first):>9} {plain(d.second):>9} {plain(d.change):>10}  {d.name}{mark}")
    out += ["", *(f"problem: {x}" for x in p.problems)]
    return "\n".join(out).rstrip().replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
