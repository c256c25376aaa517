# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that comes and goes with part of the hinting buffer in it. Prints TAP.

What can be had without a buffer can be had with one: memory blocks go offline,
all of what virtio-mem or a DIMM added is taken away again, contiguous memory is
there for huge and gigantic pages. The buffer gives up what is in the way and is
whole again from other memory, without being told. Content stays throughout, and
the kernel prints no splat.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import guestvm
from guestvm import GUEST, KERNEL, MIB, QEMU, ROOTFS, SOAK, Guest, Scratch, Tap, accounting
from lifecycle import BUFFER, FAST, REPORTING, settled, soak_ok, sum_is, whole_again
from tap import wait_until

BLOCK_PAGES = 128 * 256
MEMORY = "/sys/devices/system/memory"
HUGE = "/sys/kernel/mm/hugepages"


def until(done: Callable[[], bool], limit_s: float) -> float:
    """Wait for it, at most so long; seconds waited."""
    begin = time.monotonic()
    wait_until(done, limit_s)
    return time.monotonic() - begin


def pages(guest: Guest) -> int:
    """All there are: managed and held."""
    now = accounting(guest)
    return now["managed"] + now["held"]


def missing(tap: Tap, guest: Guest, what: str, *options: str) -> bool:
    """A kernel without these cannot show it, which is a failure."""
    absent = [f"CONFIG_{option}=y" for option in options if not guest.has(option)]
    if absent:
        tap.ok(False, what, f"the kernel has not {' and '.join(absent)}")
    return bool(absent)


def offline(guest: Guest, block: str) -> bool:
    """Take a block offline; False when it stays."""
    state = f"{MEMORY}/{block}/state"
    status, out = guest.run(f"timeout 30 sh -c 'echo offline >{state}' 2>&1; cat {state}", 90)
    return not status and out.split()[-1:] == ["offline"]


def online(guest: Guest, blocks: list[str]) -> None:
    for block in blocks:
        guest.sh(f"echo online_movable >{MEMORY}/{block}/state")


MOVABLE_BLOCKS = f"""
for block in $(ls -dv {MEMORY}/memory*); do
	zones=$(cat $block/valid_zones)
	[ "$(cat $block/state)" = online ] && [ "${{zones%% *}}" = Movable ] && echo ${{block##*/}}
done
:
"""


def check_offline(tap: Tap, scratch: Scratch) -> None:
    """Each block that can go offline without a buffer goes with one."""
    with Guest(scratch, "offline", "770M", BUFFER, smp=2,
               cmdline=f"{FAST} movablecore=450M") as guest:
        whole = accounting(guest)
        blocks = guest.sh(MOVABLE_BLOCKS).split()
        guest.balloon("hint-buffer-size", 0)
        settled(guest, 0)
        can = []
        for block in blocks:
            if offline(guest, block):
                online(guest, [block])
                can.append(block)
        tap.note(f"offline: of {blocks}, {can} can go without a buffer")
        # A kernel with debugging has more that cannot be moved.
        enough = 1 if guestvm.ROOM_MIB else 2
        if not tap.ok(len(can) >= enough, f"offline: {enough} movable blocks at least can go without a buffer",
                      guest.sh(f"grep . {MEMORY}/memory*/valid_zones")):
            return
        guest.balloon("hint-buffer-size", 64 * MIB)
        settled(guest, 64 * 256)
        whole_again(tap, guest, "offline: before")

        guestvm.soak_start(guest, 128, "40s", procs=4, seed=14)
        for block in can:
            begin = time.monotonic()
            tap.ok(offline(guest, block), f"offline: {block} goes, alone",
                   f"after {time.monotonic() - begin:.1f} s: " + guest.sh("dmesg | tail -n 20"))
            sum_is_less(tap, guest, whole, BLOCK_PAGES, f"offline: {block}")
            online(guest, [block])
        gone = []
        for block in can[:3]:
            if tap.ok(offline(guest, block), f"offline: {block} goes, after {len(gone)} others",
                      guest.sh("dmesg | tail -n 20")):
                gone.append(block)
            sum_is_less(tap, guest, whole, len(gone) * BLOCK_PAGES, f"offline: {len(gone)} blocks")
        soak_ok(tap, guest, "offline")
        whole_again(tap, guest, f"offline: with {len(gone)} blocks gone")
        online(guest, gone)
        guestvm.soak_start(guest, 256, "5s", procs=4, seed=15)
        soak_ok(tap, guest, "online")
        whole_again(tap, guest, "online")
        sum_is(tap, guest, whole, "online")
        tap.is_(guest.splats(), [], "offline and online: no splat")


