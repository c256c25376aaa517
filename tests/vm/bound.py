# SPDX-License-Identifier: GPL-2.0-or-later
"""The bound on the bytes that are out at once, page_reporting.max_out_kib. Prints TAP.

The device says how much was out at most. Without a bound 32 blocks of 4 MiB are
twice 64 MiB; with one all is reported that is reported without.
"""

from __future__ import annotations

import sys

import guestvm
from guestvm import GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, Guest, Scratch, Tap

BOUND_MIB = 64
LARGEST_MIB = 4
BUFFER_MIB = 64

# Nothing is reported before it is asked for.
WAIT = "page_reporting.page_reporting_delay_ms=60000"

# Have most of memory in use and free it: the host is to be told of it again.
AGAIN = """
mkdir -p /run/hog && mount -t tmpfs -o size=100% hog /run/hog
head -c 400M /dev/zero >/run/hog/most
umount /run/hog
echo 1 >/proc/sys/vm/compact_memory
"""


def reported(guest: Guest) -> int:
    """Have all that is free reported; MiB of it that the device received."""
    before = guest.device()["bytes-received"]
    guest.flush()
    return (guest.device()["bytes-received"] - before) // MIB


def out_max(guest: Guest) -> float:
    """MiB that the device had at most, since it was started."""
    return guest.device()["bytes-out-max"] / MIB


def bound(guest: Guest, mib: int) -> None:
    guest.sh(f"echo {mib << 10} >{PARAM}/max_out_kib")


def check_stock(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "bound", "768M", "free-page-reporting=on",
               cmdline=f"{WAIT} page_reporting.page_reporting_order=10 "
                       f"page_reporting.max_out_kib={BOUND_MIB << 10}") as guest:
        bounded = reported(guest)
        tap.ok(bounded > 400, "with a bound free memory is reported", f"{bounded} MiB")
        tap.is_(out_max(guest), BOUND_MIB, f"at most {BOUND_MIB} MiB are out at once, and so many are")
        guest.sh(AGAIN)
        tap.ok(reported(guest) > 300, "what was in use and is free again is reported again")
        tap.is_(out_max(guest), BOUND_MIB, f"still at most {BOUND_MIB} MiB")

        # Below 4 MiB blocks of order 10 do not fit; blocks of order 9 do.
        guest.sh(f"echo 9 >{PARAM}/page_reporting_order")
        guest.sh(AGAIN)
        bound(guest, 1)
        tap.is_(reported(guest), 0, "a bound below a block: nothing is reported")
        bound(guest, LARGEST_MIB - 1)
        small = reported(guest)
        bound(guest, BOUND_MIB)
        rest = reported(guest)
        tap.ok(small < rest and rest > 300, "blocks larger than the bound are skipped, not smaller ones",
               f"{small} MiB below order 10, then {rest} MiB")

        guest.sh(AGAIN)
        bound(guest, 0)
        free = reported(guest)
        tap.ok(free > 300, "without a bound as much is reported", f"{free} MiB")
        tap.ok(out_max(guest) > BOUND_MIB, f"without a bound more than {BOUND_MIB} MiB are out at once",
               f"{out_max(guest)} MiB")
        tap.is_(guest.device()["bytes-out"], 0, "nothing stays out")
        tap.is_(guest.splats(), [], "no splat")


def check_buffer(tap: Tap, scratch: Scratch) -> None:
    limit = BUFFER_MIB // 4
    with Guest(scratch, "bound-buffer", "578M",
               f"free-page-reporting=on,hint-buffer-size={BUFFER_MIB}M,reporting-queue-size=256",
               cmdline=f"{WAIT} page_reporting.page_reporting_order=9 "
                       f"page_reporting.max_out_kib={limit << 10}") as guest:
        tap.ok(reported(guest) > 300, "with a buffer and a bound free memory is reported")
        tap.is_(out_max(guest), limit, f"a bound of {limit} MiB holds with a buffer of {BUFFER_MIB}")
        tap.is_(guest.number("buffer_held_pages"), BUFFER_MIB * 256, "the buffer is whole")
        guest.sh(AGAIN)
        bound(guest, 0)
        tap.ok(reported(guest) > 300, "without a bound it is reported again")
        tap.is_(out_max(guest), BUFFER_MIB, "without a bound all of the buffer is out at once")
        tap.is_(guest.number("buffer_held_pages"), BUFFER_MIB * 256, "the buffer is whole again")
        tap.is_(guest.splats(), [], "no splat with a buffer")


def main() -> int:
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "hintsay")
    return guestvm.main_of(check_stock, check_buffer)


if __name__ == "__main__":
    sys.exit(main())
