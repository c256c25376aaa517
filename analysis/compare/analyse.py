# SPDX-License-Identifier: GPL-2.0-or-later
"""From loaded cells to everything the report and summary.json show."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.compare.checks import Check, checks
from analysis.compare.claims import Answer, Claim, Rounds, answer, claims, rounds_of
from analysis.compare.guard import Refusal, environment_differences, guard
from analysis.record.model import PAGE_BYTES, Cell
from analysis.compare.pairs import Pairing, avoided_by_cell, pair_all, reference_for
from analysis.compare.stats import METRICS, CellStats, Number, arm_numbers, cell_stats, summarise

SUMMARY_SCHEMA = 1
ARM_ORDER = (
    "none",
    "reporting",
    "reporting-xb",
    "buffer",
    "buffer-back",
    "hint",
    "async",
    "sync",
    "cap",
    "keep",
    "oom-wait",
    "wait-on-ack",
)


@dataclass(frozen=True)
class Analysis:
    cells: tuple[Cell, ...]
    accepted: tuple[CellStats, ...]
    arms: dict[str, tuple[CellStats, ...]]
    excluded: tuple[Refusal, ...]
    numbers: dict[str, dict[str, Number]]
    rounds: dict[str, Rounds]
    references: dict[str, str | None]
    pairings: tuple[Pairing, ...]
    answer: Answer
    claims: tuple[Claim, ...]
    checks: tuple[Check, ...]
    environment_differences: tuple[str, ...]
    allow_loss: bool

    def count(self, state: str) -> int:
        return sum(c.state == state for c in self.cells)


def _arm_rank(stats: CellStats) -> tuple[int, str]:
    arm = stats.record.spec.arm
    return (ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER), stats.label)


def analyse(cells: Sequence[Cell], allow_loss: bool = False) -> Analysis:
    """Guard, judge, pair and aggregate."""
    finished = [(c.name, c.record, c) for c in cells if c.state == "finished" and c.record]
    indexes, refused = guard([(name, record) for name, record, _ in finished])
    accepted = sorted(
        (cell_stats(finished[i][2]) for i in indexes), key=lambda s: (*_arm_rank(s), s.pair_key)
    )
    arms: dict[str, tuple[CellStats, ...]] = {}
    excluded = list(refused)
    for stats in accepted:
        group = arms.setdefault(stats.label, ())
        if stats.lossy and not allow_loss:
            excluded.append(Refusal(stats.cell.name, "events were lost; --allow-loss counts it all the same"))
            continue
        arms[stats.label] = (*group, stats)

    numbers: dict[str, dict[str, Number]] = {}
    references = {}
    for label, group in arms.items():
        reference = reference_for(label, {k: v for k, v in arms.items() if v})
        references[label] = reference
        avoided = avoided_by_cell(group, arms[reference]) if reference else {}
        numbers[label] = arm_numbers(group, avoided)
        lost = [s.values["events_lost"] or 0.0 for s in accepted if s.label == label]
        numbers[label]["events_lost"] = summarise(lost, "count")
    return Analysis(
        cells=tuple(cells),
        accepted=tuple(accepted),
        arms=arms,
        excluded=tuple(excluded),
        numbers=numbers,
        rounds={label: rounds_of(group) for label, group in arms.items()},
        references=references,
        pairings=pair_all(arms),
        answer=answer(arms),
        claims=claims(arms, numbers),
        checks=checks(arms, accepted),
        environment_differences=environment_differences(s.record for s in accepted),
        allow_loss=allow_loss,
    )


def _rounded(value: Any) -> Any:
    """Six significant digits of what is not whole: the same text on every machine."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def _number(n: Number) -> dict[str, Any]:
    out = {k: v for k, v in dataclasses.asdict(n).items() if k not in ("interval", "why") or v}
    return out


def summary(a: Analysis) -> dict[str, Any]:
    """summary.json: every number the report shows."""
    kills = [
        {
            "cell": s.cell.name,
            "label": s.label,
            "t_ns": k.event.t_ns,
            "round": r,
            "verdict": k.verdict.kind,
            "reason": k.verdict.reason,
            "at_high_mark": k.at_high.kind if k.at_high else None,
            "victim": k.event.victim_comm,
            "order": k.event.order,
            "gfp": k.event.gfp,
            "held_bytes": k.event.held_pages * PAGE_BYTES,
            "uncompensated_bytes": k.event.uncompensated_pages * PAGE_BYTES,
            "batch_age_ns": k.event.batch_age_ns,
        }
        for s in a.accepted
        if s in a.arms[s.label]
        for k, r in zip(s.kills, s.round_of_kill, strict=True)
    ]
    excluded = {r.cell for r in a.excluded}
    out = {
        "schema": SUMMARY_SCHEMA,
        "answer": {"sentence": a.answer.sentence, "tone": a.answer.tone, "details": list(a.answer.details)},
        "cells": {
            "finished": a.count("finished"),
            "failed": a.count("failed"),
            "unfinished": a.count("unfinished"),
            "counted": sum(len(group) for group in a.arms.values()),
            "excluded": len(excluded),
            "list": [
                {
                    "cell": c.name,
                    "state": c.state,
                    "why": c.why,
                    "counted": c.state == "finished" and c.name not in excluded,
                }
                for c in a.cells
            ],
            "excluded_why": [dataclasses.asdict(r) for r in a.excluded],
        },
        "arms": {label: {m.key: _number(a.numbers[label][m.key]) for m in METRICS} for label in a.arms},
        "rounds": {label: dataclasses.asdict(r) for label, r in a.rounds.items()},
        "avoided_against": a.references,
        "pairs": [dataclasses.asdict(p) | {"agreement": p.agreement} for p in a.pairings],
        "kills": kills,
        "claims": [dataclasses.asdict(c) for c in a.claims],
        "checks": [dataclasses.asdict(c) for c in a.checks],
        "environment_differences": list(a.environment_differences),
        "allow_loss": a.allow_loss,
    }
    return _rounded(out)
