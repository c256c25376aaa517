# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner against a fake QEMU: what becomes of the results folder, whatever
stops a run, and what is refused before it begins."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from runner_bench import HINTRUN, Bench, wait_for

pytestmark = pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")


def test_truncated_payload_is_written_anew(bench: Bench) -> None:
    assert bench.run("good").returncode == 0
    tar = next(bench.out.glob("payload-*.tar"))
    whole = tar.read_bytes()
    for broken in (whole[:10], b"\0" + whole[1:]):
        tar.write_bytes(broken)
        assert bench.run("good").returncode == 0
        assert tar.read_bytes() == whole


def test_folder_of_somebody_else_is_not_moved(bench: Bench) -> None:
    assert bench.run("good").returncode == 0
    mine = bench.cells()
    for name in ("notes", "none-s1-r1-0123456789ab"):
        other = bench.out / name
        other.mkdir()
        (other / "cell.json").write_text("{}")
        r = bench.run("good", "--seed", "2")
        assert r.returncode == 69 and f"{other} is no cell of a run" in r.stderr
        assert (other / "cell.json").exists() and all(x.exists() for x in mine)
        assert not (bench.out / ".parked").exists()
        shutil.rmtree(other)


def test_finished_cells_are_kept_and_failed_ones_run_again(bench: Bench) -> None:
    assert bench.run("once-bad").returncode == 1
    failed = bench.cells()[0]
    assert bench.run("once-bad").returncode == 0
    assert bench.cells() == [failed]
    aside = list((bench.out / ".failed").iterdir())
    assert [p.name for p in aside] == [failed.name + ".1"]
    before = (failed / "record.jsonl").stat().st_mtime_ns
    r = bench.run("once-bad")
    assert r.returncode == 0 and "(done)" in r.stdout
    assert (failed / "record.jsonl").stat().st_mtime_ns == before


def test_other_settings_are_parked_and_come_back(bench: Bench) -> None:
    bench.run("good")
    first = bench.cells()
    bench.run("good", "--seed", "2")
    assert len(bench.cells()) == 1 and bench.cells() != first
    bench.run("good")
    assert bench.cells() == first


def test_unfinished_cell_is_run_anew(bench: Bench) -> None:
    bench.run("good")
    (bench.cells()[0] / "record.jsonl").unlink()
    r = bench.run("good")
    assert r.returncode == 0 and "DONE" in r.stdout


def test_killed_runner_leaves_no_process_and_keeps_cells(bench: Bench) -> None:
    assert bench.run("good", "--repeats", "1").returncode == 0
    done = (bench.cells()[0] / "record.jsonl").read_bytes()
    p = bench.start("slow", "--repeats", "2", "--jobs", "1")
    wait_for(lambda: len(list(bench.out.glob("none-s1-r2-*/work.stream"))) == 1)
    wait_for(lambda: len(bench.processes()) >= 3)  # runner, worker, QEMU
    p.send_signal(signal.SIGKILL)
    p.communicate()
    wait_for(lambda: not bench.processes())
    r = bench.run("good", "--repeats", "2")
    assert r.returncode == 0, r.stderr
    assert [(c / "record.jsonl").read_bytes() for c in bench.cells()][0] == done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_signal(bench: Bench, number: signal.Signals) -> None:
    p = bench.start("slow")
    wait_for(lambda: len(bench.processes()) >= 3)
    p.send_signal(number)
    out, _ = p.communicate(timeout=20)
    assert p.returncode == 128 + number
    assert "the same command continues" in out
    assert bench.processes() == []
    assert not list(bench.out.glob("*/record.jsonl"))


def test_two_runners_do_not_collide(bench: Bench) -> None:
    p = bench.start("slow")
    wait_for(lambda: len(bench.processes()) >= 3)
    r = bench.run("good")
    assert r.returncode == 69
    assert "another hintrun works in" in r.stderr
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=20)


def test_disk_full(bench: Bench) -> None:
    small = bench.tmp / "small"
    small.mkdir()
    size = 72 << 20
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        out = small / "out"
        assert bench.run("good", out=out).returncode == 0
        done = {p: p.read_bytes() for p in out.glob("*/record.jsonl")}
        r = bench.run("flood", "--repeats", "2", out=out)
        assert r.returncode == 69, r.stdout + r.stderr
        assert "full" in r.stdout + r.stderr
        assert "  infrastructure: " in r.stdout
        assert all(p.read_bytes() == text for p, text in done.items())
        r = bench.run("good", "--repeats", "2", out=out)
        assert r.returncode == 69 and "make room" in r.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--mem", "5Q"], "64M to 64G"),
        (["--arms", "none bufer"], "reporting"),
        (["--clock", "fast"], "auto|virtual|real"),
        (["--ack-delay", "200"], "DURATION"),
        (["--accel", "kvm"], "CLOCK=virtual"),
        (["--workload", "nowhere"], "memcached"),
        (["--experiment", "nowhere"], "missing"),
        (["--nonsense", "1"], "no option"),
        (["--param", "rate"], "NAME=VALUE"),
        (["stray"], "too many"),
    ],
)
def test_wrong_usage(bench: Bench, args: list[str], said: str) -> None:
    r = bench.run("good", *args)
    assert r.returncode == 2
    assert said in r.stderr
    assert not bench.out.exists() or not bench.cells()


