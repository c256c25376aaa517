# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.bench.bench import Bench
from analysis.bench.sentences import sentences
from analysis.bench.tables import (
    MEASURE_TITLES,
    RESIDUE_TITLES,
    duration_or_none,
    groups,
    landing_rows,
    notices,
    or_none,
    ratio_text,
    rest_rows,
    share_rows,
    watch_rows,
)
from analysis.bench.touches import MEASURES, Landing
from analysis.record.model import MIB
from analysis.report.text import NONE, plain, size


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
    for group in groups(bench):
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
                    or_none(r.instructions_per_gib),
                    ratio_text(r.ratio["instructions_per_gib"]) if r.ratio else NONE,
                    or_none(r.notifications_per_gib),
                    duration_or_none(r.report_all_ns),
                    or_none(r.hold_p50),
                    or_none(r.hold_p999),
                    or_none(r.hold_max),
                    str(r.nr_holds),
                    or_none(r.exchange_max),
                    *(plain(r.residue_bytes[k] / MIB) for k in RESIDUE_TITLES),
                    or_none(r.scattered_per_gib),
                )
                for r in rows
            ],
        )
    out += ["", "lock, exch: holds of the zone lock, longest exchange, in instructions."]
    out += ["1/16 to holes: MiB the host was never told about, with so much of memory free."]
    return "\n".join(out).replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
