#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrate a guest with a hinting buffer to another QEMU and back, while it reports.

usage: device_migrate.py BUILD WORK

BUILD has qemu/, kernel/ and rootfs/; WORK has payload.tar and gets consoles and
sockets. Prints TAP.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guestvm import MIB, splats
from tap import Tap, wait_until

BUFFER = 32 * MIB
SMALLER = 16 * MIB
# Wall time. TCG on a busy machine: far more than it takes.
LIMIT_S = 240
# Bytes hinted on each machine, at least: twice the buffer.
HINTED = 64 * MIB
INCOMING = ["--", "-incoming", "defer"]


class QmpError(Exception):
    pass


class Machine:
    """One QEMU with its QMP connection and console."""

    def __init__(self, name: str, build: Path, work: Path, *args: str) -> None:
        self.console_path = work / f"{name}.console"
        self.log_path = work / f"{name}.qemu"
        self.log = self.log_path.open("wb")
        path = work / f"{name}.qmp"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(LIMIT_S)
        cmd = [
            str(build / "bin/hintrun"), "boot", "--qmp", str(path), "--console", str(self.console_path),
            "--kernel", str(build / "kernel"), "--qemu", str(build / "qemu"),
            "--rootfs", str(build / "rootfs"), *args,
        ]  # fmt: skip
        self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.sock, _ = listener.accept()
        listener.close()
        self.sock.settimeout(LIMIT_S)
        self.stream = self.sock.makefile("r", encoding="utf-8")
        self.stream.readline()  # greeting
        self.cmd("qmp_capabilities")

    def cmd(self, name: str, **args: Any) -> Any:
        request = {"execute": name, "arguments": {k.replace("_", "-"): v for k, v in args.items()}}
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        while line := self.stream.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpError(answer["error"]["desc"])
        raise QmpError(f"QEMU is gone after {name}, status {self.proc.wait()}")

    def stats(self) -> dict[str, int]:
        return self.cmd("qom-get", path="/machine/peripheral/balloon0", property="hint-stats")

    def hinted(self, batches: int) -> bool:
        """Has it received so many batches, and HINTED bytes?"""
        stats = self.stats()
        return stats["batches"] > batches and stats["bytes-received"] >= HINTED

    def set_buffer(self, size: int) -> None:
        self.cmd("qom-set", path="/machine/peripheral/balloon0", property="hint-buffer-size", value=size)

    def console(self) -> str:
        return self.console_path.read_text(errors="replace") if self.console_path.exists() else ""

    def seen(self, text: str) -> bool:
        return text in self.console()

    def migrate_to(self, other: Machine, uri: str) -> str:
        """The final state of a migration."""
        other.cmd("migrate-incoming", uri=uri)
        # Converge on a slow machine; how long it takes is not the subject.
        self.cmd("migrate-set-parameters", max_bandwidth=1 << 30, downtime_limit=5000)
        self.cmd("migrate", uri=uri)
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            status = str(self.cmd("query-migrate").get("status"))
            if status in ("completed", "failed", "cancelled"):
                return status
            time.sleep(0.05)
        return "timeout"

    def stop(self) -> None:
        self.proc.kill()
        self.proc.wait()
        self.sock.close()
        self.log.close()


tap = Tap()
ok = tap.ok


def soon(done: Callable[[], bool]) -> bool:
    return wait_until(done, LIMIT_S)


def balloon(*options: str) -> list[str]:
    return ["--balloon", ",".join(["free-page-reporting=on", *options])]


def arrive(build: Path, work: Path, name: str, device: list[str]) -> tuple[str, int, str]:
    """Move a machine with a buffer of 4 MiB to another. The state of that one,
    "gone" if it refused; the size of its buffer; what it said."""
    machine = ["--mem", "64M", "--root-on", "none"]
    # One that was moved away already would refuse by itself.
    source = Machine(f"{name}-source", build, work, *machine, "--halted", *balloon("hint-buffer-size=4M"))
    dest = Machine(name, build, work, *machine, *device, *INCOMING)
    size = -1
    try:
        source.migrate_to(dest, f"unix:{work}/{name}.sock")
        # The stream is out. Is it taken?
        soon(lambda: dest.cmd("query-status")["status"] != "inmigrate")
        state = dest.cmd("query-status")["status"]
        size = dest.cmd("qom-get", path="/machine/peripheral/balloon0", property="hint-buffer-size")
    except (QmpError, OSError):
        # One that refuses ends by itself, with a word.
        state = "gone" if dest.proc.wait(LIMIT_S) == 1 else f"ended with status {dest.proc.returncode}"
    finally:
        dest.stop()
        source.stop()
    return state, size, dest.log_path.read_text(errors="replace")


