# SPDX-License-Identifier: GPL-2.0-or-later
"""Host memory of a guest, as cells record it, against a workload that touches,
frees and hints known amounts: `rss_bytes` of the samples follows within 2 MiB,
and the second source beside it, the whole process, within 8.

512 MiB is less than QEMU's translation buffer under TCG, which once was taken
for the guest's memory; 1 GiB is as large as that buffer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import guestvm
from guestvm import BUILD, GUEST, KERNEL, MIB, QEMU, ROOTFS, TOP, Scratch, Tap

HINTRUN = BUILD / "bin/hintrun"
# Of the guest's memory; the whole process grows by what QEMU itself takes
# meanwhile, such as the code it translates: 2 MiB here.
TOLERANCE_MIB = {"rss_bytes": 2, "process_rss_bytes": 8}

# Whole huge pages, so that what is freed can be hinted to the page. Each step
# names what it leaves and stays there for some samples of the host.
WORKLOAD = """#!/bin/sh
# Lists of free pages per CPU grow to an eighth of memory; what is there is not hinted.
echo 1000000 >/proc/sys/vm/percpu_pagelist_high_fraction || exit 1
mkdir /run/held && mount -t tmpfs -o huge=always,size=90% held /run/held || exit 1
take() { dd if=/dev/zero of=/run/held/$1 bs=64k count=$(($2 * 16)) 2>/dev/null || exit 1; }
hint() { echo 1 >/sys/module/page_reporting/parameters/flush || exit 1; }
stay() {
	hintsay phase $1 begin
	sleep 1.5
	hintsay phase $1 end
}
# Once before, so that programs and page tables are there.
take warm 2; rm /run/held/warm; hint
stay base
take a 64; stay touched-64
take b 96; stay touched-160
rm /run/held/a; stay freed-64
hint; stay hinted-64
take a 64; stay again-64
rm /run/held/a /run/held/b; hint; stay hinted-160
"""

# MiB more than at the beginning.
WANT = {"base": 0, "touched-64": 64, "touched-160": 160, "freed-64": 160, "hinted-64": 96,
        "again-64": 160, "hinted-160": 0}


def means(record: list[dict], key: str) -> dict[str, float]:
    """MiB in each step: the median of the host's samples well inside of it."""
    begin: dict[str, int] = {}
    out: dict[str, float] = {}
    hosts = [x for x in record if x.get("src") == "host"]
    for line in record:
        if line["type"] != "phase":
            continue
        if line["edge"] == "begin":
            begin[line["name"]] = line["t_ns"]
            continue
        inside = [x[key] / MIB for x in hosts
                  if begin[line["name"]] + 300_000_000 < x["t_ns"] < line["t_ns"]]
        if inside:
            out[line["name"]] = median(inside)
    return out


def run(scratch: Scratch, mem: str) -> tuple[list[dict], str]:
    folder = scratch.dir / "load"
    folder.mkdir(exist_ok=True)
    (folder / "run").write_text(WORKLOAD)
    (folder / "run").chmod(0o755)
    out = scratch.keep / f"host-memory-{mem}"
    done = subprocess.run(
        [HINTRUN, "run", "--root", TOP, "--workload", folder, "--arms", "reporting", "--repeats", "1",
         "--mem", mem, "--clock", "real", "--accel", guestvm.ACCEL, "--ack-delay", "0ms",
         "--delay-ms", "60000",   # nothing is hinted but by the workload
         "--kernel", KERNEL, "--qemu", QEMU, "--rootfs", ROOTFS, "--payload-dir", GUEST, "--out", out],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    records = list(Path(out).glob("*/record.jsonl"))
    if not records:
        return [], done.stdout
    return [json.loads(line) for line in records[0].read_text().splitlines()], done.stdout


def test(tap: Tap, scratch: Scratch) -> None:
    for mem in ("512M", "1G"):
        record, said = run(scratch, mem)
        if not tap.ok(bool(record) and record[-1]["status"] == "done", f"{mem}: the cell is done", said):
            continue
        for key, what in (("rss_bytes", "its RAM in host memory"),
                          ("process_rss_bytes", "the memory of QEMU")):
            got = means(record, key)
            tap.note(f"{mem}: {key}: " + ", ".join(f"{k} {v:.1f}" for k, v in got.items()) + " MiB")
            for step, want in WANT.items():
                more = got[step] - got["base"] if step in got else None
                tap.ok(more is not None and abs(more - want) <= TOLERANCE_MIB[key],
                       f"{mem}, {step}: {what} is {want} MiB more than at first", f"got {more} MiB")
        hosts = [x for x in record if x.get("src") == "host"]
        tap.ok(all(x["huge_bytes"] <= x["rss_bytes"] <= x["process_rss_bytes"] for x in hosts),
               f"{mem}: at each sample huge pages are part of the RAM, the RAM part of the process")
        tap.ok(max(x["rss_bytes"] for x in hosts) <= record[0]["spec"]["mem_bytes"],
               f"{mem}: never more than the guest has")


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs", HINTRUN,
                    GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
