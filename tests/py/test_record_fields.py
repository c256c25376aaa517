# SPDX-License-Identifier: GPL-2.0-or-later
"""Every field the description of the record has: missing, of another type, out of bounds; named in each case.

tests/unit/test_run_shape.c is the same for the runner.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.record.fields import BadRecord
from analysis.record.load import load_record
from collectors.run.record import describe, gen
from collectors.run.record.describe import Field, Shape, Value

TOP = Path(__file__).resolve().parents[2]
DESCRIPTION = describe.load()
RECORD_LINES = [s for s in DESCRIPTION.lines if s.in_record]


def least(v: Value) -> Any:
    """The smallest value that is allowed."""
    if v.is_a == "int":
        return 0 if v.low < 0 <= v.high else v.low
    if v.is_a == "number":
        return float(v.low)
    if v.is_a == "text":
        return {"hash": "a", "colour": "#000000"}.get(v.name, "a" * v.low)
    if v.is_a == "objects":
        return [an_object(DESCRIPTION.objects[v.of])]
    if v.is_a == "object":
        return an_object(DESCRIPTION.objects[v.of])
    return {"bool": False, "hex": "0x0", "words": (v.words or ("",))[0], "map": {}}.get(v.is_a, [])


def an_object(shape: Shape) -> dict[str, Any]:
    return {f.name: least(f.value) for f in shape.fields if f.allowed(DESCRIPTION.schema)}


def a_line(shape: Shape) -> dict[str, Any]:
    out = {"type": shape.type} | an_object(shape)
    if shape.by:
        out[shape.by] = shape.kind
    if shape.type == "run":
        out["schema"] = DESCRIPTION.schema
    return out


def bad_values(v: Value) -> Iterator[Any]:
    yield 1 if v.is_a in ("text", "words") else "?"
    if v.is_a == "int":
        yield from (0.5, True, v.low - 1, v.high + 1, 1 << 70)
    elif v.is_a == "number":
        yield from (v.low - 1, v.high * 2, True)
    elif v.is_a == "text":
        yield "a" * (v.high + 1)
        if v.chars:
            yield "\x01" * max(v.low, 1)
        if v.low:
            yield ""
    elif v.is_a == "hex":
        yield from ("0xg", "0x", "1x1", "1" * 40, -1, [])
    elif v.is_a == "words":
        yield from ("no such word", ["x"])
    elif v.is_a == "bool":
        yield 0
    elif v.is_a == "map":
        of = DESCRIPTION.values[v.of]
        yield from ([], {"k": next(bad_values(of))}, {f"k{i}": least(of) for i in range(v.high + 1)})
    elif v.is_a == "list":
        of = DESCRIPTION.values[v.of]
        yield from ({}, [next(bad_values(of))], [least(of)] * (v.high + 1))
    elif v.is_a == "pairs":
        yield from ({}, [[0]], [[1, 0], [1, 0]], [[0, "x"]], [[i, 0] for i in range(v.high + 1)])
    elif v.is_a == "object":
        yield []
    elif v.is_a == "objects":
        yield from ({}, [1], [least(v)[0]] * (v.high + 1))


class Record:
    """A record of one line of a shape; run and end lines are lines like others."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self.path = path
        self.run = a_line(DESCRIPTION.line("run"))
        self.end = a_line(DESCRIPTION.line("end"))
        self.line = {"run": self.run, "end": self.end}.get(shape.type) or a_line(shape)
        self.lines = [self.run] + ([self.line] if shape.type not in ("run", "end") else []) + [self.end]
        self.end["nr_lines"] = len(self.lines) - 2
        self.number = {"run": 1, "end": 2}.get(shape.type, 2)

    def problem(self) -> str:
        """"" when it is read, else file:line: field: what is wrong, without the file."""
        text = "".join(json.dumps(x) + "\n" for x in self.lines)
        self.path.write_text(text)
        try:
            load_record(self.path, stall_state=True)
        except BadRecord as e:
            return str(e).removeprefix(f"{self.path}:")
        return ""


def each_field(o: dict[str, Any], shape: Shape) -> Iterator[tuple[dict[str, Any], Field]]:
    """Every field of an object and of those in it."""
    for f in shape.fields:
        if f.name in o:
            yield o, f
            inner = o[f.name][0] if f.value.is_a == "objects" else o[f.name]
            if f.value.is_a in ("object", "objects"):
                yield from each_field(inner, DESCRIPTION.objects[f.value.of])


@pytest.mark.parametrize("shape", RECORD_LINES, ids=lambda s: f"{s.type}-{s.kind}")
def test_every_field_is_checked_and_named(tmp_path, shape):
    record = Record(tmp_path / "record.jsonl", shape)
    assert record.problem() == ""

    def refused(what: str, f: Field) -> None:
        problem = record.problem()
        assert problem.startswith(f"{record.number}: ") and f.name in problem, (what, f.name, problem)

    for o, f in each_field(record.line, shape):
        good = o.pop(f.name)
        if f.needed(DESCRIPTION.schema):
            refused("missing", f)
        elif f.name != "guests":
            assert record.problem() == "", f.name
        for bad in bad_values(f.value):
            o[f.name] = bad
            refused(repr(bad)[:60], f)
        o[f.name] = None
        if f.null:
            assert record.problem() == "", f.name
        else:
            refused("null", f)
        o[f.name] = good
    record.line["unheard_of"] = 1
    assert ("unknown field" in record.problem()) == shape.closed


