# SPDX-License-Identifier: GPL-2.0-or-later
"""The life cycle of the hinting buffer. Prints TAP.

Driver and size come and go, and the guest is suspended, while a checker uses
memory. Whatever happens, the memory managed and that in the buffer are together
what they were, the buffer is whole as soon as there is memory for it, content
stays, and the kernel prints no splat. memory.py is about memory that comes and
goes.
"""

from __future__ import annotations

import sys
import time

import guestvm
from guestvm import (DRIVER, GUEST, KERNEL, MIB, QEMU, ROOTFS, SOAK, SYSFS, Guest, GuestError,
                     Scratch, Tap, accounting, reportable_mib)

REPORTING = "free-page-reporting=on"
BUFFER = f"{REPORTING},hint-buffer-size=64M"
FAST = "page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=10"
DEVICE = f"$(basename $(ls -d {DRIVER}/virtio* 2>/dev/null))"
NR_REBINDS = 20


def sum_is(tap: Tap, guest: Guest, whole: dict[str, int], name: str) -> dict[str, int]:
    now = accounting(guest)
    tap.is_(now["managed"] + now["held"], whole["managed"] + whole["held"],
            f"{name}: managed and held pages add up")
    return now


def soak_ok(tap: Tap, guest: Guest, name: str) -> None:
    total = guestvm.soak_result(guest)
    tap.note(f"{name}: {total['output'].splitlines()[-1]}")
    tap.ok(total["status"] == 0, f"{name}: memory keeps its content", total["output"])


def check_rebind(tap: Tap, guest: Guest) -> None:
    whole = accounting(guest)
    guestvm.soak_start(guest, 256, "20s", seed=11)
    out = guest.sh(f"""
device={DEVICE}
i=0
while [ $i -lt {NR_REBINDS} ]; do
	i=$((i + 1))
	echo $device >{DRIVER}/unbind || exit 1
	echo without $(cat {SYSFS}/buffer_held_pages) $(awk '/^MemTotal/ {{ print $2 }}' /proc/meminfo)
	echo $device >{DRIVER}/bind || exit 1
	echo with $(cat {SYSFS}/buffer_held_pages) $(awk '/^MemTotal/ {{ print $2 }}' /proc/meminfo)
	sleep 0.1
done""")
    seen: dict[str, list[tuple[int, int]]] = {"without": [], "with": []}
    for line in out.splitlines():
        when, held, total = line.split()
        seen[when].append((int(held), int(total)))
    tap.is_(len(seen["with"]), NR_REBINDS, f"rebind: {NR_REBINDS} times under load")
    all_kib = whole["total_kib"] + 4 * whole["held"]
    tap.is_(set(seen["without"]), {(0, all_kib)}, "rebind: without the driver all memory is managed")
    sums = {held * 4 + total for held, total in seen["with"]}
    tap.is_(sums, {all_kib}, "rebind: with it, all but what is held")
    helds = [held for held, _ in seen["with"]]
    tap.note(f"rebind: held {min(helds)} to {max(helds)} pages, at boot {whole['held']}")
    tap.ok(0 < min(helds) and max(helds) <= 64 * 256, "rebind: the buffer is taken each time", helds)
    soak_ok(tap, guest, "rebind")
    sum_is(tap, guest, whole, "rebind")


def whole_again(tap: Tap, guest: Guest, name: str) -> None:
    """The buffer gets what it lacks by itself: passes, but no change of its size."""
    for _ in range(50):
        guest.flush()
        numbers = guest.numbers()
        if numbers["buffer_held_pages"] == numbers["buffer_wanted_pages"] > 0:
            break
        time.sleep(0.1)
    held, wanted = numbers["buffer_held_pages"], numbers["buffer_wanted_pages"]
    tap.ok(held == wanted > 0, f"{name}: the buffer is whole", f"{held} of {wanted} pages")


def settled(guest: Guest, wanted: int) -> int:
    """Wait until the driver has seen a size; pages held then."""
    for _ in range(100):
        if guest.number("buffer_wanted_pages") == wanted:
            break
        time.sleep(0.1)
    guest.flush()
    return guest.number("buffer_held_pages")


def low_marks(guest: Guest) -> int:
    """Pages of all low watermarks."""
    return sum(int(line.split()[1]) for line in guest.sh("grep '^ *low ' /proc/zoneinfo").splitlines())


