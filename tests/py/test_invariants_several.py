# SPDX-License-Identifier: GPL-2.0-or-later
"""Mechanisms that have several batches out, or give chunks back before the answer: what must hold is other there."""

from __future__ import annotations

import copy

import pytest
from test_invariants import REPORTING, found, of


def guest_says(lines: list[dict], **changes) -> list[dict]:
    for line in lines:
        for guest in line.get("guests", ()):
            if "features" in guest:
                guest.update(changes)
    return lines


def overlapping() -> list[dict]:
    """The second batch begins while the first is out."""
    lines = copy.deepcopy(REPORTING)
    first, second = of(lines, "event", "batch")[:2]
    second["start_ns"] = first["start_ns"] + 1
    return lines


def sample_with_a_batch_out(lines: list[dict]) -> tuple[dict, dict]:
    """The zone of a sample, and the batch that was out 1 ms before and 1 ms after it."""
    for sample in of(lines, "sample", "guest"):
        for batch in of(lines, "event", "batch"):
            if batch["sent_ns"] + 2_000_000 < sample["t_ns"] < batch["ack_ns"] - sample.get("took_ns", 0) - 2_000_000:
                return sample["zones"][0], batch
    raise AssertionError("no such sample")


@pytest.mark.parametrize("mechanism", ["sync", "async"])
def test_batches_of_these_may_overlap(tmp_path, mechanism):
    assert "batches apart" in found(tmp_path, overlapping())
    lines = guest_says(overlapping(), parameters={"swap_back": "N", "mechanism": mechanism})
    assert "batches apart" not in found(tmp_path, lines)


def test_a_worker_has_one_batch_out_at_a_time(tmp_path):
    lines = guest_says(overlapping(), parameters={"swap_back": "N", "mechanism": "async-capped"})
    assert "batches apart" in found(tmp_path, lines)


def test_batches_that_are_out_together_are_held_together(tmp_path):
    """A sample taken while two are out must show both, and no more."""
    lines = guest_says(copy.deepcopy(REPORTING), parameters={"swap_back": "N", "mechanism": "async"})
    zone, out = sample_with_a_batch_out(lines)
    lines.insert(lines.index(out), dict(out))
    assert "held" in found(tmp_path, lines)
    for sample in of(lines, "sample", "guest"):
        if out["start_ns"] <= sample["t_ns"] < out["done_ns"]:
            sample["zones"][0]["held_pages"] += out["nr_pages"]
            sample["zones"][0]["uncompensated_pages"] += out["nr_pages"]
    assert "held" not in found(tmp_path, lines)
    zone["held_pages"] += 1
    assert "held" in found(tmp_path, lines)


def test_a_round_of_hints_may_give_back_early(tmp_path):
    """Less may be held than the batch had, and never more."""
    lines = copy.deepcopy(REPORTING)
    zone, _ = sample_with_a_batch_out(lines)
    was = zone["held_pages"]
    zone.update(held_pages=0, uncompensated_pages=0)
    assert "held" in found(tmp_path, lines)
    guest_says(lines, features=hex(1 << 32 | 1 << 3))
    assert "held" not in found(tmp_path, lines)
    zone.update(held_pages=was + 1, uncompensated_pages=was + 1)
    assert "held" in found(tmp_path, lines)
