#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A test double for QEMU: enough of its command line, QMP and files that the
runner can be shown every way in which a guest or QEMU may misbehave. What to
do comes from the environment: FAKE_MODE. Nothing of the product uses this."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import signal
import socket
import sys
import time

HELLO = {
    "type": "hello", "release": "6.12.0-fake", "cmdline": "console=ttyS0",
    "mem_total_kib": 496044, "min_free_kib": 24460, "features": "0x22",
    "order": 9, "delay_ms": 2000, "capacity": 32, "buffer_wanted_pages": 0,
    "buffer_held_pages": 0, "zones": [], "swap_kib": 0,
}  # fmt: skip

STATS = {
    "virtual-ns": 0, "guest-features": 34, "batches": 0, "chunks": 0,
    "bytes-received": 0, "bytes-discarded": 0, "discard-ns": 0, "stopped-ns": 0, "stopped-ns-max": 0, "bytes-out": 0,
    "bytes-out-max": 0, "buffer-pages": 0, "violations": 0,
    "skipped-inhibited": 0, "skipped-poison": 0, "skipped-over-limit": 0,
    "skipped-not-ram": 0, "skipped-unaligned": 0, "skipped-past-end": 0, "skipped-failed": 0,
}  # fmt: skip

SEC = 1_000_000_000


def guest_sample(t_ns: int) -> dict:
    return {"type": "sample", "t_ns": t_ns, "src": "guest", "zones": [], "uncompensated_page_ns": 0,
            "held_page_ns": 0, "vmstat": {}}  # fmt: skip


class Machine:
    def __init__(self, argv: list[str]) -> None:
        text = " ".join(argv)
        self.path = dict(re.findall(r"file,id=(\w+),path=(\S+)", text))
        fd = int(re.search(r"socket,id=qmp,fd=(\d+)", text).group(1))
        self.qmp = socket.socket(fileno=fd)
        self.qmp.setblocking(False)
        self.pending = b""
        # What the device offers the guest takes, and every parameter it is given.
        self.features = 1 << 1 | ("free-page-reporting=on" in text) << 5 | (
            "hint-buffer-size=" in text) << 20
        self.features ^= int(os.environ.get("FAKE_FEATURES_FLIPPED", "0"), 0)
        self.parameters = dict(re.findall(r"page_reporting\.(\w+)=(\S+)", text))
        self.stats = dict(STATS) | {"guest-features": self.features}
        mib = int(re.search(r" size=(\d+)M,slots", text).group(1))
        # Shared: the kernel does not merge it with a neighbour.
        self.ram = mmap.mmap(-1, mib << 20)
        self.ram_mib = mib

    def ramblocks(self) -> str:
        """As QEMU lists its memory: that of the guest is a mapping of this process."""
        where = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        size = f"0x{self.ram_mib << 20:016x}"
        return (f"{'Block Name':>24} {'PSize':>8}  {'Offset':>18} {'Used':>18} {'Total':>18} {'HVA':>18} RO\n"
                f"{'pc.ram':>24} {'4 KiB':>8}  0x{0:016x} {size} {size} 0x{where:016x}  rw\n")

    def take_ram_away(self) -> None:
        where = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        ctypes.CDLL(None).munmap(ctypes.c_void_p(where), ctypes.c_size_t(self.ram_mib << 20))

    def write(self, port: str, data: bytes) -> None:
        with open(self.path[port], "ab", buffering=0) as out:
            out.write(data)

    def line(self, port: str, obj: dict) -> None:
        self.write(port, json.dumps(obj).encode() + b"\n")

    def send(self, obj: dict) -> None:
        self.qmp.setblocking(True)
        self.qmp.sendall(json.dumps(obj).encode() + b"\r\n")
        self.qmp.setblocking(False)

    def serve(self, seconds: float) -> None:
        """Answer commands for a while; `quit` ends the process."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                data = self.qmp.recv(65536)
                if not data:
                    sys.exit(0)
                self.pending += data
            except BlockingIOError:
                time.sleep(0.01)
                continue
            *lines, self.pending = self.pending.split(b"\n")
            for line in lines:
                self.answer(json.loads(line)["execute"])

    def answer(self, command: str) -> None:
        if command == "quit":
            self.send({"return": {}})
            sys.exit(0)
        if command == "x-query-ramblock":
            text = "no such thing" if os.environ["FAKE_MODE"] == "no-ram" else self.ramblocks()
            self.send({"return": {"human-readable-text": text}})
        else:
            self.send({"return": dict(self.stats) if command == "qom-get" else {}})

    def start(self) -> None:
        version = {"qemu": {"major": 10, "minor": 0, "micro": 99}, "package": "fake"}
        self.send({"QMP": {"version": version, "capabilities": []}})
        self.write("console", b"[    0.000000] Linux version 6.12.0-fake\n")
        self.serve(0.05)

    def hello(self) -> None:
        self.line("work", HELLO | {"features": hex(self.features),
                                  "parameters": self.parameters})

    def sync(self, t_ns: int) -> None:
        """Guest time t; the virtual clock is one second ahead of it."""
        self.stats["virtual-ns"] = t_ns + SEC
        self.line("work", {"type": "sync", "t_ns": t_ns, "tsc": t_ns + SEC})

    def tracer(self, t_ns: int, edge: str) -> None:
        if f"no-{edge}" not in os.environ["FAKE_MODE"]:
            self.line("trace", {"type": "tracer", "t_ns": t_ns, "edge": edge})

    def shutdown(self, reason: str = "guest-shutdown") -> None:
        self.send({"event": "SHUTDOWN", "data": {"guest": True, "reason": reason}})
        self.send({"event": "STOP"})
        self.serve(60)

    def good_guest(self, status: int = 0) -> None:
        self.sync(1 * SEC)
        self.hello()
        self.tracer(2 * SEC, "begin")
        self.line("trace", guest_sample(2 * SEC))
        self.serve(0.15)
        self.stats["virtual-ns"] = 4 * SEC
        self.serve(0.15)
        self.line("trace", guest_sample(50 * SEC))
        self.tracer(51 * SEC, "end")
        self.sync(60 * SEC)
        self.line("work", {"type": "bye", "status": status})
        self.shutdown()


def garbage(m: Machine) -> None:
    m.write("work", b"\x00\xff garbage <script>alert(1)</script>\n")


def endless_line(m: Machine) -> None:
    m.write("trace", b"a" * 300_000 + b"\n")


def lie_as_host(m: Machine) -> None:
    m.line("trace", {"type": "sample", "t_ns": 3, "src": "host", "rss_bytes": 0})


def lie_as_runner(m: Machine) -> None:
    m.line("work", {"type": "end", "status": "done", "failure": None})


def says(m: Machine) -> None:
    """The workload prints; how it ends says its status."""
    m.sync(1 * SEC)
    m.hello()
    for i in range(1, 6):
        m.line("work", {"type": "log", "t_ns": SEC + i, "src": "workload", "text": f"line {i} \x1b[2J"})
    m.line("work", {"type": "log", "t_ns": 2 * SEC, "src": "tracer", "text": "not this"})
    m.tracer(2 * SEC, "begin")
    m.tracer(3 * SEC, "end")
    m.line("work", {"type": "bye", "status": int(os.environ["FAKE_STATUS"])})
    m.shutdown()


def gives_up(m: Machine) -> None:
    m.sync(1 * SEC)
    m.hello()
    m.write("console", b"guest-init: parameter thp is 'maybe'\r\n")
    m.line("work", {"type": "bye", "status": 69})
    m.shutdown()


def sleeper(m: Machine) -> None:
    """Nothing but the tracer's samples, an hour of guest time in a moment."""
    m.sync(1 * SEC)
    m.hello()
    for t in range(2, 4000, 50):
        m.line("trace", guest_sample(t * SEC))
    m.serve(600)