def test_several_guests(tmp_path):
    record = Record(tmp_path / "record.jsonl", DESCRIPTION.line("sample", "guest"))
    other = copy.deepcopy(record.line) | {"guest": 1, "t_ns": 5}
    record.lines.insert(2, other)
    record.run["guests"] = [None, record.run["guests"][0] | {"release": "second", "buffer_held_pages": 7}]
    record.end["guests"] *= 2
    record.end["nr_lines"] = 2
    assert record.problem() == ""
    r = load_record(record.path)
    assert r.guest is None and r.guests[1].release == "second" and len(r.end.guests) == 2
    assert [(s.guest, s.line) for s in r.guest_samples] == [(0, 2), (1, 3)]
    assert r.buffer_level(r.guest_samples[1]) == 7
    other["guest"] = 2
    assert record.problem().startswith("3: guest: 2 of 2 guests")


def test_artefacts(tmp_path):
    record = Record(tmp_path / "record.jsonl", DESCRIPTION.line("end"))
    record.end["artefacts"] = [{"name": "perf.data", "bytes": 3, "sha256": "ab" * 32}]
    assert record.problem() == ""
    assert load_record(record.path).end.artefacts[0].name == "perf.data"
    for name in ("../x", "/etc/passwd", "a/../../b", "a b", ""):
        record.end["artefacts"][0]["name"] = name
        assert "artefacts[0].name" in record.problem(), name


def test_the_schema_says_the_same(tmp_path):
    """The JSON Schema takes what the loader takes."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(gen.json_schema(DESCRIPTION, DESCRIPTION.schema))
    for shape in RECORD_LINES:
        line = a_line(shape)
        validator.validate(line)
        for f in shape.fields:
            if f.needed(DESCRIPTION.schema):
                assert not validator.is_valid({k: v for k, v in line.items() if k != f.name}), f.name
        assert not validator.is_valid(line | {shape.fields[0].name: [[]]})


def test_a_field_is_one_line(tmp_path):
    """A field put into a copy of the description is checked by the runner's tables and read by the loader."""
    text = describe.PATH.read_text()
    place = '  {"name": "min_order", "is": "order"},\n'
    changed = text.replace(place, f'{place}   {{"name": "toy_pages", "is": "pages", "need": 2}},\n')
    assert len(changed.splitlines()) == len(text.splitlines()) + 1
    for part in ("analysis/__init__.py", "analysis/record", "collectors/run/record"):
        target = tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", str(TOP / part), str(target)], check=True)
    (tmp_path / "collectors/run/record/record.json").write_text(changed)
    shapes = subprocess.run(
        [sys.executable, "-B", "collectors/run/record/gen.py", "shapes"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert '.name = "toy_pages", .value = &value_pages, .required = true' in shapes
    code = "from analysis.record.model import Batch; print(Batch(toy_pages=5).toy_pages)"
    out = subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert out.stdout == "5\n"


def test_the_document_speaks_of_fields_that_exist():
    """docs/record.md explains; a field's name in it is one of the description."""
    known = {f.name for s in (*DESCRIPTION.lines, *DESCRIPTION.objects.values()) for f in s.fields}
    known |= {s.kind for s in DESCRIPTION.lines} | {"batch_hold", "batch_ack"}
    words = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", (TOP / "docs/record.md").read_text())
    units = ("_ns", "_us", "_bytes", "_pages", "_kib", "_ms")
    assert words and not {w for w in words if w.endswith(units)} - known


def test_tables_for_people():
    tables = gen.field_tables(DESCRIPTION)
    assert "| `free_pages` | pages_diff | yes |" in tables and "## event oom_kill" in tables


MEANINGS = {
    "guest": "a guest's own line may not say which one it is",
    "zones": "none, which settles nothing",
    "zones_missing": "written only when it is so",
    "open": "written only when it is so",
    "took_ns": "less than 1 ms, which the tolerances contain",
    # Of arms/NAME.json, where docs/runner.md gives the meaning of what is left out.
    **dict.fromkeys(("features", "parameters", "buffer", "device", "kernel", "controls", "of", "claim"), "a definition"),
    # null or absent: there is none.
    **dict.fromkeys(("detail", "failure", "failure_detail"), "no failure"),
}


def test_what_is_absent_is_unknown():
    """A default is a value nobody measured: only what the format itself says by leaving it out may have one."""
    shapes = (*DESCRIPTION.lines, *DESCRIPTION.objects.values())
    with_default = {f.name for s in shapes for f in s.fields if f.default is not None}
    assert with_default == set(MEANINGS)
