# SPDX-License-Identifier: GPL-2.0-or-later
"""The life cycle of the hinting buffer. Prints TAP.

Driver, size and memory come and go while a checker uses memory. Whatever
happens, the memory managed and that in the buffer are together what they were,
content stays, and the kernel prints no splat.
"""

from __future__ import annotations

import sys
import time

import guestvm
from guestvm import (DRIVER, GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, SYSFS, Guest, GuestError,
                     Scratch, Tap, accounting)

REPORTING = "free-page-reporting=on"
BUFFER = f"{REPORTING},hint-buffer-size=64M"
FAST = "page_reporting.page_reporting_order=9 page_reporting.delay_ms=10"
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


def settled(guest: Guest, wanted: int) -> int:
    """Wait until the driver has seen a size; pages held then."""
    for _ in range(100):
        if guest.number("buffer_wanted_pages") == wanted:
            break
        time.sleep(0.1)
    guest.flush()
    return guest.number("buffer_held_pages")


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
    guest.balloon("hint-buffer-size", 62 * MIB)
    settled(guest, 62 * 256)
    guest.balloon("hint-buffer-size", 64 * MIB)
    tap.is_(settled(guest, 64 * 256), 64 * 256, f"{nr} sizes in 6 s: the buffer can be made whole again")
    sum_is(tap, guest, whole, f"{nr} sizes in 6 s")


# The last block of boot memory holds what the firmware reserved.
BLOCKS = """
for block in $(ls -dv /sys/devices/system/memory/memory* | head -n -1); do
	zones=$(cat $block/valid_zones)
	[ "$(cat $block/state)" = online ] && [ "${zones%% *}" = Movable ] && echo ${block##*/memory}
done
:
"""


def check_offline(tap: Tap, guest: Guest) -> None:
    """Blocks of ZONE_MOVABLE, in which the buffer has its share, go and come back."""
    whole = accounting(guest)
    blocks = guest.sh(BLOCKS).split()
    if not tap.ok(bool(blocks), "offline: there are blocks of ZONE_MOVABLE", guest.sh(
            "grep . /sys/devices/system/memory/memory*/valid_zones")):
        return
    guestvm.soak_start(guest, 128, "30s", procs=4, seed=14)
    for nr, block in enumerate(blocks[:2], 1):
        state = f"/sys/devices/system/memory/memory{block}/state"
        begin = time.monotonic()
        status, out = guest.run(f"timeout 60 sh -c 'echo offline >{state}'; cat {state}", 120)
        tap.is_(out.split()[-1:], ["offline"], f"offline: block {block} goes offline")
        tap.note(f"block {block}: {out.strip()} after {time.monotonic() - begin:.1f} s")
        now = accounting(guest)
        tap.is_(now["managed"] + now["held"], whole["managed"] + whole["held"] - nr * 128 * 256,
                f"offline: managed and held pages are 128 MiB fewer (block {block})")
    guest.flush()
    held = guest.number("buffer_held_pages")
    tap.note(f"held {held} of {whole['held']} pages with {len(blocks[:2])} blocks offline")
    tap.ok(0 < held <= whole["held"], "offline: a buffer remains", held)
    for block in blocks[:2]:
        guest.sh(f"echo online_movable >/sys/devices/system/memory/memory{block}/state")
    soak_ok(tap, guest, "offline and online")
    sum_is(tap, guest, whole, "offline and online")
    # The shares were taken under load, when a zone may have lacked whole chunks.
    guest.balloon("hint-buffer-size", 62 * MIB)
    settled(guest, 62 * 256)
    guest.balloon("hint-buffer-size", 64 * MIB)
    tap.is_(settled(guest, 64 * 256), whole["held"],
            "offline and online: the buffer can be made whole again")


def check_virtio_mem(tap: Tap, guest: Guest) -> None:
    """Hot-added memory gets a share of the buffer and can be taken away again."""
    whole = accounting(guest)
    vmem = {"path": "/machine/peripheral/vmem0", "property": "requested-size"}
    size = {"path": "/machine/peripheral/vmem0", "property": "size"}

    def plug(mib: int) -> int:
        guest.qmp("qom-set", **vmem, value=mib * MIB)
        for _ in range(300):
            if guest.qmp("qom-get", **size) == mib * MIB:
                break
            time.sleep(0.1)
        return guest.qmp("qom-get", **size) // MIB  # type: ignore[operator]

    guest.sh("echo online_movable >/sys/devices/system/memory/auto_online_blocks")
    tap.is_(plug(256), 256, "hot-add: 256 MiB are plugged")
    guest.flush()
    now = accounting(guest)
    tap.note(f"hot-add: held {now['held']} pages, managed {now['managed']}, was {whole}")
    tap.is_(now["managed"] + now["held"], whole["managed"] + whole["held"] + 256 * 256,
            "hot-add: managed and held pages are 256 MiB more")
    tap.is_(now["held"], whole["held"], "hot-add: the buffer is as large as before")
    guestvm.soak_start(guest, 320, "8s", seed=15)
    soak_ok(tap, guest, "hot-add")
    guest.flush()
    # virtio-mem takes contiguous ranges, which fail where a chunk of the buffer
    # is in the way (the series says so): not all of it may go.
    left = plug(0)
    tap.note(f"hot-remove: {left} of 256 MiB stay plugged")
    tap.ok(left < 256, "hot-remove: memory can be taken away again", left)
    guest.flush()
    now = accounting(guest)
    tap.is_(now["managed"] + now["held"], whole["managed"] + whole["held"] + left * 256,
            "hot-remove: managed and held pages add up to what is left")


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


def check_load(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "load", "770M", BUFFER, smp=2, cmdline=f"{FAST} movablecore=450M", extra=[
            "-object", "memory-backend-ram,id=hot,size=1G",
            "-device", "virtio-mem-pci,id=vmem0,memdev=hot,requested-size=0"]) as guest:
        check_rebind(tap, guest)
        check_resize(tap, guest)
        check_race(tap, guest)
        check_offline(tap, guest)
        check_virtio_mem(tap, guest)
        tap.is_(guest.splats(), [], "driver, size and memory come and go: no splat")


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


def test(tap: Tap, scratch: Scratch) -> None:
    for check in (check_load, check_batch_out, check_poison, check_sizes):
        try:
            check(tap, scratch)
        except GuestError as err:
            tap.ok(False, f"{check.__name__}: the guest does what every guest must", err)


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "soak", GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
