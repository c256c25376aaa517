# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracer's description of its events (bpf/hint_events.h) against that of the record."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]

# What the line of an event has beside the fields of its record.
OF_EVERY_EVENT = {"t_ns", "guest", "cpu", "pid", "tid", "comm"}
OF_SHORTAGES = {"own", "zones", "zones_missing"}


def written() -> dict[str, set[str]]:
    out = subprocess.run([TOP / "build/guest/hinttrace", "--list-fields"], capture_output=True, text=True, check=True)
    names: dict[str, set[str]] = {}
    for line in out.stdout.splitlines():
        of, name, _ = line.split()
        names.setdefault(of, set()).add(name)
    return names


WRITTEN = written()
RECORD = json.loads((TOP / "collectors/run/record/record.json").read_text())
KINDS = RECORD["lines"]["event"]["kinds"]


def described(fields: list) -> set[str]:
    """Names of fields; a string among them is the name of a group."""
    names: set[str] = set()
    for field in fields:
        names |= described(RECORD["groups"][field]) if isinstance(field, str) else {field["name"]}
    return names


@pytest.mark.parametrize("kind", sorted(set(WRITTEN) - {"shortage", "zone"}))
def test_the_fields_of_an_event_are_those_of_the_record(kind: str) -> None:
    is_shortage = "shortage" in KINDS[kind]["fields"]
    mine = WRITTEN[kind] | (WRITTEN["shortage"] | OF_SHORTAGES if is_shortage else set())
    if kind == "batch":
        mine = mine | {"open"}
    theirs = described(KINDS[kind]["fields"]) - OF_EVERY_EVENT
    # Whether a cgroup was full is said only where it can be: of a failure and of a kill.
    if is_shortage and kind not in ("oom_kill", "alloc_fail"):
        theirs -= {"memcg"}
    assert mine == theirs


def test_the_fields_of_a_zone_are_those_of_the_record() -> None:
    assert WRITTEN["zone"] == described(RECORD["objects"]["zone"]["fields"])
