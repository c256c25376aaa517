# SPDX-License-Identifier: GPL-2.0-or-later
"""The mechanisms beside a buffer: each under a content check while it hints, with
its driver taken away and brought back meanwhile; and the two that lose what is
written into memory which the host still has to discard. Prints TAP.
"""

from __future__ import annotations

import sys
import time

import guestvm
from guestvm import DRIVER, GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, SOAK, Guest, GuestError, Scratch, Tap, accounting
from tap import wait_until

SECOND = 1_000_000_000

REPORTING = "free-page-reporting=on"
HINT = "free-page-hint=on,x-hint-discard=on"
# Discarded at the last moment: a chunk that was used before the answer would show.
LATE = ",x-report-ack-base-ns=2000000,x-report-discard-late=on"
EARLY = ",x-report-ack-base-ns=2000000"

# Blocks that a small guest under this load often frees, and a few of them are enough.
AT_FREE = "page_reporting.page_reporting_order=5 page_reporting.threshold=4 page_reporting."

# Device, and parameters of the kernel.
RIVALS = {
    "reporting": (REPORTING + LATE, ""),
    "reporting-split": (REPORTING + LATE, "page_reporting.keep_split=1"),
    "sync": (REPORTING + ",x-report-now=on,x-report-ack-base-ns=100000", AT_FREE + "mechanism=sync"),
    "async": (REPORTING + LATE, AT_FREE + "mechanism=async"),
    "async-capped": (REPORTING + LATE, AT_FREE + "mechanism=async-capped"),
    # Its race is a finding of its own, see below.
    "hint": (f"{HINT},x-hint-period-ns={SECOND // 4}" + EARLY, ""),
    "wait-on-ack": (f"{HINT},x-hint-wait-on-ack=on,x-hint-period-ns={SECOND // 4}" + LATE, ""),
}

OFTEN = "page_reporting.page_reporting_delay_ms=50 page_reporting.page_reporting_order=9"


def answered(guest: Guest) -> bool:
    """Nothing is out any more, or is about to be."""
    return wait_until(lambda: not guest.device()["bytes-out"], 60)


def check_rival(tap: Tap, scratch: Scratch, name: str) -> None:
    device, kernel = RIVALS[name]
    with Guest(scratch, f"rival-{name}", "256M", device, cmdline=f"{OFTEN} {kernel}".strip(), smp=2) as guest:
        total = accounting(guest)["total_kib"]
        guestvm.soak_start(guest, 110, "6s")
        for _ in range(3):
            time.sleep(1)
            guest.sh(f"cd {DRIVER} && dev=$(basename virtio[0-9]*) && echo $dev >unbind && echo $dev >bind")
        soak = guestvm.soak_result(guest)
        got = guest.device()
        tap.ok(soak["status"] == 0 and soak["verified_mib"] > 50, f"{name}: all memory kept its content", str(soak))
        tap.ok(got["bytes-discarded"] > 64 * MIB, f"{name}: the host had memory back",
               f"{got['bytes-discarded'] // MIB} MiB in {got['batches']} batches, {got['bytes-out-max'] // MIB} MiB out")
        tap.ok(answered(guest), f"{name}: nothing stays out", str(guest.device()))
        tap.is_(accounting(guest)["total_kib"], total, f"{name}: no memory is missing")
        tap.is_(guest.splats(), [], f"{name}: no splat")


def check_rivals(tap: Tap, scratch: Scratch) -> None:
    for name in RIVALS:
        check_rival(tap, scratch, name)


# Bytes of a file without NULs that are not what was written.
LOST = "n=$(tr -d '\\0' </run/hog/file | wc -c); echo $(($(wc -c </run/hog/file) - n))"
FREE = "awk '/^MemFree:/ {print int($2 / 1024)}' /proc/meminfo"
WRITE = "mkdir -p /run/hog; mount -t tmpfs -o size=100% hog /run/hog; tr '\\0' x </dev/zero | head -c 150M >/run/hog/file"


