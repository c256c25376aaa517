# SPDX-License-Identifier: GPL-2.0-or-later
"""What an experiment becomes: arms, factors and workloads are data, each in one
place. Where a cell is run it is run by the fake QEMU, so nothing boots."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess

import pytest
from checkout import TOY_ARM, Checkout
from runner_bench import HINTRUN, TOP, Bench

pytestmark = pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")

def test_an_arm_is_one_file(checkout: Checkout) -> None:
    before = {p: p.read_bytes() for p in checkout.root.rglob("*") if p.is_file()}
    checkout.experiment()
    old = {s["label"]: s for s in checkout.plan(arms="none reporting")}
    checkout.arm("toy")
    listed = checkout.hintrun("list", "--root", str(checkout.root)).stdout
    rows = [line.split() for line in listed.splitlines()]
    names = [row[0] for row in rows if len(row) > 3 and row[2] in ("baseline", "rival", "control", "cure")]
    assert names.index("none") < names.index("toy") < names.index("reporting"), "by its order"
    assert ["toy", "15", "rival", "a", "toy"] in rows

    specs = {s["label"]: s for s in checkout.plan(arms="none toy reporting")}
    assert {k: v for k, v in specs.items() if k != "toy"} == old, "other cells stay as they were"
    toy = specs["toy"]
    assert toy["kernel_params"] == {"page_reporting.max_out_kib": "65536"}
    assert toy["extra_bytes"] == 64 << 20 and toy["buffer_bytes"] == 0 and toy["capacity"] == 8
    r = checkout.run("good", "--root", str(checkout.root), "--arms", "toy")
    assert r.returncode == 0, r.stdout + r.stderr
    run = checkout.record()[0]
    assert run["arm"] == TOY_ARM | {"name": "toy"}, "the record has the definition"
    assert "page_reporting.max_out_kib=65536" in run["host"]["qemu_cmd"]

    after = {p: p.read_bytes() for p in checkout.root.rglob("*") if p.is_file()}
    changed = {p for p in after if after[p] != before.get(p)}
    assert changed == {checkout.root / "arms/toy.json", checkout.root / "experiments/exp.json"}


def test_no_arm_is_named_in_a_source_file() -> None:
    """As a string of its own; these are also words of other tables. The bench is no run."""
    words = {"none", "buffer", "reporting", "sync", "async", "hint"}
    names = {p.stem for p in (TOP / "arms").glob("*.json")} - words
    assert names
    for folder, kind in (("collectors", "*.[ch]"), ("analysis", "*.py"), ("workloads", "run")):
        for path in (TOP / folder).rglob(kind):
            text = path.read_text()
            for name in names:
                assert name not in text, f"{path} names the arm {name}"


def test_words_of_an_arm_do_not_change_its_cells(checkout: Checkout) -> None:
    checkout.experiment()
    checkout.arm("toy")
    [before] = checkout.plan(arms="toy")
    checkout.arm("toy", description="other words", order=99, role="cure")
    assert checkout.plan(arms="toy") == [before]
    checkout.arm("toy", capacity=9)
    assert checkout.plan(arms="toy") != [before]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role": "hero"}, "baseline, rival, cure or control"),
        ({"colour": {"light": "red", "dark": "#000000"}}, "#rrggbb"),
        ({"order": "first"}, "order"),
        ({"hints": "yes"}, "hints must be true or false"),
        ({"memory": "y"}, '"x" or "x+b"'),
        ({"memory": "x", "kernel": {}}, 'needs an arm with memory "x+b"'),
        ({"memory": "x", "device": {"hint-buffer-size": "$buffer"}}, 'needs an arm with memory "x+b"'),
        ({"capacity": 0}, "capacity must be 1 to"),
        ({"device": {"a,b": "on"}}, "device.a,b"),
        ({"device": {"a": "on,b=1"}}, "device.a"),
        ({"kernel": {"panic": "1 init=/x"}}, "kernel.panic"),
        ({"kernel": {"panic": "$bufer"}}, "$buffer, $buffer_kib or $capacity"),
        ({"expect": {"features": {"64": True}}}, "a bit, 0 to 63"),
        ({"controls": ["nobody"]}, "no arm nobody"),
        ({"role": "control"}, '"of"'),
        ({"role": "control", "of": "nobody"}, "no arm nobody"),
        ({"colour": None}, "colour"),
        ({"sub": 1}, 'unknown field "sub"'),
    ],
)
def test_a_wrong_arm_is_refused(checkout: Checkout, changes: dict, said: str) -> None:
    checkout.arm("toy", **changes)
    err = checkout.refused()
    assert "arms/toy.json" in err and said in err


@pytest.mark.parametrize(
    ("arm", "flip", "said"),
    [
        ("none", "0x20", "arm none expects feature bit 5 to be off, the guest negotiated 0x22"),
        ("buffer", "0x100000", "arm buffer expects feature bit 20 to be on"),
    ],
)
def test_an_arm_that_was_not_negotiated_fails_at_once(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, arm: str, flip: str, said: str
) -> None:
    monkeypatch.setenv("FAKE_FEATURES_FLIPPED", flip)
    r = checkout.run("hang", "--arms", f"{arm} reporting-xb")  # it would hang for 30 s
    assert r.returncode == 1, r.stderr
    [cell] = [c for c in checkout.cells() if c.name.startswith(arm)]
    end = checkout.record(cell)[-1]
    assert end["failure"] == "boot" and said in end["failure_detail"]


def test_a_parameter_that_is_not_read_back_fails(checkout: Checkout) -> None:
    checkout.arm("toy", expect={"parameters": {"no_such": "$buffer_kib"}})
    r = checkout.run("hang", "--root", str(checkout.root), "--arms", "toy")
    assert r.returncode == 1, r.stderr
    end = checkout.record()[-1]
    assert end["failure"] == "boot"
    assert "expects page_reporting.no_such=65536, the guest read back nothing" in end["failure_detail"]


def test_b_may_be_a_kernel_parameter_alone(checkout: Checkout) -> None:
    checkout.experiment(vary={"buffer": ["16M", "32M"]})
    checkout.arm("toy", memory="x")
    specs = checkout.plan(arms="toy")
    assert {s["label"] for s in specs} == {"toy-buffer.16M", "toy-buffer.32M"}
    assert {s["kernel_params"]["page_reporting.max_out_kib"] for s in specs} == {"16384", "32768"}
    assert {s["extra_bytes"] for s in specs} == {0}


def test_b_as_a_kernel_parameter_is_read_back(checkout: Checkout) -> None:
    checkout.arm("toy", memory="x", expect={"parameters": {"no_such": "$buffer_kib"}})
    r = checkout.run("hang", "--root", str(checkout.root), "--arms", "toy")
    assert r.returncode == 1, r.stderr
    assert "expects page_reporting.no_such=65536, the guest read back" in checkout.record()[-1]["failure_detail"]


def test_all_arms_are_those_that_have_a_file(checkout: Checkout) -> None:
    checkout.experiment()
    checkout.arm("toy")
    assert {s["arm"] for s in checkout.plan(arms="all")} == {p.stem for p in (checkout.root / "arms").glob("*.json")}
    checkout.arm("all")
    assert '"all" is not a name for an arm' in checkout.refused()


def test_controls_come_along_unless_one_is_named(checkout: Checkout) -> None:
    checkout.experiment()
    checkout.arm("toy", controls=["none", "reporting"])
    assert {s["arm"] for s in checkout.plan(arms="toy")} == {"none", "reporting", "toy"}
    assert {s["arm"] for s in checkout.plan(arms="toy none")} == {"none", "toy"}
    assert {s["arm"] for s in checkout.plan("--controls", "without", arms="toy")} == {"toy"}


FACTORS = {
    "ack-delay": (["5ms", "20ms+1ms"], ("ack_base_ns", [5_000_000, 20_000_000]), "hints"),
    "checkpoint": (["10s/2s", "20s/1s"], ("checkpoint_window_ns", [1_000_000_000, 2_000_000_000]), "hints"),
    "stuck-after": (["5", "20"], ("stuck_after", [5, 20]), "hints"),
    "buffer": (["16M", "32M"], ("extra_bytes", [16 << 20, 32 << 20]), "extra"),
    "mem": (["256M", "512M"], ("mem_bytes", [256 << 20, 512 << 20]), "all"),
    "order": (["0", "9"], ("order", [0, 9]), "hints"),
    "vcpus": (["1", "2"], ("vcpus", [1, 2]), "all"),
    "delay-ms": (["100", "2000"], ("delay_ms", [100, 2000]), "hints"),
    "capacity": (["16", "64"], ("capacity", [16, 64]), "hints"),
    "param.rate": (["100", "200"], None, "all"),
}


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_plans_right(checkout: Checkout, factor: str) -> None:
    values, field, applies = FACTORS[factor]
    checkout.experiment(vary={factor: values})
    specs = checkout.plan()
    touched = {"all": {"none", "reporting", "reporting-xb", "reporting-xb-cap", "buffer"},
               "hints": {"reporting", "reporting-xb", "reporting-xb-cap", "buffer"},
               "extra": {"reporting-xb", "reporting-xb-cap", "buffer"}}[applies]  # fmt: skip
    by_arm: dict[str, list[dict]] = {}
    for s in specs:
        by_arm.setdefault(s["arm"], []).append(s)
    for arm in ("none", "reporting", "reporting-xb", "reporting-xb-cap", "buffer"):
        if arm not in touched:
            assert [s["label"] for s in by_arm[arm]] == [arm], "once, under its own name"
            continue
        name = factor.removeprefix("param.")
        assert {s["label"] for s in by_arm[arm]} == {f"{arm}-{name}.{v.replace('/', '.')}" for v in values}
        if field:
            assert sorted(s[field[0]] for s in by_arm[arm]) == field[1]
        else:
            assert {s["params"]["rate"] for s in by_arm[arm]} == set(values)
    assert len({s["label"] for s in specs}) == len(specs)


def test_two_factors_are_multiplied_out(checkout: Checkout) -> None:
    checkout.experiment(vary={"buffer": ["16M", "32M"], "ack-delay": ["5ms", "50ms"]})
    labels = sorted(s["label"] for s in checkout.plan(arms="none reporting buffer reporting-xb"))
    both = [f"-buffer.{b}-ack-delay.{d}" for b in ("16M", "32M") for d in ("50ms", "5ms")]
    assert labels == sorted(["none", "reporting-ack-delay.5ms", "reporting-ack-delay.50ms",
                             *["buffer" + x for x in both], *["reporting-xb" + x for x in both]])  # fmt: skip


def test_a_value_given_is_no_longer_varied(checkout: Checkout) -> None:
    checkout.experiment(vary={"ack-delay": ["5ms", "50ms"], "param.rate": ["1", "2"]})
    specs = checkout.plan("--ack-delay", "7ms", "--param", "rate=3", arms="reporting")
    assert [(s["label"], s["ack_base_ns"], s["params"]) for s in specs] == [
        ("reporting", 7_000_000, {"rate": "3"})]  # fmt: skip


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({"accel": ["tcg", "kvm"]}, "may be varied: mem buffer ack-delay"),
        ({"arms": ["none", "buffer"]}, "may be varied"),
        ({"mem": ["1G", "1024M"]}, '"1G" and "1024M" are the same'),
        ({"ack-delay": ["5ms", "5000us"]}, "are the same"),
        ({"order": ["11"]}, "0 to 10"),
        ({"param.x": ["a/b", "a.b"]}, "two different cells would have the label"),
        ({"param.order": ["1", "2"], "order": ["1", "2"]}, ""),
    ],
)
def test_what_cannot_be_varied_is_refused(checkout: Checkout, vary: dict, said: str) -> None:
    checkout.experiment(vary=vary)
    if said:
        assert said in checkout.refused("--experiment", "exp", "--arms", "reporting")
    else:
        assert len(checkout.plan(arms="reporting")) == 4


def planned(*args: str) -> list[dict]:
    r = subprocess.run([HINTRUN, "plan", *args], capture_output=True, text=True, cwd=TOP, timeout=60)
    assert r.returncode == 0, r.stderr
    return [json.loads(line) for line in r.stdout.splitlines()]


GIVEN = {
    "nothing else": [],
    "QUICK": ["--quick"],
    "every setting": ["--arms", "none buffer", "--controls", "without", "--repeats", "2", "--mem", "256M", "--buffer", "32M",
                      "--ack-delay", "50ms+1ms", "--clock", "virtual", "--seed", "7", "--jobs", "2",
                      "--vcpus", "2", "--order", "3", "--delay-ms", "100", "--capacity", "16",
                      "--time-limit", "9s", "--hang-limit", "9s", "--out", "results/of mine"],
    "parameters": ["--param", "rate=400", "--param", "threads=2", "--param", "rate=500"],
    "an experiment": ["--experiment", "exp"],
}  # fmt: skip


@pytest.mark.parametrize("given", GIVEN)
def test_the_command_of_a_record_repeats_the_run(checkout: Checkout, given: str) -> None:
    """QUICK, parameters and the full path of an own workload included."""
    checkout.experiment(vary={"ack-delay": ["5ms", "50ms"]})
    own = checkout.tmp / "it's mine/toy"
    own.mkdir(parents=True)
    shutil.copy(checkout.tmp / "toy/run", own)
    t = checkout.tmp
    where = ["--root", str(checkout.root), "--kernel", str(t / "kernel"), "--qemu", str(t / "qemu"),
             "--rootfs", str(t / "rootfs"), "--payload-dir", str(t / "guest")]  # fmt: skip
    asked = ["--workload", str(own), "--accel", "tcg", *GIVEN[given]]
    first = planned(*where, *asked)
    command = shlex.split(first[0]["command"])
    assert command[:2] == ["build/bin/hintrun", "run"], "make has no variable for --kernel"
    assert [p["cell"] for p in planned(*command[2:])] == [p["cell"] for p in first]


def make_runs(command: list[str]) -> list[str]:
    """The options with which `make run ...` would call the runner."""
    r = subprocess.run([command[0], "-n", *command[1:]], capture_output=True, text=True, cwd=TOP)
    [line] = [x for x in r.stdout.splitlines() if "hintrun check" in x]
    return shlex.split(line.split("hintrun check", 1)[1])


def test_the_command_is_a_call_of_make_where_make_can_say_it(bench: Bench) -> None:
    asked = ["--workload", str(bench.tmp / "toy"), *GIVEN["every setting"], *GIVEN["parameters"],
             "--quick", "--accel", "tcg"]  # fmt: skip
    # The images need not be there to plan a cell: those of the checkout may not be built.
    t = bench.tmp
    root = bench.tmp / "root"
    (root / "build").mkdir(parents=True)
    for name in ("kernel", "qemu", "rootfs", "guest"):
        (root / "build" / name).symlink_to(t / name)
    for name in ("arms", "experiments", "workloads"):
        (root / name).symlink_to(TOP / name)
    (root / "build/bin").mkdir()
    shutil.copy(HINTRUN, root / "build/bin/hintrun")  # it finds its root by where it lies

    def plan(options: list[str]) -> list[dict]:
        r = subprocess.run([root / "build/bin/hintrun", "plan", *options], capture_output=True,
                           text=True, cwd=TOP, timeout=60)  # fmt: skip
        assert r.returncode == 0, r.stderr
        return [json.loads(line) for line in r.stdout.splitlines()]

    first = plan(asked)
    command = shlex.split(first[0]["command"])
    assert command[:2] == ["make", "run"]
    assert {"QUICK=1", "PARAM=rate=400 threads=2 rate=500", "OUT=results/of mine", "VCPUS=2",
            f"WORKLOAD={bench.tmp}/toy"} <= set(command)  # fmt: skip
    r = subprocess.run(["make", "-n", *command[1:]], capture_output=True, text=True, cwd=TOP)
    [line] = [x for x in r.stdout.splitlines() if "hintrun check" in x]
    again = plan(shlex.split(line.split("hintrun check", 1)[1]))
    assert [p["cell"] for p in again] == [p["cell"] for p in first]


def test_the_record_has_the_command(bench: Bench) -> None:
    assert bench.run("good", "--quick", "--param", "a=b").returncode == 0
    command = bench.record()[0]["command"]
    assert "--quick=1" in command and "--param=a=b" in command


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--workload", "/no such/folder"], "neither a folder with an executable `run`"),
        (["--workload", "memcached", "--param", "rate=x"], "rate of workload memcached"),
        (["--workload", "memcached", "--mem", "1"], "64M to 64G"),
        (["--workload", "memcached"], ""),
        (["--experiment", "delay"], ""),
    ],
)
def test_what_was_asked_for_is_checked_without_any_image(args: list[str], said: str) -> None:
    r = subprocess.run([HINTRUN, "check", "--root", TOP, "--kernel", "/nowhere", *args],
                       capture_output=True, text=True, timeout=60)  # fmt: skip
    assert r.returncode == (2 if said else 0) and said in r.stderr
    assert r.stdout == ""


def test_the_delay_experiment(checkout: Checkout) -> None:
    shutil.copytree(checkout.tmp / "toy", checkout.root / "workloads/toy")
    lines = planned("--root", str(checkout.root), "--experiment", "delay", "--workload", "toy",
                    "--accel", "tcg", *(f"--{k}={checkout.tmp / v}" for k, v in (
                        ("kernel", "kernel"), ("qemu", "qemu"), ("rootfs", "rootfs"),
                        ("payload-dir", "guest"))))  # fmt: skip
    specs = [line["spec"] for line in lines]
    delays = {5, 20, 50, 100, 200, 500}
    for arm in {s["arm"] for s in specs} - {"none"}:
        assert {s["ack_base_ns"] // 1_000_000 for s in specs if s["arm"] == arm} == delays
    assert len([s for s in specs if s["arm"] == "none"]) == 2, "once per repeat"
    assert {"reporting", "buffer"} < {s["arm"] for s in specs}
    assert len(specs) == 2 * (1 + 3 * len(delays))
