# SPDX-License-Identifier: GPL-2.0-or-later
"""Conservation on machines of many shapes. Prints TAP, and a table as comments.

In each row a checker of contents runs with the tracer watching every exchange:
none may change the free pages of its zone, managed and held pages must add up
to what they were, and so must the buffer of each zone. A guest at rest reports
its memory once, however small the buffer: all free blocks of the order, but those
of a CMA area, of the high-order atomic reserve, of ZONE_DMA and of a zone that the
buffer has no chunk for, which says so. A CMA area is not in the buffer.

FULL=1: all rows. Otherwise the first, which has most in one: 4 vCPUs, 2 nodes,
ZONE_MOVABLE. ROW=N: that row.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass

import guestvm
import tracer
from guestvm import (GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, SOAK, Guest, GuestError, Scratch, Tap,
                     accounting)


@dataclass(frozen=True)
class Row:
    vcpus: int
    nodes: int
    order: int
    mem_mib: int		# X
    buffer_mib: int		# B
    cmdline: str = ""
    cma_mib: int = 0
    nr_small: int = 0		# zones that the buffer has no chunk for

    def name(self) -> str:
        return (f"{self.vcpus} vCPU, {self.nodes} node{'s' if self.nodes > 1 else ''}, order "
                f"{self.order}, X {self.mem_mib} MiB, B {self.buffer_mib} MiB"
                f"{', ' + self.cmdline if self.cmdline else ''}"
                f"{f', CMA {self.cma_mib} MiB' if self.cma_mib else ''}")


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
    Row(2, 1, 9, 512, 64, cma_mib=64),
    Row(2, 1, 0, 512, 64, cma_mib=64),
    Row(2, 1, 9, 512, 64, "kernelcore=50%", cma_mib=64),
    Row(2, 2, 9, 512, 2, nr_small=1),
    Row(2, 2, 9, 512, 4),		# a chunk for each of two nodes
    Row(2, 1, 9, 4096, 4),		# a chunk for each zone, if one is four times the other
)

MIN_EXCHANGES = 100
MAX_SLICES = 10

# In little memory soak seldom frees a whole chunk: free huge pages beside it.
CHURN = f"""
mkdir -p /run/churn
[ -e /run/churn/made ] || mount -t tmpfs -o huge=always,size=100% churn /run/churn
: >/run/churn/made
round=0
while round=$((round + 1)) && [ $round -le 16 ]; do
	head -c ${{mib}}M /dev/zero >/run/churn/pages
	rm /run/churn/pages
	echo 1 >{PARAM}/flush 2>/dev/null
