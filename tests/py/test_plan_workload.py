# SPDX-License-Identifier: GPL-2.0-or-later
"""A workload is one folder with its parameters, and a payload is made of it. What
runs runs under the fake QEMU, so nothing boots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from checkout import Checkout
from runner_bench import HINTRUN, TOP, Bench

pytestmark = pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")


def test_a_workload_is_one_folder(checkout: Checkout) -> None:
    """Listed, planned, its parameters checked; cells of others stay as they were."""
    checkout.experiment(set={"workload": "other"})
    other = checkout.root / "workloads/other"
    other.mkdir()
    shutil.copy(checkout.tmp / "toy/run", other)
    before = {p: p.read_bytes() for p in checkout.root.rglob("*") if p.is_file()}

    def cells(workload: str, *more: str) -> list[str]:
        r = checkout.hintrun("plan", *checkout.command("--root", str(checkout.root), "--workload",
                                                       workload, *more)[2:])  # fmt: skip
        assert r.returncode == 0, r.stderr
        return [json.loads(line)["cell"] for line in r.stdout.splitlines()]

    old = cells("other")
    toy = checkout.root / "workloads/toy"
    toy.mkdir()
    shutil.copy(checkout.tmp / "toy/run", toy)
    (toy / "params.json").write_text(json.dumps({"schema": 1, "description": "a toy", "params": {
        "speed": {"default": "3", "min": 1, "max": 9, "what": "how fast"}}}))  # fmt: skip
    listed = checkout.hintrun("list", "--root", str(checkout.root)).stdout
    assert "a toy" in listed and "how fast (1 to 9)" in listed
    first = cells("toy", "--param", "speed=4")
    assert cells("other") == old
    (toy / "run").write_text("#!/bin/sh\n# changed\n")
    assert cells("toy", "--param", "speed=4") != first, "a change in the folder is another cell"
    assert cells("other") == old, "of this workload only"

    after = {p: p.read_bytes() for p in checkout.root.rglob("*") if p.is_file()}
    changed = {p for p in after if after[p] != before.get(p)}
    assert {p.parent for p in changed} == {toy}


PARAMS = {
    "whole": {"default": "1", "min": 0, "max": 10, "what": "w"},
    "real": {"default": "0.5", "min": 0.0, "max": 1.0, "what": "r"},
    "time": {"default": "1ms", "min": "0", "max": "1s", "what": "t"},
    "pair": {"default": "1ms-2ms", "pair": True, "min": "1ms", "max": "1s", "what": "p"},
    "size": {"default": "4K", "min": "1K", "max": "1M", "what": "s"},
    "word": {"default": "a", "choices": ["a", "b"], "what": "c"},
    "both": {"default": "etc", "choices": ["etc"], "min": 1, "max": 9, "what": "b"},
    "any": {"default": "", "what": "x"},
}


@pytest.mark.parametrize(
    ("param", "allowed"),
    [
        ("whole=10", ""), ("whole=11", "0 to 10 (w)"), ("whole=1.0", "0 to 10"), ("whole=", "0 to 10"),
        ("real=0.25", ""), ("real=1", ""), ("real=1.5", "0.0 to 1.0"), ("real=1e-3", "0.0 to 1.0"),
        ("time=0", ""), ("time=20ms", ""), ("time=20", "0 to 1s"), ("time=2s", "0 to 1s"),
        ("pair=3ms", ""), ("pair=3ms-4ms", ""), ("pair=4ms-3ms", "A-B, each 1ms to 1s"), ("pair=0-3ms", "A-B"),
        ("size=64K", ""), ("size=1", "1K to 1M"), ("word=b", ""), ("word=c", "a, b"),
        ("both=etc", ""), ("both=9", ""), ("both=ect", "etc, or 1 to 9"), ("any=what ever", ""),
        ("wrod=a", "has no parameter \"wrod\"; allowed: whole real time pair size word both any thp"),
        ("thp=never", ""), ("thp=no", "always, madvise, never"),
    ],
)  # fmt: skip
def test_declared_parameters_are_checked_before_anything_boots(
    checkout: Checkout, param: str, allowed: str
) -> None:
    toy = checkout.root / "workloads/toy"
    toy.mkdir()
    shutil.copy(checkout.tmp / "toy/run", toy)
    (toy / "params.json").write_text(json.dumps({"schema": 1, "params": PARAMS}))
    name, value = param.split("=", 1)
    checkout.experiment(vary={f"param.{name}": [value]})
    for more in (["--param", param], ["--experiment", "exp"]):
        r = checkout.hintrun("plan", *checkout.command("--root", str(checkout.root), "--workload",
                                                       "toy", *more)[2:])  # fmt: skip
        assert r.returncode == (2 if allowed else 0), r.stderr
        assert allowed in r.stderr and (not allowed or "workload toy" in r.stderr)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"min": 1, "max": 2, "what": "x"}, 'needs "default"'),
        ({"default": "3", "min": 1, "max": 2, "what": "x"}, "its default is not allowed"),
        ({"default": "3", "min": 1, "max": "2s", "what": "x"}, "both be"),
        ({"default": "3", "min": 1, "what": "x"}, "both be"),
        ({"default": "a", "choices": "a", "what": "x"}, "must be a list"),
        ({"default": "a", "range": 1, "what": "x"}, 'unknown field "range"'),
    ],
)
def test_a_wrong_declaration_is_refused(checkout: Checkout, definition: dict, said: str) -> None:
    toy = checkout.root / "workloads/toy"
    toy.mkdir()
    shutil.copy(checkout.tmp / "toy/run", toy)
    (toy / "params.json").write_text(json.dumps({"schema": 1, "params": {"p": definition}}))
    err = checkout.refused("--workload", "toy")
    assert "toy/params.json" in err and said in err


def test_every_declared_parameter_is_read_by_its_workload() -> None:
    for path in (TOP / "workloads").glob("*/params.json"):
        script = (path.parent / "run").read_text()
        for name in json.loads(path.read_text())["params"]:
            assert f"HINT_P_{name.upper()}" in script, f"{path} declares {name}"


def test_an_own_folder_takes_any_parameter(bench: Bench) -> None:
    r = bench.hintrun("plan", *bench.command("--param", "anything=goes")[2:])
    assert r.returncode == 0 and '"anything":"goes"' in r.stdout


def test_a_workload_that_is_not_built_says_how(checkout: Checkout) -> None:
    err = checkout.refused("--workload", "soak")
    assert "build/workloads/soak is missing: make it with `make collectors`" in err


def test_a_folder_that_cannot_be_packed_says_the_limit(bench: Bench) -> None:
    def refused() -> str:
        r = bench.hintrun("plan", *bench.command()[2:])
        assert r.returncode == 69
        return r.stderr

    big = bench.tmp / "toy/big"
    with big.open("wb") as f:
        f.truncate(65 << 20)
    assert "toy/big for the guest: with it the folder is larger than 64 MiB" in refused()
    big.unlink()
    deep = bench.tmp / "toy"
    for _ in range(18):
        deep = deep / "d"
    deep.mkdir(parents=True)
    assert "nested deeper than 16" in refused()
    shutil.rmtree(bench.tmp / "toy/d")
    (bench.tmp / "toy" / ("n" * 120)).touch()
    assert "at most 100 bytes" in refused()


def test_dot_files_are_said_to_be_left_out(bench: Bench) -> None:
    r = bench.hintrun("plan", *bench.command()[2:])
    assert "note" not in r.stderr
    (bench.tmp / "toy/.env").write_text("A=1\n")
    (bench.tmp / "toy/sub").mkdir()
    (bench.tmp / "toy/sub/.git").mkdir()
    again = bench.hintrun("plan", *bench.command()[2:])
    assert ".env" in again.stderr and "sub/.git" in again.stderr and "is left out" in again.stderr
    assert again.returncode == 0


@pytest.mark.parametrize("inside", ["", "/res", "/new/../res", "/not/there/yet"])
def test_results_in_the_folder_of_the_workload_are_refused(bench: Bench, inside: str) -> None:
    r = bench.hintrun("check", *bench.command(out=Path(f"{bench.tmp}/toy{inside}"))[2:])
    assert r.returncode == 2 and "OUT (--out)" in r.stderr and "own folder" in r.stderr
    assert bench.hintrun("check", *bench.command(out=bench.tmp / "toy-res")[2:]).returncode == 0


def test_a_name_that_begins_with_a_dash_is_refused_as_the_message_says(bench: Bench) -> None:
    (bench.tmp / "toy").rename(bench.tmp / "-toy")
    r = bench.hintrun("plan", *bench.command("--workload", str(bench.tmp / "-toy"))[2:])
    assert r.returncode == 2 and "a-z 0-9 - _, the first a letter or a digit" in r.stderr


def test_a_payload_cut_short_is_not_used_again(bench: Bench) -> None:
    assert bench.run("good").returncode == 0
    [tar] = bench.out.glob("payload-*.tar")
    whole = tar.read_bytes()
    tar.write_bytes(whole[:10])
    assert bench.run("good", "--repeats", "2").returncode == 0
    assert tar.read_bytes() == whole


def test_a_second_measured_part_fails(bench: Bench) -> None:
    r = bench.run("measure-twice")
    assert r.returncode == 1
    end = bench.record()[-1]
    assert end["failure"] == "stream" and "the beginning of measure" in end["failure_detail"]
