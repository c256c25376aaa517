# SPDX-License-Identifier: GPL-2.0-or-later
"""One self-contained HTML file: no network, no script; everything from a record is escaped."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from analysis.judge import gfp as gfpbits
from analysis.report import text
from analysis.compare.analyse import Analysis
from analysis.record.fields import clean_text
from analysis.report.figures import FigureSvg, hold_and_ack, latency_ccdf, round_map, styles, trade
from analysis.judge.judge import ATTRIBUTABLE, GENUINE, Judged
from analysis.judge.watermark import zone_title
from analysis.record.model import MIB, PAGE_BYTES, Record
from analysis.compare.stats import METRICS, NS, CellStats, Metric
from analysis.report.style import css_variables
from analysis.report.timeline import time_strip, zoom

MAX_KILLS_SHOWN = 200
TEMPLATES = Path(__file__).with_name("templates")

GROUPS = (
    ("harm", "What the guest suffered"),
    ("latency", "Requests, from the intended start"),
    ("benefit", "What the host got back"),
    ("cost", "What hinting cost"),
    ("trust", "Trust"),
)
ALWAYS = frozenset(
    {
        "oom_kills",
        "attributable_kills",
        "genuine_kills",
        "avoided_kills",
        "kills_while_held",
        "alloc_failures",
        "direct_reclaim_stalls",
        "swap_out_pages",
        "exposure_mib_s",
        "exchange_free_delta_pages",
        "events_lost",
    }
)


@dataclass(frozen=True)
class TableCell:
    main: str
    sub: str
    zero: bool


@dataclass(frozen=True)
class TableRow:
    title: str
    unit: str
    note: str
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class TableGroup:
    title: str
    rows: tuple[TableRow, ...]
    quiet: str  # metrics that are 0 in every arm


def _row(a: Analysis, metric: Metric) -> TableRow:
    cells = []
    for label in a.arms:
        n = a.numbers[label][metric.key]
        cells.append(TableCell(text.headline(metric, n), text.spread(metric, n), not n.total))
    return TableRow(metric.title, text.shown_unit(metric.unit), metric.note, tuple(cells))


def arm_table(a: Analysis, wanted: tuple[tuple[str, str], ...]) -> tuple[TableGroup, ...]:
    """Metrics by group; those that are nought everywhere are named in a line instead of a row."""
    groups = []
    for key, title in wanted:
        rows, quiet = [], []
        for metric in (m for m in METRICS if m.group == key):
            numbers = [a.numbers[label][metric.key] for label in a.arms]
            if metric.key not in ALWAYS and all(
                n.total == 0 or (n.n == 0 and not n.why.startswith("n too")) for n in numbers
            ):
                if any(n.total == 0 for n in numbers):
                    quiet.append(metric.title)
                continue
            rows.append(_row(a, metric))
        groups.append(TableGroup(title, tuple(rows), ", ".join(quiet)))
    return tuple(g for g in groups if g.rows)


@dataclass(frozen=True)
class SumRow:
    """One watermark test written out."""

    zone: str
    pages: str
    free: str
    unusable: str
    usable: str
    relation: str
    need: str
    block: str
    result: str


def _sum_rows(kill: Judged) -> tuple[SumRow, ...]:
    rows = []
    for v in kill.verdict.zones:
        held = v.with_held.free - v.without.free
        band = f", band of {v.band_pages}" if v.band_pages else ""
        for name, c in (("F", v.without), (f"F + {text.whole(held)} held{band}", v.with_held)):
            rows.append(
                SumRow(
                    zone=zone_title(v.zone) if c is v.without else "",
                    pages=name,
                    free=text.whole(c.free),
                    unusable=text.whole(c.unusable),
                    usable=text.whole(c.usable),
                    relation=">" if c.usable > c.need else "\N{LESS-THAN OR EQUAL TO}",
                    need=f"{text.whole(c.mark)} + {text.whole(c.reserve)}",
                    block=(
                        ""
                        if kill.event.order == 0
                        else {True: "yes", False: "no", None: "undecided"}[c.block]
                    ),
                    result={True: "passes", False: "fails", None: "undecided"}[c.passes],
                )
            )
    return tuple(rows)


@dataclass(frozen=True)
class KillView:
    label: str
    css: str
    repeat: int
    round: str
    at: str
    verdict: str
    reason: str
    robust: str
    victim: str
    culprit: str
    request: str
    held: str
    age: str
    shortest: str
    sums: tuple[SumRow, ...]
    incident: str
    avoided: str
    open: bool


def _shortfall(kill: Judged) -> str:
    zones = kill.verdict.zones
    if not zones:
        return text.NONE
    least = min(v.without.shortfall for v in zones)
    return text.size(least * PAGE_BYTES)


def _robust(kill: Judged) -> str:
    if kill.at_high is None or not kill.verdict.zones:
        return ""
    meaning = {
        ATTRIBUTABLE: "passes with the held memory too, so the last attempt would have succeeded",
        GENUINE: "fails even with the held memory",
    }.get(kill.at_high.kind, "is not decided by this sample")
    return f"At the high watermark, the mark of the last attempt before a kill, the test {meaning}."


def kill_views(a: Analysis) -> tuple[list[KillView], int]:
    """Every kill of the counted runs, at most MAX_KILLS_SHOWN; and how many are left out."""
    views: list[KillView] = []
    total = 0
    opened: set[tuple[str, str]] = set()
    look = styles(a.arms)
    for label, cells in a.arms.items():
        reference = a.references[label]
        others = {c.pair_key: c for c in a.arms[reference]} if reference else {}
        for cell in cells:
            number = {id(k): i for i, inc in enumerate(cell.incidents, 1) for k in inc.kills}
            other = others.get(cell.pair_key)
            for kill, r in zip(cell.kills, cell.round_of_kill, strict=True):
                total += 1
                if len(views) >= MAX_KILLS_SHOWN:
                    continue
                e = kill.event
                avoided = ""
                if other is not None and r is not None:
                    happened = r in {x for x in other.round_of_kill if x is not None}
                    avoided = f"{'also killed' if happened else 'avoided'} in {reference}, same round"
                key = (label, kill.verdict.kind)
                views.append(
                    KillView(
                        label=label,
                        css=look[label].css,
                        repeat=cell.record.spec.repeat,
                        round=text.NONE if r is None else str(r),
                        at=f"{(e.t_ns - cell.windows[0][0]) / NS:.3f} s",
                        verdict=kill.verdict.kind,
                        reason=kill.verdict.reason,
                        robust=_robust(kill),
                        victim=f"{e.victim_comm or '?'} ({text.size(e.victim_rss_pages * PAGE_BYTES)})",
                        culprit=e.comm or "?",
                        request=(
                            f"order {e.order},"
                            f" {gfpbits.decode(e.gfp) if e.gfp is not None else 'gfp unknown'}"
                        ),
                        held=text.size(e.uncompensated_pages * PAGE_BYTES),
                        age=text.duration(e.batch_age_ns) if e.batch_age_ns else text.NONE,
                        shortest=_shortfall(kill),
                        sums=_sum_rows(kill),
                        incident=f"incident {number[id(kill)]} of {len(cell.incidents)} in this run",
                        avoided=avoided,
                        open=key not in opened,
                    )
                )
                opened.add(key)
    return views, total - len(views)


def _ack(record: Record) -> str:
    spec = record.spec
    out = text.duration(spec.ack_base_ns)
    return f"{out} + {text.duration(spec.ack_per_chunk_ns)} a chunk" if spec.ack_per_chunk_ns else out


def _bits(features: int) -> str:
    names = {
        0: "must-tell-host",
        1: "stats",
        2: "deflate-on-oom",
        3: "free-page-hint",
        4: "page-poison",
        5: "reporting",
        20: "hinting buffer, experimental",
        32: "version-1",
    }
    bits = [i for i in range(128) if features >> i & 1]
    return ", ".join(f"{i} ({names[i]})" if i in names else str(i) for i in bits) or "none"


def environment(a: Analysis) -> list[tuple[str, list[tuple[str, str]]]]:
    """The environment block: (heading, rows)."""
    if not a.accepted:
        return []
    r = a.accepted[0].record
    spec = r.spec
    host = [
        ("kernel", r.host.get("release", "unknown")),
        ("CPU", f"{r.host.get('cpu', 'unknown')}, {r.host.get('nr_cpus', '?')} CPUs"),
        ("governor, microcode", f"{r.host.get('governor', 'unknown')}, {r.host.get('microcode', 'unknown')}"),
        ("QEMU", r.host.get("qemu_version", "unknown")),
        ("accelerator, clock", f"{spec.accel}, {spec.clock} clock"),
        ("host model", f"answers a batch after {_ack(r)}"),
        ("revision", r.host.get("revision", "unknown")),
    ]
    guest = [
        (
            "memory sold (X), buffer (B)",
            f"{text.size(spec.mem_bytes)}, {text.size(_buffer_bytes(a)) if _buffer_bytes(a) else 'none'}",
        ),
        ("vCPUs", str(spec.vcpus)),
        ("kernel hash", spec.kernel),
        ("QEMU hash", spec.qemu),
        ("root image hash", spec.rootfs),
        ("tools hash", spec.tools),
    ]
    if r.guest:
        guest[0:0] = [("kernel", r.guest.release)]
        guest.append(("command line", r.guest.cmdline))
    params = spec.raw.get("params")
    if isinstance(params, dict) and params:
        guest.append(
            (
                "workload parameters",
                clean_text(", ".join(f"{k}={v}" for k, v in sorted(params.items())), 1000),
            )
        )
    arms = []
    for label, cells in a.arms.items():
        g = next((c.record.guest for c in cells if c.record.guest), None)
        if g is None:
            continue
        marks = " / ".join(
            str(sum(getattr(z, f"{m}_pages") for z in g.zones) * PAGE_BYTES // MIB)
            for m in ("min", "low", "high")
        )
        shown = {
            k: "?" if v is None else v for k, v in (("o", g.order), ("d", g.delay_ms), ("c", g.capacity))
        }
        arms.append(
            (
                label,
                (
                    f"bits {_bits(g.features)}; order {shown['o']}, delay {shown['d']} ms, capacity"
                    f" {shown['c']}; MemTotal {text.whole(g.mem_total_kib)} KiB, watermarks {marks} MiB (min"
                    " / low / high)"
                ),
            )
        )
    return [("Host", host), ("Guest", guest), ("Read back inside the guest, by arm", arms)]


def _buffer_bytes(a: Analysis) -> int:
    return max((c.record.spec.buffer_bytes for c in a.accepted), default=0)


def command(a: Analysis) -> str:
    """The command that makes this experiment again."""
    if not a.accepted:
        return ""
    specs = [c.record.spec for c in a.accepted]
    spec = specs[0]
    parts = [
        "make",
        "run",
        f"WORKLOAD={spec.workload}",
        f"ARMS={' '.join(dict.fromkeys(s.arm for s in specs))}",
    ]
    parts += [f"REPEATS={len({s.repeat for s in specs})}", f"MEM={spec.mem_bytes // MIB}M"]
    if _buffer_bytes(a):
        parts.append(f"BUFFER={_buffer_bytes(a) // MIB}M")
    ack = f"{spec.ack_base_ns // 1000}us"
    if spec.ack_per_chunk_ns:
        ack += f"+{spec.ack_per_chunk_ns // 1000}us"
    parts += [
        f"ACK_DELAY={ack}",
        f"CLOCK={spec.clock}",
        f"ACCEL={spec.accel}",
        f"SEED={min(s.seed for s in specs)}",
    ]
    return " ".join(shlex.quote(p) for p in parts)


def _subtitle(a: Analysis) -> list[str]:
    if not a.accepted:
        return []
    r = a.accepted[0].record
    repeats = sorted({len(g) for g in a.arms.values()})
    runs = str(repeats[0]) if len(repeats) == 1 else f"{repeats[0]} to {repeats[-1]}"
    out = [r.spec.workload, f"{text.size(r.spec.mem_bytes)} guest"]
    if _buffer_bytes(a):
        out.append(f"{text.size(_buffer_bytes(a))} buffer")
    out += [
        f"host answers after {_ack(r)}",
        f"{r.spec.clock} clock, {r.spec.accel}",
        f"{runs} {'boot' if runs == '1' else 'boots'} an arm",
    ]
    return out


def _notices(a: Analysis) -> list[tuple[str, list[str]]]:
    """What must be seen before any number: (headline, lines)."""
    out = []
    failed = [c for c in a.cells if c.state == "failed"]
    unfinished = [c for c in a.cells if c.state == "unfinished"]
    if failed:
        out.append((f"{len(failed)} failed", [f"{c.name}: {c.why}" for c in failed]))
    if unfinished:
        out.append((f"{len(unfinished)} unfinished", [c.name for c in unfinished]))
    if a.excluded:
        out.append(
            (f"{len(a.excluded)} finished but not counted", [f"{r.cell}: {r.why}" for r in a.excluded])
        )
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


def _tiles(a: Analysis) -> list[dict[str, Any]]:
    look = styles(a.arms)
    exposure = next(m for m in METRICS if m.key == "exposure_mib_s")
    rss = next(m for m in METRICS if m.key == "rss_mib")
    return [
        {
            "label": label,
            "css": look[label].css,
            "hit": r.with_kill,
            "total": r.total,
            "unit": r.unit if r.total == 1 else f"{r.unit}s",
            "exposure": text.headline(exposure, a.numbers[label]["exposure_mib_s"]),
            "rss": text.headline(rss, a.numbers[label]["rss_mib"]),
        }
        for label, r in a.rounds.items()
        if a.arms[label]
    ]


def _figures(a: Analysis) -> dict[str, FigureSvg | None]:
    arms = {label: cells for label, cells in a.arms.items() if cells}
    makers = {
        "rounds": round_map,
        "strip": time_strip,
        "zoom": zoom,
        "ccdf": latency_ccdf,
        "hold": hold_and_ack,
        "trade": trade,
    }
    return {name: make(arms) if arms else None for name, make in makers.items()}


def _cell_rows(a: Analysis) -> list[dict[str, Any]]:
    stats = {s.cell.name: s for s in a.accepted}
    why = {r.cell: r.why for r in a.excluded}
    rows = []
    for c in a.cells:
        s: CellStats | None = stats.get(c.name)
        rows.append(
            {
                "name": c.name,
                "state": c.state if c.name not in why else "not counted",
                "why": why.get(c.name, c.why),
                "kills": text.NONE if s is None else str(len(s.kills)),
                "lost": text.NONE if s is None else str(sum(s.lost.values())),
                "wall": text.NONE if c.record is None else f"{c.record.end.wall_s:.0f} s",
            }
        )
    return rows


def _interval_note(a: Analysis) -> str:
    least = min((len(g) for g in a.arms.values() if g), default=0)
    if least >= 6:
        return (
            "Small print: the order-statistic interval of the median, at least 95 %; for counts, of the value"
            " per run."
        )
    return (
        f"Small print: least and largest run. With {least} {'run' if least == 1 else 'runs'} in an arm there"
        " is no 95 % interval of the median; it takes six."
    )


def render(a: Analysis) -> str:
    """The whole page."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    kills, left_out = kill_views(a)
    look = styles(a.arms)
    figures = _figures(a)
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    css = css.replace("/* arms: light */", css_variables("light")).replace(
        "/* arms: dark */", css_variables("dark")
    )
    return env.get_template("report.html").render(
        a=a,
        css=Markup(css),
        subtitle=_subtitle(a),
        notices=_notices(a),
        tiles=_tiles(a),
        arms=[(label, look[label].css, len(group)) for label, group in a.arms.items()],
        groups=arm_table(a, GROUPS),
        service=arm_table(a, (("service", "Service time, from the actual send"),)),
        interval_note=_interval_note(a),
        figures={k: (Markup(f.svg), f.title, f.caption) if f else None for k, f in figures.items()},
        kills=kills,
        kills_left_out=left_out,
        cells=_cell_rows(a),
        environment=environment(a),
        command=command(a),
        reference_names=sorted({r for r in a.references.values() if r}),
    )