def lost_mib(guest: Guest) -> float:
    """MiB of the file that are gone once all is answered; -1 when the guest itself has lost too much to say."""
    guest.qmp("stop")
    guest.qmp("cont")
    try:
        status, text = guest.run(LOST, 60)
    except GuestError:
        return -1
    return -1 if status or not text.strip().isdigit() else int(text) / MIB


def hint_round(guest: Guest) -> int:
    """Begin a round of which no block is answered yet; MiB of it once it stands still."""
    guest.balloon("x-hint-round", True)
    out = 0
    while guest.device()["bytes-out"] > out or not out:
        out = guest.device()["bytes-out"]
        time.sleep(0.3)
    return out // MIB


def check_race(tap: Tap, scratch: Scratch) -> None:
    """What the shrinker gives back of a round may still be discarded, unless blocks wait for the device."""
    late = f",x-report-ack-base-ns={60 * SECOND},x-report-discard-late=on"
    for name, bit in (("hint", ""), ("wait-on-ack", ",x-hint-wait-on-ack=on")):
        with Guest(scratch, f"race-{name}", "512M", HINT + bit + late) as guest:
            before = int(guest.sh(FREE))
            out = hint_round(guest)
            missing = int(guest.sh(FREE))
            tap.ok(out > 200 and missing < before - 200, f"{name}: a round takes most of what is free",
                   f"{out} of {before} MiB, {missing} left")
            guest.sh("echo 2 >/proc/sys/vm/drop_caches")
            back = int(guest.sh(FREE)) - missing
            if name == "wait-on-ack":
                tap.ok(back < 16, f"{name}: the shrinker has nothing to give back", f"{back} MiB")
                guest.qmp("stop")  # all is answered, and then it goes back
                guest.qmp("cont")
                tap.ok(answered(guest), f"{name}: the round ends")
                guest.sh(f"for i in $(seq 100); do [ $({FREE}) -gt {before - 40} ] && break; sleep 0.1; done")
            else:
                tap.ok(back > 200, f"{name}: the shrinker gives back what is out", f"{back} MiB")
            guest.sh(WRITE)
            whole = int(guest.sh(LOST))
            lost = lost_mib(guest)
            tap.is_(whole, 0, f"{name}: the file is as it was written")
            if name == "hint":
                tap.ok(lost, f"{name}: and then it is not: the race of free page hints")
                tap.note(f"{name}: {lost:.0f} MiB of 150 lost (-1: and the guest as well)")
            else:
                tap.is_(lost, 0, f"{name}: and it stays so")
                tap.is_(guest.splats(), [], f"{name}: no splat")


def check_timeout(tap: Tap, scratch: Scratch) -> None:
    """A driver that does not wait for the answer loses what is written meanwhile."""
    for timeout_ms in (0, 200):
        name = f"report_timeout_ms={timeout_ms}"
        device = f"{REPORTING},reporting-queue-size=256,x-report-ack-base-ns={60 * SECOND},x-report-discard-late=on"
        with Guest(scratch, f"timeout-{timeout_ms}", "512M", device,
                   cmdline=f"virtio_balloon.{name} page_reporting.page_reporting_delay_ms=60000") as guest:
            tap.is_(guest.sh(f"cat {PARAM.replace('page_reporting', 'virtio_balloon')}/report_timeout_ms").strip(),
                    str(timeout_ms), f"{name}: as asked")
            guest.sh(f"(echo 1 >{PARAM}/flush) >/dev/null 2>&1 &")
            wait_until(lambda guest=guest: guest.device()["bytes-out"] > 0, 60)
            guest.sh("sleep 0.5")
            guest.sh(WRITE)
            whole = int(guest.sh(LOST))
            lost = lost_mib(guest)
            tap.is_(whole, 0, f"{name}: the file is as it was written")
            if timeout_ms:
                tap.ok(lost, f"{name}: and then it is not")
                tap.note(f"{name}: {lost:.0f} MiB of 150 lost (-1: and the guest as well)")
            else:
                tap.is_(lost, 0, f"{name}: and it stays so")
                tap.is_(guest.splats(), [], f"{name}: no splat")


def main() -> int:
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs", GUEST / "hintsay", SOAK)
    return guestvm.main_of(check_rivals, check_race, check_timeout)


if __name__ == "__main__":
    sys.exit(main())
