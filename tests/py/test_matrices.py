# SPDX-License-Identifier: GPL-2.0-or-later
"""An experiment of several matrices: one plan, one run, one folder, each matrix with a workload of its own."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from checkout import Checkout

MIB = 1 << 20


class Toys(Checkout):
    """With two workloads: toy and game."""

    def __init__(self, tmp: Path) -> None:
        super().__init__(tmp)
        for name in ("toy", "game"):
            shutil.copytree(tmp / "toy", self.root / "workloads" / name)
        (self.root / "workloads/game/more").write_text("another payload\n")

    def where(self, *more: str) -> list[str]:
        t = self.tmp
        return ["--root", str(self.root), "--experiment", "exp", "--kernel", str(t / "kernel"), "--qemu",
                str(t / "qemu"), "--rootfs", str(t / "rootfs"), "--payload-dir", str(t / "guest"),
                "--out", str(self.out), "--hang-limit", "30s", *more]  # fmt: skip

    def matrices(self, *matrices: dict, **fields: object) -> None:
        self.experiment(matrices=list(matrices), **fields)

    def specs(self, *more: str) -> list[dict]:
        r = self.hintrun("plan", *self.where(*more))
        assert r.returncode == 0, r.stdout + r.stderr
        return [json.loads(line)["spec"] for line in r.stdout.splitlines() if line.startswith("{")]

    def labels(self, *more: str) -> list[str]:
        return sorted(s["label"] for s in self.specs(*more))


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


TOY = {"set": {"workload": "toy", "arms": "none"}}
GAME = {"set": {"workload": "game", "arms": "buffer", "controls": "without"}, "vary": {"buffer": ["16M", "32M"]}}


def test_each_has_its_own_settings_and_all_have_those_of_the_file(toys: Toys) -> None:
    toys.matrices(TOY, GAME, set={"mem": "256M", "repeats": "1", "accel": "tcg"})
    specs = {s["label"]: s for s in toys.specs()}
    assert set(specs) == {"toy-none", "game-buffer-buffer.16M", "game-buffer-buffer.32M"}
    assert {s["mem_bytes"] for s in specs.values()} == {256 * MIB}
    assert specs["toy-none"]["workload_hash"] != specs["game-buffer-buffer.16M"]["workload_hash"]


def test_all_factors_are_in_the_label_though_one_has_a_single_value(toys: Toys) -> None:
    sizes = [{"set": {"workload": "toy", "arms": "none"}, "vary": {"mem": [m]}} for m in ("256M", "512M")]
    toys.matrices(*sizes, set={"accel": "tcg", "repeats": "1"})
    assert toys.labels() == ["toy-none-mem.256M", "toy-none-mem.512M"]


def test_each_has_as_many_repeats_as_it_sets(toys: Toys) -> None:
    twice = {"set": {"workload": "game", "arms": "none", "repeats": "2"}}
    toys.matrices(TOY, twice, set={"accel": "tcg", "repeats": "1"})
    cells = [(s["workload"], s["repeat"]) for s in toys.specs()]
    assert cells == [("toy", 1), ("game", 1), ("game", 2)], "repeat by repeat, matrix by matrix"
    assert [(s["workload"], s["repeat"]) for s in toys.specs("--quick")] == [("toy", 1), ("game", 1)]


def test_quick_has_its_own_lists(toys: Toys) -> None:
    toys.matrices(TOY, GAME | {"quick": {"buffer": ["8M"]}}, set={"accel": "tcg", "repeats": "1"})
    assert toys.labels() == ["game-buffer-buffer.16M", "game-buffer-buffer.32M", "toy-none"]
    assert toys.labels("--quick") == ["game-buffer-buffer.8M", "toy-none"]
    assert toys.labels("--quick", "--buffer", "4M") == ["game-buffer", "toy-none"], "a value given is that"


def test_quick_also_of_one_matrix(toys: Toys) -> None:
    toys.experiment(set=GAME["set"] | {"accel": "tcg", "repeats": "1"}, vary=GAME["vary"], quick={"buffer": ["8M"]})
    assert toys.labels() == ["buffer-buffer.16M", "buffer-buffer.32M"]
    assert toys.labels("--quick") == ["buffer"]


def test_what_is_given_holds_for_all(toys: Toys) -> None:
    toys.matrices(TOY, GAME, set={"accel": "tcg", "repeats": "1"})
    assert {s["mem_bytes"] for s in toys.specs("--mem", "128M", "--buffer", "8M")} == {128 * MIB}
    assert {s["params"]["rate"] for s in toys.specs("--param", "rate=7")} == {"7"}
    assert toys.labels("--buffer", "8M") == ["game-buffer", "toy-none"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"matrices": []}, "1 to 16 objects"),
        ({"matrices": [TOY], "vary": {"mem": ["1G"]}}, "belong to each of its matrices"),
        ({"matrices": [TOY | {"workload": "toy"}]}, 'unknown field "workload"'),
        ({"matrices": [TOY, GAME | {"quick": {"mem": ["1G"]}}]}, "quick.mem is not varied"),
        ({"matrices": [TOY, GAME | {"quick": {"buffer": []}}]}, "quick.buffer must be a list of 1 to"),
        ({"matrices": [TOY, {"set": TOY["set"] | {"mem": "1G"}}]}, "two different cells would have the label"),
        ({"matrices": [{"set": {"workload": "nobody"}}]}, '"nobody" is neither a folder'),
    ],
)
def test_what_is_wrong_is_named(toys: Toys, fields: dict, said: str) -> None:
    toys.experiment(**fields)
    r = toys.hintrun("plan", *toys.where("--accel", "tcg"))
    assert r.returncode == 2 and said in r.stderr, r.stdout + r.stderr


def test_they_are_run_into_one_folder_and_none_twice(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MODE", "good")
    toys.matrices(TOY, GAME, set={"accel": "tcg", "repeats": "1"})
    r = toys.hintrun("run", *toys.where())
    assert r.returncode == 0, r.stdout + r.stderr
    assert "exp: 3 cells of 2 matrices" in r.stdout
    assert len(toys.cells()) == 3 and len(list(toys.out.glob("payload-*.tar"))) == 2
    before = {p: p.stat().st_mtime_ns for p in toys.out.rglob("record.jsonl")}
    # A part was interrupted: only that is run.
    gone = next(p for p in before if p.parent.name.startswith("game"))
    shutil.rmtree(gone.parent)
    assert toys.hintrun("run", *toys.where()).returncode == 0
    after = {p: p.stat().st_mtime_ns for p in toys.out.rglob("record.jsonl")}
    assert {p for p in after if after[p] != before.get(p)} == {gone}


def spans(toys: Toys) -> dict[str, tuple[int, int]]:
    """From when to when each cell ran, by its files."""
    return {c.name.split("-s1")[0]: ((c / "cell.json").stat().st_mtime_ns, (c / "record.jsonl").stat().st_mtime_ns)
            for c in toys.cells()}  # fmt: skip


def overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def test_one_that_must_be_alone_is(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever JOBS says, and it does not wait for ever."""
    monkeypatch.setenv("FAKE_MODE", "good")
    several = {"set": TOY["set"], "vary": {"mem": ["64M", "66M"]}}
    after = {"set": TOY["set"], "vary": {"mem": ["68M", "70M"]}}
    alone = {"set": {"workload": "game", "arms": "none", "jobs": "1"}}
    toys.matrices(several, alone, after, set={"accel": "tcg", "repeats": "1"})
    r = toys.hintrun("run", *toys.where("--jobs", "4"))
    assert r.returncode == 0, r.stdout + r.stderr
    ran = spans(toys)
    assert len(ran) == 5
    game = ran.pop("game-none")
    assert not any(overlap(game, other) for other in ran.values())
    assert any(overlap(a, b) for a, b in combinations(ran.values(), 2)), "the others share the machine"


def test_a_folder_of_other_runs_is_left_whole(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another experiment in the same OUT removes nothing: its cells are put aside, and come back."""
    monkeypatch.setenv("FAKE_MODE", "good")
    assert toys.run("good", out=toys.out).returncode == 0
    [mine] = toys.cells()
    before = {p.name: p.read_bytes() for p in mine.iterdir()}
    (toys.out / "notes").write_text("precious\n")
    (toys.out / "report.html").write_text("page\n")
    toys.matrices(TOY, GAME, set={"accel": "tcg", "repeats": "1"})
    assert toys.hintrun("run", *toys.where()).returncode == 0
    kept = toys.out / ".parked" / mine.name
    assert {p.name: p.read_bytes() for p in kept.iterdir()} == before
    assert (toys.out / "notes").read_text() == "precious\n" and (toys.out / "report.html").exists()
    r = toys.run("good", out=toys.out)
    assert r.returncode == 0 and "(done)" in r.stdout, "it is not run again"
    assert {p.name: p.read_bytes() for p in mine.iterdir()} == before
