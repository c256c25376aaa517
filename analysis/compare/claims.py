# SPDX-License-Identifier: GPL-2.0-or-later
"""The answer in a sentence, and the claims of the proposal with a verdict each.

Every sentence here is chosen by the data; docs/report.md states the rule of each verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.record.model import MIB
from analysis.compare.stats import CellStats, Number

SUPPORTED = "supported"
REFUTED = "refuted"
UNDECIDED = "not decided"
UNTESTED = "not tested"

Arms = Mapping[str, Sequence[CellStats]]
Numbers = Mapping[str, Mapping[str, Number]]


@dataclass(frozen=True)
class Rounds:
    """Wave rounds of an arm over its cells; without rounds a run counts as one."""

    total: int
    with_kill: int
    attributable: int
    genuine: int
    unit: str


@dataclass(frozen=True)
class Answer:
    sentence: str
    tone: str  # good, bad, mixed, unknown
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    claim: str
    verdict: str
    evidence: str


def rounds_of(cells: Sequence[CellStats]) -> Rounds:
    if not any(c.rounds for c in cells):
        hit = [c for c in cells if c.kills]
        return Rounds(
            len(cells),
            len(hit),
            sum(any(k.verdict.kind == "attributable" for k in c.kills) for c in hit),
            sum(any(k.verdict.kind == "genuine" for k in c.kills) for c in hit),
            "run",
        )
    hits: dict[tuple[int, int | None], set[str]] = {}
    for i, c in enumerate(cells):
        for kill, r in zip(c.kills, c.round_of_kill, strict=True):
            hits.setdefault((i, r), set()).add(kill.verdict.kind)
    return Rounds(
        sum(len(set(c.rounds)) for c in cells),
        len(hits),
        sum("attributable" in kinds for kinds in hits.values()),
        sum("genuine" in kinds for kinds in hits.values()),
        "round",
    )


def cells_of(arms: Arms, arm: str) -> list[CellStats]:
    return [c for cells in arms.values() for c in cells if c.record.spec.arm == arm]


def plural(n: int, word: str) -> str:
    return f"{n} {word}" + ("" if n == 1 else "s")


def _rate(r: Rounds) -> str:
    return f"{r.with_kill} of {plural(r.total, r.unit)}"


def answer(arms: Arms) -> Answer:
    """One plain sentence from the data, with the negative forms."""
    none, reporting, extra, buffer = (
        cells_of(arms, a) for a in ("none", "reporting", "reporting-xb", "buffer")
    )
    if not any(arms.values()):
        return Answer("There is no finished run to judge.", "unknown")
    r_none, r_rep, r_xb, r_buf = (rounds_of(c) for c in (none, reporting, extra, buffer))
    details = []
    if extra:
        details.append(f"Given the buffer's memory but no buffer, reporting lost a process in {_rate(r_xb)}.")
    if none and not r_none.with_kill:
        details.append(
            f"Without hinting nobody was killed in {plural(r_none.total, r_none.unit)}, so the workload fits."
        )
    if none and r_none.with_kill:
        return Answer(
            (
                "These runs cannot tell: the workload does not fit this guest even without hinting"
                f" ({_rate(r_none)} lost a process in arm none)."
            ),
            "unknown",
            ("Choose a smaller workload or a larger MEM, and run again.",),
        )
    if not reporting:
        if buffer:
            verb = (
                f"lost a process in {_rate(r_buf)}"
                if r_buf.with_kill
                else f"lost none in {plural(r_buf.total, r_buf.unit)}"
            )
            return Answer(
                f"With the buffer the guest {verb}; without arm reporting there is nothing to compare with.",
                "unknown",
                tuple(details),
            )
        return Answer(
            "Arm reporting has no finished run, so there is nothing to judge.", "unknown", tuple(details)
        )

    if r_rep.attributable == r_rep.with_kill:
        although = " although the guest had the memory"
    elif r_rep.attributable:
        although = f" ({r_rep.attributable} of them although the guest had the memory)"
    else:
        although = ", but in none of them is it shown that the guest had the memory"
    bad = f"With upstream reporting {_rate(r_rep)} lost a process{although}"
    if not none:
        details.append("Arm none was not run, so it is not shown that the workload fits without hinting.")
    if r_rep.with_kill and not buffer:
        return Answer(f"{bad}; the buffer was not run.", "bad", tuple(details))
    if r_rep.with_kill and not r_buf.with_kill:
        tone = "good" if none and r_rep.attributable else "mixed"
        return Answer(f"{bad}; with the hinting buffer none of {r_buf.total} did.", tone, tuple(details))
    if r_rep.with_kill:
        less = (
            "fewer, but not none"
            if r_buf.with_kill * r_rep.total < r_rep.with_kill * r_buf.total
            else "no cure"
        )
        return Answer(f"{bad}; with the hinting buffer {_rate(r_buf)} did: {less}.", "bad", tuple(details))
    if r_buf.with_kill:
        return Answer(
            (
                f"The buffer did harm here: {_rate(r_buf)} lost a process with it, none of {r_rep.total} with"
                " upstream reporting."
            ),
            "bad",
            tuple(details),
        )
    tail = " with or without the buffer" if buffer else ""
    return Answer(
        (
            f"No fake OOM was seen: {plural(r_rep.total, r_rep.unit)} with upstream reporting lost no"
            f" process{tail}."
        ),
        "unknown",
        (
            *details,
            (
                "Exposure below says how much memory was away and for how long; a slower host or a tighter"
                " fit makes kills likelier."
            ),
        ),
    )


def _sum(cells: Sequence[CellStats], key: str) -> float:
    return sum(c.values.get(key) or 0.0 for c in cells)


def _fake_oom(arms: Arms) -> Claim:
    text = "Hinting can create a fake OOM: a page being hinted cannot be used."
    cells = [c for a in ("hint", "async", "reporting", "reporting-xb") for c in cells_of(arms, a)]
    if not cells:
        return Claim(text, UNTESTED, "no arm with hinting and no buffer has a finished run")
    kills, failures = _sum(cells, "attributable_kills"), _sum(cells, "alloc_failures_while_held")
    none = cells_of(arms, "none")
    evidence = (
        f"{kills:.0f} of {_sum(cells, 'oom_kills'):.0f} kills attributable, {failures:.0f} failed allocations"
        f" with memory held, exposure {_sum(cells, 'exposure_mib_s'):.0f} MiB s in"
        f" {plural(len(cells), 'run')}"
    )
    if none:
        evidence += f"; without hinting {_sum(none, 'oom_kills'):.0f} kills in {plural(len(none), 'run')}"
    if kills and not _sum(none, "oom_kills"):
        return Claim(text, SUPPORTED, evidence)
    return Claim(text, UNDECIDED, evidence)


def _constant(arms: Arms) -> Claim:
    text = "With the buffer the amount of useful free memory stays constant."
    cells = cells_of(arms, "buffer")
    if not cells:
        return Claim(text, UNTESTED, "arm buffer has no finished run")
    exchanges = _sum(cells, "exchanges")
    delta = _sum(cells, "exchange_free_delta_pages")
    exposure = _sum(cells, "exposure_mib_s")
    violations = sum(c.record.nr_violations for c in cells)
    evidence = (
        f"{exchanges:.0f} exchanges changed free memory by {delta:.0f} pages in sum, {violations} violations,"
        f" exposure {exposure:.3g} MiB s"
    )
    if not exchanges:
        return Claim(text, UNDECIDED, evidence)
    return Claim(text, REFUTED if delta or violations or exposure else SUPPORTED, evidence)


def _cure(arms: Arms) -> Claim:
    text = "The buffer removes the fake OOM."
    reporting, buffer = cells_of(arms, "reporting"), cells_of(arms, "buffer")
    if not reporting or not buffer:
        return Claim(text, UNTESTED, "needs arms reporting and buffer")
    kills, attributable = _sum(buffer, "oom_kills"), _sum(buffer, "attributable_kills")
    evidence = (
        f"attributable kills: reporting {_sum(reporting, 'attributable_kills'):.0f}, buffer"
        f" {attributable:.0f}; kills of any kind: {_sum(reporting, 'oom_kills'):.0f} and {kills:.0f}"
    )
    if attributable:
        return Claim(text, REFUTED, evidence)
    if not _sum(reporting, "attributable_kills"):
        return Claim(text, UNDECIDED, evidence + "; there was no fake OOM to remove")
    return Claim(text, SUPPORTED if not kills else UNDECIDED, evidence)


def _not_just_memory(arms: Arms) -> Claim:
    text = "It is the exchange that does it, not the extra memory."
    extra, buffer = cells_of(arms, "reporting-xb"), cells_of(arms, "buffer")
    if not extra or not buffer:
        return Claim(text, UNTESTED, "needs arms reporting-xb and buffer")
    evidence = (
        f"kills with the same extra memory and no buffer: {_sum(extra, 'oom_kills'):.0f}, with the buffer:"
        f" {_sum(buffer, 'oom_kills'):.0f}"
    )
    if _sum(extra, "oom_kills") and not _sum(buffer, "oom_kills"):
        return Claim(text, SUPPORTED, evidence)
    if _sum(extra, "oom_kills") < _sum(buffer, "oom_kills"):
        return Claim(text, REFUTED, evidence)
    return Claim(text, UNDECIDED, evidence)


def _batching(arms: Arms, numbers: Numbers) -> Claim:
    text = "The more memory for the buffer, the more batching, so hints become cheaper."
    sizes: dict[int, str] = {}
    for label, cells in arms.items():
        if cells and cells[0].record.spec.arm == "buffer":
            sizes[cells[0].record.spec.buffer_bytes] = label
    points = []
    for size in sorted(sizes):
        per_gib = numbers[sizes[size]]["notifications_per_gib"].median
        if per_gib is not None:
            points.append((size, per_gib))
    evidence = "; ".join(f"{size // MIB} MiB: {per:.1f} notifications per GiB" for size, per in points)
    reporting = [
        c for label, c in numbers.items() if arms[label] and arms[label][0].record.spec.arm == "reporting"
    ]
    if reporting and reporting[0]["notifications_per_gib"].median is not None:
        base = f"without a buffer {reporting[0]['notifications_per_gib'].median:.1f}"
        evidence = f"{evidence}; {base}" if evidence else base
    if len(points) < 2:
        return Claim(text, UNTESTED, (evidence + "; " if evidence else "") + "needs two buffer sizes")
    falling = all(b[1] < a[1] for a, b in zip(points, points[1:], strict=False))
    return Claim(text, SUPPORTED if falling else REFUTED, evidence)


def _cheap(arms: Arms) -> Claim:
    text = "If guest memory is not pinned, the buffer costs the host nothing while unused."
    reporting = {c.pair_key: c for c in cells_of(arms, "reporting")}
    costs = []
    size = 0
    for c in cells_of(arms, "buffer"):
        other = reporting.get(c.pair_key)
        a = c.values.get("rss_mib")
        b = other.values.get("rss_mib") if other else None
        if a is not None and b is not None:
            costs.append(a - b)
            size = c.record.spec.buffer_bytes // MIB
    if not costs:
        return Claim(text, UNTESTED, "needs paired runs of reporting and buffer with host samples")
    evidence = (
        "mean host memory of the buffer guest less that of the reporting guest, by pair:"
        f" {', '.join(f'{c:+.1f}' for c in costs[:12])} MiB, for a buffer of {size} MiB"
    )
    if all(c < size / 4 for c in costs):
        return Claim(text, SUPPORTED, evidence)
    return Claim(text, REFUTED if all(c > size / 2 for c in costs) else UNDECIDED, evidence)


def claims(arms: Arms, numbers: Numbers) -> tuple[Claim, ...]:
    blocking = Claim(
        "An approach that blocks the vCPU while it hints has no fake OOM.",
        UNTESTED,
        "arm sync has no finished run",
    )
    sync = cells_of(arms, "sync")
    if sync:
        kills = _sum(sync, "attributable_kills")
        blocking = Claim(
            blocking.claim,
            REFUTED if kills else UNDECIDED,
            f"{kills:.0f} attributable kills in {plural(len(sync), 'run')}",
        )
    return (
        _fake_oom(arms),
        _cure(arms),
        _constant(arms),
        _not_just_memory(arms),
        _cheap(arms),
        _batching(arms, numbers),
        blocking,
    )
