# SPDX-License-Identifier: GPL-2.0-or-later
"""Records that must be refused, each with the place named; and cells in every state."""

from __future__ import annotations

import copy
import json

import pytest
from make_records import Toy, spec, write_cell

from analysis.record.fields import MAX_LINE_BYTES, BadRecord
from analysis.record.load import load_record, load_results


@pytest.fixture(scope="module")
def good():
    return Toy(spec("reporting", 1, 1), rounds=3).run("x")


def write(tmp_path, lines) -> str:
    path = tmp_path / "record.jsonl"
    path.write_bytes(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
    return path


def refused(tmp_path, lines) -> str:
    with pytest.raises(BadRecord) as e:
        load_record(write(tmp_path, lines))
    return str(e.value)


def test_good_record(tmp_path, good):
    record = load_record(write(tmp_path, good))
    assert record.spec.arm == "reporting"
    assert record.guest_samples and record.host_samples and record.batches


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{\n", "not JSON"),
        (b"\xff\n", "not UTF-8"),
        (b"[1]\n", "expected a JSON object"),
        (b'{"type":"sample","t_ns":NaN}\n', "not JSON"),
        (b"[" * 5000 + b"\n", "n"),
        (b'{"a":' * 100_000 + b"\n", "n"),
        (b"x" * (MAX_LINE_BYTES + 1), "longer than"),
        ({"type": "phase", "name": "x"}, "t_ns: missing"),
        ({"type": "phase", "t_ns": -1}, "t_ns: -1 is outside"),
        ({"type": "phase", "t_ns": 1.5}, "t_ns: expected an integer"),
        ({"type": "phase", "t_ns": True}, "t_ns: expected an integer"),
        ({"type": "sample", "t_ns": 1, "src": "moon"}, "src: unknown source"),
        ({"type": "odd", "t_ns": 1}, "type: unknown type"),
        ({"type": "event", "t_ns": 1, "kind": "odd"}, "kind: unknown event"),
        ({"type": "phase", "t_ns": 1, "name": "x", "edge": "middle"}, "edge: expected begin or end"),
        ({"type": "event", "t_ns": 1, "kind": "oom_kill", "gfp": 1, "order": 99}, "order: 99 is outside"),
        (
            {"type": "event", "t_ns": 1, "kind": "oom_kill", "constraint": "odd"},
            "constraint: expected one of",
        ),
        ({"type": "event", "t_ns": 1, "kind": "oom_kill", "zones": [1]}, "zones[0]: expected an object"),
        (
            {"type": "event", "t_ns": 1, "kind": "oom_kill", "zones": [{"node": 0}]},
            "zones[0].zone: missing",
        ),
        ({"type": "event", "t_ns": 1, "kind": "load_lag"}, "lag_ns: missing"),
        ({"type": "run", "t_ns": 1}, "type: unknown type"),
        (
            {
                "type": "hist",
                "t_ns": 1,
                "name": "x",
                "unit": "ns",
                "sub_bits": 7,
                "n": 3,
                "sum": 1,
                "max": 1,
                "counts": [[1, 2]],
            },
            "counts: add up to 2",
        ),
        (
            {
                "type": "hist",
                "t_ns": 1,
                "name": "x",
                "unit": "ns",
                "sub_bits": 7,
                "n": 2,
                "sum": 1,
                "max": 1,
                "counts": [[5, 1], [5, 1]],
            },
            "indexes must ascend",
        ),
        (
            {
                "type": "hist",
                "t_ns": 1,
                "name": "x",
                "unit": "ns",
                "sub_bits": 0,
                "n": 1,
                "sum": 1,
                "max": 1,
                "counts": [[65, 1]],
            },
            "beyond 64 bits",
        ),
    ],
)
def test_bad_line(tmp_path, good, line, problem):
    text = refused(tmp_path, [good[0], line, good[-1]])
    assert problem in text
    assert "record.jsonl:2: " in text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: r.update(schema=3), "schema: 3 is outside 1..2"),
        (lambda r: r.update(extra=1), "extra: unknown field"),
        (lambda r: r.pop("spec"), "spec: missing"),
        (lambda r: r["spec"].update(label="<script>"), "spec.label: expected letters"),
        (lambda r: r["spec"].update(clock="odd"), "spec.clock: expected virtual or real"),
        (lambda r: r["spec"].update(mem_bytes="512M"), "spec.mem_bytes: expected an integer"),
        (lambda r: r["guests"][0].update(features="0xg"), "guests[0].features: expected a hexadecimal"),
    ],
)
def test_bad_run_line(tmp_path, good, change, problem):
    run = copy.deepcopy(good[0])
    change(run)
    assert problem in refused(tmp_path, [run, good[-1]])


def test_host_samples_may_be_older_than_the_guest(tmp_path, good):
    device = Toy(spec("none", 1, 1)).device() | {"batches": 2}
    early = {"type": "sample", "t_ns": -5, "src": "host", "host_ns": 0, "rss_bytes": 1, "device": device}
    record = load_record(write(tmp_path, [good[0], early, good[-1]]))
    assert (record.host_samples[0].t_ns, record.host_samples[0].batches) == (-5, 2)


def test_ledger_that_could_not_be_closed(tmp_path, good):
    end = copy.deepcopy(good[-1])
    end["guests"][0]["ledger"] |= {"ok": None, "detail": "no pause"}
    ledger = load_record(write(tmp_path, [good[0], end])).end.ledger
    assert ledger is not None and ledger.ok is None and ledger.detail == "no pause"


def test_order_of_lines(tmp_path, good):
    assert "first line must be the run line" in refused(tmp_path, good[1:])
    assert "no end line" in refused(tmp_path, good[:-1])
    assert "after the end line" in refused(tmp_path, [*good, good[1]])
    assert "empty record" in refused(tmp_path, [])


def test_cells_in_every_state(tmp_path, good):
    def end(**changes):
        return {**good[-1], **changes}

    write_cell(tmp_path, spec("none", 1, 1), good)
    write_cell(
        tmp_path,
        spec("none", 1, 2),
        [*good[:-1], end(status="failed", failure="panic", failure_detail="oops")],
    )
    write_cell(tmp_path, spec("none", 1, 3), [*good[:-1], end(nr_bad_lines=2)])
    write_cell(tmp_path, spec("none", 1, 4), good[:-1])
    write_cell(tmp_path, spec("none", 1, 5), good).joinpath("record.jsonl").unlink()
    folder = write_cell(tmp_path, spec("none", 1, 6), good)
    (tmp_path / ".failed").mkdir()
    folder.rename(tmp_path / ".failed" / (folder.name + ".1"))
    states = {c.name[:10]: (c.state, c.why) for c in load_results(tmp_path)}
    assert len(states) == 5
    assert states["none-s1-r1"] == ("finished", "")
    assert states["none-s1-r2"] == ("failed", "panic: oops")
    assert states["none-s1-r3"] == ("failed", "stream: 2 bad lines")
    assert states["none-s1-r4"][0] == "failed" and "no end line" in states["none-s1-r4"][1]
    assert states["none-s1-r5"][0] == "unfinished"
