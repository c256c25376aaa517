# SPDX-License-Identifier: GPL-2.0-or-later
"""bench.json, bench.html and the terminal's table of a Bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.bench.bench import WORTH, Bench, Mechanism, Watching, enough
from analysis.bench.landing import MEASURES, Landing, Pair, Spread
from analysis.record.model import MIB
from analysis.report.text import NONE, duration, plain, size, whole

TEMPLATES = Path(__file__).parent.parent / "report" / "templates"
AIM = 1.01

WAY_TITLES = {
    "none": "not watched",
    "probes": "hinttrace, probes only",
    "hinttrace": "hinttrace as in a run",
    "perf": "perf record, same tracepoints",
}
LOAD_TITLES = {"alone": "memcached alone", "workload": "memcached beside the waves"}
RESIDUE_TITLES = {
    "sixteenth": "left, 1/16 of memory free",
    "eighth": "left, 1/8 free",
    "all": "left, all free",
    "scattered": "left of 64 KiB holes",
}


KIND_TITLES = {
    "page": "4 KiB at a touch",
    "block": "2 MiB in touches of 4 KiB",
    "huge": "2 MiB at a touch",
}
MEASURE_TITLES = {"mean": "mean", "p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
STATE_TITLES = {
    "unbacked": "all free memory has been reported",
    "again": "the same, but another used as much since",
    "eighth": "an eighth of memory free, and reported",
}


def bench_json(bench: Bench) -> dict[str, Any]:
    out = asdict(bench)
    out["enough_buffer"] = [
        {
            "mem_bytes": g.mem_bytes,
            "order": g.order,
            "buffer_bytes": best.buffer_bytes if (best := enough(g.rows)) else None,
        }
        for g in _groups(bench)
    ]
    return {"schema": 2, "aim_ratio": AIM, **out}


@dataclass(frozen=True)
class Group:
    """Rows of one table: guests of one size, one reporting order."""

    mem_bytes: int
    order: int
    rows: tuple[Mechanism, ...]

    @property
    def title(self) -> str:
        return f"{size(self.mem_bytes)}, order {self.order}"


def _groups(bench: Bench) -> list[Group]:
    keys = sorted({(r.mem_bytes, -r.order) for r in bench.mechanisms})
    return [
        Group(mem, -order, tuple(r for r in bench.mechanisms if (r.mem_bytes, -r.order) == (mem, order)))
        for mem, order in keys
    ]


# ---------------------------------------------------------------- sentences


def _watch_row(bench: Bench, load: str, way: str) -> Watching | None:
    """At the least rate: that of the default experiment."""
    rows = [r for r in bench.tracer.rows if (r.load, r.way) == (load, way)]
    return min(rows, key=lambda r: r.rate) if rows else None


def _met(ratio: float) -> str:
    return f"{_ratio(ratio)} times, {'within' if ratio <= AIM else 'beyond'} the aim of {AIM}"


def tracer_sentence(bench: Bench) -> str:
    probes, full, perf = (_watch_row(bench, "workload", way) for way in ("probes", "hinttrace", "perf"))
    if not (probes and full and perf):
        return "The cost of watching was not measured."
    return (
        f"With every probe attached a request costs {_met(probes.ratio.median)}; with the whole tracer, which samples"
        f" the guest ten times a second, {_met(full.ratio.median)}; with perf record {_ratio(perf.ratio.median)} times."
    )


def buffer_sentence(group: Group) -> str:
    """Nothing of a table that has not two sizes."""
    rows = group.rows
    sizes = [r for r in rows if r.arm == "buffer" and r.instructions_per_gib is not None]
    best = enough(rows)
    if len(sizes) < 2 or not best:
        return ""
    least, most = sizes[0], sizes[-1]
    costs = ", ".join(
        f"{_optional(r.instructions_per_gib)} at {size(r.buffer_bytes)}"
        for r in sizes
        if r in (least, best, most)
    )
    if best is least:
        where = "a larger buffer does not make hints cheaper"
    elif best is most:
        where = "a larger buffer makes hints cheaper, up to the largest measured"
    else:
        where = f"a larger buffer makes hints cheaper up to {size(best.buffer_bytes)}; beyond that a next size saves"
        where += f" less than {WORTH:.0%}"
    return f"{group.title}: {where}. Instructions per GiB: {costs}."


def holes_sentences(bench: Bench) -> list[str]:
    """Small chunks are another matter than large ones."""
    out = []
    for group in _groups(bench):
        rows = [r for r in group.rows if r.scattered_per_gib is not None]
        reporting = min((r.scattered_per_gib or 0.0 for r in rows if r.arm == "reporting"), default=0.0)
        ratios = [(r.scattered_per_gib or 0.0) / reporting for r in rows if r.arm == "buffer" and reporting]
        if ratios:
            out.append(
                f"{group.title}: a GiB in pieces of 64 KiB costs the buffer {_ratio(min(ratios))} to"
                f" {_ratio(max(ratios))} times what it costs the cheapest reporting."
            )
    return out


def silent_sentences(bench: Bench) -> list[str]:
    """Arms that never came to report anything."""
    return [
        f"{size(r.mem_bytes)}, order {r.order}: {r.label} with a queue of {r.capacity} told the host nothing: it"
        f" begins only with {size(r.capacity * (4096 << r.order))} free above the low watermark."
        for r in bench.mechanisms
        if r.instructions_per_gib is None and r.arm == "reporting"
    ]


def lock_sentences(bench: Bench) -> list[str]:
    """The longest hold of either, where both were measured."""
    out = []
    for group in _groups(bench):
        text = []
        for arm in ("reporting", "buffer"):
            held = [(r.hold_max, r) for r in group.rows if r.arm == arm and r.hold_max is not None]
            if held:
                longest, r = max(held, key=lambda h: h[0])
                queue = f" with a queue of {r.capacity}" if arm == "reporting" else ""
                text.append(f"{plain(longest)} in {r.label}{queue} (p99.9 {_optional(r.hold_p999)})")
        if len(text) == 2:
            out.append(f"{group.title}: longest hold of the zone lock, instructions: {text[0]}, {text[1]}.")
    return out


def landing_sentences(landing: Landing) -> list[str]:
    """What a page costs that the host has to back again, and how often one is hit."""
    out = []
    for pair in (p for p in landing.pairs if p.kind == "huge"):
        out.append(
            f"{pair.label}: the first touch of 2 MiB that the host has dropped takes"
            f" {_ratio(pair.ratio['p50'].median)} times that of 2 MiB it has (median"
            f" {duration(pair.unbacked.ns['p50'])}, {duration(pair.backed.ns['p50'])})."
        )
    for share in (s for s in landing.shares if s.state == "unbacked"):
        out.append(
            f"{share.label}: when all has been reported, {share.unbacked.median:.0%} of the pages are such for a"
            " program that takes half of what is free."
        )
    return out


def sentences(bench: Bench) -> list[str]:
    sizes = [text for g in _groups(bench) if (text := buffer_sentence(g))]
    return [
        tracer_sentence(bench),
        *(sizes or ["Too few sizes of the buffer to say where a larger one stops paying."]),
        *lock_sentences(bench),
        *landing_sentences(bench.landing),
        *holes_sentences(bench),
        *silent_sentences(bench),
    ]


# ---------------------------------------------------------------- cells of the tables


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 10 else plain(value)


def _times(row: Mechanism, name: str) -> str:
    return f"\N{MULTIPLICATION SIGN} {_ratio(row.ratio[name])}" if name in row.ratio else ""


def _optional(value: float | None) -> str:
    return NONE if value is None else plain(value)


def _time(value: int | None) -> str:
    return NONE if value is None else duration(value)


def _of(value: float | None, n: int) -> str:
    return "" if value is None else f"{plain(value)} of {n}"


def mechanism_rows(rows: Sequence[Mechanism]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(title, note, one (value, small print) for each mechanism)."""
    out: list[tuple[str, str, list[tuple[str, str]]]] = [
        (
            "instructions per GiB reported",
            "small print: over reporting at the least capacity",
            [(_optional(r.instructions_per_gib), _times(r, "instructions_per_gib")) for r in rows],
        ),
        (
            "notifications per GiB",
            "each is an exit to the host and an interrupt, which instructions do not show",
            [(_optional(r.notifications_per_gib), _times(r, "notifications_per_gib")) for r in rows],
        ),
        (
            "time to report all free memory",
            "at one instruction a nanosecond, by a host that answers at once; small print: how much that was",
            [(_time(r.report_all_ns), size(r.report_all_bytes)) for r in rows],
        ),
        (
            "largest batch",
            "out of use at once, by reporting without replacement",
            [(size(r.batch_max_bytes), "") for r in rows],
        ),
        (
            "zone lock held, p50",
            "instructions, less those of tracing; small print: holds seen",
            [(_optional(r.hold_p50), f"{whole(r.nr_holds)} holds" if r.nr_holds else "") for r in rows],
        ),
        (
            "zone lock held, p99.9",
            "of less than 1 000 holds this is the longest",
            [(_optional(r.hold_p999), _times(r, "hold_p999")) for r in rows],
        ),
        (
            "zone lock held, longest",
            "all rounds together",
            [(_optional(r.hold_max), _times(r, "hold_max")) for r in rows],
        ),
        (
            "zone lock held, sum per GiB",
            "instructions",
            [(_optional(r.hold_per_gib), "") for r in rows],
        ),
        (
            "one exchange, longest",
            "instructions; small print: median",
            [(_optional(r.exchange_max), _of(r.exchange_median, r.nr_exchanges)) for r in rows],
        ),
    ]
    for name, title in RESIDUE_TITLES.items():
        out.append(
            (
                title,
                "free memory the host was not told about",
                [(size(r.residue_bytes[name]), "") for r in rows],
            )
        )
    out.append(
        (
            "instructions per GiB of holes",
            "memory in pieces of 64 KiB, where the order admits them",
            [(_optional(r.scattered_per_gib), "") for r in rows],
        )
    )
    return out


