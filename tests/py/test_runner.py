# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner against a fake QEMU: each way to fail has its name, its exit
status and its record."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from runner_bench import HINTRUN, TOP, Bench, check_schema, wait_for

pytestmark = pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")


def test_done(bench: Bench) -> None:
    r = bench.run("good")
    assert r.returncode == 0, r.stderr
    lines = bench.record()
    check_schema(lines)
    assert lines[0]["type"] == "run" and lines[0]["guests"][0]["release"] == "6.12.0-fake"
    assert lines[-1]["status"] == "done" and lines[-1]["failure"] is None
    assert lines[-1]["nr_lines"] == len(lines) - 2
    times = [line["t_ns"] for line in lines[1:-1]]
    assert times == sorted(times)
    samples = [x for x in lines[1:-1] if x["type"] == "sample" and x["src"] == "host"]
    assert samples
    for sample in samples:
        assert sample["rss_bytes"] == sample["huge_bytes"] == sample["swap_bytes"] == 0
        assert sample["process_rss_bytes"] > 0
    assert bench.processes() == []


def test_cell_file_is_its_own_hash(bench: Bench) -> None:
    bench.run("good")
    cell = bench.cells()[0]
    digest = subprocess.run(["sha256sum", cell / "cell.json"], capture_output=True, text=True)
    assert cell.name == f"none-s1-r1-{digest.stdout[:12]}"


@pytest.mark.parametrize(
    ("mode", "failure", "detail"),
    [
        ("garbage", "stream", "not JSON"),
        ("endless-line", "stream", "longer than"),
        ("lie-as-host", "stream", "src"),
        ("lie-as-runner", "stream", "unknown type"),
        ("half-line", "died", "powered off"),
        ("splat", "splat", "Bad page state"),
        ("panic", "panic", "no root"),
        ("hang", "hang", "no sign of life"),
        ("hang-boot", "boot", "no sign of life"),
        ("power-off", "died", "powered off before"),
        ("killed", "died", "signal 9"),
        ("ends-by-itself", "died", "QEMU ended with status 1: fake-qemu: cannot go on"),
        ("told-to-end", "died", "QEMU ended with status 0: fake-qemu: terminating on signal 15"),
        ("workload", "workload", "status 3"),
        ("ledger", "ledger", "the device received"),
        ("no-begin", "tracer", "the tracer did not attach; it printed nothing"),
        ("no-end", "tracer", 'gone before it was told to end: its last sample is of 50.0 s; it printed last: "Killed"'),
        ("early-measure", "tracer", "lived from 2.000 to 51.000 s, the measured part is from 1.000"),
        ("late-measure", "tracer", "the measured part is from 5.000 to 55.000 s"),
        ("gives-up", "workload", "init gave up: parameter thp is 'maybe'"),
        ("sleeper", "hang", "time limit of 1800 s on the guest's clock"),
    ],
)
def test_guest_failure(bench: Bench, mode: str, failure: str, detail: str) -> None:
    r = bench.run(mode, *(["--hang-limit", "5s"] if mode.startswith("hang") else []))
    assert r.returncode == 1, r.stderr
    lines = bench.record()
    check_schema(lines)
    assert lines[-1]["status"] == "failed"
    assert lines[-1]["failure"] == failure
    assert detail in lines[-1]["failure_detail"]
    assert failure in r.stdout
    assert bench.processes() == []


def test_hostile_lines_stay_out_of_the_record(bench: Bench) -> None:
    bench.run("garbage")
    cell = bench.cells()[0]
    assert b"<script>" in (cell / "work.stream").read_bytes()
    assert b"<script>" not in (cell / "record.jsonl").read_bytes()
    assert bench.record()[-1]["nr_bad_lines"] == 1


def test_oom_kill_is_a_result(bench: Bench) -> None:
    assert bench.run("oom").returncode == 0


