# SPDX-License-Identifier: GPL-2.0-or-later
"""A scratch copy of the checkout, for the tests that add something to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from runner_bench import TOP, Bench

TOY_ARM = {
    "schema": 1, "description": "a toy", "role": "rival", "order": 15,
    "colour": {"light": "#112233", "dark": "#aabbcc"}, "hints": True, "memory": "x+b",
    "capacity": 8, "device": {"free-page-reporting": "on"},
    "kernel": {"page_reporting.max_out_kib": "$buffer_kib"},
    "expect": {"features": {"5": True}, "parameters": {"max_out_kib": "$buffer_kib"}},
}  # fmt: skip


class Checkout(Bench):
    """A scratch copy of what the planner reads, to add to."""

    def __init__(self, tmp: Path) -> None:
        super().__init__(tmp)
        self.root = tmp / "root"
        for folder in ("arms", "experiments", "workloads"):
            shutil.copytree(TOP / folder, self.root / folder)

    def copy(self, *parts: str) -> None:
        """Further folders of the sources, as they are now."""
        for part in parts:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(TOP / part, self.root / part, ignore=ignore)

    def git(self, *args: str) -> list[str]:
        r = subprocess.run(["git", "-C", str(self.root), *args], capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, r.stderr
        return r.stdout.splitlines()

    def track(self) -> None:
        """What changes from here on is told by changed()."""
        self.git("init", "-q")
        self.git("add", "-A", "-f")

    def changed(self) -> set[str]:
        """Files added, changed or removed, ignored ones too."""
        return {*self.git("diff", "--name-only"), *self.git("ls-files", "--others")}

    def experiment(self, name: str = "exp", **fields: dict) -> None:
        text = json.dumps({"schema": 1, "description": "a test", **fields})
        (self.root / f"experiments/{name}.json").write_text(text)

    def arm(self, name: str, **changes: object) -> None:
        (self.root / f"arms/{name}.json").write_text(json.dumps(TOY_ARM | changes))

    def plan(self, *more: str, arms: str = "none reporting buffer") -> list[dict]:
        """The specs of the cells of experiment `exp`."""
        r = self.hintrun("plan", *self.command("--root", str(self.root), "--experiment", "exp",
                                               "--arms", arms, *more)[2:])  # fmt: skip
        assert r.returncode == 0, r.stdout + r.stderr
        assert not self.out.exists(), "nothing is run"
        return [json.loads(line)["spec"] for line in r.stdout.splitlines()]

    def refused(self, *more: str) -> str:
        r = self.hintrun("plan", *self.command("--root", str(self.root), *more)[2:])
        assert r.returncode == 2, r.stdout + r.stderr
        return r.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)
