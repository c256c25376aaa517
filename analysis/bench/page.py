# SPDX-License-Identifier: GPL-2.0-or-later
"""bench.html and bench.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import matplotlib.pyplot as plt

from analysis.bench.bench import Bench, enough
from analysis.bench.sentences import AIM, sentences
from analysis.bench.tables import (
    MEASURE_TITLES,
    groups,
    landing_rows,
    mechanism_rows,
    names,
    notices,
    rest_rows,
    share_rows,
    watch_row,
    watch_rows,
)
from analysis.bench.touches import MEASURES
from analysis.compare.arms import CURE, RIVAL
from analysis.record.model import MIB
from analysis.report.figure import WIDTH, FigureSvg, Key
from analysis.report.page import Section, Top, render_page
from analysis.report.style import RC, ArmStyle, arm_styles, to_svg
from analysis.report.tables import TableCell, TableGroup, TableRow
from analysis.report.text import size, whole

MECHANISMS = """
<p class="lead">Every number is of this run. Instructions are those of the whole guest while it reports, kernel and interrupts included; the host answers at once, so its own work and the exits are not in them.</p>
{{ page.figure(figure) }}
{% for title, columns, rows in tables %}
<h3>{{ title }}</h3>
{{ page.arms(columns, rows) }}
{% endfor %}
"""

LANDING = """
<p class="lead">A program takes half of what is free and times the first touch of every page: of memory that was in use just before, so backed, and of memory the host was just told about, so unbacked. Both in one boot and one round; the ratio is that within a round, median and least to most over the rounds. The fault of the host is in it only where a touch is the first of what the host backs at a time.</p>
{% if touches %}
{{ page.plain(head, touches, numeric, "table of first touches") }}
<h3>How often such memory is hit</h3>
<p class="lead">Of the pages of a program that takes half of what is free. Not known is what was neither reported nor used by the programs of the bench before.</p>
{{ page.plain(["arm", "taken when", "taken", "not backed", "not known"], shares, (2, 3, 4), "table of pages not backed") }}
{{ page.facts(facts) }}
{% else %}
<p>Not measured.</p>
{% endif %}
"""

WATCHING = """
<p class="lead">Guest instructions per memcached request, load generator and everything else in the guest included, over those of the same round unwatched: median of the rounds, least to most beside it. In every round each way of watching comes at another place.</p>
{% if rows %}
{{ page.plain(["load", "watched by", "instructions per request", "ratio", "least to most"], rows, (2, 3, 4), "table of watching") }}
<h3>A guest at rest</h3>
{{ page.facts(rest) }}
<h3>What the probes saw, all rounds together</h3>
{{ page.facts(firings) }}
{% else %}
<p>Not measured.</p>
{% endif %}
"""

METHOD = """
{{ page.facts(facts) }}
<p class="lead">The guest reads its TSC, which counts instructions and skipped time, and the kernel's own account of skipped time. Batches and bytes are QEMU's. Holds of a zone lock are found in the kernel's trace of the same work done again, from the taking of a lock by the task that reports to the first event after its release; nothing is traced within a hold, and the cost of the one event at its beginning is taken off. Details: docs/bench.md.</p>
"""


def bench_json(bench: Bench) -> dict[str, Any]:
    out = asdict(bench)
    out["enough_buffer"] = [
        {
            "mem_bytes": g.mem_bytes,
            "order": g.order,
            "buffer_bytes": best.buffer_bytes if (best := enough(g.rows)) else None,
        }
        for g in groups(bench)
    ]
    return {"schema": 3, "aim_ratio": AIM, **out}


def bench_look(bench: Bench) -> Mapping[str, ArmStyle]:
    """A style for each mechanism, and for each line of the figure."""
    rows = [(r.arm, r.arm, r.colour) for r in bench.mechanisms]
    rows += [(name, r.arm, r.colour) for r, name in _lines(bench)]
    return arm_styles(dict.fromkeys(rows))


def _lines(bench: Bench) -> list[tuple[Any, str]]:
    """The mechanisms of the figure with the name of their line: one of all sizes of buffer, levels of the rest."""
    out = []
    for group in groups(bench):
        for r in (r for r in group.rows if r.instructions_per_gib is not None):
            queue = "" if r.role == CURE else f", queue {r.capacity}"
            out.append((r, f"{r.arm}, {group.title}{queue}"))
    return out


def _figure(bench: Bench) -> FigureSvg | None:
    lines: dict[str, list[Any]] = {}
    for r, name in _lines(bench):
        lines.setdefault(name, []).append(r)
    if not any(rows[0].role == CURE and len(rows) > 1 for rows in lines.values()):
        return None
    look = bench_look(bench)
    panels = (
        ("instructions_per_gib", "instructions per GiB"),
        ("notifications_per_gib", "notifications per GiB"),
    )
    with plt.rc_context(RC):
        fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
        for ax, (name, title) in zip(axes, panels, strict=True):
            for line, rows in lines.items():
                style = {"color": look[line].colour, "dashes": look[line].dash or (None, None)}
                if rows[0].role == CURE:
                    x = [r.buffer_bytes / MIB for r in rows]
                    ax.plot(x, [getattr(r, name) for r in rows], marker=look[line].marker, **style)
                else:
                    ax.axhline(getattr(rows[0], name), **style)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ticks = sorted({r.buffer_bytes // MIB for r in bench.mechanisms if r.buffer_bytes})
            ax.set_xticks(ticks, [str(t) for t in ticks])
            ax.minorticks_off()
            ax.set_xlabel("buffer, MiB")
            ax.set_title(title)
        fig.tight_layout(pad=0.4, w_pad=1.5)
        caption = (
            f"Both axes are logarithmic. Levels are {names(bench.mechanisms, RIVAL)}, which has no buffer. The queue"
            f" of {names(bench.mechanisms, CURE)} holds"
            f" {max(r.capacity for r in bench.mechanisms if r.role == CURE)} chunks."
        )
        svg = to_svg(fig, "cost", "Cost of a GiB reported by size of the buffer", caption)
    keys = tuple(Key("dashed" if look[x].dash else "line", x, look[x].css) for x in lines)
    return FigureSvg(svg, "Does a larger buffer make hints cheaper", caption, keys)


def _mechanisms(bench: Bench) -> dict[str, Any]:
    look = bench_look(bench)
    tables = []
    for g in groups(bench):
        columns = [(r.label, look[r.arm].css, f"queue {r.capacity}") for r in g.rows]
        rows = tuple(
            TableRow(title, "", note, tuple(TableCell(main, sub) for main, sub in cells))
            for title, note, cells in mechanism_rows(g.rows)
        )
        title = f"{g.title}: chunks of {size(4096 << g.order)} and more"
        tables.append((title, columns, [TableGroup("", rows)]))
    return {"figure": _figure(bench), "tables": tables}


def _landing(bench: Bench) -> dict[str, Any]:
    head = ["arm", "first touch of", "memory", "n", *(MEASURE_TITLES[m] for m in MEASURES)]
    return {
        "head": head,
        "numeric": tuple(range(3, len(head))),
        "touches": [(r["arm"], r["kind"], r["what"], *r["cells"]) for r in landing_rows(bench.landing)],
        "shares": [
            (r["arm"], r["state"], r["size"], r["unbacked"], r["other"]) for r in share_rows(bench.landing)
        ],
        "facts": bench.landing.facts,
    }


def _watching(bench: Bench) -> dict[str, Any]:
    seen = sorted(bench.tracer.firings.items(), key=lambda kv: -kv[1])
    return {
        "rows": [
            (w["load"], w["way"], w["instructions"], w["ratio"], w["spread"]) for w in watch_rows(bench)
        ],
        "rest": rest_rows(bench),
        "firings": [
            *((name, whole(n)) for name, n in seen if n),
            ("records of perf", whole(bench.tracer.perf_events)),
        ],
    }


SECTIONS = (
    Section("mechanisms", "Mechanisms", _mechanisms, MECHANISMS, "What a mechanism costs the guest"),
    Section(
        "landing",
        "Dropped memory",
        _landing,
        LANDING,
        "What it costs to use memory that the host has dropped",
    ),
    Section("tracer", "Watching", _watching, WATCHING, "What watching costs"),
    Section("method", "Method", lambda b: {"facts": b.facts}, METHOD, "How the numbers are made"),
)


def render_bench(bench: Bench) -> str:
    full = watch_row(bench, "workload", "hinttrace")
    problems = notices(bench)
    found = sentences(bench)
    top = Top(
        title="What hinting costs",
        eyebrow=("Free page hinting and fake OOM", "what hinting costs, and what watching it costs"),
        tone="good" if full and full.ratio.median <= AIM and not bench.failed else "mixed",
        sentence=found[0],
        details=found[1:],
        notices=[("Problems", problems)] if problems else [],
    )
    return render_page(
        top, SECTIONS, bench, bench_look(bench), "Every number is in bench.json beside this page."
    )