done
:
"""


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


CMA_EVENT = "/sys/kernel/tracing/events/page_reporting/page_reporting_buffer"
CMA_AREA = re.compile(r"cma: Reserved (\d+) MiB at (0x[0-9a-f]+)")
CMA_PFN = re.compile(r"pfn=(0x[0-9a-f]+) order=(\d+) op=(\w+)")


def cma_trace(guest: Guest) -> list[tuple[int, int, str]]:
    """What went into the buffer or left it since last asked: first page, pages, how."""
    text = guest.sh("cat /sys/kernel/tracing/trace; echo >/sys/kernel/tracing/trace")
    return [(int(pfn, 16), 1 << int(order), op) for pfn, order, op in CMA_PFN.findall(text)]


def cma_begin(guest: Guest, row: Row) -> str:
    """From boot on all is traced; from now on only what concerns the area."""
    log = guest.sh("dmesg | grep -E 'cma: Reserved'; grep -E '^Cma' /proc/meminfo; :")
    area = CMA_AREA.search(log)
    if not area or int(area[1]) != row.cma_mib:
        return f"no CMA area of {row.cma_mib} MiB, which takes CONFIG_DMA_CMA=y: {log}"
    first = int(area[2], 16) >> 12
    last = first + row.cma_mib * 256
    filled = cma_trace(guest)
    guest.sh(f"echo 'pfn >= {first} && pfn < {last}' >{CMA_EVENT}/filter")
    if not any(op == "fill" for _, _, op in filled):
        return "the trace does not show how the buffer was filled"
    inside = [x for x in filled if x[0] < last and x[0] + x[1] > first]
    return f"filled with pages of the CMA area {first:#x} to {last:#x}: {inside[:3]}" if inside else ""


def cma_end(guest: Guest) -> str:
    inside = cma_trace(guest)
    return f"the buffer had pages of the CMA area: {inside[:3]}" if inside else ""


SMALL = re.compile(r"Zone (\w+) of node (\d+) has no share of the hinting buffer "
                   r"and is not hinted")


def small_zones(guest: Guest) -> set[tuple[int, str]]:
    """Node and name of each zone that the kernel says it does not hint."""
    return {(int(node), zone) for zone, node in SMALL.findall(guest.sh("dmesg"))}


def to_hint(guest: Guest, order: int, small: set[tuple[int, str]]) -> int:
    """Pages of all free blocks of the order or larger that are to be hinted."""
    pages = 0
    for line in guest.sh("grep ', type ' /proc/pagetypeinfo").splitlines():
        word = line.replace(",", " ").split()  # Node 0 zone DMA32 type Movable 1 2 3 ...
        if word[5] in ("Unmovable", "Movable", "Reclaimable") and word[3] != "DMA" \
                and (int(word[1]), word[3]) not in small:
            pages += sum(int(nr.lstrip(">")) << at for at, nr in enumerate(word[6:]) if at >= order)
    return pages


def run(tap: Tap, scratch: Scratch, nr: int, row: Row) -> str:
    """One row; its line of the table."""
    begin = time.monotonic()
    mib = whole_mib(row)
    with Guest(scratch, f"row{nr}", f"{mib}M",
               f"free-page-reporting=on,hint-buffer-size={row.buffer_mib}M,reporting-queue-size=128",
               smp=row.vcpus, extra=numa(row, mib + guestvm.ROOM_MIB), cmdline=(
                   f"page_reporting.page_reporting_order={row.order} page_reporting.page_reporting_delay_ms=60000 "
                   f"page_reporting.capacity=128 {row.cmdline}"
                   + (f" cma={row.cma_mib}M trace_event=page_reporting:page_reporting_buffer"
                      if row.cma_mib else ""))) as guest:
        wrong = [cma_begin(guest, row) if row.cma_mib else ""]
        guest.flush()
        boot_mib = guest.device()["bytes-received"] // MIB
        guest.flush()
        again_mib = guest.device()["bytes-received"] // MIB - boot_mib
        whole = accounting(guest)
        small = small_zones(guest)
        least_mib = (to_hint(guest, row.order, small) + whole["held"]) // 256
        before = tracer.start(guest)
        slices = verified_mib = 0
        soak_mib = max(16, row.mem_mib * 5 // 8 - 24)
        while True:
            if slices:
                guestvm.soak_start(guest, max(16, soak_mib // 2), "4s", procs=4, seed=nr + slices * 100)
                guest.sh(f"mib={max(8, row.mem_mib // 8)}\n{CHURN}")
            else:
                guestvm.soak_start(guest, soak_mib, "8s", procs=4, seed=nr)
            total = guestvm.soak_result(guest)
            slices += 1
            verified_mib += total["verified_mib"]
            if total["status"] or slices == MAX_SLICES or \
                    guest.number("exchanges") - before >= MIN_EXCHANGES:
                break
        lines = tracer.stop(guest)
        numbers = guest.numbers()
        exchanges = numbers["exchanges"] - before
        after = accounting(guest)
        device = guest.device()
        samples = [x for x in lines if x["type"] == "sample"]
        zones = len(samples[-1]["zones"]) if samples else 0

        wrong += [tracer.conserved(lines, exchanges), tracer.miscounted(guest)]
        if row.cma_mib:
            wrong.append(cma_end(guest))
        if total["status"]:
            wrong.append(f"soak: {total['output']}")
        if after["managed"] + after["held"] != whole["managed"] + whole["held"]:
            wrong.append(f"managed and held were {whole}, are {after}")
        if not whole["held"] == after["held"] == row.buffer_mib * 256:
            wrong.append(f"held {whole['held']} pages before, {after['held']} after, "
                         f"of {row.buffer_mib * 256}")
        if exchanges < MIN_EXCHANGES or not device["bytes-discarded"]:
            wrong.append(f"{exchanges} exchanges in {slices} slices: " + guest.sh("cat /proc/buddyinfo"))
        if len(small) != row.nr_small:
            wrong.append(f"{row.nr_small} zones have no share, the kernel names {small}")
        # Between the report and the look at the lists some more was freed.
        if boot_mib < least_mib - 2 - least_mib // 64:
            wrong.append(f"{boot_mib} MiB hinted before anything ran, {least_mib} MiB are to be")
        if boot_mib > mib * 5 // 4 or again_mib > mib // 8:
            wrong.append(f"{boot_mib} MiB hinted before anything ran and then {again_mib} MiB, "
                         f"in a guest of {mib} MiB")
        if device["violations"] or device["bytes-out-max"] > row.buffer_mib * MIB:
            wrong.append("more was out than the buffer")
        wrong += guest.splats()
        tap.ok(not any(wrong), row.name(), "\n".join(x for x in wrong if x))
        return (f"{row.name():62} held {after['held'] * 100 // (row.buffer_mib * 256):3}% "
                f"{exchanges:8} exchanges {device['bytes-received'] // MIB:6} MiB hinted, "
                f"{boot_mib} + {again_mib} of it at rest (least {least_mib}), "
                f"{verified_mib:6} MiB verified {total['mismatches']} mismatches "
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
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
