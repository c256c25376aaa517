# SPDX-License-Identifier: GPL-2.0-or-later
"""`judge` on what `hinttrace -j` writes: no run line, no end line, the same verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.__main__ import main

CASES = Path(__file__).with_name("cases") / "schema2"
BEGIN = {"type": "tracer", "t_ns": 1, "edge": "begin"}
END = {"type": "tracer", "t_ns": 10**12, "edge": "end"}
PROBE = {"type": "log", "t_ns": 0, "src": "trace", "text": "probe af_alloc attached raw_tp/mm_page_alloc"}


def event(name: str) -> dict:
    return json.loads((CASES / f"{name}.jsonl").read_text().splitlines()[1])


def stream(path: Path, *lines: dict) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def judged(capsys, path: Path) -> tuple[list[dict], str]:
    assert main(["judge", str(path)]) == 0
    out = capsys.readouterr()
    return [json.loads(line) for line in out.out.splitlines()], out.err


@pytest.mark.parametrize("name", sorted(p.stem for p in CASES.glob("*.jsonl")))
def test_a_stream_is_judged_as_a_record_is(capsys, tmp_path, name):
    record, _ = judged(capsys, CASES / f"{name}.jsonl")
    found, said = judged(capsys, stream(tmp_path / "s", PROBE, BEGIN, event(name), END))
    assert found == record
    assert said == ""


def test_kills_alone_are_judged(capsys, tmp_path):
    """What `hinttrace -j | grep oom_kill` leaves; the missing end is told."""
    found, said = judged(capsys, stream(tmp_path / "s", event("O4-h512"), event("O4")))
    assert [line["verdict"] for line in found] == ["attributable", "genuine"]
    assert "last line is not there" in said


def test_a_line_that_was_cut_is_no_event(capsys, tmp_path):
    path = stream(tmp_path / "s", PROBE, BEGIN, event("O4"), event("O4-h512"))
    path.write_bytes(path.read_bytes()[:-40])
    found, said = judged(capsys, path)
    assert [line["verdict"] for line in found] == ["genuine"]
    assert "last line is not there" in said


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({**event("O4"), "zones": 3}, "zones"),
        ({**event("O4"), "kind": "nonsense"}, "kind"),
        ({"type": "run"}, "type"),
        ({"type": "hello"}, "type"),
    ],
)
def test_a_bad_line_is_named(capsys, tmp_path, line, field):
    path = stream(tmp_path / "s", PROBE, BEGIN, line, END)
    assert main(["judge", str(path)]) == 2
    assert f"{path}:3: {field}: " in capsys.readouterr().err


def test_what_begins_with_anything_else_is_no_stream(capsys, tmp_path):
    assert main(["judge", str(stream(tmp_path / "s", {"type": "phase", "t_ns": 1, "name": "x", "edge": "begin"}))]) == 2
    assert "the first line must be the run line" in capsys.readouterr().err
