# SPDX-License-Identifier: GPL-2.0-or-later
"""`hintrun debug` starts a guest that waits before its first instruction, says how
to attach, and its stub answers a debugger; let go, the guest boots."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import guestvm
from guestvm import GUEST, HINTRUN, KERNEL, QEMU, ROOTFS, TOP, Scratch, Tap

LIMIT_S = 60


def packet(stub: socket.socket, text: str) -> str:
    """Answer to one packet of gdb's remote protocol: $text#checksum."""
    stub.sendall(f"${text}#{sum(text.encode()) & 0xff:02x}".encode())
    data = b""
    while not re.search(rb"\$[^#]*#..", data):
        part = stub.recv(65536)
        if not part:
            break
        data += part
    stub.sendall(b"+")
    match = re.search(rb"\$([^#]*)#..", data)
    return match.group(1).decode() if match else ""


def read_until(proc: subprocess.Popen, text: str) -> str:
    """What the terminal shows until then."""
    end = time.monotonic() + LIMIT_S
    seen = ""
    assert proc.stdout
    while text not in seen and time.monotonic() < end:
        part = proc.stdout.read1(65536)  # type: ignore[attr-defined]
        if not part:
            break
        seen += part.decode(errors="replace")
    return seen


def test(tap: Tap, scratch: Scratch) -> None:
    command = [HINTRUN, "debug", "--arm", "none", "--root", TOP, "--kernel", KERNEL, "--qemu", QEMU,
               "--rootfs", ROOTFS, "--payload-dir", GUEST, "--accel", "tcg"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as proc:
        said = read_until(proc, "lets it go.")
        match = re.search(r"gdb -ex 'target remote (\S+)' (\S+)", said)
        if not tap.ok(bool(match), "it says how to attach", said):
            proc.terminate()
            return
        path, symbols = match.groups()  # type: ignore[union-attr]
        tap.ok(Path(symbols).exists(), "the file of symbols is there", symbols)
        stub = socket.socket(socket.AF_UNIX)
        stub.settimeout(LIMIT_S)
        end = time.monotonic() + LIMIT_S
        while not Path(path).exists() and time.monotonic() < end:
            time.sleep(0.1)
        stub.connect(path)
        answer = packet(stub, "?")
        tap.ok(answer.startswith(("T05", "S05")), "the stub answers: the guest is halted", answer)
        registers = packet(stub, "g")
        tap.ok(len(registers) > 100 and not registers.startswith("E"), "registers can be read", registers)
        tap.is_(packet(stub, "D"), "OK", "the debugger lets it go")
        boots = read_until(proc, "Linux version")
        tap.ok("Linux version" in boots, "the guest boots", boots[-2000:])
        proc.terminate()
        proc.wait(LIMIT_S)
        tap.ok(not Path(path).exists(), "nothing is left behind", path)


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs", HINTRUN,
                    GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
