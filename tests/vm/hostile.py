# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose balloon device breaks every rule. Prints TAP.

The device is that of kernel-patches/qemu-hostile: its property x-hostile says
what it does wrong, at run time or from the start. Whatever it is, the guest
lives, answers and shuts down, its memory keeps its content, none of it is lost,
and the kernel prints no splat. Once the device behaves again, a driver bound
anew reports as before.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import guestvm
from guestvm import (BUILD, DRIVER, GUEST, KERNEL, MIB, ROOTFS, Guest, GuestError, Scratch, Tap,
                     accounting)
from lifecycle import DEVICE, FAST, settled, soak_ok, sum_is

HOSTILE = Path(os.environ.get("QEMU_HOSTILE", BUILD / "qemu-hostile"))
WHOLE = 64 * 256
BUFFER = "free-page-reporting=on,hint-buffer-size=64M"
STATUS = "/sys/bus/virtio/devices/virtio*/status"
NEEDS_RESET = 0x40


@dataclass(frozen=True)
class Mode:
    """What the device does at run time, and how to tell that it did."""

    name: str
    does: str
    console: str = ""  # the kernel says so
    reports: int = 0  # batches that it goes on to answer, at least
    mib: int = 256  # of soak


MODES = (
    Mode("ack-twice", "each report is answered twice", reports=5),
    Mode("wrong-len", "reports are answered with lengths never written", reports=5),
    Mode("wrong-id", "an answer has a number beyond the queue", console="out of range"),
    Mode("no-head", "an answer has a number that is not in use", console="is not a head"),
    Mode("unasked", "the device answers every ms, asked or not", console="is not a head"),
    Mode("huge", "the buffer is to have 0xffffffff pages", console="more than half of memory", mib=96),
    Mode("wobble", "the buffer is to have another size every ms", reports=5, mib=96),
)


def boot(scratch: Scratch, name: str, mode: str = "none") -> Guest:
    qemu = [str(HOSTILE / "qemu-system-x86_64"), "-L", str(HOSTILE / "share")]
    return Guest(scratch, name, "578M", f"{BUFFER},x-hostile={mode}", smp=2, cmdline=FAST, qemu=qemu)


def free_mib(guest: Guest) -> int:
    """Free pages and those in the per-CPU lists, which may be 10 MiB and more."""
    return int(guest.sh("sync; echo 3 >/proc/sys/vm/drop_caches\n"
                        "awk '$1 == \"nr_free_pages\" || $1 == \"count:\" { n += $2 } "
                        "END { print n }' /proc/zoneinfo")) // 256


def uninterruptible(guest: Guest) -> str:
    """Names of the tasks in that state."""
    return guest.sh("grep -l '^State:.*D' /proc/[0-9]*/status 2>/dev/null | xargs -r grep -h ^Name: || :")


