#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten minutes of flood: does the tracer grow, what does it lose, what does it cost?

usage: tests/vm/flood.py [--seconds N] [--pause S]

  --seconds N   of the guest's time, under the virtual clock (600)
  --pause S     between two rounds (1)

A guest of 256 MiB, in which one process after the other takes all memory while the page cache
is read through, so that tasks stall until one is killed. Prints what docs/tracer.md says: resident
memory of hinttrace, events and losses, and its share of the instructions. Exit status: 0 nothing
was lost and it did not grow, 1 not so, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import guestvm
from guestvm import GUEST, KERNEL, QEMU, ROOTFS, SOAK, Guest, Scratch, Tap

SCRIPT = """
port() {
	for dir in /sys/class/virtio-ports/*; do
		read -r name <"$dir/name"
		[ "$name" = "$1" ] && echo "/dev/${dir##*/}"
	done
}
# Programs of the root file system would be read again and again, and block on that.
mkdir /run/hog
cp /usr/bin/tail /usr/bin/dd /lib/x86_64-linux-gnu/libc.so.6 /run/hog/
hinttrace --stream $(port org.hintbuf.trace) --ready /run/ready >/run/err 2>&1 &
tracer=$!
until [ -s /run/ready ] || ! kill -0 $tracer; do sleep 0.1; done
seconds() { read -r up rest </proc/uptime; echo "${up%.*}"; }
rss() { awk '/^Vm(RSS|Lck|Data)/ { printf "%s%s ", $1, $2 }' /proc/$tracer/status; }
begin=$(seconds)
end=$((begin + SECONDS_))
minute=$begin
echo "at 0 $(rss)"
echo "uptime $(cat /proc/uptime)"
grep -E '^(oom_kill|allocstall_[a-z0-9]*|compact_stall) ' /proc/vmstat
while now=$(seconds); [ "$now" -lt $end ]; do
	LD_LIBRARY_PATH=/run/hog sh -c 'echo 1000 >/proc/self/oom_score_adj; exec /run/hog/dd if=/dev/pmem0 of=/dev/null bs=64k' \\
		>/dev/null 2>&1 &
	LD_LIBRARY_PATH=/run/hog sh -c 'echo 1000 >/proc/self/oom_score_adj; exec /run/hog/tail /dev/zero' >/dev/null 2>&1
	wait $!
	sleep PAUSE_
	if [ $((now - minute)) -ge 60 ]; then
		minute=$now
		echo "at $((now - begin)) $(rss)"
	fi
done
echo "at $((now - begin)) $(rss)"
grep -E '^(oom_kill|allocstall_[a-z0-9]*|compact_stall) ' /proc/vmstat
echo "uptime $(cat /proc/uptime)"
sleep 3
kill -TERM $tracer
wait $tracer
echo "status $?"
cat /run/err
"""


def run(tap: Tap, scratch: Scratch, seconds: int, pause: str) -> None:
    ports = scratch.keep / "flood"
    ports.mkdir(exist_ok=True)
    boot = ["--kernel", str(KERNEL), "--rootfs", str(ROOTFS), "--payload", str(scratch.payload()), "--ports", str(ports),
            "--append", "page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=50"]
    with Guest(scratch, "flood", "256M", "free-page-reporting=on,x-report-ack-base-ns=20000000", icount=True,
               kernel=boot) as guest:
        out = guest.sh(SCRIPT.replace("SECONDS_", str(seconds)).replace("PAUSE_", pause), 7200)
        tap.is_(guest.splats(), [], "no splat")
    tap.note(out)
    look(tap, out, ports / "trace.stream")


def look(tap: Tap, out: str, stream: Path) -> None:
    sizes = [int(word.split(":")[1]) for line in out.splitlines() if line.startswith("at ")
             for word in line.split() if word.startswith("VmRSS")]
    lines = [json.loads(x) for x in stream.read_bytes().splitlines()]
    edges = [x["t_ns"] for x in lines if x["type"] == "tracer"]
    nr: dict[str, int] = {}
    for x in lines:
        if x["type"] == "event":
            nr[x["kind"]] = nr.get(x["kind"], 0) + 1
    lost = {x["probe"]: x["dropped"] for x in lines if x["type"] == "loss" and x["dropped"]}
    costs = {x["program"]: x["run_ns"] for x in lines if x["type"] == "cost"}
    elapsed = edges[-1] - edges[0]
    own = costs.pop("hinttrace")
    tap.note(f"{elapsed / 1e9:.0f} s, {stream.stat().st_size / 2**20:.1f} MiB written, events: {nr}")
    tap.note(f"resident: {sizes[0]} KiB at the beginning, {sizes[-1]} at the end, {max(sizes)} at most")
    (up0, idle0), (up1, idle1) = [map(float, x.split()[1:]) for x in out.splitlines() if x.startswith("uptime ")]
    busy = ((up1 - up0) - (idle1 - idle0)) / (up1 - up0) * elapsed
    tap.note(f"busy for {busy / elapsed:.0%} of it; of what was executed {sum(costs.values()) / busy:.2%} in programs, "
             f"{own / busy:.2%} in hinttrace")
    tap.note(f"of all time {sum(costs.values()) / elapsed:.3%} in programs, {own / elapsed:.3%} in hinttrace")
    for name, ns in sorted(costs.items(), key=lambda x: -x[1])[:5]:
        tap.note(f"  {name} {ns / elapsed:.4%}")
    tap.ok("status 0" in out.splitlines(), "the tracer ends with status 0", out)
    tap.ok(max(sizes) == sizes[0], "its memory does not grow by a page", sizes)
    tap.is_(lost, {}, "nothing was lost")
    tap.ok(nr.get("oom_kill", 0) > 0 and nr.get("direct_reclaim", 0) > nr["oom_kill"], "there were kills and stalls", nr)


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--pause", default="1")
    args = parser.parse_args()
    if args.help:
        print(__doc__.strip())
        return 0
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs", SOAK, GUEST / "hinttrace")
    return guestvm.main_of(lambda tap, scratch: run(tap, scratch, args.seconds, args.pause))


if __name__ == "__main__":
    sys.exit(main())
