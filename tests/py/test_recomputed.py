# SPDX-License-Identifier: GPL-2.0-or-later
"""summary.json against a second computation that shares nothing with analysis/ (recompute.py)."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import pytest
from make_records import write_experiment
from recompute import LOST_NS, Run, lines_of, numbers

from analysis.compare.analyse import analyse
from analysis.compare.summary import summary
from analysis.record.load import load_results

# A folder of real runs, to be checked the same way.
REAL = os.environ.get("HINT_RESULTS")


def median(values: list[float]) -> float:
    """Half of the values and more are at or above it; a lost request has no latency to take the mean with."""
    upper = sorted(values)[len(values) // 2]
    return upper if upper == LOST_NS // 1000 else statistics.median(values)


def compare(root: Path) -> int:
    got = summary(analyse(load_results(root)))
    counted = {c["cell"] for c in got["cells"]["list"] if c["counted"]}
    by_label: dict[str, list[dict]] = {}
    for folder in sorted(p for p in root.iterdir() if p.name in counted):
        lines = lines_of(folder)
        by_label.setdefault(lines[0]["spec"]["arm"], []).append(numbers(Run(lines)))
    assert set(by_label) == set(got["arms"])
    checked = 0
    for label, runs in by_label.items():
        for name in runs[0]:
            have = got["arms"][label][name]
            values = [r[name] for r in runs if r[name] is not None]
            where = f"{label}.{name}"
            assert have["n"] == len(values), where
            if not values:
                continue
            for key, value in (
                ("median", median(values)),
                ("lo", min(values)),
                ("hi", max(values)),
                ("total", sum(values)),
            ):
                if have[key] is not None:
                    assert have[key] == pytest.approx(value, rel=6e-6, abs=1e-6), f"{where}.{key}"
                    checked += 1
    return checked


def test_golden_records():
    assert compare(Path(__file__).with_name("golden")) > 200


def test_a_toy_experiment(tmp_path):
    write_experiment(tmp_path, repeats=2, rounds=8)
    assert compare(tmp_path) > 300


if REAL:

    def test_real_runs():
        assert compare(Path(REAL)) > 100
