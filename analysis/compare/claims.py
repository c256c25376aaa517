# SPDX-License-Identifier: GPL-2.0-or-later
"""The claims of the proposal with a verdict each, by the roles of the arms.

Every sentence is chosen by the data, at one point (one value of every factor) at a time; docs/report.md
states the rule of each verdict.  Rates of kills are compared, not sums, and two rates differ when Fisher's
exact test says so at 5 %.  Nothing is decided in favour of an arm of which runs are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.compare.arms import BASELINE, CONTROL, CURE, RIVAL
from analysis.compare.factors import Point, Rate, lower, show
from analysis.compare.hostmem import comparable, mean_rss_mib
from analysis.compare.metrics import Number
from analysis.compare.sides import Side, plural
from analysis.record.model import MIB

SUPPORTED = "supported"
REFUTED = "refuted"
UNDECIDED = "not decided"
UNTESTED = "not tested"

FAKE_OOM = "Hinting can create a fake OOM: a page being hinted cannot be used."
CONSTANT = "With {arm} the amount of useful free memory stays constant."
REMOVES = "{arm} removes the fake OOM."
CHEAP = "If guest memory is not pinned, the extra memory of {arm} costs the host nothing while unused."
BATCHING = "The more memory {arm} has, the more batching, so hints become cheaper."
LESS = "{arm} kills less often than {of}."


@dataclass(frozen=True)
class Claim:
    """where: the point it was judged at, in words; empty when nothing is varied, or it is about a factor."""

    claim: str
    verdict: str
    evidence: str
    where: str = ""


def gaps(*sides: Side) -> str:
    return "; ".join(s.gap() for s in sides if s.absent)


def outside(*sides: Side) -> str:
    return "; ".join(
        f"{plural(s.outside, 'kill')} of {s.name} before or after the measured phase" for s in sides if s.outside
    )


def settled(claim: Claim, *sides: Side) -> Claim:
    """The claim, undecided when it speaks for an arm of which runs are missing."""
    gap = gaps(*sides)
    if not gap:
        return claim
    verdict = UNDECIDED if claim.verdict == SUPPORTED else claim.verdict
    return Claim(claim.claim, verdict, f"{claim.evidence}; {gap}", claim.where)


def percent(r: Rate) -> str:
    if r.share is None or r.lo is None or r.hi is None:
        return f"no {r.unit}"
    return f"{r.with_kill} of {plural(r.total, r.unit)} ({100 * r.lo:.0f} to {100 * r.hi:.0f} %)"


def fake_oom(sides: Sequence[Side], where: str) -> Claim:
    hinting = [s for s in sides if s.arm.hints and not s.arm.buffer and s.cells]
    none = [s for s in sides if s.arm.role == BASELINE and s.cells]
    if not hinting:
        return Claim(FAKE_OOM, UNTESTED, "no arm that hints without a buffer has a counted run", where)
    kills = sum(s.sum("attributable_kills") for s in hinting)
    evidence = "; ".join(
        f"{s.name}: {s.sum('attributable_kills'):.0f} of {plural(s.kills, 'kill')} attributable,"
        f" {s.sum_words('alloc_failures_while_held')} failed allocations with memory held, exposure"
        f" {s.sum_words('exposure_mib_s')} MiB s in {plural(len(s.cells), 'run')}"
        for s in hinting
    )
    evidence += "".join(f"; {s.name}: {plural(s.kills, 'kill')} in {plural(len(s.cells), 'run')}" for s in none)
    if not none:
        evidence += "; no arm without hinting was run"
    fits = bool(none) and all(s.clean for s in none)
    # An attributable kill shows it whatever became of other runs of that arm.
    return settled(Claim(FAKE_OOM, SUPPORTED if kills and fits else UNDECIDED, evidence, where), *none)


def removes(cure: Side, rivals: Sequence[Side], where: str) -> Claim:
    text = REMOVES.format(arm=cure.name)
    if not cure.cells or not rivals:
        return settled(Claim(text, UNTESTED, "needs counted runs of it and of the mechanism it cures", where), cure)
    rival = rivals[0]
    evidence = (
        f"rounds with a kill: {rival.name} {percent(rival.rate)}, {cure.name} {percent(cure.rate)};"
        f" attributable: {rival.rounds.attributable} and {cure.rounds.attributable}"
    )
    if late := outside(cure):
        evidence += f"; {late}"
    if cure.sum("attributable_kills"):
        return settled(Claim(text, REFUTED, evidence, where), cure, rival)
    if not rival.sum("attributable_kills"):
        return settled(Claim(text, UNDECIDED, f"{evidence}; there was no fake OOM to remove", where), cure, rival)
    if cure.kills or cure.outside:
        return settled(Claim(text, UNDECIDED, evidence, where), cure, rival)
    if lower(cure.rate, rival.rate) is not True:
        return settled(Claim(text, UNDECIDED, f"{evidence}: too few to tell apart", where), cure, rival)
    return settled(Claim(text, SUPPORTED, evidence, where), cure, rival)


def constant(cure: Side, where: str) -> Claim:
    text = CONSTANT.format(arm=cure.name)
    if not cure.cells:
        return settled(Claim(text, UNTESTED, f"{cure.name} has no counted run", where), cure)
    exchanges, delta, exposure = (
        cure.sum(key) for key in ("exchanges", "exchange_free_delta_pages", "exposure_mib_s")
    )
    guest = sum(c.record.nr_violations for c in cure.cells)
    counts = [c.record.end.device.get("violations") for c in cure.cells]
    device = None if None in counts else sum(counts)
    evidence = (
        f"{cure.sum_words('exchanges')} exchanges changed free memory by"
        f" {cure.sum_words('exchange_free_delta_pages')} pages in sum; violations: guest {guest}, device"
        f" {'unknown' if device is None else device}; exposure {cure.sum_words('exposure_mib_s', '.3g')} MiB s"
    )
    wrong = delta or guest or device or exposure
    unknown = None in (exchanges, delta, exposure, device)
    verdict = REFUTED if wrong else SUPPORTED if exchanges and not unknown else UNDECIDED
    return settled(Claim(text, verdict, evidence, where), cure)


def isolates(control: Side, cure: Side | None, where: str) -> Claim:
    """The claim a control was made for: decided by comparing its rate of kills with that of its cure."""
    text = control.arm.claim or LESS.format(arm=cure.name if cure else control.arm.of, of=control.name)
    if cure is None or not cure.cells or not control.cells:
        return Claim(text, UNTESTED, f"needs counted runs of {control.arm.of} and {control.name}", where)
    evidence = f"rounds with a kill: {control.name} {percent(control.rate)}, {cure.name} {percent(cure.rate)}"
    if late := outside(control, cure):
        evidence += f"; {late}"
    less = lower(cure.rate, control.rate)
    if less is None:
        evidence += ": too few to tell apart" if control.kills or cure.kills else ": no kill in either"
    if cure.outside and less:
        less = None
    verdict = UNDECIDED if less is None else SUPPORTED if less else REFUTED
    return settled(Claim(text, verdict, evidence, where), control, cure)


def cheap(cure: Side, rivals: Sequence[Side], where: str) -> Claim:
    text = CHEAP.format(arm=cure.name)
    rival = rivals[0] if rivals else None
    partners = {c.pair_key: c for c in rival.cells} if rival else {}
    costs = []
    size = 0.0
    nr_cut = nr_early = 0
    for c in cure.cells:
        other = partners.get(c.pair_key)
        if other is None:
            continue
        until = comparable((c, other))
        a, b = mean_rss_mib(c, until), mean_rss_mib(other, until)
        if a is not None and b is not None:
            nr_cut += until is not None
            costs.append(a - b)
            size = max(c.record.spec.buffer_bytes, c.record.spec.extra_bytes) / MIB
        else:
            nr_early += until is not None
    early = f"{plural(nr_early, 'pair')} left out: a process was lost too early" if nr_early else ""
    if not costs and early:
        return settled(Claim(text, UNDECIDED, early, where), cure)
    if not costs or rival is None or not size:
        why = "needs paired runs of it and of the mechanism it cures, with host memory measured"
        return Claim(text, UNTESTED, why, where)
    evidence = (
        f"mean host memory less that of {rival.name}, by pair: {', '.join(f'{c:+.1f}' for c in costs[:12])} MiB,"
        f" of {size:.0f} MiB extra"
    )
    if nr_cut:
        evidence += f"; {plural(nr_cut, 'pair')} only up to the first kill, which frees memory"
    if early:
        evidence += f"; {early}"
    if all(c < size / 4 for c in costs):
        return settled(Claim(text, SUPPORTED, evidence, where), cure, rival)
    verdict = REFUTED if all(c > size / 2 for c in costs) else UNDECIDED
    return settled(Claim(text, verdict, evidence, where), cure, rival)


def stepwise(text: str, what: str, found: Sequence[tuple[str, Number]], where: str, falls: bool = True) -> Claim:
    """That a number falls (or rises) with every step along a factor; found: value of the factor and number."""
    points = [(at, n) for at, n in found if n.median is not None and n.lo is not None and n.hi is not None]
    evidence = "; ".join(f"{at}: {n.median:.1f} ({n.lo:.1f} to {n.hi:.1f})" for at, n in points)
    evidence = f"{what}: {evidence}" if evidence else ""
    if len(points) < 2:
        return Claim(text, UNTESTED, f"{evidence}; needs two values" if evidence else "needs two values", where)
    steps = list(zip(points, points[1:], strict=False))
    down = [b.hi < a.lo for (_, a), (_, b) in steps]  # type: ignore[operator]
    up = [b.lo > a.hi for (_, a), (_, b) in steps]  # type: ignore[operator]
    as_said, against = (down, up) if falls else (up, down)
    if all(as_said):
        return Claim(text, SUPPORTED, evidence, where)
    if any(against):
        return Claim(text, REFUTED, evidence, where)
    return Claim(text, UNDECIDED, f"{evidence}: ranges overlap", where)


def batching(
    arm: str, sizes: Sequence[tuple[Point, Side]], numbers: Mapping[str, Mapping[str, Number]], where: str
) -> Claim:
    """Over the sizes B of one cure, all other factors equal."""
    found = [
        (
            show("B", point.get("B") or side.cells[0].record.spec.buffer_bytes),
            numbers[side.label]["notifications_per_gib"],
        )
        for point, side in sorted(sizes, key=lambda x: x[0].get("B") or 0)  # type: ignore[arg-type, return-value]
    ]
    claim = stepwise(BATCHING.format(arm=arm), "notifications per GiB", found, where)
    return settled(claim, *(s for _, s in sizes)) if claim.verdict != UNTESTED else claim


def claims_at(sides: Sequence[Side], where: str) -> list[Claim]:
    """All claims at one point."""
    rivals = [s for s in sides if s.arm.role == RIVAL]
    cures = [s for s in sides if s.arm.role == CURE]
    out = [fake_oom(sides, where)]
    for cure in cures:
        # The mechanism it cures, as far as it has counted runs; a rival without any is a gap.
        out.append(removes(cure, rivals, where))
        if cure.arm.buffer:
            out.append(constant(cure, where))
        for control in (s for s in sides if s.arm.role == CONTROL and s.arm.of == cure.arm.name):
            out.append(isolates(control, cure, where))
        out.append(cheap(cure, rivals, where))
    known = {s.arm.name for s in cures}
    for control in (s for s in sides if s.arm.role == CONTROL and s.arm.of not in known):
        out.append(isolates(control, None, where))
    return out