def check_resize(tap: Tap, guest: Guest) -> None:
    whole = accounting(guest)
    guestvm.soak_start(guest, 192, "12s", seed=12)
    for mib in (0, 16, 96, 2, 64):
        guest.balloon("hint-buffer-size", mib * MIB)
        held = settled(guest, mib * 256)
        tap.is_(guest.number("buffer_wanted_pages"), mib * 256, f"resize to {mib} MiB: the driver sees it")
        tap.ok(held <= mib * 256 and (held > 0) == (mib > 0), f"resize to {mib} MiB: held is at most that",
               held)
        sum_is(tap, guest, whole, f"resize to {mib} MiB")
    soak_ok(tap, guest, "resize")

    # What the kernel would compute is more, so it is that which must not come.
    guest.sh("echo 1500 >/proc/sys/vm/min_free_kbytes")
    marks = {}
    for mib in (96, 16, 64):
        guest.balloon("hint-buffer-size", mib * MIB)
        settled(guest, mib * 256)
        tap.is_(guest.sh("cat /proc/sys/vm/min_free_kbytes").strip(), "1500",
                f"resize to {mib} MiB: min_free_kbytes is what the administrator has set")
        marks[mib] = low_marks(guest)
    tap.ok(marks[96] < marks[64] < marks[16], "... and the watermarks follow the managed pages", marks)

    # No load: it takes half of memory.
    guest.balloon("hint-buffer-size", 0xffffffff * 4096)
    held = settled(guest, 0xffffffff)
    now = sum_is(tap, guest, whole, "resize to 0xffffffff pages")
    tap.ok(held <= (now["managed"] + held) / 2, "resize to 0xffffffff pages: at most half of memory", held)
    tap.is_(guest.console().count("more than half of memory"), 1, "... with one message")

    guest.balloon("hint-buffer-size", 64 * MIB)
    settled(guest, 64 * 256)
    guestvm.soak_start(guest, 192, "10s", seed=13)
    end = time.monotonic() + 6
    nr = 0
    while time.monotonic() < end:
        guest.balloon("hint-buffer-size", (nr * 37 % 97) * 2 * MIB)
        nr += 1
        time.sleep(0.001)
    guest.balloon("hint-buffer-size", 64 * MIB)
    soak_ok(tap, guest, f"{nr} sizes in 6 s")
    # The last size may have come under load; now there is memory for all of it.
    settled(guest, 64 * 256)
    whole_again(tap, guest, f"{nr} sizes in 6 s")
    sum_is(tap, guest, whole, f"{nr} sizes in 6 s")


def check_race(tap: Tap, guest: Guest) -> None:
    """The driver goes while its device changes the size."""
    whole = accounting(guest)
    guest.start(f"""
device={DEVICE}
i=0
while [ $i -lt 50 ]; do
	i=$((i + 1))
	echo $device >{DRIVER}/unbind || exit 1
	echo $device >{DRIVER}/bind || exit 1
done
echo done""")
    end = time.monotonic() + 5
    nr = 0
    while time.monotonic() < end:
        guest.balloon("hint-buffer-size", (32 + nr % 2 * 32) * MIB)
        nr += 1
    status, out = guest.result()
    tap.is_((status, out), (0, "done\n"), f"race: the driver goes 50 times amid {nr} changes of size")
    guest.balloon("hint-buffer-size", 64 * MIB)
    settled(guest, 64 * 256)
    sum_is(tap, guest, whole, "race")


# All but 40 MiB, in small pages that stay.
HOG = """
mkdir -p /run/hog
mount -t tmpfs -o size=100%,huge=never hog /run/hog
free_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
dd if=/dev/zero of=/run/hog/all bs=1M count=$((free_kib / 1024 - 40)) 2>&1
"""


def check_short(tap: Tap, guest: Guest) -> None:
    """A buffer that finds too little free memory is filled when there is more."""
    whole = accounting(guest)
    for name, before, after in (
            ("grown in a full guest", "", ""),
            ("taken in a full guest", f"echo $device >{DRIVER}/unbind || exit 1",
             f"echo $device >{DRIVER}/bind || exit 1")):
        if not before:
            guest.balloon("hint-buffer-size", 2 * MIB)
            settled(guest, 2 * 256)
        guest.sh(f"device={DEVICE}\n{before}\n{HOG}\n{after}")
        guest.balloon("hint-buffer-size", 64 * MIB)
        held = settled(guest, 64 * 256)
        tap.is_(guest.number("buffer_wanted_pages"), 64 * 256, f"{name}: 64 MiB are wanted")
        tap.ok(held < 64 * 256, f"{name}: there is not enough for it", held)
        sum_is(tap, guest, whole, name)
        guest.sh("umount /run/hog")
        # What was freed is to be reported, so a pass follows.
        for _ in range(100):
            if guest.number("buffer_held_pages") == 64 * 256:
                break
            time.sleep(0.1)
        tap.is_(guest.number("buffer_held_pages"), 64 * 256,
                f"{name}: whole once there is memory, by itself (held {held} before)")
        sum_is(tap, guest, whole, f"{name}, then freed")


