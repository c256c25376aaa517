# SPDX-License-Identifier: GPL-2.0-or-later
"""What was proposed in the place of a buffer: to leave free memory alone
(page_reporting.keep_kib), and to wait for a batch before a kill
(page_reporting.oom_wait_ms). Prints TAP.

Each is shown beside a guest without it, which is the same in all else.
"""

from __future__ import annotations

import sys
import time

import guestvm
from guestvm import GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, Guest, Scratch, Tap

# Nothing is reported before it is asked for, and then in chunks of 2 MiB.
CMDLINE = "page_reporting.page_reporting_delay_ms=60000 page_reporting.page_reporting_order=9"

# The host answers a batch this much later.
ANSWER_NS = 3_000_000_000
WAIT_MS = 20_000

# Whole MiB that are free, in all zones.
FREE = "awk '/^MemFree:/ {print int($2 / 1024)}' /proc/meminfo"

# Have memory in use and free it: the host is to be told of it again.
AGAIN = """
mkdir -p /run/hog && mount -t tmpfs -o size=100% hog /run/hog
head -c 250M /dev/zero >/run/hog/most
umount /run/hog
echo 1 >/proc/sys/vm/compact_memory
"""

KILLS = "awk '/^oom_kill / {print $2}' /proc/vmstat"


def received(guest: Guest) -> int:
    return guest.device()["bytes-received"] // MIB


def reported(guest: Guest) -> int:
    """Have all that may be reported reported; MiB of it."""
    before = received(guest)
    guest.flush()
    return received(guest) - before


def check_keep(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "keep", "512M", "free-page-reporting=on", cmdline=CMDLINE) as guest:
        free = int(guest.sh(FREE))
        guest.sh(f"echo {(free + 32) << 10} >{PARAM}/keep_kib")
        tap.is_(reported(guest), 0, "more is to be kept than is free: nothing is reported")

        # The device says the most that was out at once: the rest was free meanwhile.
        kept = free - 16
        guest.sh(f"echo {kept << 10} >{PARAM}/keep_kib")
        some = reported(guest)
        out = guest.device()["bytes-out-max"] / MIB
        tap.ok(0 < some and out <= 16 + 2, "a little less than is free is to be kept: little is out at once",
               f"{out} MiB of {free}, {some} MiB in all")

        guest.sh(f"echo 0 >{PARAM}/keep_kib")
        guest.sh(AGAIN)
        tap.ok(reported(guest) > 100, "with nothing to keep what is free again is reported")
        tap.ok(guest.device()["bytes-out-max"] / MIB > 32, "and more of it is out at once")
        tap.is_(guest.device()["bytes-out"], 0, "nothing stays out")
        tap.is_(guest.splats(), [], "no splat")


def squeeze(guest: Guest, wait_ms: int) -> tuple[int, float]:
    """Want a batch's memory while the host has it; kills meanwhile, and seconds the wanting took."""
    guest.sh(f"echo {wait_ms} >{PARAM}/oom_wait_ms")
    before = int(guest.sh(KILLS))
    room = int(guest.sh(FREE))
    begin = time.monotonic()
    guest.run(f"""
(echo 1 >{PARAM}/flush) 2>/dev/null &
sleep 0.3
(echo 1000 >/proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs={room - 32}M count=1 2>/dev/null)
""")
    return int(guest.sh(KILLS)) - before, time.monotonic() - begin


def check_oom_wait(tap: Tap, scratch: Scratch) -> None:
    kills = {}
    for wait_ms in (0, WAIT_MS):
        with Guest(scratch, f"oom-wait-{wait_ms}", "256M",
                   f"free-page-reporting=on,x-report-ack-base-ns={ANSWER_NS}", cmdline=CMDLINE) as guest:
            kills[wait_ms], seconds = squeeze(guest, wait_ms)
            tap.note(f"oom_wait_ms={wait_ms}: {kills[wait_ms]} kills, {seconds:.1f} s")
            tap.is_(guest.splats(), [], f"no splat with oom_wait_ms={wait_ms}")
    tap.ok(kills[0] > 0, "without a wait memory that is out costs a process")
    tap.is_(kills[WAIT_MS], 0, "with one the memory comes back first, and nobody is killed")


def main() -> int:
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "hintsay")
    return guestvm.main_of(check_keep, check_oom_wait)


if __name__ == "__main__":
    sys.exit(main())
