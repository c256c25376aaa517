# SPDX-License-Identifier: GPL-2.0-or-later
"""Check memory contents under continuous hinting until enough was hinted.

usage: tests/vm/soak.py [--gib N] [--mem SIZE --buffer SIZE] [--vcpus N] [--seed N]

  --gib N          GiB the device must have received in all (200)
  --mem SIZE       X, in MiB (512)       --buffer SIZE   B, in MiB (64)
  --vcpus N        (2)                   --seed N        of sizes and patterns (1)

examples: tests/vm/soak.py --gib 5
          KERNEL=build/kernel-debug tests/vm/soak.py --gib 5

One guest after the other, each of which hints about 25 GiB: orders 9 and 0,
with and without swap_back, in turn; every fourth with init_on_free. Two of ten
processes of the checker dirty the page cache of a disk, which is written back,
dropped and read again: the disk is verified too. The first
mismatch, splat or page that is not accounted for stops it. It must make 5000
exchanges a GiB, a million in 200 GiB. Exit status: 0 as much was hinted, in as
many exchanges, and all memory kept its content, 1 not so, 2 wrong usage, 69
something needed is not there.
"""

from __future__ import annotations

import argparse
import sys
import time

import guestvm
import tracer
from guestvm import GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, SOAK, Guest, GuestError, Scratch, accounting

GIB = 1024			# MiB
GUEST_GIB = 25
ROUNDS = ((9, "N"), (0, "N"), (9, "Y"), (0, "Y"))
EXCHANGES_PER_GIB = 5000  # half of what these rounds make


class Total:
    def __init__(self, want_mib: int) -> None:
        self.want_mib = want_mib
        self.begin = time.monotonic()
        self.hinted_mib = 0
        self.verified_mib = 0
        self.reread_mib = 0
        self.mismatches = 0
        self.exchanges = 0

    def line(self, more_mib: int) -> str:
        done = self.hinted_mib + more_mib
        spent = time.monotonic() - self.begin
        left = spent * (self.want_mib - done) / done if done else 0
        return (f"{done / GIB:7.1f} of {self.want_mib / GIB:.0f} GiB hinted, "
                f"{self.verified_mib / GIB:8.1f} GiB verified, {self.mismatches} mismatches, "
                f"{spent / 60:5.1f} min, about {max(0, left) / 60:.0f} min left")


def soak_guest(scratch: Scratch, total: Total, nr: int, args: argparse.Namespace) -> None:
    """One guest; raises GuestError at the first thing that is wrong."""
    boot_mib = args.mem + args.buffer + -(-args.buffer // 64) * 2
    goal = min(GUEST_GIB * GIB, total.want_mib - total.hinted_mib)
    cmdline = "page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=10 page_reporting.capacity=256"
    if nr % 4 == 3:
        cmdline += " init_on_free=1"
    with Guest(scratch, f"soak{nr}", f"{boot_mib}M",
               f"free-page-reporting=on,hint-buffer-size={args.buffer}M,reporting-queue-size=256",
               smp=args.vcpus, cmdline=cmdline, extra=scratch.disk(f"soak{nr}", args.mem)) as guest:
        whole = accounting(guest)
        exchanges = tracer.start(guest)
        slices = hinted = reread = 0
        while hinted < goal or slices < len(ROUNDS):
            order, back = ROUNDS[slices % len(ROUNDS)]
            slices += 1
            guest.sh(f"echo {order} >{PARAM}/page_reporting_order; echo {back} >{PARAM}/swap_back")
            before = hinted
            guestvm.soak_start(guest, args.mem * 2 // 3, "20s", procs=10, options="--device /dev/vda",
                               seed=args.seed * 1000000 + nr * 1000 + slices)
            result = guestvm.soak_result(guest)
            total.verified_mib += result["verified_mib"]
            total.reread_mib += result["reread_mib"]
            total.mismatches += result["mismatches"]
            device = guest.device()
            hinted = device["bytes-received"] // MIB
            print(f"  SOAK     {total.line(hinted)} (guest {nr + 1}, order {order}, swap back {back})",
                  flush=True)
            if result["status"]:
                raise GuestError(f"guest {nr + 1}, order {order}, swap back {back}: {result['output']}")
            if example := tracer.counterexample(guest):
                raise GuestError(f"an exchange changed the free pages: {example}")
            if guest.splats():
                raise GuestError("\n".join(guest.splats()))
            now = accounting(guest)
            if now["managed"] + now["held"] != whole["managed"] + whole["held"]:
                raise GuestError(f"managed and held pages were {whole} and are {now}")
            if device["bytes-discarded"] != device["bytes-received"] or device["violations"]:
                raise GuestError(f"the device did not discard all, or counts violations: {device}")
            reread += result["reread_mib"]
            if hinted == before:
                raise GuestError("nothing was hinted in 20 s")
        if not reread:
            raise GuestError(f"nothing was read back from the disk in {20 * slices} s: {result['output']}")
        lines = tracer.stop(guest)
        exchanges = guest.number("exchanges") - exchanges
        if wrong := tracer.conserved(lines, exchanges) or tracer.miscounted(guest):
            raise GuestError(wrong)
        total.hinted_mib += hinted
        total.exchanges += exchanges


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    for name, default in (("gib", 200), ("mem", 512), ("buffer", 64), ("vcpus", 2), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    if args.help:
        print(__doc__.strip())
        return 0
    if not (1 <= args.gib <= 100000 and 128 <= args.mem <= 65536 and 2 <= args.buffer <= args.mem // 2
            and 1 <= args.vcpus <= 64 and 0 <= args.seed <= 1000000):
        print("soak.py: a value is out of range: --gib 1 to 100000, --mem 128 to 65536, "
              "--buffer 2 to half of --mem, --vcpus 1 to 64, --seed 0 to 1000000", file=sys.stderr)
        return 2
    for path in (KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs", SOAK,
                 GUEST / "hinttrace"):
        if not path.exists():
            print(f"soak.py: {path} is not there: run make first", file=sys.stderr)
            return 69

    scratch = Scratch()
    total = Total(args.gib * GIB)
    nr = 0
    failure = ""
    while total.hinted_mib < total.want_mib and not failure:
        try:
            soak_guest(scratch, total, nr, args)
        except GuestError as err:
            failure = str(err)
        nr += 1
    if not failure and total.exchanges < EXCHANGES_PER_GIB * args.gib:
        failure = f"{total.exchanges} exchanges are fewer than {EXCHANGES_PER_GIB * args.gib}"
    if failure:
        print(f"soak.py: FAILED: {failure}", file=sys.stderr)
    print(f"soak: {total.hinted_mib / GIB:.1f} GiB hinted, {total.verified_mib / GIB:.1f} GiB verified, "
          f"{total.reread_mib / GIB:.1f} GiB of it read back from disk, {total.mismatches} mismatches, "
          f"{total.exchanges} exchanges{'' if failure else ', all of them conserving'}, in {nr} guests")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