def check_load(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "load", "770M", BUFFER, smp=2,
               cmdline=f"{FAST} movablecore=450M") as guest:
        check_rebind(tap, guest)
        check_resize(tap, guest)
        check_race(tap, guest)
        check_short(tap, guest)
        tap.is_(guest.splats(), [], "driver and size come and go: no splat")


def check_batch_out(tap: Tap, scratch: Scratch) -> None:
    """Driver gone and size changed while the device takes 2 s to answer."""
    with Guest(scratch, "out", "578M", f"{BUFFER},x-report-ack-base-ns=2000000000", smp=2,
               cmdline=FAST) as guest:
        whole = accounting(guest)
        guestvm.soak_start(guest, 256, "15s", seed=21)
        for nr in (1, 2):
            for _ in range(100):
                if guest.device()["bytes-out"]:
                    break
                time.sleep(0.1)
            tap.ok(guest.device()["bytes-out"] > 0, f"batch {nr} is out")
            guest.balloon("hint-buffer-size", (64 + 16 * nr) * MIB)
            out = guest.sh(f"device={DEVICE}; echo $device >{DRIVER}/unbind; "
                           f"cat {SYSFS}/buffer_held_pages; echo $device >{DRIVER}/bind")
            tap.is_(out.strip(), "0", f"batch {nr}: unbinding waits for it and gives all back")
            sum_is(tap, guest, whole, f"batch {nr} out while the driver goes")
        soak_ok(tap, guest, "batch out")
        tap.is_(guest.device()["violations"], 0, "batch out: never more out than the buffer")
        tap.is_(guest.splats(), [], "batch out: no splat")


def suspend(guest: Guest, level: str) -> None:
    guest.sh(f"echo {level} >/sys/power/pm_test && echo mem >/sys/power/state", 120)


def check_suspend(tap: Tap, scratch: Scratch) -> None:
    """All drivers frozen and restored with batches out, the size changed meanwhile."""
    with Guest(scratch, "suspend", "578M", f"{BUFFER},x-report-ack-base-ns=20000000", smp=2,
               cmdline=f"{FAST} no_console_suspend loglevel=7") as guest:
        if not (guest.has("SUSPEND") and guest.has("PM_DEBUG")):
            tap.ok(False, "suspend: the guest can be suspended",
                   "the kernel has not CONFIG_SUSPEND=y and CONFIG_PM_DEBUG=y")
            return
        delay = "/sys/module/suspend/parameters/pm_test_delay"
        whole = accounting(guest)
        guest.sh(f"echo 1 >{delay}")
        guestvm.soak_start(guest, 256, "45s", seed=51)
        for level, times in (("freezer", 2), ("devices", 10)):
            for nr in range(1, times + 1):
                suspend(guest, level)
                before = guest.device()["bytes-received"]
                for seed in range(1, 11):
                    guest.sh(f"soak --bytes 64M --procs 1 --seed {seed} --duration 300ms >/dev/null")
                    guest.flush()
                    if guest.device()["bytes-received"] > before:
                        break
                now = accounting(guest)
                tap.ok(now["managed"] + now["held"] == whole["managed"] + whole["held"]
                       and guest.device()["bytes-received"] > before,
                       f"suspend: {level}, {nr}: as before, and hinting goes on",
                       f"was {whole}, is {now}\n{before} and {guest.device()}")
        soak_ok(tap, guest, "suspend")
        whole_again(tap, guest, "suspend")

        # At rest the host knows all there is; a device that was restored may know nothing.
        guest.flush()
        before = guest.device()["bytes-received"]
        guest.flush()
        idle = (guest.device()["bytes-received"] - before) // MIB
        there = reportable_mib(guest)
        before = guest.device()["bytes-received"]
        suspend(guest, "devices")
        guest.flush()
        anew = (guest.device()["bytes-received"] - before) // MIB
        tap.ok(idle <= there // 8 and anew >= there * 3 // 4, "suspend: what was reported is reported anew",
               f"{anew} MiB of {there}, {idle} MiB before")

        frozen = "PM: suspend debug: Waiting for 4 second"
        for mib in (32, 64):
            waits = guest.console().count(frozen)
            guest.start(f"echo 4 >{delay}; echo devices >/sys/power/pm_test; "
                        "echo mem >/sys/power/state")
            for _ in range(150):
                if guest.console().count(frozen) > waits:
                    break
                time.sleep(0.1)
            waited = guest.console().count(frozen) > waits
            guest.balloon("hint-buffer-size", mib * MIB)
            status, out = guest.result(120)
            tap.ok(waited and not status, f"suspend: the size becomes {mib} MiB while all is frozen",
                   f"seen frozen: {waited}, status {status} {out}")
            tap.is_(settled(guest, mib * 256), mib * 256, f"suspend: {mib} MiB are held afterwards")
            sum_is(tap, guest, whole, f"suspend, {mib} MiB")
        guest.balloon("hint-buffer-size", 48 * MIB)
        tap.is_(settled(guest, 48 * 256), 48 * 256, "suspend: later changes are seen as ever")
        tap.is_(guest.splats(), [], "suspend: no splat")