def _spread(s: Spread) -> str:
    return f"{_ratio(s.lo)} to {_ratio(s.hi)}, n = {s.n}"


def watch_rows(bench: Bench) -> list[dict[str, Any]]:
    return [
        {
            "load": f"{LOAD_TITLES[r.load]}, {r.rate} requests/s",
            "way": WAY_TITLES[r.way],
            "instructions": plain(r.per_request.median),
            "ratio": NONE if r.way == "none" else _ratio(r.ratio.median),
            "spread": "" if r.way == "none" else _spread(r.ratio),
        }
        for r in bench.tracer.rows
    ]


def rest_rows(bench: Bench) -> list[tuple[str, str]]:
    return [
        (
            WAY_TITLES[way],
            f"{plain(s.median / 1e6)} million a second ({plain(s.lo / 1e6)} to {plain(s.hi / 1e6)})",
        )
        for way, s in bench.tracer.at_rest.items()
    ]


def _spread_ratio(s: Spread) -> str:
    return f"{_ratio(s.median)} ({_ratio(s.lo)} to {_ratio(s.hi)})"


def landing_rows(landing: Landing) -> list[dict[str, Any]]:
    """Two rows, ns, and one of ratios for each arm and kind of touch."""

    def row(pair: Pair, what: str, cells: list[str]) -> dict[str, Any]:
        return {"arm": pair.label, "kind": KIND_TITLES[pair.kind], "what": what, "cells": cells}

    out = []
    for pair in landing.pairs:
        for what, latency in (("backed", pair.backed), ("unbacked", pair.unbacked)):
            cells = [whole(latency.n), *(duration(latency.ns[m]) for m in MEASURES)]
            out.append(row(pair, what, cells))
        rounds = f"{pair.ratio['p50'].n} rounds"
        out.append(row(pair, "ratio", [rounds, *(_spread_ratio(pair.ratio[m]) for m in MEASURES)]))
    return out