def sum_is_less(tap: Tap, guest: Guest, whole: dict[str, int], less: int, name: str) -> None:
    tap.is_(pages(guest), whole["managed"] + whole["held"] - less,
            f"{name}: managed and held pages are {less // 256} MiB fewer")


def movable_share(guest: Guest) -> int:
    """Pages that ZONE_MOVABLE has given to the buffer; only plugged memory is in it."""
    out = guest.sh("awk '/^Node/ { zone = $4 } zone == \"Movable\" && $1 == \"present\" { n += $2 } "
                   "zone == \"Movable\" && $1 == \"managed\" { n -= $2 } END { print n + 0 }' "
                   "/proc/zoneinfo")
    return int(out)


def check_plugged(tap: Tap, guest: Guest, whole: dict[str, int], name: str) -> None:
    """256 MiB more, of which the buffer has its share, spread by use."""
    all_pages = whole["managed"] + whole["held"] + 256 * 256
    until(lambda: pages(guest) == all_pages, 30)
    tap.is_(pages(guest), all_pages, f"{name}: managed and held pages are 256 MiB more")
    guestvm.soak_start(guest, 400, "6s", seed=16)
    soak_ok(tap, guest, f"{name}, plugged")
    whole_again(tap, guest, f"{name}, plugged")
    share = movable_share(guest)
    tap.ok(share >= 8 * 256, f"{name}: some of the buffer is in it", f"{share} pages")


def check_unplugged(tap: Tap, guest: Guest, whole: dict[str, int], name: str) -> None:
    soak_ok(tap, guest, f"{name}, unplugged")
    sum_is(tap, guest, whole, f"{name}, unplugged")
    whole_again(tap, guest, f"{name}, unplugged")


def check_undone(tap: Tap, scratch: Scratch) -> None:
    """A block that stays online after all costs the buffer nothing, though no pass fills it up."""
    with Guest(scratch, "undone", "576M", BUFFER, cmdline="page_reporting.page_reporting_delay_ms=60000") as guest:
        # Chunks all over memory, and then more and more of what cannot be moved: full pipes, kernel stacks.
        guest.balloon("hint-buffer-size", 240 * MIB)
        settled(guest, 240 * 256)
        guest.sh("echo 1 >/sys/kernel/tracing/events/page_reporting/page_reporting_buffer/enable")
        blocks = guest.sh(f"cd {MEMORY} && ls -dv memory*").split()
        given_up = 0
        for _ in range(6):
            guest.sh("for i in $(seq 100); do yes | sleep 1000 & done >/dev/null 2>&1; sleep 0.5")
            before = accounting(guest)
            for block in blocks:
                guest.sh("echo >/sys/kernel/tracing/trace")
                if offline(guest, block):
                    guest.sh(f"echo online >{MEMORY}/{block}/state")
                    guest.flush()
                    settled(guest, 240 * 256)
                    continue
                given_up += int(guest.sh("grep -c op=drain /sys/kernel/tracing/trace; :"))
                after = accounting(guest)
                if after != before:
                    tap.is_(after, before, f"undone: {block} stays, and buffer and guest have what they had")
            if given_up:
                break
        tap.ok(given_up > 0, "undone: there were chunks in blocks that stay, and they came back", given_up)
        tap.is_(accounting(guest), before, "undone: buffer and guest have what they had")
        tap.is_(guest.splats(), [], "undone: no splat")