def wait_until(what: object, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def rebind(tap: Tap, guest: Guest, whole: dict[str, int], name: str) -> None:
    """With a device that behaves, a driver bound anew reports as before."""
    guest.balloon("x-hostile", "none")
    status, out = guest.run(f"device={DEVICE}; echo $device >{DRIVER}/unbind && "
                            f"cat /sys/kernel/mm/page_reporting/buffer_held_pages && "
                            f"echo $device >{DRIVER}/bind", 30)
    tap.is_((status, out.strip()), (0, "0"), f"{name}: the driver can go, with nothing left behind")
    tap.is_(settled(guest, WHOLE), WHOLE, f"{name}: bound anew, the buffer is whole")
    before = guest.device()["batches"]
    guest.sh("soak --bytes 128M --procs 2 --seed 5 --duration 300ms >/dev/null")
    tap.ok(wait_until(lambda: guest.device()["batches"] > before),
           f"{name}: ... and what becomes free is reported")
    sum_is(tap, guest, whole, name)


def power_off(tap: Tap, guest: Guest, name: str) -> None:
    tap.is_(guest.splats(), [], f"{name}: no splat")
    guest.start("echo o >/proc/sysrq-trigger")
    tap.ok(wait_until(lambda: guest.proc.poll() is not None), f"{name}: the guest powers off")


def check_run_time(tap: Tap, scratch: Scratch) -> None:
    """One guest after another mode, then a device that fails for good."""
    with boot(scratch, "run-time") as guest:
        whole = accounting(guest)
        free = free_mib(guest)
        for seed, mode in enumerate(MODES, 51):
            name = f"{mode.name} ({mode.does})"
            said = guest.console().count(mode.console)
            before = guest.device()["batches"]
            guestvm.soak_start(guest, mode.mib, "2s", seed=seed)
            guest.balloon("x-hostile", mode.name)
            soak_ok(tap, guest, name)
            if mode.console:
                tap.ok(guest.console().count(mode.console) > said, f"{mode.name}: the kernel says so",
                       guest.console()[-2000:])
            if mode.reports:
                got = guest.device()["batches"] - before
                tap.ok(got >= mode.reports, f"{mode.name}: it goes on reporting", got)
            rebind(tap, guest, whole, mode.name)

        name = "needs-reset (the device fails)"
        guestvm.soak_start(guest, 256, "2s", seed=61)
        guest.balloon("x-hostile", "needs-reset")
        soak_ok(tap, guest, name)
        status = guest.sh(f"cat {STATUS}")
        tap.ok(int(status, 16) & NEEDS_RESET, f"{name}: it says so", status)
        sum_is(tap, guest, whole, name)
        tap.ok(free_mib(guest) > free - 8, f"{name}: no memory is missing", (free, free_mib(guest)))
        rebind(tap, guest, whole, "needs-reset")
        power_off(tap, guest, "all at run time")


def check_never(tap: Tap, scratch: Scratch) -> None:
    """No answer from boot on, then all of them seconds later."""
    name = "never-ack (reports are never answered)"
    with boot(scratch, "never-ack", "never-ack") as guest:
        whole = accounting(guest)
        tap.ok(wait_until(lambda: guest.device()["bytes-out"] >= 32 * MIB), f"{name}: a batch is out",
               guest.device())
        out_mib = guest.device()["bytes-out"] // MIB
        free = free_mib(guest)
        total = whole["total_kib"] // 1024
        tap.note(f"{name}: {out_mib} MiB out, {free} of {total} MiB free")
        tap.ok(free > total - out_mib, f"{name}: what is out is not missing", free)
        sum_is(tap, guest, whole, name)
        # With what is out missing this would not fit.
        guestvm.soak_start(guest, total - 96, "4s", seed=62)
        soak_ok(tap, guest, name)
        tap.is_(guest.sh("dmesg | grep -c 'Out of memory' || :").strip(), "0", f"{name}: nobody is killed")
        tap.is_(guest.device()["batches"], 1, f"{name}: nothing else is reported meanwhile")
        # After 120 s in this state the kernel calls a task hung, which may be a panic.
        tap.ok(wait_until(lambda: not uninterruptible(guest), 5),
               f"{name}: who waits will not be taken for hung", uninterruptible(guest))

        guest.sh(f"device={DEVICE}; rm -f /run/unbound; "
                 f"( echo $device >{DRIVER}/unbind; echo $device >/run/unbound ) >/dev/null 2>&1 &")
        time.sleep(1)
        tap.is_(guest.run("cat /run/unbound 2>/dev/null")[0], 1, f"{name}: the driver does not go before")
        guest.balloon("x-hostile", "none")
        tap.ok(wait_until(lambda: guest.run("test -s /run/unbound")[0] == 0),
               f"{name}: it goes when the answer comes late")
        guest.sh(f"cat /run/unbound >{DRIVER}/bind")
        tap.is_(settled(guest, WHOLE), WHOLE, f"{name}: bound anew, the buffer is whole")
        sum_is(tap, guest, whole, name)

        guest.balloon("x-hostile", "never-ack")
        guestvm.soak_start(guest, 256, "2s", seed=63)
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
                guestvm.soak_start(guest, 128, "2s", procs=4, seed=71)
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
                    GUEST / "soak", GUEST / "hinttrace")
    sys.exit(guestvm.main_of(check_run_time, check_never, check_boot))
