# SPDX-License-Identifier: GPL-2.0-or-later
"""What was proposed in the place of a buffer: to leave free memory alone
(page_reporting.keep_kib), and to wait for a batch before a kill
(page_reporting.oom_wait_ms); and what bounds a batch, and shows it, with a buffer
and without. Prints TAP.

Each is shown beside a guest without it, which is the same in all else.
"""

from __future__ import annotations

import re
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


OUT = re.compile(r"(\d+) pages being reported to the host")
HELD = re.compile(r"(\d+) pages of hinting buffer")


def check_dump(tap: Tap, scratch: Scratch) -> None:
    """The kernel's own dump names what is out, and the longest batch is the buffer's or of 32 chunks."""
    for buffer_mib in (0, 256):
        name = f"a buffer of {buffer_mib} MiB" if buffer_mib else "no buffer"
        buffer = f",hint-buffer-size={buffer_mib}M" if buffer_mib else ""
        with Guest(scratch, f"dump-{buffer_mib}", f"{1024 + buffer_mib}M",
                   f"free-page-reporting=on,reporting-queue-size=128,x-report-ack-base-ns={ANSWER_NS}{buffer}",
                   cmdline=CMDLINE) as guest:
            guest.sh(f"(echo 1 >{PARAM}/flush) >/dev/null 2>&1 &")
            end = time.monotonic() + 60
            while not guest.device()["bytes-out"] and time.monotonic() < end:
                time.sleep(0.1)
            for _ in range(2 if buffer_mib else 1):
                before = guest.device()["bytes-out"]
                guest.sh("dmesg -C; echo m >/proc/sysrq-trigger")
                log = guest.sh("dmesg")
                if guest.device()["bytes-out"] == before:
                    break
            tap.is_([int(x) << 12 for x in OUT.findall(log)], [before], f"{name}: the dump has what the device has")
            tap.is_([int(x) // 256 for x in HELD.findall(log)], [buffer_mib] if buffer_mib else [],
                    f"{name}: the dump has the size of the buffer")
            guest.flush()
            most = guest.device()["bytes-out-max"] // MIB
            if buffer_mib:
                tap.ok(128 < most <= buffer_mib, f"{name}: it is that which bounds a batch", f"{most} MiB")
            else:
                tap.ok(0 < most <= 128, f"{name}: a batch has 32 chunks of 4 MiB at most", f"{most} MiB")
            guest.sh("dmesg -C; echo m >/proc/sysrq-trigger")
            tap.is_(OUT.findall(guest.sh("dmesg")), ["0"], f"{name}: afterwards nothing is out")
            tap.is_(guest.splats(), [], f"{name}: no splat")


def main() -> int:
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "hintsay")
    return guestvm.main_of(check_keep, check_oom_wait, check_dump)


if __name__ == "__main__":
    sys.exit(main())