def mute(m: Machine) -> None:
    """A kernel that is none: QEMU runs, nothing is printed."""
    version = {"qemu": {"major": 10, "minor": 0, "micro": 99}, "package": "fake"}
    m.send({"QMP": {"version": version, "capabilities": []}})
    m.serve(600)


def early_measure(m: Machine) -> None:
    """Measured before the tracer had attached; good_guest has it from 2 to 51 s."""
    m.line("work", {"type": "phase", "t_ns": SEC, "name": "measure", "edge": "begin"})


def late_measure(m: Machine) -> None:
    m.line("work", {"type": "phase", "t_ns": 5 * SEC, "name": "measure", "edge": "begin"})
    m.line("work", {"type": "phase", "t_ns": 55 * SEC, "name": "measure", "edge": "end"})


def own_words(m: Machine) -> None:
    """A workload that speaks for a tracer it has killed."""
    m.line("work", {"type": "log", "t_ns": SEC, "src": "tracer", "text": "Killed"})
    m.line("work", {"type": "tracer", "t_ns": SEC, "edge": "begin"})
    m.line("work", {"type": "tracer", "t_ns": 52 * SEC, "edge": "end"})


def quoted_panic(m: Machine) -> None:
    m.write("console", b"Kernel panic - not syncing: says a workload\n"
            b"[    5.25] Kernel panic - not syncing: says it to /dev/kmsg\n")  # fmt: skip


def splat(m: Machine) -> None:
    m.write("console", b"[    3.0] BUG: Bad page state in process wave  pfn:0a7e9\n")


def oom(m: Machine) -> None:
    m.write("console", b"[    3.0] wave invoked oom-killer: gfp_mask=0x140dca\n"
            b"[    3.0] Call Trace:\n[    3.0]  oom_kill_process.cold+0xa/0xbe\n"
            b"[    3.0] Out of memory: Killed process 71 (wave)\n")  # fmt: skip


