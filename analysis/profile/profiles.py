# SPDX-License-Identifier: GPL-2.0-or-later
"""The profiles of a results folder: one per label, all its cells together, and what two of them differ in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.compare.arms import rank
from analysis.compare.stats import NS, inside, measure_windows
from analysis.profile.fold import Folded, Function, fold, functions
from analysis.profile.script import read_script
from analysis.record.fields import BadRecord, clean_text
from analysis.record.load import load_results
from analysis.record.model import GIB, PAGE_BYTES, Cell, Record

SCRIPT = "perf.script.gz"
DATA = "perf.data"
MOST = 10  # functions in a table
Z95 = 1.96
NOTHING = Function("", 0, 0, 0.0)


@dataclass(frozen=True)
class ArmProfile:
    label: str
    arm: str
    colour: tuple[str, str] | None
    clock: str
    scope: str  # the parameter profile
    files: tuple[str, ...]  # perf.data, from the results folder
    hint: Folded
    whole: Folded
    period_ns: int
    nr_lost: int
    seconds: float  # of the measured parts
    hinted_bytes: int | None  # in them; None: not known

    def per_gib(self, periods: float) -> float | None:
        """Instructions per GiB hinted, of so many periods."""
        if not self.hinted_bytes:
            return None
        return periods * self.period_ns / (self.hinted_bytes / GIB)


@dataclass(frozen=True)
class Profiles:
    folder: Path
    arms: tuple[ArmProfile, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A function in two arms, in instructions per GiB hinted where both hint, else in microseconds."""

    name: str
    first: float
    second: float
    noise: float  # half the width of the 95 % interval of the difference, from the number of samples

    @property
    def change(self) -> float:
        return self.second - self.first

    @property
    def is_noise(self) -> bool:
        return abs(self.change) <= self.noise


def differences(a: ArmProfile, b: ArmProfile, most: int = MOST) -> tuple[list[Difference], str]:
    """Of the hint path, from a to b, the largest first; and the unit."""
    unit = "instructions per GiB hinted" if a.hinted_bytes and b.hinted_bytes else "microseconds"

    def scaled(arm: ArmProfile, n: float) -> float:
        return n * arm.period_ns / 1000 if unit == "microseconds" else arm.per_gib(n) or 0.0

    of_a, of_b = functions(a.hint), functions(b.hint)
    out = []
    for name in sorted({*of_a, *of_b}):
        fa, fb = of_a.get(name, NOTHING), of_b.get(name, NOTHING)
        if fa.own or fb.own:
            # None seen may have been one.
            noise = Z95 * math.hypot(scaled(a, max(fa.error, 1)), scaled(b, max(fb.error, 1)))
            out.append(Difference(name, scaled(a, fa.own), scaled(b, fb.own), noise))
    return sorted(out, key=lambda d: (-abs(d.change), d.name))[:most], unit


def _hinted_bytes(record: Record, windows: Sequence[tuple[int, int]]) -> int | None:
    """In the windows: as the tracer saw it, else as QEMU's counter stood at the samples before their edges."""
    if record.tracer:
        return sum(b.nr_pages for b in record.batches if inside(b.start_ns, windows)) * PAGE_BYTES
    readings = [(s.t_ns, s.device.get("bytes_received", 0)) for s in record.host_samples if s.guest == 0]

    def at(t_ns: int) -> int:
        return max((n for t, n in readings if t <= t_ns), default=0)

    return sum(at(b) - at(a) for a, b in windows) if readings else None


@dataclass
class _Sum:
    """What is added up of the cells of one label."""

    first: Record
    files: list[str]
    hint: Folded
    whole: Folded
    periods: set[int]
    nr_lost: int = 0
    seconds: float = 0.0
    hinted_bytes: int | None = 0


def _add(total: _Sum, cell: Cell, record: Record, folder: Path) -> None:
    windows, _ = measure_windows(record)
    path = cell.folder / "artefacts" / SCRIPT
    script = read_script(path)
    samples = [s for s in script.samples if inside(s.t_ns, windows)]
    periods = {s.period_ns for s in samples} | total.periods
    if len(periods) > 1:
        raise BadRecord(path, 0, "", f"samples of different periods: {sorted(periods)} ns")
    hint, whole = fold(samples)
    total.hint.update(hint)
    total.whole.update(whole)
    total.periods = periods
    total.nr_lost += script.nr_lost
    total.seconds += sum(b - a for a, b in windows) / NS
    hinted = _hinted_bytes(record, windows)
    total.hinted_bytes = None if hinted is None or total.hinted_bytes is None else total.hinted_bytes + hinted
    total.files.append(str((cell.folder / "artefacts" / DATA).relative_to(folder)))