def _share(s: Spread) -> str:
    return f"{s.median:.1%} ({s.lo:.1%} to {s.hi:.1%})"


def share_rows(landing: Landing) -> list[dict[str, str]]:
    return [
        {
            "arm": s.label,
            "state": STATE_TITLES[s.state],
            "size": size(s.nr_bytes.median),
            "unbacked": _share(s.unbacked),
            "other": _share(s.other),
        }
        for s in landing.shares
    ]


def notices(bench: Bench) -> list[str]:
    out = [f"guest {name}: {why}" for name, why in bench.failed]
    if bench.nr_kernels > 1:
        out.append(f"the guests ran {bench.nr_kernels} different kernels: they do not compare")
    lost = sum(r.nr_lost for r in bench.mechanisms)
    if lost:
        out.append(f"the kernel's trace lost {whole(lost)} events: holds may be missing")
    if bench.tracer.nr_dropped:
        out.append(f"hinttrace dropped {whole(bench.tracer.nr_dropped)} events")
    return out


# ---------------------------------------------------------------- terminal


def _text_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    table = [list(head), *(list(row) for row in body)]
    width = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = []
    for row in table:
        cells = [row[0].ljust(width[0])] + [c.rjust(w) for c, w in zip(row[1:], width[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return lines


def _landing_terminal(landing: Landing) -> list[str]:
    if not landing.pairs:
        return []
    rows = [(r["arm"], r["kind"], r["what"], *r["cells"]) for r in landing_rows(landing)]
    head = ("arm", "first touch of", "memory", "n", *(MEASURE_TITLES[m] for m in MEASURES))
    out = ["", *_text_table(head, rows), ""]
    return out + _text_table(
        ("arm", "half of free memory taken when", "that is", "not backed", "not known"),
        [(r["arm"], r["state"], r["size"], r["unbacked"], r["other"]) for r in share_rows(landing)],
    )


def bench_terminal(bench: Bench) -> str:
    out = [*sentences(bench), ""]
    out += [f"note: {n}" for n in notices(bench)]
    watch = watch_rows(bench)
    if watch:
        out += _text_table(
            ("load", "watched by", "instr/request", "ratio", "least to most"),
            [(w["load"], w["way"], w["instructions"], w["ratio"], w["spread"]) for w in watch],
        )
        out += ["", "guest at rest, instructions:"]
        out += [f"  {title:<30} {text}" for title, text in rest_rows(bench)]
    out += _landing_terminal(bench.landing)
    for group in _groups(bench):
        rows = group.rows
        out += ["", f"{group.title} (chunks of {size(4096 << group.order)} and more)"]
        out += _text_table(
            (
                "arm",
                "queue",
                "instr/GiB",
                "ratio",
                "notif/GiB",
                "all free",
                "lock p50",
                "p99.9",
                "max",
                "holds",
                "exch max",
                "1/16",
                "1/8",
                "all",
                "holes",
                "instr/GiB holes",
            ),
            [
                (
                    r.label,
                    str(r.capacity),
                    _optional(r.instructions_per_gib),
                    _ratio(r.ratio["instructions_per_gib"]) if r.ratio else NONE,
                    _optional(r.notifications_per_gib),
                    _time(r.report_all_ns),
                    _optional(r.hold_p50),
                    _optional(r.hold_p999),
                    _optional(r.hold_max),
                    str(r.nr_holds),
                    _optional(r.exchange_max),
                    *(plain(r.residue_bytes[k] / MIB) for k in RESIDUE_TITLES),
                    _optional(r.scattered_per_gib),
                )
                for r in rows
            ],
        )
    out += ["", "lock, exch: holds of the zone lock, longest exchange, in instructions."]
    out += ["1/16 to holes: MiB the host was never told about, with so much of memory free."]
    return "\n".join(out).replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


# ---------------------------------------------------------------- page


def _figure(bench: Bench) -> tuple[str, str, str] | None:
    import matplotlib.pyplot as plt

    from analysis.report.style import MUTED, RC, arm_style, to_svg

    groups = [
        g
        for g in _groups(bench)
        if sum(r.arm == "buffer" and r.instructions_per_gib is not None for r in g.rows) > 1
    ]
    if not groups:
        return None
    panels = (
        ("instructions_per_gib", "instructions per GiB"),
        ("notifications_per_gib", "notifications per GiB"),
    )
    with plt.rc_context(RC):
        fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.4), layout="constrained")
        for ax, (name, title) in zip(axes, panels, strict=True):
            for variant, group in enumerate(groups):
                rows = [r for r in group.rows if r.instructions_per_gib is not None]
                look = arm_style("buffer", variant)
                buffers = [r for r in rows if r.arm == "buffer"]
                ax.plot(
                    [r.buffer_bytes / MIB for r in buffers],
                    [getattr(r, name) for r in buffers],
                    color=look.colour,
                    marker=look.marker,
                    dashes=look.dash or (None, None),
                    label=f"buffer, {group.title}",
                )
                for i, r in enumerate(r for r in rows if r.arm == "reporting"):
                    line = arm_style("reporting", 2 * variant + i)
                    ax.axhline(
                        getattr(r, name),
                        color=line.colour,
                        dashes=line.dash or (None, None),
                        label=f"reporting, {group.title}, queue {r.capacity}",
                    )
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ticks = sorted({r.buffer_bytes // MIB for r in bench.mechanisms if r.arm == "buffer"})
            ax.set_xticks(ticks, [str(t) for t in ticks])
            ax.minorticks_off()
            ax.set_xlabel("buffer, MiB")
            ax.set_title(title)
        axes[0].legend(loc="best", labelcolor=MUTED)
        caption = (
            "Both axes are logarithmic. Levels are reporting, which has no buffer. The queue of the buffer arms holds 512"
            " chunks."
        )
        return (
            to_svg(fig, "cost", "Cost of a GiB reported by size of the buffer", caption),
            "Does a larger buffer make hints cheaper",
            caption,
        )


def render_bench(bench: Bench) -> str:
    import jinja2
    from markupsafe import Markup

    from analysis.report.style import arm_style, css_variables

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    css = css.replace("/* arms: light */", css_variables("light")).replace(
        "/* arms: dark */", css_variables("dark")
    )
    figure = _figure(bench)
    full = _watch_row(bench, "workload", "hinttrace")
    return env.get_template("bench.html").render(
        css=Markup(css),
        tone="good" if full and full.ratio.median <= AIM and not bench.failed else "mixed",
        sentences=sentences(bench),
        notices=notices(bench),
        figure=(Markup(figure[0]), *figure[1:]) if figure else None,
        groups=[
            (
                g.title,
                size(4096 << g.order),
                [(r.label, f"queue {r.capacity}", arm_style(r.arm).css) for r in g.rows],
                mechanism_rows(g.rows),
            )
            for g in _groups(bench)
        ],
        landing=landing_rows(bench.landing),
        measures=[MEASURE_TITLES[m] for m in MEASURES],
        shares=share_rows(bench.landing),
        landing_facts=bench.landing.facts,
        watch=watch_rows(bench),
        rest=rest_rows(bench),
        firings=[
            (name, whole(n)) for name, n in sorted(bench.tracer.firings.items(), key=lambda kv: -kv[1]) if n
        ],
        perf_events=whole(bench.tracer.perf_events),
        facts=bench.facts,
    )
