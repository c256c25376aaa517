# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdicts on events of public logs (cases/README.md), with and without the fields that decide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main

TOP = Path(__file__).resolve().parents[2]
CASES = Path(__file__).with_name("cases")

A, G, U = "attributable", "genuine", "undetermined"
CMA = "free CMA pages are not in the record"
NODES = "the record does not say which nodes the request could use"
RECLAIM = "PF_MEMALLOC"
LIMIT = "whether the limit of a cgroup was short, not memory, is not in the record"
POLICY = "bound by a memory policy and the record does not say which nodes"

# case: (verdict of the old record, part of its reason, verdict with the new fields, part of its reason)
TABLE = {
    "O4": (G, "", G, ""),
    "O4-h512": (A, "", A, ""),
    "O7": (U, CMA, G, ""),
    "O7-movable": (U, "52126 usable pages", U, "52126 usable pages"),
    "O7-false-attr": (U, CMA, G, ""),
    "O8": (U, CMA, G, ""),
    "O9": (U, CMA, U, "12875 usable pages, more than the 7500 needed"),
    "O9-o6": (U, CMA, G, ""),
    "O9-false-attr": (U, CMA, U, "may be isolated"),
    "O12-h101": (A, "", A, ""),
    "O12-h1x9": (A, "", A, ""),
    "O13-apt": (U, LIMIT, G, ""),
    "O13-apt-h1x9": (U, RECLAIM, A, ""),
    "O16": (U, "bound by a cpuset", G, ""),
    "O16-allocfail": (U, NODES, G, ""),
    "O16-false-attr": (U, NODES, G, ""),
    "O16-false-attr-oom": (U, POLICY, G, ""),
}
AT_HIGH = {"O12-h101": G, "O12-h1x9": G}


def judged(capsys, path: Path) -> dict:
    assert main(["judge", str(path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("schema", [1, 2])
def test_case(capsys, name, schema):
    kind, reason = TABLE[name][2 * (schema - 1) : 2 * schema]
    got = judged(capsys, CASES / f"schema{schema}" / f"{name}.jsonl")
    assert got["verdict"] == kind
    assert reason in got["reason"]
    assert bool(got["reason"]) == (kind == U)
    if name in AT_HIGH:
        assert got["at_high_mark"] == AT_HIGH[name]


def test_every_case_is_in_the_table():
    for schema in (1, 2):
        assert {p.stem for p in (CASES / f"schema{schema}").glob("*.jsonl")} == set(TABLE)


DECIDING = ("constraint", "allowed_nodes", "pf_memalloc", "oom_victim", "state_ns", "memcg", "sysrq")
DECIDING_OF_ZONE = ("cma_pages", "isolated_pageblocks", "boost_pages")


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("field", DECIDING + DECIDING_OF_ZONE)
@pytest.mark.parametrize("how", ["absent", "null"])
def test_a_missing_field_never_makes_an_event_attributable(capsys, tmp_path, name, field, how):
    lines = (CASES / "schema2" / f"{name}.jsonl").read_text().splitlines()
    event = json.loads(lines[1])
    for part in (event, *event["zones"]):
        if field in part and how == "null":
            part[field] = None
        else:
            part.pop(field, None)
    path = tmp_path / "record.jsonl"
    path.write_text("\n".join([lines[0], json.dumps(event), *lines[2:]]) + "\n")
    got = judged(capsys, path)["verdict"]
    full = TABLE[name][2]
    assert got in (full, U)


@pytest.mark.parametrize("name", [n for n, row in TABLE.items() if row[2] == A])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"zones_missing": True}, "more zones than"),
        ({"allowed_nodes": [0, 3]}, "no zone of node 3"),
        ({"allowed_nodes": None, "constraint": "cpuset"}, "bound"),
        ({"state_ns": 13_100_000_000}, "100.0 ms after the event"),
        ({"state_ns": 11_000_000_000}, "2.0 s before the event"),
        ({"memcg": True}, "limit of a cgroup"),
    ],
)
def test_what_a_sample_may_hide_is_said(capsys, tmp_path, name, changes, reason):
    lines = (CASES / "schema2" / f"{name}.jsonl").read_text().splitlines()
    event = json.loads(lines[1]) | changes
    path = tmp_path / "record.jsonl"
    path.write_text("\n".join([lines[0], json.dumps(event), *lines[2:]]) + "\n")
    got = judged(capsys, path)
    assert got["verdict"] == U
    assert reason in got["reason"]


def test_a_verdict_needs_the_standard_library_only():
    path = CASES / "schema2" / "O4.jsonl"
    code = (
        "import sys\n"
        "for name in ('numpy', 'scipy', 'matplotlib', 'jinja2'): sys.modules[name] = None\n"
        "from analysis.__main__ import main\n"
        f"sys.exit(main(['judge', {str(path)!r}]))\n"
    )
    run = subprocess.run([sys.executable, "-B", "-c", code], cwd=TOP, capture_output=True, text=True)
    assert (run.returncode, json.loads(run.stdout)["verdict"]) == (0, G), run.stderr
