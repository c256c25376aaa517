# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner against a fake QEMU: each way to fail has its name, its exit
status and its record, and nothing that was finished is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest

from collectors.run.record.describe import load
from collectors.run.record.gen import json_schema

TOP = Path(__file__).resolve().parents[2]
HINTRUN = TOP / "build/bin/hintrun"

pytestmark = pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")


class Bench:
    """A pretended build tree, and a results folder."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.out = tmp / "out"
        for kind, name in (("kernel", "bzImage"), ("rootfs", "root.erofs")):
            (tmp / kind).mkdir()
            (tmp / kind / name).write_bytes(b"\0" * (2 << 20))
            (tmp / kind / "id").write_text("00ff\n")
        (tmp / "qemu/share").mkdir(parents=True)
        (tmp / "qemu/id").write_text("00ee\n")
        shutil.copy(Path(__file__).with_name("fake_qemu.py"), tmp / "qemu/qemu-system-x86_64")
        (tmp / "guest").mkdir()
        (tmp / "guest/init").write_text("#!/bin/sh\n")
        (tmp / "toy").mkdir()
        (tmp / "toy/run").write_text("#!/bin/sh\n")
        (tmp / "toy/run").chmod(0o755)

    def command(self, *more: str, out: Path | None = None) -> list[str]:
        t = self.tmp
        return [str(HINTRUN), "run", "--root", str(TOP), "--workload", str(t / "toy"),
                "--arms", "none", "--repeats", "1", "--accel", "tcg", "--clock", "virtual",
                "--kernel", str(t / "kernel"), "--qemu", str(t / "qemu"),
                "--rootfs", str(t / "rootfs"), "--payload-dir", str(t / "guest"),
                "--out", str(out or self.out), "--hang-limit", "30s", *more]  # fmt: skip

    def env(self, mode: str) -> dict[str, str]:
        return dict(os.environ, FAKE_MODE=mode, FAKE_FLAG=str(self.tmp / "flag"))

    def run(self, mode: str, *more: str, out: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*more, out=out), env=self.env(mode),
                              capture_output=True, text=True, timeout=60)  # fmt: skip

    def hintrun(self, *args: str) -> subprocess.CompletedProcess:
        return subprocess.run([HINTRUN, *args], capture_output=True, text=True, timeout=60)

    def start(self, mode: str, *more: str) -> subprocess.Popen:
        return subprocess.Popen(self.command(*more), env=self.env(mode), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def cells(self) -> list[Path]:
        return sorted(p.parent for p in self.out.glob("*/cell.json"))

    def record(self, cell: Path | None = None) -> list[dict]:
        text = ((cell or self.cells()[0]) / "record.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def processes(self) -> list[int]:
        """Live processes of this bench, found by their command line."""
        found = []
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.tmp).encode() in (proc / "cmdline").read_bytes():
                    found.append(int(proc.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def wait_for(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def check_schema(lines: list[dict]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(load(), lines[0]["schema"]))
    for line in lines:
        validator.validate(line)


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
        ("workload", "workload", "status 3"),
        ("ledger", "ledger", "the device received"),
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


def test_time_limit(bench: Bench) -> None:
    r = bench.run("slow", "--time-limit", "1s")
    assert r.returncode == 1
    assert "time limit" in bench.record()[-1]["failure_detail"]


def test_missing_image(bench: Bench) -> None:
    (bench.tmp / "kernel/bzImage").unlink()
    r = bench.run("good")
    assert r.returncode == 69
    assert "make kernel" in r.stderr


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
