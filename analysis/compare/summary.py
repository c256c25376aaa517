# SPDX-License-Identifier: GPL-2.0-or-later
"""summary.json: every number the report shows.  docs/report.md describes its fields."""

from __future__ import annotations

import dataclasses
from typing import Any

from analysis.compare.analyse import Analysis
from analysis.compare.metrics import METRICS, Number
from analysis.record.model import PAGE_BYTES

SUMMARY_SCHEMA = 2


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
    return {k: v for k, v in dataclasses.asdict(n).items() if k not in ("interval", "why") or v}


def _answer(a: Any) -> dict[str, Any]:
    return {"sentence": a.sentence, "tone": a.tone, "details": list(a.details)}


def _bytes(pages: int | None) -> int | None:
    return None if pages is None else pages * PAGE_BYTES


def _kills(a: Analysis) -> list[dict[str, Any]]:
    return [
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
            "held_bytes": _bytes(k.event.held_pages),
            "uncompensated_bytes": _bytes(k.event.uncompensated_pages),
            "batch_age_ns": k.event.batch_age_ns,
        }
        for group in a.arms.values()
        for s in group
        for k, r in zip(s.kills, s.round_of_kill, strict=True)
    ]


def summary(a: Analysis) -> dict[str, Any]:
    excluded = {r.cell for r in a.excluded}
    arm_of = {s.label: s.record for s in reversed(a.accepted)}
    out = {
        "schema": SUMMARY_SCHEMA,
        "answer": _answer(a.answer),
        "factors": [dataclasses.asdict(f) for f in a.factors],
        "groups": [
            {"point": dict(g.point), "labels": list(g.labels), "answer": _answer(one)}
            for g, one in zip(a.groups, a.answers, strict=True)
        ],
        "labels": {
            label: {
                "arm": r.spec.arm,
                "role": r.arm.role if r.arm else None,
                "point": dict(a.points[label]),
            }
            for label, r in ((label, arm_of[label]) for label in a.arms)
        },
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
            "broken": {name: [dataclasses.asdict(b) for b in found] for name, found in a.broken.items()},
            "absent": [dataclasses.asdict(x) for x in a.absent],
        },
        "arms": {label: {m.key: _number(a.numbers[label][m.key]) for m in METRICS} for label in a.arms},
        "rounds": {label: dataclasses.asdict(r) for label, r in a.rounds.items()},
        "curves": [dataclasses.asdict(c) for c in a.curves],
        "avoided_against": a.references,
        "pairs": [dataclasses.asdict(p) | {"agreement": p.agreement} for p in a.pairings],
        "kills": _kills(a),
        "claims": [dataclasses.asdict(c) for c in a.claims],
        "checks": [dataclasses.asdict(c) for c in a.checks],
        "environment_differences": list(a.environment_differences),
        "allow_loss": a.allow_loss,
    }
    return _rounded(out)
