# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner with a fake QEMU in a pretended build tree, for its tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from collectors.run.record.describe import load
from collectors.run.record.gen import json_schema

TOP = Path(__file__).resolve().parents[2]
HINTRUN = TOP / "build/bin/hintrun"


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
        # This interpreter: one on PATH may be a script that looks for it first.
        program = tmp / "qemu/qemu-system-x86_64"
        text = Path(__file__).with_name("fake_qemu.py").read_text()
        program.write_text(f"#!{sys.executable}\n{text.split(chr(10), 1)[1]}")
        program.chmod(0o755)
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


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """What the condition gives as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def check_schema(lines: list[dict]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(load(), lines[0]["schema"]))
    for line in lines:
        validator.validate(line)
