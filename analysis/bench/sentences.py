# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bench found, in sentences."""

from __future__ import annotations

from analysis.bench.bench import WORTH, Bench, enough
from analysis.bench.tables import Group, groups, names, or_none, ratio_text, watch_row
from analysis.bench.touches import Landing
from analysis.compare.arms import CURE, RIVAL
from analysis.report.text import duration, plain, size

AIM = 1.01

def _met(ratio: float) -> str:
    return f"{ratio_text(ratio)} times, {'within' if ratio <= AIM else 'beyond'} the aim of {AIM}"


def tracer_sentence(bench: Bench) -> str:
    probes, full, perf = (watch_row(bench, "workload", way) for way in ("probes", "hinttrace", "perf"))
    if not (probes and full and perf):
        return "The cost of watching was not measured."
    return (
        f"With every probe attached a request costs {_met(probes.ratio.median)}; with the whole tracer, which samples"
        f" the guest ten times a second, {_met(full.ratio.median)}; with perf record {ratio_text(perf.ratio.median)} times."
    )


def buffer_sentence(group: Group) -> str:
    """Nothing of a table that has not two sizes."""
    rows = group.rows
    sizes = [r for r in group.of(CURE) if r.instructions_per_gib is not None]
    best = enough(rows)
    if len(sizes) < 2 or not best:
        return ""
    least, most = sizes[0], sizes[-1]
    costs = ", ".join(
        f"{or_none(r.instructions_per_gib)} at {size(r.buffer_bytes)}"
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
    for group in groups(bench):
        rows = [r for r in group.rows if r.scattered_per_gib is not None]
        cheapest = min((r.scattered_per_gib or 0.0 for r in rows if r.role == RIVAL), default=0.0)
        ratios = [(r.scattered_per_gib or 0.0) / cheapest for r in rows if r.role == CURE and cheapest]
        if ratios:
            out.append(
                f"{group.title}: a GiB in pieces of 64 KiB costs {names(rows, CURE)} {ratio_text(min(ratios))} to"
                f" {ratio_text(max(ratios))} times what it costs {names(rows, RIVAL)} where that is cheapest."
            )
    return out


def silent_sentences(bench: Bench) -> list[str]:
    """Arms that never came to report anything."""
    return [
        f"{size(r.mem_bytes)}, order {r.order}: {r.label} with a queue of {r.capacity} told the host nothing: it"
        f" begins only with {size(r.capacity * (4096 << r.order))} free above the low watermark."
        for r in bench.mechanisms
        if r.instructions_per_gib is None and r.role == RIVAL
    ]


def lock_sentences(bench: Bench) -> list[str]:
    """The longest hold of either, where both were measured."""
    out = []
    for group in groups(bench):
        text = []
        for role in (RIVAL, CURE):
            held = [(r.hold_max, r) for r in group.of(role) if r.hold_max is not None]
            if held:
                longest, r = max(held, key=lambda h: h[0])
                queue = f" with a queue of {r.capacity}" if role == RIVAL else ""
                text.append(f"{plain(longest)} in {r.label}{queue} (p99.9 {or_none(r.hold_p999)})")
        if len(text) == 2:
            out.append(f"{group.title}: longest hold of the zone lock, instructions: {text[0]}, {text[1]}.")
    return out


def landing_sentences(landing: Landing) -> list[str]:
    """What a page costs that the host has to back again, and how often one is hit."""
    out = []
    for pair in (p for p in landing.pairs if p.kind == "huge"):
        out.append(
            f"{pair.label}: the first touch of 2 MiB that the host has dropped takes"
            f" {ratio_text(pair.ratio['p50'].median)} times that of 2 MiB it has (median"
            f" {duration(pair.unbacked.ns['p50'])}, {duration(pair.backed.ns['p50'])})."
        )
    for share in (s for s in landing.shares if s.state == "unbacked"):
        out.append(
            f"{share.label}: when all has been reported, {share.unbacked.median:.0%} of the pages are such for a"
            " program that takes half of what is free."
        )
    return out


def sentences(bench: Bench) -> list[str]:
    sizes = [text for g in groups(bench) if (text := buffer_sentence(g))]
    return [
        tracer_sentence(bench),
        *(sizes or ["Too few sizes of the buffer to say where a larger one stops paying."]),
        *lock_sentences(bench),
        *landing_sentences(bench.landing),
        *holes_sentences(bench),
        *silent_sentences(bench),
    ]