@pytest.mark.parametrize(
    ("mode", "detail"),
    [
        ("refuse", "property 'x' not found"),
        ("stopped", "stopped the guest by itself"),
        ("old-qemu", "does not count violations"),
        ("no-ram", "QEMU lists no block of guest RAM"),
        ("half-ram", "QEMU maps 0 of 512 MiB of the guest's RAM"),
    ],
)
def test_infrastructure(bench: Bench, mode: str, detail: str) -> None:
    r = bench.run(mode)
    assert r.returncode == 69, r.stdout + r.stderr
    assert detail in r.stdout
    assert bench.record()[-1]["failure"] == "infrastructure"


def test_flood_is_bounded(bench: Bench) -> None:
    r = bench.run("flood")
    assert r.returncode == 1, r.stderr
    assert bench.record()[-1]["failure"] == "stream"
    assert (bench.cells()[0] / "trace.stream").stat().st_size < 512 << 20
    shutil.rmtree(bench.out)  # a quarter of a GiB


@pytest.mark.parametrize(
    ("status", "said"),
    [(3, "status 3;"), (126, "126 (it cannot be run);"), (127, "a library, or the interpreter"),
     (139, "139 (Segmentation fault);")],
)  # fmt: skip
def test_a_failed_workload_is_quoted(bench: Bench, status: int, said: str) -> None:
    r = subprocess.run(bench.command(), env=dict(bench.env("says"), FAKE_STATUS=str(status)),
                       capture_output=True, text=True, timeout=60)  # fmt: skip
    assert r.returncode == 1
    detail = bench.record()[-1]["failure_detail"]
    assert said in detail
    assert detail.endswith('it printed last: "line 3 ?[2J" "line 4 ?[2J" "line 5 ?[2J"')
    assert detail in r.stdout and "\x1b[2J" not in r.stdout


def has_kvm() -> bool:
    flags = {word for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("flags") for word in line.split()}  # fmt: skip
    return bool(flags & {"vmx", "svm"}) and os.access("/dev/kvm", os.R_OK | os.W_OK)


@pytest.mark.skipif(has_kvm(), reason="this machine may have KVM")
def test_remembered_kvm_is_not_believed_without_a_device(bench: Bench) -> None:
    root = bench.tmp / "root"
    (root / "build").mkdir(parents=True)
    for folder in ("experiments", "arms", "workloads"):
        (root / folder).symlink_to(TOP / folder)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (root / "build/accel").write_text(f"kvm {boot_id} 00ff 00ee\na guest boots\n")
    r = bench.run("good", "--root", str(root), "--accel", "auto", "--clock", "real")
    assert r.returncode == 0, r.stdout + r.stderr
    assert "TCG, not KVM: " in r.stdout
    assert bench.record()[0]["spec"]["accel"] == "tcg"


def test_script_with_cr_lf_is_refused_at_once(bench: Bench) -> None:
    (bench.tmp / "toy/run").write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    r = bench.run("good")
    assert r.returncode == 2 and "end in CR LF" in r.stderr
    assert not bench.out.exists()


def test_words_of_a_panic_are_none(bench: Bench) -> None:
    assert bench.run("quoted-panic").returncode == 0


def test_kernel_that_is_none_is_named(bench: Bench) -> None:
    r = bench.run("mute", "--hang-limit", "3s")
    assert r.returncode == 1
    assert "the kernel has not said a word in 3 s" in bench.record()[-1]["failure_detail"]
    assert bench.record()[-1]["failure"] == "boot"


def test_worker_that_is_killed_is_named(bench: Bench) -> None:
    p = bench.start("slow")
    wait_for(lambda: len(bench.processes()) >= 3)
    workers = [pid for pid in bench.processes() if pid != p.pid and
               Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[1] == str(p.pid)]  # fmt: skip
    os.kill(workers[0], signal.SIGKILL)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 69
    assert "infrastructure: the worker was ended by signal 9 (Killed)" in out


def test_time_limit(bench: Bench) -> None:
    r = bench.run("slow", "--time-limit", "1s")
    assert r.returncode == 1
    assert "time limit" in bench.record()[-1]["failure_detail"]


def test_missing_image(bench: Bench) -> None:
    (bench.tmp / "kernel/bzImage").unlink()
    r = bench.run("good")
    assert r.returncode == 69
    assert "make kernel" in r.stderr
