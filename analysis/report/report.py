# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a results folder: what stands at its top, and its sections."""

from __future__ import annotations

from statistics import median

from analysis.compare.analyse import Analysis
from analysis.compare.hostmem import comparable, mean_rss_mib
from analysis.compare.metrics import METRICS, Metric, Number
from analysis.record.model import MIB
from analysis.report import text
from analysis.report.page import Tile, Top, render_page
from analysis.report.sections import SECTIONS
from analysis.report.view import View, extra_mib, host_model

Notice = tuple[str, list[str]]

WORDS = {
    "Arm": "one mechanism with its settings; all arms run the same workload.",
    "Round": "one cycle of the workload, with the same schedule in every arm.",
    "Exposure": "memory that hinting held and nothing made good, times how long.",
    "Given back": "memory sold (X) less host memory in use, mean over the measured phase; extra memory counts"
    " against it. A kill frees memory, so only the time before any arm of a repeat lost a process counts.",
    "Notification": "one batch handed to the host: an exit and an interrupt.",
}


def _eyebrow(view: View) -> list[str]:
    out = ["Free page hinting and fake OOM"]
    if not view.a.accepted:
        return out
    spec = view.a.accepted[0].record.spec
    specs = [view.spec(label) for label in view.arms] or [spec]
    buffers = [s.buffer_bytes for s in specs if s.buffer_bytes]
    out += [spec.workload, f"{text.size(specs[0].mem_bytes)} guest"]
    if buffers:
        out.append(f"{text.size(buffers[0])} buffer")
    # The baseline's delay is of no consequence, and may be another.
    hinting = [s for s in specs if s.raw.get("device")] or specs
    out += [host_model(hinting[-1]), f"{spec.clock} clock, {spec.accel}"]
    if view.a.factors:
        out.append(f"varied: {', '.join(f.title for f in view.a.factors)}")
    repeats = sorted({len(g) for g in view.arms.values()})
    if repeats:
        runs = str(repeats[0]) if len(repeats) == 1 else f"{repeats[0]} to {repeats[-1]}"
        out.append(f"{runs} {'boot' if runs == '1' else 'boots'} per arm")
    return out


def _broken_checks(a: Analysis) -> list[Notice]:
    """Checks that do not hold, without the runs that were left out and are listed for it."""
    excluded = {r.cell for r in a.excluded}
    out = []
    for c in (c for c in a.checks if c.ok is False):
        places = [p for p in c.places if p.split(":", 1)[0] not in excluded]
        if places or not c.places:
            out.append((c.name, places or [c.detail]))
    return out


def notices(a: Analysis) -> list[Notice]:
    """What must be seen before any number: (headline, lines)."""
    out: list[Notice] = []
    failed = [c for c in a.cells if c.state == "failed"]
    unfinished = [c for c in a.cells if c.state == "unfinished"]
    if failed:
        out.append((f"{text.count(len(failed), 'run')} failed", [f"{c.name}: {c.why}" for c in failed]))
    if unfinished:
        out.append((f"{text.count(len(unfinished), 'run')} unfinished", [c.name for c in unfinished]))
    if a.excluded:
        out.append(
            (
                f"{text.count(len(a.excluded), 'run')} finished but not counted",
                [f"{r.cell}: {r.why}" for r in a.excluded],
            )
        )
    missing = [x for x in a.absent if not x.cell]
    if missing:
        out.append(
            (f"{text.count(len(missing), 'run')} missing", [f"{x.label}: {x.why}" for x in missing])
        )
    out += [(f"Broken: {name}", places) for name, places in _broken_checks(a)]
    own = [
        f"{label}: {text.plain(kills)} kills, {text.plain(stalls)} stalls"
        for label in a.arms
        for kills, stalls in [[a.numbers[label][key].total or 0 for key in ("own_kills", "own_stalls")]]
        if kills or stalls
    ]
    if own:
        out.append(("Asked for by the toolkit itself, counted apart from everything else", own))
    if a.allow_loss and any(s.lossy for s in a.accepted):
        lossy = [f"{s.cell.name}: {sum(s.lost.values())} events" for s in a.accepted if s.lossy]
        out.append(("Runs with lost events are counted, as asked", lossy))
    notes = [f"{s.cell.name}: {s.windows_note}" for s in a.accepted if s.windows_note]
    notes += [
        f"{s.cell.name}: {s.kills_outside} kills outside the measured phase are not counted"
        for s in a.accepted
        if s.kills_outside
    ]
    if notes:
        out.append(("Measured phase", notes))
    if a.environment_differences:
        out.append(("The host was not the same in all runs", list(a.environment_differences)))
    return out


def _given_back(view: View, label: str) -> tuple[str, str]:
    """Mean over the measured phase, median over runs; only while no arm beside it has lost a process."""
    values, cut = [], False
    for c in view.arms[label]:
        beside = [other for cells in view.arms.values() for other in cells if other.pair_key == c.pair_key]
        until = comparable(beside)
        cut |= until is not None
        if (used := mean_rss_mib(c, until)) is not None:
            values.append(c.record.spec.mem_bytes / MIB - used)
    title = "given back until a first kill" if cut else "given back"
    return title, f"{text.plain(median(values))} MiB" if values else text.NONE


def _with_unit(metric: Metric, n: Number, unit: str) -> str:
    figure = text.headline(metric, n)
    return figure if n.median is None else f"{figure} {unit}"


def tiles(view: View) -> list[Tile]:
    """How bad, and at what cost, by arm."""
    metric = {m.key: m for m in METRICS}
    out = []
    for label, cells in view.arms.items():
        numbers, rounds = view.a.numbers[label], view.a.rounds[label]
        kills = sum(len(c.kills) for c in cells)
        extra = extra_mib(cells[0].record.spec)
        rows = [
            (f"kills per {rounds.unit}", text.plain(kills / rounds.total) if rounds.total else text.NONE),
            ("exposure", f"{text.headline(metric['exposure_mib_s'], numbers['exposure_mib_s'])} MiB\u00a0s"),
            ("request p99", _with_unit(metric["latency_p99_us"], numbers["latency_p99_us"], "ms")),
            _given_back(view, label),
            (
                "notifications per GiB",
                text.headline(metric["notifications_per_gib"], numbers["notifications_per_gib"]),
            ),
            ("extra memory", f"{text.plain(extra)} MiB" if extra else "none"),
        ]
        out.append(
            Tile(
                name=view.name(label),
                role=view.role_of(view.arm_of(label)),
                css=view.look[label].css,
                big=str(rounds.with_kill),
                of=f"of {text.count(rounds.total, rounds.unit)}",
                caption=f"lost a process, {view.focus_title}" if view.focus_title else "lost a process",
                rows=rows,
                words=arm.description if (arm := view.definition(label)) else "",
            )
        )
    return out


def render(a: Analysis) -> str:
    """The whole page."""
    view = View(a)
    eyebrow = _eyebrow(view)
    references = sorted({r for r in a.references.values() if r})
    footer = "Every number in the tables is in summary.json beside this page"
    footer += f"; avoided counts are against {' or '.join(references)}." if references else "."
    top = Top(
        title=": ".join(eyebrow[:2]),
        eyebrow=eyebrow,
        tone=a.answer.tone,
        sentence=a.answer.sentence,
        details=a.answer.details,
        notices=notices(a),
        tiles=tiles(view),
        words=list(WORDS.items()) if view.arms else [],
    )
    return render_page(top, SECTIONS, view, view.arm_look, footer)
