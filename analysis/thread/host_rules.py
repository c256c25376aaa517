# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules about the host: what it gives, what it gets, what it can enforce, and what two arms differ in.

Host memory is compared only while neither run of a pair has lost a process (compare/hostmem.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.compare import claims
from analysis.compare.factors import lower
from analysis.compare.hostmem import mean_rss_mib
from analysis.compare.sides import Side, plural
from analysis.record.model import MIB
from analysis.thread import measures
from analysis.thread.measures import spread
from analysis.thread.rules import CLOSE, PAIRS, Args, alike, at_each, kill_table, p_text, share, unfit
from analysis.thread.world import BORNE_OUT, CONTRADICTED, UNDECIDED, Finding, Place, Table, World, from_claim

RATIO = "{:.2f}"

TOO_EARLY = "in every pair of runs a process was lost too early to compare host memory, or it was not measured"


def _mib(values: Sequence[float]) -> str:
    return spread(values, "{:+.1f}")


def costs_nothing(world: World, s: Args) -> Finding:
    """That memory beyond X that nobody uses is not backed by the host."""

    def decide(place: Place) -> Finding:
        arm, other = place.of(s["arm"]), place.of(s["rival"])
        extra = measures.paired(arm, other, measures.host_less)
        given = max(max(c.record.spec.buffer_bytes, c.record.spec.extra_bytes) for c in arm.cells) // MIB
        head = ("arm", "against", "pairs of runs", "host memory more, MiB", "memory more, MiB")
        table = Table(head, ((arm.name, other.name, str(len(extra)), _mib([-v for v in extra]), str(given)),))
        return from_claim(claims.cheap(arm, [other], place.where), table, place.where)

    return at_each(world, [s["arm"], s["rival"]], decide)


def told_at_start(world: World, s: Args) -> Finding:
    """That the guest reports the buffer itself before it is used."""

    def decide(place: Place) -> Finding:
        side = place.of(s["arm"])
        told = [measures.told_at_start(c) for c in side.cells]
        wanted = [c.record.spec.buffer_bytes for c in side.cells]
        full = sum(a >= b > 0 for a, b in zip(told, wanted, strict=True))
        table = Table(
            ("arm", "runs", "buffer, MiB", "of it reported before the measured phase, MiB"),
            ((side.name, str(len(told)), spread([b / MIB for b in wanted]), spread([a / MIB for a in told])),),
        )
        reason = f"all of the buffer was reported at the start of {full} of {plural(len(told), 'run')}"
        if gap := claims.gaps(side):
            return Finding(UNDECIDED, f"{reason}; {gap}", table, place.where)
        verdict = BORNE_OUT if full == len(told) else CONTRADICTED if not any(told) else UNDECIDED
        return Finding(verdict, reason, table, place.where)

    return at_each(world, [s["arm"]], decide)


def bounded(world: World, s: Args) -> Finding:
    """That no more than the buffer is ever out, by the count of the device."""

    def decide(place: Place) -> Finding:
        side = place.of(s["arm"])
        devices = [c.record.end.device for c in side.cells]
        out = [d.get("bytes_out_max") for d in devices]
        broken = [d.get("violations") for d in devices]
        b = min(c.record.spec.buffer_bytes for c in side.cells)
        if None in out or None in broken or not b:
            why = "the device was not asked in every run, or there is no buffer"
            return Finding(UNDECIDED, why, None, place.where)
        head = ("arm", "runs", "buffer, MiB", "out at once at most, MiB", "violations")
        rows = ((side.name, str(len(out)), f"{b / MIB:.4g}", f"{max(out) / MIB:.4g}", str(sum(broken))),)
        table = Table(head, rows)
        reason = f"{max(out) / MIB:.4g} MiB out at once at most, {plural(sum(broken), 'violation')}"
        if max(out) > b or sum(broken):
            return Finding(CONTRADICTED, reason, table, place.where)
        if not max(out):
            return Finding(UNDECIDED, "nothing was ever out", table, place.where)
        gap = claims.gaps(side)
        return Finding(UNDECIDED if gap else BORNE_OUT, f"{reason}; {gap}" if gap else reason, table, place.where)

    return at_each(world, [s["arm"]], decide)


def exceeds(world: World, s: Args) -> Finding:
    """That a guest with a buffer at times uses more host memory than was sold.  No such sample proves nothing."""

    def decide(place: Place) -> Finding:
        side = place.of(s["arm"])
        peaks = [v for c in side.cells if (v := measures.peak_mib(c)) is not None]
        x = max(c.record.spec.mem_bytes for c in side.cells) / MIB
        if len(peaks) < len(side.cells):
            return Finding(UNDECIDED, "host memory was not measured in every run", None, place.where)
        nr = sum(len(c.record.host_samples) for c in side.cells)
        table = Table(
            ("arm", "runs", "memory sold, MiB", "most in use at a sample, MiB", "samples"),
            ((side.name, str(len(peaks)), f"{x:.4g}", spread(peaks, "{:.1f}"), str(nr)),),
        )
        reason = f"most in use at a sample: {max(peaks):.1f} of {x:.0f} MiB sold"
        return Finding(BORNE_OUT if max(peaks) > x else UNDECIDED, reason, table, place.where)

    return at_each(world, [s["arm"]], decide)


def part_of_guest(world: World, s: Args) -> Finding:
    """That what may be out at once is a large part of the guest."""
    least = s["least"]

    def decide(place: Place) -> Finding:
        side = place.of(s["arm"])
        parts = [
            out / c.record.spec.mem_bytes
            for c in side.cells
            if (out := c.record.end.device.get("bytes_out_max")) is not None
        ]
        if len(parts) < len(side.cells):
            return Finding(UNDECIDED, "the device was not asked in every run", None, place.where)
        table = Table(
            ("arm", "runs", "memory, MiB", "out at once at most, MiB", "part of the guest"),
            tuple(
                (side.name, "1", f"{c.record.spec.mem_bytes / MIB:.4g}",
                 f"{c.record.end.device['bytes_out_max'] / MIB:.4g}", f"{100 * part:.1f} %")
                for c, part in zip(side.cells, parts, strict=True)
            ),
        )
        reason = f"of the guest {100 * min(parts):.1f} to {100 * max(parts):.1f} % were out at once, by run"
        if min(parts) >= least:
            return Finding(BORNE_OUT, reason, table, place.where)
        verdict = CONTRADICTED if max(parts) < least / 2 else UNDECIDED
        return Finding(verdict, reason, table, place.where)

    return at_each(world, [s["arm"]], decide)


def host_gains(world: World, s: Args) -> Finding:
    """That the guest suffers what the host gains.

    What the guest suffers shows where the host is slow, and there processes die too early to compare host
    memory.  So the two halves may come from different points.
    """
    baseline = world.baseline
    places = list(world.places(s["arm"], baseline)) if baseline else []
    if not places:
        return world.missing(s["arm"], baseline)
    rows, harm, gains, why = [], [], [], ""
    for place in places:
        arm, none = place.of(s["arm"]), place.of(baseline)
        why = why or unfit(place, baseline) or claims.gaps(arm, none)
        ours, theirs = measures.stalled_rounds(arm), measures.stalled_rounds(none)
        gain = measures.paired(arm, none, measures.host_less)
        harm.append(lower(theirs, ours))
        gains += gain
        stalls = (share(theirs), share(ours), p_text(ours, theirs))
        rows.append((place.where, *stalls, share(arm.rate), _mib(gain), str(len(gain))))
    long = f"rounds stalled {measures.STALL_MS} ms"
    head = ("at", f"{long}, {baseline}", s["arm"], "p", "rounds with a kill", "host memory less, MiB", "pairs")
    table = Table(head, tuple(rows))
    if why:
        return Finding(UNDECIDED, why, table)
    if not gains:
        return Finding(UNDECIDED, TOO_EARLY, table)
    said = f"the host has {_mib(gains)} MiB less in use, where it compares"
    if all(v < 0 for v in gains):
        return Finding(CONTRADICTED, f"{said}: that is more, not less", table)
    if False in harm and True not in harm:
        return Finding(CONTRADICTED, f"{said}; fewer rounds have a stall", table)
    if True in harm and all(v > 0 for v in gains):
        return Finding(BORNE_OUT, f"{said}; more rounds have a stall", table)
    return Finding(UNDECIDED, f"{said}; too few rounds with a stall to tell them apart", table)


def costs_time(world: World, s: Args) -> Finding:
    """That one arm makes tasks wait where another does not."""

    def decide(place: Place) -> Finding:
        arm, other = place.of(s["arm"]), place.of(s["rival"])
        ours, theirs = measures.stalled_rounds(arm), measures.stalled_rounds(other)
        head = ("arm", f"rounds stalled {measures.STALL_MS} ms (95 %)", "p", "p99, ms", "runs")
        rows = tuple(
            (x.name, share(r), "" if x is other else p_text(ours, theirs),
             spread([v / 1000 for c in x.cells if (v := c.values.get("latency_p99_us")) is not None]),
             str(len(x.cells)))
            for x, r in ((other, theirs), (arm, ours))
        )
        table = Table(head, rows)
        said = f"rounds with a stall: {arm.name} {share(ours)}, {other.name} {share(theirs)}"
        if gap := claims.gaps(arm, other):
            return Finding(UNDECIDED, f"{said}; {gap}", table, place.where)
        more = lower(theirs, ours)
        if more is True:
            return Finding(BORNE_OUT, said, table, place.where)
        if more is False or alike(ours, theirs):
            return Finding(CONTRADICTED, said, table, place.where)
        return Finding(UNDECIDED, f"{said}: too few rounds to tell them apart", table, place.where)

    return at_each(world, [s["arm"], s["rival"]], decide)


def _ratios(arm: Side, other: Side, keys: Sequence[tuple[str, str]]) -> dict[str, list[float]]:
    return {
        title: measures.paired(arm, other, measures.host_ratio if key == "rss" else measures.ratio_of(key))
        for key, title in keys
    }


def _same(arm: Side, other: Side, ratios: dict[str, list[float]], table: Table, where: str) -> Finding:
    """Whether the numbers of all pairs agree, or one of them differs in every pair and one way."""
    text = "; ".join(f"{title} {spread(v, RATIO)} times" for title, v in ratios.items() if v)
    if gap := claims.gaps(arm, other):
        return Finding(UNDECIDED, f"{text}; {gap}" if text else gap, table, where)
    full = {title: v for title, v in ratios.items() if len(v) >= PAIRS}
    for title, v in full.items():
        if all(x > 1 + CLOSE for x in v) or all(x < 1 - CLOSE for x in v):
            return Finding(CONTRADICTED, f"{title} {spread(v, RATIO)} times, in every pair of runs", table, where)
    if len(full) < len(ratios):
        pairs = max(map(len, ratios.values()), default=0)
        why = f"{plural(pairs, 'pair')} of runs, it takes {PAIRS}"
        return Finding(UNDECIDED, f"{text}; {why}" if text else why, table, where)
    if all(abs(x - 1) <= CLOSE for v in full.values() for x in v):
        return Finding(BORNE_OUT, f"{text}: within {100 * CLOSE:.0f} % in every pair of runs", table, where)
    return Finding(UNDECIDED, f"{text}: neither the same in every pair nor different in every pair", table, where)


def same_for_guest(world: World, s: Args) -> Finding:
    """That a guest cannot tell two arms apart: as many kills, the same latency."""

    def decide(place: Place) -> Finding:
        arm, other = place.of(s["arm"]), place.of(s["rival"])
        table = kill_table([other, arm])
        if lower(arm.rate, other.rate) is not None:
            differ = f"rounds with a kill differ: p = {p_text(arm.rate, other.rate)}"
            return Finding(CONTRADICTED, differ, table, place.where)
        keys = (("latency_p50_us", "p50"), ("latency_p99_us", "p99"))
        found = _same(arm, other, _ratios(arm, other, keys), table, place.where)
        if found.verdict == BORNE_OUT and (arm.kills or other.kills):
            return Finding(UNDECIDED, f"{found.reason}, but there were kills, too few to compare", table, place.where)
        return found

    return at_each(world, [s["arm"], s["rival"]], decide)


def same_for_host(world: World, s: Args) -> Finding:
    """That it is the same to the host: memory in use, notifications, memory reported."""

    def decide(place: Place) -> Finding:
        arm, other = place.of(s["arm"]), place.of(s["rival"])
        keys = (("rss", "host memory"), ("notifications_per_gib", "notifications per GiB"), ("hinted_mib", "reported"))
        ratios = _ratios(arm, other, keys)
        head = ("arm", "runs", "host memory, MiB", "notifications per GiB", "reported, MiB", "exchanges")
        rows = tuple(
            (x.name, str(len(x.cells)),
             spread([v for c in x.cells if (v := mean_rss_mib(c)) is not None], "{:.1f}"),
             *(spread([v for c in x.cells if (v := c.values.get(k)) is not None], "{:.4g}")
               for k in ("notifications_per_gib", "hinted_mib", "exchanges")))
            for x in (other, arm)
        )
        return _same(arm, other, ratios, Table(head, rows), place.where)

    return at_each(world, [s["arm"], s["rival"]], decide)
