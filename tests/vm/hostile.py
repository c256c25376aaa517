# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose balloon device breaks every rule. Prints TAP.

The device is that of kernel-patches/qemu-hostile: its property x-hostile says
what it does wrong, at run time or from the start. Whatever it is, the guest
lives, answers and shuts down, its memory keeps its content, none of it is lost,
and the kernel prints no splat. Once the device behaves again, a driver bound
anew reports as before.

A device that has failed (its used ring makes no sense, or it asks for a reset)
keeps the batch it was given: other memory took its place, the worker waits
without being taken for hung, nothing else is reported. When the driver goes it
resets the device, and only then the batch comes back, as not reported.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import guestvm
from guestvm import (BUILD, DRIVER, GUEST, KERNEL, MIB, PARAM, ROOTFS, SOAK, SYSFS, Guest,
                     GuestError, Scratch, Tap, accounting, reportable_mib)
from lifecycle import DEVICE, FAST, settled, soak_ok, sum_is
from tap import wait_until

HOSTILE = Path(os.environ.get("QEMU_HOSTILE", BUILD / "qemu-hostile"))
WHOLE = 64 * 256
BUFFER = "free-page-reporting=on,hint-buffer-size=64M"
STATUS = "/sys/bus/virtio/devices/virtio*/status"
NEEDS_RESET = 0x40
# A debug kernel takes several times as long.
SLOW = 5 if guestvm.ROOM_MIB else 1


@dataclass(frozen=True)
class Mode:
    """What the device does at run time, and how to tell that it did."""

    name: str
    does: str
    console: str = ""  # the kernel says so
    reports: int = 0  # batches that it goes on to answer, at least
    mib: int = 256  # of soak
    fails: bool = False  # for good: the batch that it has is never answered


MODES = (
    Mode("ack-twice", "each report is answered twice", reports=5),
    Mode("wrong-len", "reports are answered with lengths never written", reports=5),
    Mode("wrong-id", "an answer has a number beyond the queue", console="out of range",
         fails=True),
    Mode("no-head", "an answer has a number that is not in use", console="is not a head",
         fails=True),
    Mode("unasked", "the device answers every ms, asked or not", console="is not a head",
         fails=True),
    Mode("huge", "the buffer is to have 0xffffffff pages", console="more than half of memory", mib=96),
    Mode("wobble", "the buffer is to have another size every ms", reports=5, mib=96),
    Mode("needs-reset", "the device fails", fails=True),
)


def boot(scratch: Scratch, name: str, mode: str = "none", options: str = "", cmdline: str = FAST) -> Guest:
    return Guest(scratch, name, "578M", f"{BUFFER},x-hostile={mode}{options}", smp=2, cmdline=cmdline,
                 qemu=HOSTILE)


def soak_start(guest: Guest, mib: int, seconds: int, procs: int = 8, seed: int = 1) -> None:
    guestvm.soak_start(guest, mib, f"{seconds * SLOW}s", procs=procs, seed=seed)


def free_mib(guest: Guest) -> int:
    """Free pages and those in the per-CPU lists, which may be 10 MiB and more."""
    return int(guest.sh("sync; echo 3 >/proc/sys/vm/drop_caches\n"
                        "awk '$1 == \"nr_free_pages\" || $1 == \"count:\" { n += $2 } "
                        "END { print n }' /proc/zoneinfo")) // 256


def uninterruptible(guest: Guest) -> str:
    """Names of the tasks in that state."""
    return guest.sh("grep -l '^State:.*D' /proc/[0-9]*/status 2>/dev/null | xargs -r grep -h ^Name: || :")


def soon(done: Callable[[], bool], seconds: float = 15) -> bool:
    return wait_until(done, seconds * SLOW)


def waiting(guest: Guest) -> list[str]:
    """States of the tasks that wait for the device to answer a report."""
    return guest.sh("for task in $(grep -lE '^(wait_for_host|virtballoon_free_page_report)' "
                    "/proc/[0-9]*/wchan 2>/dev/null); do awk '/^State:/ { print $2 }' ${task%wchan}status; "
                    "done").split()


def check_waits(tap: Tap, guest: Guest, name: str) -> None:
    """Who waits for the device does so in a way that nobody complains about."""
    tap.is_(waiting(guest), ["I"], f"{name}: one task waits for the answer, idle")
    # After 120 s in this state the kernel calls a task hung, which may be a panic.
    tap.ok(soon(lambda: not uninterruptible(guest), 5), f"{name}: ... and will not be taken for hung",
           uninterruptible(guest))