def ledger(m: Machine) -> None:
    """The device received what the tracer never saw hinted."""
    m.sync(1 * SEC)
    m.hello()
    m.tracer(2 * SEC, "begin")
    m.line("trace", guest_sample(2 * SEC))
    for t in (3, 5):
        m.stats["virtual-ns"] = t * SEC + SEC
        m.stats["bytes-received"] = m.stats["bytes-discarded"] = t << 21
        m.serve(0.3)
    m.line("trace", guest_sample(50 * SEC))
    m.tracer(51 * SEC, "end")
    m.sync(60 * SEC)
    m.line("work", {"type": "bye", "status": 0})
    m.shutdown()


def untraced(m: Machine) -> None:
    """No tracer; the workload marks, gauges and hands a file out in two pieces, or one of an odd name."""
    m.sync(1 * SEC)
    m.hello()
    m.line("trace", {"type": "mark", "t_ns": 2 * SEC, "name": "all"})
    m.line("trace", {"type": "gauge", "t_ns": 3 * SEC, "name": "all", "elapsed_ns": SEC, "elapsed_tsc": SEC,
                     "idle_ns": 0, "free_pages": 1})  # fmt: skip
    for text in os.environ.get("FAKE_ARTEFACT", "trace=one\n|trace=two\u00e4\n").split("|"):
        name, _, text = text.partition("=")
        m.line("work", {"type": "artefact", "t_ns": 4 * SEC, "name": name, "text": text})
    m.sync(60 * SEC)
    m.line("work", {"type": "bye", "status": 0})
    m.shutdown()


def ends_by_itself(m: Machine) -> None:
    """QEMU gives up in the middle: its memory goes first, the process a moment later."""
    m.hello()
    m.serve(0.3)
    m.take_ram_away()
    m.serve(0.5)
    print("fake-qemu: cannot go on", file=sys.stderr, flush=True)
    os._exit(1)  # without giving the memory back a second time


def told_to_end(m: Machine) -> None:
    """Somebody sends QEMU a SIGTERM: it says so on QMP, as for a guest that has powered off."""
    m.hello()
    m.serve(0.3)
    m.send({"event": "SHUTDOWN", "data": {"guest": False, "reason": "host-signal"}})
    m.send({"event": "STOP"})
    print("fake-qemu: terminating on signal 15", file=sys.stderr)
    sys.exit(0)


def measure_twice(m: Machine) -> None:
    for _ in range(2):
        m.line("work", {"type": "phase", "t_ns": 1, "name": "measure", "edge": "begin"})


def flood(m: Machine) -> None:
    m.hello()
    line = json.dumps({"type": "log", "t_ns": 1, "src": "x", "text": "y" * 60000})
    block = (line.encode() + b"\n") * 64
    while True:
        m.write("trace", block)
        m.serve(0.005)


def main() -> None:
    mode = os.environ["FAKE_MODE"]
    if mode == "once-bad":  # bad in the first run, good in the next
        flag = os.environ["FAKE_FLAG"]
        mode = "good" if os.path.exists(flag) else "workload"
        open(flag, "w").close()
    if mode == "refuse":
        sys.exit("fake-qemu: property 'x' not found")
    m = Machine(sys.argv)
    if mode == "mute":
        mute(m)
    m.start()
    extra = {"garbage": garbage, "endless-line": endless_line, "lie-as-host": lie_as_host,
             "lie-as-runner": lie_as_runner, "splat": splat, "oom": oom,
             "measure-twice": measure_twice,
             "quoted-panic": quoted_panic, "early-measure": early_measure, "late-measure": late_measure,
             "no-end": own_words}  # fmt: skip
    whole = {"ledger": ledger, "says": says, "gives-up": gives_up, "sleeper": sleeper, "untraced": untraced,
             "ends-by-itself": ends_by_itself, "told-to-end": told_to_end}  # fmt: skip
    if mode in ("good", "no-begin"):
        m.good_guest()
    elif mode in extra:
        extra[mode](m)
        m.good_guest()
    elif mode == "workload":
        m.good_guest(status=3)
    elif mode == "slow":
        m.hello()
        for _ in range(600):
            m.line("work", {"type": "log", "t_ns": 1, "src": "x", "text": "alive"})
            m.serve(0.1)
    elif mode == "half-line":
        m.hello()
        m.write("work", b'{"type":"bye","sta')
        m.shutdown()
    elif mode == "hang":
        m.hello()
        m.serve(600)
    elif mode == "hang-boot":
        m.serve(600)
    elif mode == "panic":
        m.write("console", b"[    1.0] Kernel panic - not syncing: VFS: no root\n")
        m.shutdown("guest-reset")
    elif mode == "power-off":
        m.hello()
        m.shutdown()
    elif mode == "killed":
        m.hello()
        m.serve(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "stopped":
        m.send({"event": "STOP"})
        m.serve(600)
    elif mode == "no-ram":
        m.serve(600)
    elif mode == "half-ram":
        m.serve(0.3)
        m.take_ram_away()
        m.serve(600)
    elif mode == "old-qemu":
        del m.stats["violations"]
        m.serve(600)
    elif mode in whole:
        whole[mode](m)
    elif mode == "flood":
        flood(m)
    else:
        sys.exit(f"fake-qemu: FAKE_MODE={mode}")


main()
