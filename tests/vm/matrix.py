# SPDX-License-Identifier: GPL-2.0-or-later
"""Conservation on machines of many shapes. Prints TAP, and a table as comments.

In each row a checker of contents runs with the tracer watching every exchange:
none may change the free pages of its zone, managed and held pages must add up
to what they were, and so must the buffer of each zone.

FULL=1: all rows. Otherwise the first, which has most in one: 4 vCPUs, 2 nodes,
ZONE_MOVABLE. ROW=N: that row.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass

import guestvm
from guestvm import (GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, Guest, GuestError, Scratch, Tap,
                     accounting)


@dataclass(frozen=True)
class Row:
    vcpus: int
    nodes: int
    order: int
    mem_mib: int		# X
    buffer_mib: int		# B
    cmdline: str = ""
    needs: str = ""		# of the kernel's configuration

    def name(self) -> str:
        return (f"{self.vcpus} vCPU, {self.nodes} node{'s' if self.nodes > 1 else ''}, order "
                f"{self.order}, X {self.mem_mib} MiB, B {self.buffer_mib} MiB"
                f"{', ' + self.cmdline if self.cmdline else ''}")


ROWS = (
    Row(4, 2, 9, 512, 64, "kernelcore=50%"),
    Row(1, 1, 9, 512, 64),
    Row(2, 1, 9, 512, 64),
    Row(4, 4, 9, 1024, 128),
    Row(1, 1, 0, 512, 64),
    Row(2, 1, 5, 512, 64),
    Row(2, 2, 5, 512, 64),
    Row(4, 4, 0, 1024, 64),
    Row(2, 1, 10, 512, 64),
    Row(2, 2, 10, 1024, 128),
    # sizes
    Row(1, 1, 9, 128, 4),
    Row(1, 1, 9, 128, 2),		# one chunk, less than the largest block
    Row(1, 1, 9, 128, 64),
    Row(1, 1, 10, 256, 4),
    Row(2, 1, 0, 256, 2),
    Row(2, 1, 9, 2048, 512),
    Row(2, 1, 9, 512, 256),
    Row(2, 1, 9, 8192, 4096),
    Row(4, 4, 9, 8192, 64),
    # zones
    Row(2, 1, 9, 512, 64, "kernelcore=50%"),
    Row(2, 2, 9, 1024, 64, "movable_node kernelcore=50%"),
    Row(2, 1, 0, 512, 64, "movablecore=128M"),
    Row(2, 1, 9, 512, 64, "cma=64M", "CONFIG_DMA_CMA=y"),
    Row(2, 1, 0, 512, 64, "cma=64M", "CONFIG_DMA_CMA=y"),
)


def whole_mib(row: Row) -> int:
    """X + B + page structs of B, in steps that split evenly among the nodes."""
    mib = row.mem_mib + row.buffer_mib + -(-row.buffer_mib // 64)
    step = 2 * row.nodes
    return -(-mib // step) * step


def numa(row: Row, mib: int) -> list[str]:
    if row.nodes == 1:
        return []
    options = []
    for node in range(row.nodes):
        options += ["-object", f"memory-backend-ram,id=ram{node},size={mib // row.nodes}M"]
        cpus = [f",cpus={cpu}" for cpu in range(row.vcpus) if cpu % row.nodes == node]
        options += ["-numa", f"node,nodeid={node},memdev=ram{node}{''.join(cpus)}"]
    return options


def start_tracer(guest: Guest) -> None:
    guest.sh("(cd /run; hinttrace -j --interval 500 --ready /run/ready >/run/trace 2>/run/trace.err; "
             "echo $? >/run/trace.status) & "
             "tries=0; while [ ! -e /run/ready ] && [ $tries -lt 900 ]; do "
             "sleep 0.1; tries=$((tries + 1)); done; [ -e /run/ready ]")


def stop_tracer(guest: Guest) -> list[dict]:
    guest.sh("kill -TERM $(cat /run/ready); tries=0; "
             "while [ ! -e /run/trace.status ] && [ $tries -lt 300 ]; do "
             "sleep 0.1; tries=$((tries + 1)); done")
    lines = guest.sh("grep -E '\"(exchange_violation|sample|loss)\"' /run/trace").splitlines()
    return [json.loads(line) for line in lines]


def conserved(lines: list[dict], exchanges: int) -> str:
    """What is wrong in the tracer's lines; empty when nothing is."""
    wrong = []
    samples = [x for x in lines if x["type"] == "sample"]
    if not samples:
        return "the tracer left no sample"
    last = samples[-1]
    if any(x.get("kind") == "exchange_violation" for x in lines) or last["exchange_free_delta_pages"]:
        wrong.append("an exchange changed the free pages")
    if last["exchanges"] != exchanges:
        wrong.append(f"the tracer saw {last['exchanges']} of {exchanges} exchanges")
    if last["uncompensated_page_ns"]:
        wrong.append("pages were held without a replacement")
    if any(z["buffer_pages"] + z["held_pages"] for s in samples for z in s["zones"]):
        wrong.append("the buffer of a zone lacked more or less than what was held")
    if any(x["dropped"] for x in lines if x["type"] == "loss" and x["probe"] in
           ("exchange", "isolate", "putback", "buffer")):
        wrong.append("the tracer missed something")
    return "; ".join(wrong)


