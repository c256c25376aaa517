# SPDX-License-Identifier: GPL-2.0-or-later
"""A cell without a tracer: planned, run and recorded as any other; what does not apply is said, not failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_records import Toy, spec, write_cell, write_experiment
from runner_bench import Bench, check_schema

from analysis.__main__ import main
from analysis.compare.analyse import analyse
from analysis.compare.guard import UNTRACED
from analysis.compare.summary import summary
from analysis.record.invariants import broken, not_applicable
from analysis.record.load import load_record, load_results


def off(arm: str, repeat: int = 1) -> dict:
    return spec(arm, 1, repeat, params={"rate": "400", "tracer": "off"}, label=f"{arm}-off")


def test_it_is_part_of_the_cell(bench: Bench) -> None:
    assert bench.run("untraced", "--param", "tracer=off").returncode == 0
    [cell] = bench.cells()
    assert json.loads((cell / "cell.json").read_text())["params"] == {"tracer": "off"}
    assert "HINT_P_TRACER='off'" in (cell / "cell.env").read_text()
    assert "-trace virtio_balloon_report -trace virtio_console_flush_buf" in (cell / "qemu.cmd").read_text()
    lines = bench.record()
    check_schema(lines)
    assert [x["type"] for x in lines if x["type"] != "sample"] == ["run", "mark", "gauge", "end"]
    ledger = lines[-1]["guests"][0]["ledger"]
    assert ledger["ok"] is None and ledger["detail"] == "the cell is without a tracer"
    record = load_record(cell / "record.jsonl")
    assert not record.spec.traced and broken(record, cell) == ()


def test_a_cell_with_one_is_what_it_was(bench: Bench) -> None:
    assert bench.run("good").returncode == 0
    [cell] = bench.cells()
    assert json.loads((cell / "cell.json").read_text())["params"] == {}
    assert "-trace" not in (cell / "qemu.cmd").read_text()


def test_only_on_or_off(bench: Bench) -> None:
    r = bench.run("good", "--param", "tracer=maybe")
    assert r.returncode == 2 and "allowed: on, off" in r.stderr


def test_a_traced_cell_still_needs_its_tracer(bench: Bench) -> None:
    assert bench.run("untraced", "--param", "tracer=on").returncode == 1
    assert bench.record()[-1]["failure"] == "tracer"


def test_artefacts_come_with_the_record(bench: Bench) -> None:
    assert bench.run("untraced", "--param", "tracer=off").returncode == 0
    [cell] = bench.cells()
    assert (cell / "artefacts/trace").read_text() == "one\ntwo\u00e4\n"
    [listed] = bench.record()[-1]["artefacts"]
    assert (listed["name"], listed["bytes"]) == ("trace", 10)


@pytest.mark.parametrize("pieces", ["..=x", "-x=x", ".hidden=x", "guest-1=x"])
def test_an_artefact_of_an_odd_name_fails_the_cell(bench: Bench, monkeypatch, pieces: str) -> None:
    monkeypatch.setenv("FAKE_ARTEFACT", f"{pieces}|good=y")
    assert bench.run("untraced", "--param", "tracer=off").returncode == 1
    end = bench.record()[-1]
    assert end["failure"] == "stream" and "an artefact of an odd name" in end["failure_detail"]
    assert [a["name"] for a in end["artefacts"]] == ["good"]


def test_such_cells_never_speak_in_the_answer(tmp_path: Path) -> None:
    write_experiment(tmp_path, repeats=2, rounds=10)
    before = summary(analyse(load_results(tmp_path)))
    for arm in ("reporting", "buffer"):
        write_cell(tmp_path, off(arm), rounds=10)
    # Nor when their guest died, which would be harm of the arm.
    dead = off("buffer", repeat=2)
    lines = Toy(dead, 10).run("dead")
    lines[-1] |= {"status": "failed", "failure": "panic", "failure_detail": "x"}
    write_cell(tmp_path, dead, lines)
    a = analyse(load_results(tmp_path))
    assert [r.why for r in a.excluded] == [UNTRACED] * 2 and not a.absent
    after = summary(a)
    for what in ("answer", "claims", "arms", "pairs", "kills"):
        assert after[what] == before[what], what


def test_what_does_not_apply_is_named(tmp_path: Path) -> None:
    # Whatever the tracer would have said is gone, and nothing is found broken for it.
    lines = [x for x in Toy(off("buffer"), 10).run("c") if x["type"] in ("run", "end") or x.get("src") == "host"]
    lines[-1] |= {"nr_lines": len(lines) - 2}
    folder = write_cell(tmp_path, off("buffer"), lines)
    record = load_record(folder / "record.jsonl")
    assert broken(record, folder) == ()
    assert {"tracer", "loss lines", "held", "covered"} <= set(not_applicable(record))
    assert not {"lines", "resident", "follows discard"} & set(not_applicable(record))
    lines[-1] |= {"nr_lines": 0}
    record = load_record(write_cell(tmp_path, off("buffer"), lines) / "record.jsonl")
    assert [b.invariant for b in broken(record)] == ["lines"]
    traced = load_record(write_cell(tmp_path, spec("buffer", 1, 1)) / "record.jsonl")
    assert not_applicable(traced) == ()


def test_the_judge_says_that_there_is_nothing_to_judge(tmp_path: Path, capsys) -> None:
    folder = write_cell(tmp_path, off("reporting"), rounds=10)
    assert main(["judge", str(folder / "record.jsonl")]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "without a tracer: there is nothing to judge" in err
