# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of the workloads, run on this host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from runner_bench import wait_for

TOP = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("WORKLOAD_TOOLS", TOP / "build/workloads"))
ROOM = str(TOP / "collectors" / "guest")  # of room.sh


def program(name: str) -> Path | None:
    return next(BUILT.glob(f"*/{name}"), None)


def built(*names: str) -> bool:
    return all(program(n) for n in names)


def tool(name: str, *args: str) -> list[str]:
    return [str(program(name)), "--unprotected", *args]


class Stream:
    """A program with record lines on descriptor N, and what came of it."""

    def __init__(self, name: str, *args: str, out: bool = True) -> None:
        read_fd, write_fd = os.pipe()
        os.set_inheritable(write_fd, True)
        extra = [f"--out-fd={write_fd}"] if out else []
        self.process = subprocess.Popen(
            tool(name, *extra, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            close_fds=False,
        )  # fmt: skip
        os.close(write_fd)
        self.records = os.fdopen(read_fd)
        self.lines: list[dict] = []
        self.status: int | None = None

    def wait_for(self, **wanted: str | int) -> dict:
        """Read lines until one is as wanted: machines differ in speed, so no start is guessed by a sleep."""
        for text in self.records:
            self.lines.append(json.loads(text))
            if all(self.lines[-1].get(k) == v for k, v in wanted.items()):
                return self.lines[-1]
        raise AssertionError(f"no line with {wanted}: {self.finish().stderr}")

    def finish(self) -> Stream:
        # Few lines: they fit the pipe, so the order of reading does not matter.
        self.stdout, self.stderr = self.process.communicate(timeout=60)
        self.status = self.process.returncode
        with self.records as f:
            self.lines += [json.loads(line) for line in f]
        return self

    def of(self, **wanted: str) -> list[dict]:
        return [x for x in self.lines if all(x.get(k) == v for k, v in wanted.items())]

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def child(self, after: int = 0) -> int:
        return wait_for(lambda: next((pid for pid in self.children() if pid != after), 0))


def run_script(workload: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`run` of a workload, up to where it would need a guest."""
    return subprocess.run(
        [str(TOP / "workloads" / workload / "run"), *args],
        env={"PATH": os.environ["PATH"], "HINT_DIR": ROOM, **env}, capture_output=True, text=True, timeout=10,
    )  # fmt: skip


def sizes(workload: str, mem_mib: int, **params: int) -> dict[str, int]:
    """What `run --sizes` prints, in KiB."""
    env = {f"HINT_P_{k}": str(v) for k, v in params.items()}
    done = run_script(workload, "--sizes", HINT_MEM_BYTES=str(mem_mib << 20), **env)
    assert done.returncode == 0, done.stderr
    return {k: int(v) for k, v in (x.split("=") for x in done.stdout.split())}