def refused(build: Path, work: Path) -> None:
    """A destination that differs in what the guest sees says no, and why."""
    why = "the guest has a hinting buffer, 'hint-buffer-size' has to be set here as well"
    for name, device, what in (
            ("nobuffer", balloon(), "the buffer"),
            ("none", ["--balloon", ""], "reporting")):
        state, _, said = arrive(build, work, name, device)
        ok(state == "gone" and why in said, f"a destination without {what} refuses the guest, and says why",
           (state, said))
    state, size, said = arrive(build, work, "larger", balloon("hint-buffer-size=8M"))
    ok(state == "prelaunch" and size == 4 * MIB,
       "a destination with a buffer of another size takes the guest, and its size", (state, size, said))


def there_and_back(build: Path, work: Path) -> None:
    guest = [
        "--threads", "multi", "--vcpus", "2", "--mem", "288M", "--root-on", "disk",
        "--payload", str(work / "payload.tar"), "--append",
        "loglevel=5 page_reporting.page_reporting_delay_ms=20 page_reporting.page_reporting_order=3",
    ]  # fmt: skip
    # 10 ms: when the machine stops a batch is often out
    guest += balloon(f"hint-buffer-size={BUFFER}", "x-report-ack-base-ns=10000000")

    machines = [Machine("first", build, work, *guest)]
    try:
        first = machines[0]
        wanted = f"BUFFER wanted {BUFFER // 4096} held"
        if not ok(soon(lambda: first.seen(wanted)), "the guest has set its buffer aside", first.console()[-2000:]):
            return
        ok(soon(lambda: first.hinted(50)), "it reports while memory is used", first.stats())
        # The guest may or may not have read it when it moves.
        first.set_buffer(SMALLER)
        sizes = [(SMALLER, "there"), (SMALLER, "back")]
        moved: list[tuple[int, int]] = []
        for i, (size, name) in enumerate(sizes):
            source = machines[-1]
            before = source.stats()
            dest = Machine(f"then{i}", build, work, *guest, *INCOMING)
            machines.append(dest)
            state = source.migrate_to(dest, f"unix:{work}/move{i}.sock")
            if not ok(state == "completed", f"{name}: the guest moves to another QEMU", state):
                return
            after = source.stats()
            ok(after["bytes-out"] == 0, f"{name}: nothing was left to answer", after)
            moved.append((before["batches"], after["batches"]))
            text = f"BUFFER wanted {size // 4096} held {size // 4096} "
            ok(soon(lambda: dest.seen(text)), f"{name}: the changed size of the buffer is the guest's",
               dest.console()[-500:])  # fmt: skip
            got = dest.cmd("qom-get", path="/machine/peripheral/balloon0", property="hint-buffer-size")
            ok(got == size, f"{name}: ... and the device's", got)
            ok(soon(lambda: dest.hinted(20)), f"{name}: it goes on reporting", dest.stats())
            ok(not before["violations"], f"{name}: never more out than the buffer holds", before)
            source.stop()
        # A move takes a third of a second, in which the workload may free nothing.
        ok(any(after > before for before, after in moved), "it reported while it moved, there or back", moved)
        last = machines[-1]
        last.set_buffer(BUFFER)
        ok(soon(lambda: last.seen(wanted)), "the size can be changed where it came to", last.console()[-500:])
        ok(soon(lambda: last.seen("SOAK ")), "the workload came to its end")
        stats = last.stats() if last.proc.poll() is None else None
        ok(last.seen("SOAK 0."), "no memory lost its content", last.console()[-1000:])
        complaints = [line for each in machines for line in splats(each.console())]
        ok(not complaints, "the kernel did not complain", complaints)
        print(f"# at the end: {stats}")
    finally:
        for machine in machines:
            machine.stop()


def main(args: list[str]) -> int:
    if len(args) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build, work = Path(args[0]).resolve(), Path(args[1]).resolve()
    refused(build, work)
    there_and_back(build, work)
    tap.finish()
    return 0  # what failed was said; it came to its end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