def run(tap: Tap, scratch: Scratch, nr: int, row: Row) -> str:
    """One row; its line of the table."""
    begin = time.monotonic()
    mib = whole_mib(row)
    with Guest(scratch, f"row{nr}", f"{mib}M",
               f"free-page-reporting=on,hint-buffer-size={row.buffer_mib}M,reporting-queue-size=128",
               smp=row.vcpus, extra=numa(row, mib), cmdline=(
                   f"page_reporting.page_reporting_order={row.order} page_reporting.delay_ms=60000 "
                   f"page_reporting.capacity=128 {row.cmdline}")) as guest:
        if row.needs and guest.run(f"zcat /proc/config.gz | grep -qx {row.needs}")[0]:
            tap.skip(row.name(), f"the kernel is without {row.needs}")
            return ""
        whole = accounting(guest)
        guest.flush()
        before = guest.number("exchanges")
        boot_mib = guest.device()["bytes-received"] // MIB
        start_tracer(guest)
        # A pass already put off keeps its delay: have it now.
        guest.sh(f"echo 10 >{PARAM}/delay_ms")
        guest.flush()
        guestvm.soak_start(guest, max(16, row.mem_mib * 5 // 8 - 24), "8s", procs=4, seed=nr)
        total = guestvm.soak_result(guest)
        guest.sh(f"echo 60000 >{PARAM}/delay_ms")
        guest.flush()
        numbers = guest.numbers()
        exchanges = numbers["exchanges"] - before
        lines = stop_tracer(guest)
        after = accounting(guest)
        device = guest.device()
        samples = [x for x in lines if x["type"] == "sample"]
        zones = len(samples[-1]["zones"]) if samples else 0

        wrong = [conserved(lines, exchanges)]
        if total["status"]:
            wrong.append(f"soak: {total['output']}")
        if after["managed"] + after["held"] != whole["managed"] + whole["held"]:
            wrong.append(f"managed and held were {whole}, are {after}")
        if not 0 < after["held"] <= row.buffer_mib * 256:
            wrong.append(f"{after['held']} pages held")
        if after["held"] != whole["held"]:
            wrong.append(f"held {whole['held']} pages before, {after['held']} after")
        if not exchanges or not device["bytes-discarded"]:
            wrong.append("nothing was hinted: " + guest.sh("cat /proc/buddyinfo"))
        if boot_mib > 4 * mib:
            wrong.append(f"{boot_mib} MiB hinted before anything ran, in a guest of {mib} MiB")
        if device["violations"] or device["bytes-out-max"] > row.buffer_mib * MIB:
            wrong.append("more was out than the buffer")
        wrong += guest.splats()
        tap.ok(not any(wrong), row.name(), "\n".join(x for x in wrong if x))
        return (f"{row.name():62} held {after['held'] * 100 // (row.buffer_mib * 256):3}% "
                f"{exchanges:8} exchanges {device['bytes-received'] // MIB:6} MiB hinted "
                f"{total['verified_mib']:6} MiB verified {total['mismatches']} mismatches "
                f"{numbers['shortages']:4} shortages {zones:2} zones "
                f"{time.monotonic() - begin:4.0f} s")


def test(tap: Tap, scratch: Scratch) -> None:
    if "ROW" in os.environ:
        chosen = [int(nr) for nr in os.environ["ROW"].split()]
    elif os.environ.get("FULL") == "1":
        chosen = list(range(len(ROWS)))
    else:
        chosen = [0]
    table = []
    for nr in chosen:
        try:
            table.append(run(tap, scratch, nr, ROWS[nr]))
        except GuestError as err:
            tap.ok(False, ROWS[nr].name(), err)
    tap.note("\n".join(line for line in table if line))


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "soak", GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