def check_virtio_mem(tap: Tap, guest: Guest) -> None:
    """All that was plugged can be had back, at once: the driver's retry comes after 50 s."""
    limit_s = 40
    whole = accounting(guest)
    vmem = {"path": "/machine/peripheral/vmem0"}

    def plugged() -> int:
        return guest.qmp("qom-get", **vmem, property="size") // MIB  # type: ignore[operator]

    def plug(mib: int) -> float:
        guest.qmp("qom-set", **vmem, property="requested-size", value=mib * MIB)
        return until(lambda: plugged() == mib, limit_s)

    for nr, mib in enumerate((0, 192), 1):
        name = f"virtio-mem {nr}, {mib} MiB in use by others" if mib else f"virtio-mem {nr}, at rest"
        plug(256)
        tap.is_(plugged(), 256, f"{name}: 256 MiB are plugged")
        check_plugged(tap, guest, whole, name)
        guestvm.soak_start(guest, max(mib, 16), "10s", procs=4, seed=17)
        spent = plug(0)
        tap.note(f"{name}: {plugged()} of 256 MiB are left after {spent:.1f} s")
        tap.is_(plugged(), 0, f"{name}: all of it is given back within {limit_s} s")
        check_unplugged(tap, guest, whole, name)


def check_dimm(tap: Tap, guest: Guest) -> None:
    """A DIMM plugged and taken out, as ACPI has it."""
    if missing(tap, guest, "DIMM: the kernel can plug one", "ACPI_HOTPLUG_MEMORY"):
        return
    whole = accounting(guest)

    def present() -> bool:
        return any(x["type"] == "dimm" and x["data"]["id"] == "dimm0"
                   for x in guest.qmp("query-memory-devices"))  # type: ignore[union-attr]

    for nr in (1, 2):
        name = f"DIMM {nr}"
        guest.qmp("object-add", **{"qom-type": "memory-backend-ram", "id": "dimmram",
                                   "size": 256 * MIB})
        # The kernel's blocks are of 128 MiB; the images' NVDIMMs end anywhere.
        guest.qmp("device_add", driver="pc-dimm", id="dimm0", memdev="dimmram", addr=8 << 30)
        check_plugged(tap, guest, whole, name)
        guestvm.soak_start(guest, 192, "10s", procs=4, seed=18)
        guest.qmp("device_del", id="dimm0")
        spent = until(lambda: not present(), 40)
        tap.note(f"{name}: {'present' if present() else 'gone'} after {spent:.1f} s")
        gone = tap.ok(not present(), f"{name}: it can be taken out", guest.sh("dmesg | tail -n 20"))
        if not gone:
            guestvm.soak_result(guest)
            return
        guest.qmp("object-del", id="dimmram")
        check_unplugged(tap, guest, whole, name)


def check_plug(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "plug", "578M", BUFFER, smp=2, cmdline=FAST, extra=[
            "-object", "memory-backend-ram,id=hot,size=1G",
            "-device", "virtio-mem-pci,id=vmem0,memdev=hot,requested-size=0"]) as guest:
        guest.sh(f"echo online_movable >{MEMORY}/auto_online_blocks")
        check_virtio_mem(tap, guest)
        check_dimm(tap, guest)
        tap.is_(guest.splats(), [], "memory plugged and unplugged: no splat")


def huge(guest: Guest, kib: int, nr: int) -> int:
    """Ask for so many huge pages of a size; how many there are."""
    file = f"{HUGE}/hugepages-{kib}kB/nr_hugepages"
    return int(guest.sh(f"echo {nr} >{file}; cat {file}", 120))


def gigantic_at(guest: Guest) -> list[int]:
    """GiB of memory that begin with a page of hugetlbfs: bit 17 of /proc/kpageflags."""
    out = guest.sh("gib=0; while flags=$(od -An -tu8 -j $((gib << 21)) -N 8 /proc/kpageflags "
                   "2>/dev/null); do echo $gib ${flags:-0}; gib=$((gib + 1)); done")
    return [int(gib) for gib, flags in (line.split() for line in out.splitlines())
            if int(flags) >> 17 & 1]


def held_in(guest: Guest, gib: int) -> int:
    """Pages there that are neither free nor anyone's, as those of the buffer: without
    any flag. A few are free on the lists of a CPU."""
    return int(guest.sh(f"od -An -v -tu8 -w8 -j $(({gib} << 21)) -N $((1 << 21)) /proc/kpageflags | "
                        "grep -cx ' *0'; :", 120))


