# SPDX-License-Identifier: GPL-2.0-or-later
"""The answer in a sentence, from the arms' roles.  It says nothing for an arm of which runs are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compare.arms import BASELINE, CONTROL, CURE, RIVAL
from analysis.compare.claims import outside
from analysis.compare.factors import Curve, lower, show
from analysis.compare.sides import Side, plural

GOOD = "good"
BAD = "bad"
MIXED = "mixed"
UNKNOWN = "unknown"

# Of several points the first that any has; where nothing can be said at one, the others still speak.
WORST = (BAD, MIXED, GOOD, UNKNOWN)


@dataclass(frozen=True)
class Answer:
    sentence: str
    tone: str  # good, bad, mixed, unknown
    details: tuple[str, ...] = ()


def _lost(side: Side) -> str:
    """E.g. "lost a process in 23 of 72 rounds"."""
    r = side.rounds
    if not r.with_kill:
        return f"lost none in {plural(r.total, r.unit)}"
    return f"lost a process in {side.rate_words()}"


def _although(side: Side) -> str:
    r = side.rounds
    if r.attributable == r.with_kill:
        return " although the guest had the memory"
    if r.attributable:
        return f" ({r.attributable} of them although the guest had the memory)"
    return ", but in none of them is it shown that the guest had the memory"


def _notes(sides: Sequence[Side]) -> list[str]:
    """What stands beside the sentence in any case."""
    out = []
    for s in sides:
        if s.absent:
            out.append(f"{s.gap()}, so nothing is said for it.")
        if s.dead:
            out.append(f"{plural(s.dead, 'run')} of {s.name} did not survive: that is harm, not a gap.")
    if late := outside(*sides):
        out.append(f"{late[0].upper()}{late[1:]} are in no rate.")
    between = [s for s in sides if s.rounds.between]
    out += [f"{plural(s.rounds.between, 'kill')} of {s.name} in no whole round." for s in between]
    own = [s for s in sides if s.own_kills]
    out += [
        f"The toolkit itself asked for {plural(s.own_kills, 'more kill')} in {s.name}: not counted, and not expected."
        for s in own
    ]
    return out


def _baseline(sides: Sequence[Side]) -> tuple[Side | None, str]:
    """The arm without hinting, and what it says about the workload."""
    none = next((s for s in sides if s.arm.role == BASELINE), None)
    if none is None or not none.cells:
        return none, "No arm without hinting was counted, so it is not shown that the workload fits."
    if none.clean:
        return none, (
            f"Without hinting nobody was killed in {plural(none.rounds.total, none.rounds.unit)},"
            " so the workload fits."
        )
    return none, ""


def answer(sides: Sequence[Side], nr_unknown: int = 0) -> Answer:
    """At one point.  nr_unknown: counted runs of arms whose definition the record does not have."""
    notes = _notes(sides)
    dead = [s for s in sides if s.dead]
    if not any(s.cells for s in sides):
        if dead:
            died = plural(sum(s.dead for s in dead), "run")
            return Answer(f"No run can be judged; {died} did not survive.", BAD, tuple(notes))
        if nr_unknown:
            return Answer("These records do not say what each arm is for, so nothing is compared.", UNKNOWN)
        return Answer("There is no finished run to judge.", UNKNOWN, tuple(notes))
    none, fit = _baseline(sides)
    rivals = [s for s in sides if s.arm.role == RIVAL]
    cures = [s for s in sides if s.arm.role == CURE]
    # The first that lost a process: one that did no harm must not speak for those that did.
    rival = next((s for s in rivals if s.kills), (rivals or [None])[0])
    cure = (cures or [None])[0]
    details = [fit] if fit else []
    for s in sides:
        if s.arm.role == CONTROL and s.cells and not s.absent:
            details.append(f"{s.name} ({s.arm.description}) {_lost(s)}.")
    others = [s for s in (*rivals, *cures[1:]) if s is not rival]
    details += [f"{s.name} {_lost(s)}." for s in others if s.cells and not s.absent]
    details += notes

    # Runs that are not there first: while there are any, no sentence speaks for that arm.
    gap = [s for s in (none, rival, cure) if s is not None and s.absent]
    if gap:
        words = "; ".join(s.gap() for s in gap)
        rest = [s for s in (rival, cure) if s is not None and s.cells and not s.absent]
        said = "".join(f" {s.name} {_lost(s)}." for s in rest)
        return Answer(f"These runs cannot tell: {words}.{said}", BAD if dead else UNKNOWN, tuple(details))
    if none is not None and none.cells and (none.kills or none.outside):
        return Answer(
            "These runs cannot tell: the workload does not fit this guest even without hinting"
            f" ({none.name} {_lost(none)}).",
            UNKNOWN,
            ("Choose a smaller workload or a larger MEM, and run again.", *details),
        )
    if rival is None or not rival.cells:
        said = f"{cure.name} {_lost(cure)}; " if cure is not None and cure.cells else ""
        return Answer(
            f"{said}there is no counted run of the mechanism it is to cure, so nothing to compare with.",
            UNKNOWN,
            tuple(details),
        )
    return _compared(none, rival, cure, details)


def _compared(none: Side | None, rival: Side, cure: Side | None, details: list[str]) -> Answer:
    bad = f"With {rival.name} {rival.rate_words()} lost a process{_although(rival)}"
    if rival.kills and cure is None:
        return Answer(f"{bad}; no cure was run.", BAD, tuple(details))
    if rival.kills and cure is not None and not cure.kills:
        shown = none is not None and none.clean and rival.rounds.attributable and cure.clean
        if shown and lower(cure.rate, rival.rate) is not True:
            details.insert(0, "Too few rounds to tell the two rates apart: more repeats would.")
            shown = False
        after = f" (but {outside(cure)})" if cure.outside else ""
        return Answer(
            f"{bad}; with {cure.name} none of {cure.rounds.total} did{after}.",
            GOOD if shown else MIXED,
            tuple(details),
        )
    if rival.kills and cure is not None:
        fewer = lower(cure.rate, rival.rate)
        how = {True: "fewer, but not none", False: "more", None: "no cure, as far as these rounds tell"}[fewer]
        return Answer(f"{bad}; with {cure.name} {cure.rate_words()} did: {how}.", BAD, tuple(details))
    if cure is not None and cure.kills:
        return Answer(
            f"{cure.name} did harm here: it {_lost(cure)}, {rival.name} {_lost(rival)}.", BAD, tuple(details)
        )
    tail = f", nor did {cure.name}" if cure is not None and cure.cells else ""
    more = (
        "Exposure says how much memory was away and for how long; a slower host or a tighter fit makes kills"
        " likelier."
    )
    return Answer(
        f"No fake OOM was seen: {rival.name} {_lost(rival)}{tail}.", UNKNOWN, (*details, more)
    )


def over_factors(
    at: Sequence[tuple[str, Answer]], curves: Sequence[Curve], names: Sequence[str], whole: bool
) -> Answer:
    """Several points: where kills begin along the one numeric factor, and the answer at each point.

    names: the arms to speak of, rival and cure; whole: no run is missing anywhere.
    """
    tone = next(t for t in WORST if any(a.tone == t for _, a in at))
    if tone == GOOD and not whole:
        tone = MIXED
    details = tuple(f"{where}: {a.sentence}" for where, a in at)
    if len(curves) == 1 and not curves[0].fixed:
        f = curves[0].factor
        parts = []
        for arm in curves[0].arms:
            if arm.arm not in names or any(p.missing for p in arm.points):
                continue
            if arm.begins is None:
                parts.append(f"{arm.arm} kills at no value")
            else:
                first = next(p for p in arm.points if p.value == arm.begins)
                parts.append(
                    f"{arm.arm} begins to kill at {show(f.name, arm.begins)}"
                    f" ({first.kills.with_kill} of {plural(first.kills.total, first.kills.unit)})"
                )
        if parts:
            values = f"From {show(f.name, f.values[0])} to {show(f.name, f.values[-1])} of {f.title}"
            return Answer(f"{values}: {'; '.join(parts)}.", tone, details)
    compared = f"{plural(len(at), 'setting')} compared, each for itself: see the claims and the tables."
    return Answer(compared, tone, details)