def check_failed(tap: Tap, guest: Guest, whole: dict[str, int], free: int, name: str) -> None:
    """The device has failed with a batch. The guest does not miss it, and waits without a word."""
    sum_is(tap, guest, whole, name)
    tap.ok(soon(lambda: free_mib(guest) > free - 8), f"{name}: no memory is missing",
           (free, free_mib(guest)))
    check_waits(tap, guest, name)
    before = guest.device()["batches"]
    guest.sh(f"soak --bytes 128M --procs 2 --seed 6 --duration {300 * SLOW}ms >/dev/null; sleep 1")
    tap.is_(guest.device()["batches"], before, f"{name}: nothing else is reported")


def unbind(tap: Tap, guest: Guest, name: str) -> None:
    """Whatever the device does, the driver can go. Then it behaves."""
    begin = time.monotonic()
    status, out = guest.run(f"device={DEVICE}; echo $device >/run/unbound; "
                            f"echo $device >{DRIVER}/unbind && cat {SYSFS}/buffer_held_pages", 60 * SLOW)
    seconds = time.monotonic() - begin
    tap.is_((status, out.strip()), (0, "0"), f"{name}: the driver can go, with nothing left behind")
    tap.ok(seconds < 10 * SLOW, f"{name}: ... within seconds", f"{seconds:.1f} s")
    guest.balloon("x-hostile", "none")


def bind(tap: Tap, guest: Guest, name: str) -> None:
    guest.sh(f"cat /run/unbound >{DRIVER}/bind")
    tap.is_(settled(guest, WHOLE), WHOLE, f"{name}: bound anew, the buffer is whole")


def rebind(tap: Tap, guest: Guest, whole: dict[str, int], name: str) -> None:
    """With a device that behaves, a driver bound anew reports as before."""
    unbind(tap, guest, name)
    bind(tap, guest, name)
    before = guest.device()["batches"]
    guest.sh(f"soak --bytes 128M --procs 2 --seed 5 --duration {300 * SLOW}ms >/dev/null")
    tap.ok(soon(lambda: guest.device()["batches"] > before),
           f"{name}: ... and what becomes free is reported")
    sum_is(tap, guest, whole, name)


def power_off(tap: Tap, guest: Guest, name: str) -> None:
    tap.is_(guest.splats(), [], f"{name}: no splat")
    guest.start("echo o >/proc/sysrq-trigger")
    tap.ok(soon(lambda: guest.proc.poll() is not None), f"{name}: the guest powers off")


def check_run_time(tap: Tap, scratch: Scratch) -> None:
    """One guest after another mode."""
    with boot(scratch, "run-time") as guest:
        whole = accounting(guest)
        free = free_mib(guest)
        for seed, mode in enumerate(MODES, 51):
            name = f"{mode.name} ({mode.does})"
            said = guest.console().count(mode.console)
            before = guest.device()["batches"]
            soak_start(guest, mode.mib, 2, seed=seed)
            guest.balloon("x-hostile", mode.name)
            soak_ok(tap, guest, name)
            if mode.console:
                tap.ok(guest.console().count(mode.console) > said, f"{mode.name}: the kernel says so",
                       guest.console()[-2000:])
            if mode.reports:
                got = guest.device()["batches"] - before
                tap.ok(got >= mode.reports, f"{mode.name}: it goes on reporting", got)
            if mode.name == "needs-reset":
                status = guest.sh(f"cat {STATUS}")
                tap.ok(int(status, 16) & NEEDS_RESET, f"{mode.name}: the device says so", status)
            if mode.fails:
                check_failed(tap, guest, whole, free, mode.name)
            rebind(tap, guest, whole, mode.name)
        power_off(tap, guest, "all at run time")