def check_contiguous(tap: Tap, scratch: Scratch) -> None:
    """Huge pages come from the free lists; gigantic ones by moving all that is in a range."""
    with Guest(scratch, "contiguous", "4096M", f"{REPORTING},hint-buffer-size=512M", smp=2,
               cpu="+pdpe1gb", cmdline=FAST) as guest:
        if missing(tap, guest, "contiguous: there are huge pages", "HUGETLBFS", "CONTIG_ALLOC"):
            return
        if guest.run(f"[ -d {HUGE}/hugepages-1048576kB ]")[0]:
            tap.ok(False, "contiguous: the CPU has pages of 1 GiB", guest.sh(f"ls {HUGE}"))
            return
        whole = accounting(guest)
        guest.balloon("hint-buffer-size", 0)
        settled(guest, 0)
        nr_gigantic = huge(guest, 1 << 20, 4)
        where = gigantic_at(guest)
        huge(guest, 1 << 20, 0)
        tap.note(f"contiguous: {nr_gigantic} gigantic pages without a buffer, at GiB {where}")
        if not tap.ok(nr_gigantic >= 1 and len(where) == nr_gigantic,
                      "contiguous: a gigantic page can be had without a buffer",
                      guest.sh("cat /proc/buddyinfo")):
            return
        guest.balloon("hint-buffer-size", 512 * MIB)
        settled(guest, 512 * 256)
        whole_again(tap, guest, "contiguous: before")

        # Use and hinting exchange the buffer's chunks for others all over memory.
        held = dict.fromkeys(where, 0)
        for seed in range(610, 616):
            guestvm.soak_start(guest, 3400, "10s", seed=seed)
            soak_ok(tap, guest, "contiguous: before")
            whole_again(tap, guest, "contiguous: in use")
            held = {gib: held_in(guest, gib) for gib in where}
            if all(nr >= 2048 for nr in held.values()):
                break
        tap.note(f"contiguous: pages of the buffer in these GiB: {held}")
        # Where the exchanges put the buffer is chance, and on a busy machine there are few: what follows
        # holds either way, but shows less.
        if all(nr >= 2048 for nr in held.values()):
            tap.ok(True, "contiguous: some of the buffer is in the way")
        else:
            tap.skip("contiguous: some of the buffer is in the way", f"pages of it by GiB: {held}")
        tap.is_(huge(guest, 1 << 20, 4), nr_gigantic,
                "contiguous: as many gigantic pages as without a buffer")
        sum_is(tap, guest, whole, "contiguous: gigantic")
        whole_again(tap, guest, "contiguous: gigantic")
        tap.is_(huge(guest, 1 << 20, 0), 0, "contiguous: gigantic pages are given back")
        whole_again(tap, guest, "contiguous: gigantic, given back")

        guestvm.soak_start(guest, 1024, "20s", seed=62)
        tries = got = 0
        end = time.monotonic() + 15
        while time.monotonic() < end:
            tries += 1
            got += huge(guest, 1 << 20, 1)
            huge(guest, 1 << 20, 0)
        tap.note(f"contiguous: in use, {got} of {tries} requests for a gigantic page were granted")
        tap.ok(got > 0, "contiguous: gigantic pages can be had while memory is in use", f"0 of {tries}")
        soak_ok(tap, guest, "contiguous: gigantic, in use")
        whole_again(tap, guest, "contiguous: gigantic, in use")

        nr_huge = 1500
        tap.is_(huge(guest, 2048, nr_huge), nr_huge, f"contiguous: {nr_huge} huge pages of 3584 MiB")
        sum_is(tap, guest, whole, "contiguous: huge")
        whole_again(tap, guest, "contiguous: huge")
        huge(guest, 2048, 0)
        whole_again(tap, guest, "contiguous: huge, given back")
        sum_is(tap, guest, whole, "contiguous: huge, given back")
        tap.is_(guest.splats(), [], "contiguous: no splat")


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(check_offline, check_undone, check_plug, check_contiguous))
