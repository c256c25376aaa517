# SPDX-License-Identifier: GPL-2.0-or-later
"""The hinting buffer in a guest of 512 MiB with a buffer of 64 MiB. Prints TAP.

1. It looks like a guest of 512 MiB without a buffer.
2. The selftest of the kernel series passes.
3. Under load, at orders 9 and 0 and with swap_back, no exchange changes the
   number of free pages, the buffer is whole after each batch, and memory keeps
   its content while the host really discards what it is told is free.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import guestvm
import tracer
from guestvm import GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, TOP, Guest, Scratch, Tap

# 2 MiB more: the page structs of the buffer.
PLAIN = ("512M", "free-page-reporting=on")
BUFFER = ("578M", "free-page-reporting=on,hint-buffer-size=64M,reporting-queue-size=256")
BUFFER_PAGES = 64 * 256

# Order, swap_back, MiB to hint and exchanges to make at least. Order 0 hints
# most in a given time: every page that is freed counts.
LOADS = ((9, "N", 1024, 0), (0, "N", 3072, 21000), (0, "Y", 1024, 0), (9, "Y", 512, 0))
HINTED_MIB = sum(load[2] for load in LOADS)
EXCHANGES = 20000

FACE = """
thp=/sys/kernel/mm/transparent_hugepage/enabled
face() {
	grep -E '^(MemTotal|CommitLimit):' /proc/meminfo
	echo min_free $(cat /proc/sys/vm/min_free_kbytes)
	cat /proc/sys/vm/lowmem_reserve_ratio /proc/sys/vm/admin_reserve_kbytes
	awk '/^Node/ { zone = $2 $4 }
		$1 ~ /^(min|low|high|managed|promo)$/ || $1 == "protection:" { print zone, $0 }' /proc/zoneinfo
}
khugepaged() { echo never >$thp && echo always >$thp; }
khugepaged
echo "@ khugepaged started"; face
echo 20000 >/proc/sys/vm/min_free_kbytes
echo "@ min_free_kbytes raised by the user"; face
khugepaged
echo "@ khugepaged started again"; face
echo 60000 >/proc/sys/vm/min_free_kbytes
khugepaged
echo "@ min_free_kbytes far above"; face
"""


def faces(guest: Guest) -> dict[str, str]:
    parts = guest.sh(FACE).split("@ ")[1:]
    return dict(part.split("\n", 1) for part in parts)


def check_face(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "face-x", *PLAIN) as guest:
        plain = faces(guest)
        tap.is_(guest.splats(), [], "512 MiB: no splat")
    with Guest(scratch, "face-xb", *BUFFER) as guest:
        buffer = faces(guest)
        tap.is_(guest.number("buffer_held_pages"), BUFFER_PAGES, "the buffer is held in full")
        tap.is_(guest.splats(), [], "512+64 MiB: no splat")
    for when, face in plain.items():
        differ = [f"{a} -> {b}" for a, b in zip(face.splitlines(), buffer[when].splitlines())
                  if a != b]
        tap.ok(face == buffer[when], "MemTotal, CommitLimit, min_free_kbytes and all marks are "
               f"as at 512 MiB: {when}", "\n".join(differ))


def selftest(scratch: Scratch) -> dict[str, Path]:
    """The series' selftest and the helpers of the kernel that it sources."""
    patches = TOP / "kernel-patches/linux"
    found = [p for p in sorted(patches.glob("*.patch"))
             if "+++ b/tools/testing/selftests/mm/page_reporting_buffer.sh" in p.read_text()]
    part = found[-1].read_text().split("+++ b/tools/testing/selftests/mm/page_reporting_buffer.sh")[1]
    lines = part.split("\ndiff --git ")[0].split("\n-- \n")[0].splitlines()[1:]
    script = scratch.dir / "page_reporting_buffer.sh"
    script.write_text("".join(f"{x[1:]}\n" for x in lines if x.startswith("+")))
    script.chmod(0o755)
    source = subprocess.run([TOP / "images/source.sh", "linux"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    helpers = Path(source) / "tools/testing/selftests/kselftest/ktap_helpers.sh"
    return {"selftests/mm/page_reporting_buffer.sh": script,
            "selftests/kselftest/ktap_helpers.sh": helpers}


def check_selftest(tap: Tap, guest: Guest) -> None:
    status, output = guest.run("sh /run/hint/selftests/mm/page_reporting_buffer.sh")
    tap.note(output)
    tap.ok(status == 0 and "not ok" not in output and "# SKIP" not in output,
           "the selftest of the series passes", f"status {status}")


def hint_under_load(tap: Tap, guest: Guest, what: str, mib: int, exchanges: int, seed: int) -> None:
    """Soak until the device has received so many MiB more, in as many exchanges."""
    before = guest.device()
    exchanges += guest.number("exchanges")
    verified = mismatches = failed = slices = 0
    while slices < 40 and not mismatches and not failed:
        slices += 1
        guestvm.soak_start(guest, 340, "5s", seed=seed * 100 + slices)
        total = guestvm.soak_result(guest)
        verified += total["verified_mib"]
        mismatches += total["mismatches"]
        failed += total["failed"]
        after = guest.device()
        received = (after["bytes-received"] - before["bytes-received"]) // MIB
        if received >= mib and guest.number("exchanges") >= exchanges:
            break
        if mismatches or failed:
            tap.note(str(total["output"]))
    tap.note(f"{what}: {received} MiB hinted, {verified} MiB verified, "
             f"{after['batches'] - before['batches']} batches, {5 * slices} s")
    tap.is_((mismatches, failed), (0, 0), f"{what}: memory keeps its content")
    tap.ok(received >= mib, f"{what}: at least {mib} MiB hinted", f"{received} MiB")
    tap.is_(after["bytes-discarded"] - before["bytes-discarded"],
            after["bytes-received"] - before["bytes-received"],
            f"{what}: the host discarded every byte of it")
    tap.ok(after["bytes-out-max"] <= 64 * MIB and after["violations"] == 0,
           f"{what}: never more out than the buffer", after)


def check_load(tap: Tap, scratch: Scratch) -> None:
    payload = scratch.payload(selftest(scratch))
    with Guest(scratch, "load", *BUFFER, smp=2, payload=payload, cmdline=(
            "page_reporting.page_reporting_order=9 page_reporting.capacity=256")) as guest:
        check_selftest(tap, guest)

        before = tracer.start(guest)
        held = guest.number("buffer_held_pages")
        for seed, (order, back, mib, exchanges) in enumerate(LOADS, 1):
            guest.sh(f"echo {order} >{PARAM}/page_reporting_order; echo {back} >{PARAM}/swap_back")
            what = f"order {order}, swap back {back}"
            hint_under_load(tap, guest, what, mib, exchanges, seed)
            tap.is_(guest.number("buffer_held_pages"), held, f"{what}: the buffer is held in full")

        lines = tracer.stop(guest)
        numbers = guest.numbers()
        exchanges = numbers["exchanges"] - before
        tap.is_(tracer.conserved(lines, exchanges), "", "every exchange conserves the free pages and the buffer")
        tap.is_(tracer.miscounted(guest), "", "NR_FREE_PAGES is what the free lists have")
        tap.ok(exchanges >= EXCHANGES, f"at least {EXCHANGES} exchanges were checked", exchanges)
        tap.note(f"the kernel's numbers: {numbers}")
        device = guest.device()
        tap.ok(device["bytes-received"] >= HINTED_MIB * MIB,
               f"{HINTED_MIB} MiB hinted in all", f"{device['bytes-received'] // MIB} MiB")
        tap.is_(guest.splats(), [], "no splat under load")


def test(tap: Tap, scratch: Scratch) -> None:
    check_face(tap, scratch)
    check_load(tap, scratch)


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "soak", GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