def check_poison(tap: Tap, scratch: Scratch) -> None:
    """What may be discarded depends on who fills free pages with what."""
    for name, cmdline, poison, hints, discards in (
            ("page_poison=1, device told", "page_poison=1", "on", True, False),
            ("page_poison=1, device not told", "page_poison=1", "off", False, False),
            ("init_on_free=1, device told", "init_on_free=1", "on", True, True),
            ("init_on_free=1, device not told", "init_on_free=1", "off", False, False)):
        with Guest(scratch, name.replace(", ", "-").replace(" ", "-"), "578M",
                   f"{BUFFER},page-poison={poison}", smp=2, cmdline=f"{FAST} {cmdline}") as guest:
            whole = accounting(guest)
            guestvm.soak_start(guest, 256, "6s", seed=31)
            soak_ok(tap, guest, name)
            device = guest.device()
            tap.is_((device["bytes-received"] > 0, device["bytes-discarded"] > 0), (hints, discards),
                    f"{name}: hinted {hints}, discarded {discards}")
            if hints and not discards:
                tap.is_(device["skipped-poison"], device["bytes-received"],
                        f"{name}: all of it is skipped for its poison")
            tap.is_(whole["held"], 64 * 256 if hints else 0, f"{name}: a buffer only where it is used")
            sum_is(tap, guest, whole, name)
            tap.is_(guest.splats(), [], f"{name}: no splat")


def check_sizes(tap: Tap, scratch: Scratch) -> None:
    """Nearly all of memory at boot; a device without the feature."""
    with Guest(scratch, "larger", "512M", f"{REPORTING},hint-buffer-size=510M", smp=2,
               cmdline=FAST) as guest:
        now = accounting(guest)
        tap.ok(0 < now["held"] <= (now["managed"] + now["held"]) / 2,
               "all of memory: at most half is held", now)
        tap.is_(guest.console().count("more than half of memory"), 1,
                "all of memory: one message")
        guestvm.soak_start(guest, 96, "5s", procs=4, seed=41)
        soak_ok(tap, guest, "all of memory")
        sum_is(tap, guest, now, "all of memory")
        tap.is_(guest.splats(), [], "all of memory: no splat")

    with Guest(scratch, "absent", "512M", REPORTING, smp=2, cmdline=FAST) as guest:
        whole = accounting(guest)
        try:
            guest.balloon("hint-buffer-size", 64 * MIB)
            tap.ok(False, "feature absent: the device refuses a size")
        except GuestError as err:
            tap.ok("can only be changed if it was set at start" in str(err),
                   "feature absent: the device refuses a size", err)
        guestvm.soak_start(guest, 256, "5s", seed=42)
        soak_ok(tap, guest, "feature absent")
        numbers = guest.numbers()
        tap.is_({key: value for key, value in numbers.items() if value}, {},
                "feature absent: no buffer, no exchange")
        tap.ok(guest.device()["bytes-received"] > 0, "feature absent: free pages are reported as ever",
               guest.device())
        sum_is(tap, guest, whole, "feature absent")
        tap.is_(guest.splats(), [], "feature absent: no splat")


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(check_load, check_batch_out, check_suspend, check_poison, check_sizes))
