# SPDX-License-Identifier: GPL-2.0-or-later
"""`hintrun boot`, the one launcher of guests: options become QEMU's command line."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HINTRUN = TOP / "build/bin/hintrun"

pytestmark = pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")


@pytest.fixture
def build(tmp_path: Path) -> list[str]:
    """Options that name a pretended build tree."""
    for kind, name, size in (("kernel", "bzImage", 1), ("rootfs", "root.erofs", 2 << 20)):
        (tmp_path / kind).mkdir()
        with (tmp_path / kind / name).open("wb") as file:
            file.truncate(size)
    (tmp_path / "qemu/share").mkdir(parents=True)
    program = tmp_path / "qemu/qemu-system-x86_64"
    program.write_text('#!/bin/sh\necho "qemu got: $*"\nexit 7\n')
    program.chmod(0o755)
    return [f"--{kind}={tmp_path / kind}" for kind in ("kernel", "rootfs", "qemu")]


def boot(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run([HINTRUN, "boot", *options], capture_output=True, text=True, timeout=60)


def command(*options: str) -> list[str]:
    r = boot(*options, "--dry-run")
    assert r.returncode == 0, r.stderr
    return shlex.split(r.stdout)


def after(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_what_nobody_asked_for_is_not_there(build: list[str]) -> None:
    words = command(*build)
    assert after(words, "-device") == ["nvdimm,id=nv0,memdev=image0,unarmed=on"]
    assert after(words, "-m") == ["size=512M,slots=4,maxmem=128G"]
    assert "-icount" not in words and "-S" not in words and "-gdb" not in words
    assert " root=/dev/pmem0 rootfstype=erofs ro init=/sbin/hint-init " in after(words, "-append")[0]


def test_options_reach_qemu(build: list[str], tmp_path: Path) -> None:
    words = command(*build, "--mem", "1G", "--vcpus=3", "--clock", "virtual", "--seed", "9", "--cpu", "+pdpe1gb",
                    "--append", "loglevel=7 a=b", "--balloon", "free-page-reporting=on", "--qmp-fd", "5",
                    "--agent-fd", "6", "--ports", str(tmp_path), "--console", str(tmp_path / "a,b"), "--halted",
                    "--gdb", "tcp:127.0.0.1:1", "--at-end", "stay")  # fmt: skip
    assert after(words, "-m") == ["size=1024M,slots=4,maxmem=128G"] and after(words, "-smp") == ["3"]
    assert after(words, "-icount") == ["shift=0,sleep=off,align=off"] and after(words, "-seed") == ["9"]
    assert after(words, "-cpu") == ["kvm64,+pdpe1gb"]
    assert after(words, "-append")[0].endswith(" uhash_entries=512 loglevel=7 a=b"), "what is added wins"
    assert "virtio-balloon-pci,id=balloon0,ioeventfd=off,free-page-reporting=on" in after(words, "-device")
    assert f"file,id=console,path={tmp_path}/a,,b" in after(words, "-chardev")
    assert {"socket,id=qmp,fd=5", "socket,id=agent,fd=6"} < set(after(words, "-chardev"))
    assert "-S" in words and after(words, "-gdb") == ["tcp:127.0.0.1:1"]
    assert after(words, "-action") == ["reboot=shutdown,shutdown=pause"]


def test_another_kernel_brings_its_own_root(build: list[str], tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"x")
    words = command(build[2], "--kernel", str(tmp_path / "vmlinuz"), "--initrd", "/i")
    assert after(words, "-kernel") == [str(tmp_path / "vmlinuz")] and after(words, "-initrd") == ["/i"]
    assert "root=" not in after(words, "-append")[0] and "nvdimm" not in " ".join(after(words, "-device"))


def test_a_guest_that_migrates_has_disks(build: list[str]) -> None:
    words = command(*build, "--root-on", "disk")
    assert after(words, "-device") == ["virtio-blk-pci,drive=image0"]
    assert " root=/dev/vda rootfstype=erofs " in after(words, "-append")[0]


def test_it_becomes_qemu(build: list[str]) -> None:
    r = boot(*build, "--", "-incoming", "defer")
    assert r.returncode == 7 and r.stdout.rstrip().endswith("-incoming defer")


@pytest.mark.parametrize(("options", "status", "said"), [
    (["--mem", "5Q"], 2, "16M to 64G"),
    (["--clock", "fast"], 2, "real|virtual"),
    (["--nonsense", "1"], 2, "no option --nonsense"),
    (["--mem"], 2, "allowed: 16M to 64G"),
    (["--accel", "kvm", "--clock", "virtual"], 2, "needs --accel tcg"),
    (["--kernel", "/nowhere"], 69, "cannot read the kernel /nowhere"),
    (["--payload", "/nowhere.tar"], 69, "cannot find the image /nowhere.tar"),
    (["--payload", "/etc/passwd"], 69, "multiple of 2 MiB"),
])  # fmt: skip
def test_wrong_options(build: list[str], options: list[str], status: int, said: str) -> None:
    r = boot(*build, *options, "--dry-run")
    assert r.returncode == status and said in r.stderr


def test_command_lines_stand_in_one_place() -> None:
    """Of QEMU and of the guest's kernel; the bench is to follow."""
    allowed = {TOP / "collectors/run/vm/qemu.c", TOP / "bench/run.sh", Path(__file__)}
    for folder in ("collectors", "bench", "tests", "images", "workloads"):
        for path in (TOP / folder).rglob("*"):
            if path.is_file() and path not in allowed and path.suffix in (".c", ".h", ".sh", ".py", ".init"):
                text = path.read_text(errors="replace")
                for sign in ("-nodefaults", "dhash_entries", "unarmed=on"):
                    assert sign not in text, f"{path}: {sign}"