def check_failed_batch(tap: Tap, scratch: Scratch) -> None:
    """What a device had when it failed is not taken for reported afterwards.

    Nothing is reported by itself. A flush begins with the buffer, which is
    answered; its chunks go to the free lists in exchange for those of the second
    batch, with which the device fails. So after unbind and bind all that is free
    and held is reported, but the first batch at most. A second batch that is
    taken for reported as well would be missing, too.
    """
    for mode in ("needs-reset", "wrong-id"):
        name = f"{mode} with a batch"
        with boot(scratch, f"batch-{mode}", options=",x-report-ack-base-ns=1500000000",
                  cmdline="page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=60000") as guest:
            whole = accounting(guest)
            tap.is_(guest.device()["batches"], 0, f"{name}: nothing was reported before")
            guest.sh(f"( echo 1 >{PARAM}/flush; echo $? >/run/flushed ) >/dev/null 2>&1 &")
            soon(lambda: guest.device()["batches"] > 0)
            first = guest.device()["bytes-received"] // MIB
            soon(lambda: guest.device()["batches"] > 1)
            guest.balloon("x-hostile", mode)
            time.sleep(1)
            before = guest.device()
            second = before["bytes-received"] // MIB - first
            tap.is_(before["batches"], 2, f"{name}: the device fails with the second one")
            tap.ok(first >= 32 and second >= 32, f"{name}: ... which is large enough to be missed",
                   f"{first} and {second} MiB")
            sum_is(tap, guest, whole, name)

            unbind(tap, guest, name)
            tap.ok(soon(lambda: guest.run("test -s /run/flushed")[0] == 0),
                   f"{name}: who waited for it in a flush waits no more")
            tap.ok(guest.sh("cat /run/flushed").strip() != "0", f"{name}: ... and is told that it failed")
            bind(tap, guest, name)
            guest.flush()
            received = (guest.device()["bytes-received"] - before["bytes-received"]) // MIB
            there = reportable_mib(guest)
            tap.note(f"{name}: {first} MiB reported, {second} MiB not; then {received} MiB of {there}")
            tap.ok(received >= there - first - 16, f"{name}: it is reported when there is a device again",
                   f"{received} of {there} MiB, {first} MiB were before")
            sum_is(tap, guest, whole, name)
            power_off(tap, guest, name)


def check_never(tap: Tap, scratch: Scratch) -> None:
    """No answer from boot on, then all of them seconds later."""
    name = "never-ack (reports are never answered)"
    with boot(scratch, "never-ack", "never-ack") as guest:
        whole = accounting(guest)
        tap.ok(soon(lambda: guest.device()["bytes-out"] >= 32 * MIB), f"{name}: a batch is out",
               guest.device())
        out_mib = guest.device()["bytes-out"] // MIB
        free = free_mib(guest)
        total = whole["total_kib"] // 1024
        tap.note(f"{name}: {out_mib} MiB out, {free} of {total} MiB free")
        tap.ok(free > total - out_mib, f"{name}: what is out is not missing", free)
        sum_is(tap, guest, whole, name)
        # With what is out missing this would not fit.
        soak_start(guest, total - 96, 4, seed=62)
        soak_ok(tap, guest, name)
        tap.is_(guest.sh("dmesg | grep -c 'Out of memory' || :").strip(), "0", f"{name}: nobody is killed")
        tap.is_(guest.device()["batches"], 1, f"{name}: nothing else is reported meanwhile")
        check_waits(tap, guest, name)

        guest.sh(f"device={DEVICE}; rm -f /run/unbound; "
                 f"( echo $device >{DRIVER}/unbind; echo $device >/run/unbound ) >/dev/null 2>&1 &")
        time.sleep(1)
        tap.is_(guest.run("cat /run/unbound 2>/dev/null")[0], 1, f"{name}: the driver does not go before")
        guest.balloon("x-hostile", "none")
        tap.ok(soon(lambda: guest.run("test -s /run/unbound")[0] == 0),
               f"{name}: it goes when the answer comes late")
        bind(tap, guest, name)
        sum_is(tap, guest, whole, name)

        guest.balloon("x-hostile", "never-ack")
        soak_start(guest, 256, 2, seed=63)
        soak_ok(tap, guest, name)
        tap.ok(guest.device()["bytes-out"] > 0, f"{name}: a batch is out again", guest.device())
        power_off(tap, guest, name)


def check_boot(tap: Tap, scratch: Scratch) -> None:
    """What the driver meets when it starts."""
    for mode, does, wanted in (
            ("no-field-16", "the feature is offered, its field is not there", 0),
            ("no-field-12", "nor is the one before", 0),
            ("huge", "0xffffffff pages from the start", 0xffffffff),
            ("wobble", "another size every ms from the start", None)):
        name = f"{mode} ({does})"
        try:
            with boot(scratch, mode, mode) as guest:
                soak_start(guest, 128, 2, procs=4, seed=71)
                soak_ok(tap, guest, name)
                if wanted is not None:
                    tap.is_(guest.number("buffer_wanted_pages"), wanted,
                            f"{name}: the size as the driver sees it")
                    sizes = accounting(guest)
                    tap.ok(sizes["held"] <= (sizes["managed"] + sizes["held"]) / 2,
                           f"{name}: at most half of memory is held", sizes)
                power_off(tap, guest, name)
        except GuestError as err:
            tap.ok(False, f"{name}: the guest does what every guest must", err)


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", HOSTILE / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(check_run_time, check_failed_batch, check_never, check_boot))