def _warnings(cell: Cell, record: Record) -> list[str]:
    """What perf or init said of a recording that is not whole."""
    return [
        clean_text(f"{cell.name}: {log.text}", 200)
        for log in record.logs
        if "size limit reached" in log.text or log.text.startswith(("perf record ended with", "perf script ended with"))
    ]


def _has_profile(record: Record) -> bool:
    return any(a.name == SCRIPT for a in record.end.artefacts or ())


def _profile(label: str, total: _Sum) -> ArmProfile:
    record = total.first
    arm = record.arm
    params = record.spec.raw.get("params") or {}
    return ArmProfile(
        label=label,
        arm=record.spec.arm,
        colour=(arm.colour.light, arm.colour.dark) if arm else None,
        clock=record.spec.clock,
        scope=clean_text(str(params.get("profile", "")), 16),
        files=tuple(total.files),
        hint=total.hint,
        whole=total.whole,
        period_ns=next(iter(total.periods), 0),
        nr_lost=total.nr_lost,
        seconds=total.seconds,
        hinted_bytes=total.hinted_bytes,
    )


def load_profiles(folder: Path) -> Profiles:
    """Every finished cell that has a profile; refuses a folder without any."""
    sums: dict[str, _Sum] = {}
    problems: list[str] = []
    ranks: dict[str, tuple[int, str]] = {}
    for cell in load_results(folder):
        record = cell.record
        if cell.state != "finished" or record is None:
            problems.append(f"{cell.name}: {cell.why or cell.state}")
            continue
        if not _has_profile(record):
            continue
        label = record.spec.label
        total = sums.setdefault(label, _Sum(record, [], Folded(), Folded(), set()))
        ranks.setdefault(label, rank(record))
        problems += _warnings(cell, record)
        try:
            _add(total, cell, record, folder)
        except (BadRecord, OSError) as e:
            problems.append(clean_text(f"{cell.name}: {e}"))
    arms = [
        _profile(label, total) for label, total in sorted(sums.items(), key=lambda x: (ranks[x[0]], x[0]))
    ]
    if not arms:
        raise BadRecord(folder, 0, "", "no finished cell with a profile; `make profile ARM=reporting` makes one")
    problems += [f"{a.label}: not one sample in the measured part" for a in arms if not a.whole.n]
    problems += [f"{a.label}: perf lost {a.nr_lost} samples" for a in arms if a.nr_lost]
    return Profiles(folder, tuple(arms), tuple(problems))


def pairs(arms: Sequence[ArmProfile]) -> list[tuple[ArmProfile, ArmProfile]]:
    """The first arm with a hint path against each of the others that has one."""
    hinting = [a for a in arms if a.hint.n]
    return [(hinting[0], b) for b in hinting[1:]]


def profile_json(p: Profiles) -> dict[str, object]:
    """Every number of the page."""

    def table(arm: ArmProfile, folded: Folded) -> list[Mapping[str, object]]:
        found = sorted(functions(folded).values(), key=lambda f: (-f.own, -f.total, f.name))
        return [
            {
                "function": f.name,
                "own_ns": f.own * arm.period_ns,
                "own_error_ns": round(f.error * arm.period_ns),
                "total_ns": f.total * arm.period_ns,
                "own_instructions_per_gib": arm.per_gib(f.own),
            }
            for f in found
        ]

    return {
        "schema": 1,
        "problems": list(p.problems),
        "arms": {
            a.label: {
                "period_ns": a.period_ns,
                "clock": a.clock,
                "scope": a.scope,
                "samples": a.whole.nr_samples,
                "samples_hint": a.hint.nr_samples,
                "whole_ns": a.whole.n * a.period_ns,
                "hint_ns": a.hint.n * a.period_ns,
                "hint_error_ns": round(a.hint.error * a.period_ns),
                "lost": a.nr_lost,
                "measured_s": a.seconds,
                "hinted_bytes": a.hinted_bytes,
                "hint_instructions_per_gib": a.per_gib(a.hint.n),
                "perf_data": list(a.files),
                "hint": table(a, a.hint),
                "whole": table(a, a.whole),
            }
            for a in p.arms
        },
        "differences": [
            {
                "from": a.label,
                "to": b.label,
                "unit": unit,
                "functions": [
                    {"function": d.name, "from": d.first, "to": d.second, "noise": d.noise} for d in found
                ],
            }
            for a, b in pairs(p.arms)
            for found, unit in [differences(a, b)]
        ],
    }