def test_workload_too_large(bench: Bench) -> None:
    with (bench.tmp / "toy/big").open("wb") as big:
        big.truncate(65 << 20)
    r = bench.run("good")
    assert r.returncode == 69 and "larger than 64 MiB" in r.stderr


def test_control_comes_along_and_arms_differ_as_they_should(bench: Bench) -> None:
    assert bench.run("good", "--arms", "none buffer", "--repeats", "2").returncode == 0
    runs = [bench.record(c)[0] for c in bench.cells()]
    specs = {(r["spec"]["arm"], r["spec"]["repeat"]): r["spec"] for r in runs}
    arms = {"none", "reporting-xb", "reporting-xb-cap", "buffer"}
    assert {arm for arm, _ in specs} == arms and len(specs) == 8
    none, xb, buf = (specs[arm, 1] for arm in ("none", "reporting-xb", "buffer"))
    assert none["extra_bytes"] == 0 and none["overhead_bytes"] == 0
    assert xb["extra_bytes"] == buf["extra_bytes"] == 64 << 20
    assert xb["overhead_bytes"] == buf["overhead_bytes"] == 2 << 20
    assert xb["buffer_bytes"] == 0 and buf["buffer_bytes"] == 64 << 20

    def kernel(run: dict) -> str:
        cmd = run["host"]["qemu_cmd"]
        return cmd[cmd.index("-append") :].split("'")[1]

    cap = " page_reporting.max_out_kib=65536"
    assert {kernel(r).replace(cap, "") for r in runs} == {kernel(runs[0]).replace(cap, "")}, "else one line"
    assert {r["spec"]["arm"] for r in runs if cap in kernel(r)} == {"reporting-xb-cap"}


def test_plan_is_the_same_for_the_same_seed(bench: Bench) -> None:
    args = ("--arms", "none reporting buffer", "--repeats", "3")
    orders = set()
    for name in ("a", "b"):
        r = bench.run("good", *args, out=bench.tmp / name)
        orders.add("".join(x for x in r.stdout.splitlines() if "ORDER" in x))
    assert len(orders) == 1


def test_cell_again(bench: Bench) -> None:
    bench.run("good")
    cell = bench.cells()[0]
    command = bench.command(out=bench.tmp / "again")
    command[1:2] = ["cell", str(cell / "cell.json")]
    r = subprocess.run(command, env=bench.env("good"), capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    assert (bench.tmp / "again" / cell.name / "record.jsonl").exists()
    (bench.tmp / "kernel/id").write_text("1111\n")
    r = subprocess.run(command, env=bench.env("good"), capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "another kernel" in r.stderr


def test_list(bench: Bench) -> None:
    r = subprocess.run([HINTRUN, "list"], capture_output=True, text=True)
    assert r.returncode == 0
    for word in ("memcached", "none", "reporting", "reporting-xb", "buffer"):
        assert word in r.stdout


@pytest.mark.parametrize("how", ["arm", "cell"])
def test_debug_says_how_to_attach(bench: Bench, how: str) -> None:
    assert bench.run("good").returncode == 0
    cell = bench.cells()[0]
    (bench.tmp / "qemu/qemu-system-x86_64").write_text('#!/bin/sh\nfor x in "$@"; do echo "ARG $x"; done\n')
    command = bench.command()
    command[1:2] = ["debug"] if how == "arm" else ["debug", str(cell)]
    command[command.index("--arms")] = "--arm"
    r = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    args = [x[4:] for x in r.stdout.splitlines() if x.startswith("ARG ")]
    assert "-S" in args
    stub = args[args.index("-gdb") + 1]
    path = stub.removeprefix("unix:").removesuffix(",server=on,wait=off")
    assert f"gdb -ex 'target remote {path}' {bench.tmp}/kernel/vmlinux" in r.stdout
    assert not Path(path).parent.exists(), "nothing is left behind"
    assert ("-icount" in args) == (how == "cell"), "a cell has its own clock"
