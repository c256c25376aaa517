# SPDX-License-Identifier: GPL-2.0-or-later
"""The hinting buffer in a guest of 512 MiB with a buffer of 64 MiB. Prints TAP.

1. It looks like a guest of 512 MiB without a buffer, also to the OOM killer.
2. It exchanges at a watermark at which a guest without a buffer reports nothing.
3. The selftest of the kernel series passes.
4. Under load, at orders 9 and 0 and with swap_back, no exchange changes the
   number of free pages, the buffer is whole after each batch, and memory keeps
   its content while the host really discards what it is told is free. Some of
   the load is page cache of a disk.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import guestvm
import tracer
from guestvm import GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, SOAK, TOP, Guest, Scratch, Tap

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


# A process that has 200 MiB and waits; of them 1 MiB is not touched.
SCORE = """
echo 0 >/proc/$$/oom_score_adj
echo never >/sys/kernel/mm/transparent_hugepage/enabled
{ head -c 199M /dev/zero; sleep 60; } | dd bs=200M iflag=fullblock of=/dev/null status=none &
tries=0
while tries=$((tries + 1)) && [ $tries -le 300 ]; do
	rss=$(awk '/^VmRSS/ { print $2 }' /proc/$!/status)
	[ $rss -ge 203776 ] && break
	sleep 0.1
done
sleep 1
rss=$(awk '/^VmRSS/ { print $2 }' /proc/$!/status)
echo $rss $(cat /proc/$!/oom_score)
kill $!
sleep 1
"""

# Fill memory and report what is left, then give back a little of it.
FILL = f"""
echo 4000 >/proc/sys/vm/min_free_kbytes
echo 60000 >{PARAM}/page_reporting_delay_ms
echo 1 >{PARAM}/capacity
mkdir -p /run/hog && mount -t tmpfs -o huge=always,size=100% hog /run/hog
free_mib=$(awk '/^MemFree/ {{ print int($2 / 1024) }}' /proc/meminfo)
head -c 16M /dev/zero >/run/hog/little
head -c $((free_mib - 56))M /dev/zero >/run/hog/most
echo 3 >/proc/sys/vm/drop_caches
echo 1 >{PARAM}/flush || :
rm /run/hog/little
"""

# With the min watermark 1 MiB below what is free, an isolation of 2 MiB that asks
# for it is refused. All by what the shell has built in: while the low watermark
# is above, whoever allocates wakes kswapd.
SHORTAGE = f"""
look() {{
	while read -r a b c d; do
		case "$a $b" in
		Node*) zone=$d ;;
		"pages free") [ $zone != DMA32 ] || free=$c ;;
		"min "*) [ $zone != DMA32 ] || min=$b ;;
		esac
	done </proc/zoneinfo
}}
set -- $(awk '/^Node/ {{ zone = $4 }} zone == "DMA32" && /pages free/ {{ free = $3 }}
	$1 == "managed" {{ all += $2 }} zone == "DMA32" && $1 == "managed" {{ mine = $2 }}
	END {{ printf "%d", (free - 256) * all / mine * 4 }}' /proc/zoneinfo)
echo $1 >/proc/sys/vm/min_free_kbytes
look
before="$free $min"
echo 1 >{PARAM}/flush || :
look
echo 4000 >/proc/sys/vm/min_free_kbytes
echo $before $free $min
"""
CHUNK_PAGES = 512


def faces(guest: Guest) -> dict[str, str]:
    parts = guest.sh(FACE).split("@ ")[1:]
    return dict(part.split("\n", 1) for part in parts)


def shortage(guest: Guest) -> tuple[bool, int, int, str]:
    """Was memory short all the time; bytes the device received, and exchanges, then;
    all of it in words."""
    guest.sh(FILL)
    before = guest.device()["bytes-received"]
    exchanges = guest.number("exchanges")
    free, wmark, free_after, wmark_after = (int(x) for x in guest.sh(SHORTAGE).split())
    received = guest.device()["bytes-received"] - before
    exchanges = guest.number("exchanges") - exchanges
    return (free < wmark + CHUNK_PAGES and free_after < wmark_after + CHUNK_PAGES, received, exchanges,
            f"{free} pages free at a min watermark of {wmark}, {free_after} and {wmark_after} "
            f"afterwards; {received >> 12} pages reported in {exchanges} exchanges")


def check_face(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "face-x", *PLAIN) as guest:
        plain = faces(guest)
        rss, score = (int(x) for x in guest.sh(SCORE).split())
        short, received, _, words = shortage(guest)
        tap.ok(short and not received, "512 MiB: just above the min watermark nothing is reported", words)
        tap.is_(guest.splats(), [], "512 MiB: no splat")
    with Guest(scratch, "face-xb", *BUFFER) as guest:
        buffer = faces(guest)
        tap.is_(guest.number("buffer_held_pages"), BUFFER_PAGES, "the buffer is held in full")
        buffer_rss, buffer_score = (int(x) for x in guest.sh(SCORE).split())
        short, received, exchanges, words = shortage(guest)
        tap.ok(short and received > 0 and exchanges > 0,
               "512+64 MiB: just above the min watermark chunks are exchanged", words)
        tap.note(f"512+64 MiB: {words}")
        tap.is_(guest.splats(), [], "512+64 MiB: no splat")
    for when, face in plain.items():
        differ = [f"{a} -> {b}" for a, b in zip(face.splitlines(), buffer[when].splitlines())
                  if a != b]
        tap.ok(face == buffer[when], "MemTotal, CommitLimit, min_free_kbytes and all marks are "
               f"as at 512 MiB: {when}", "\n".join(differ))
    tap.ok(score > 0 and abs(rss - buffer_rss) < 512 and abs(score - buffer_score) <= 1,
           "the OOM score of a process of 200 MiB is as at 512 MiB",
           f"{score} -> {buffer_score}, RSS {rss} -> {buffer_rss} KiB")
    tap.note(f"OOM score of a process of 200 MiB: {score} and {buffer_score}")


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
    source = subprocess.run([TOP / "images/cache/source.sh", "linux"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    helpers = Path(source) / "tools/testing/selftests/kselftest/ktap_helpers.sh"
    return {"selftests/mm/page_reporting_buffer.sh": script,
            "selftests/kselftest/ktap_helpers.sh": helpers}


def check_selftest(tap: Tap, guest: Guest) -> None:
    status, output = guest.run("sh /run/hint/selftests/mm/page_reporting_buffer.sh")
    tap.note(output)
    tap.ok(status == 0 and "not ok" not in output and "# SKIP" not in output,
           "the selftest of the series passes", f"status {status}")


def hint_under_load(tap: Tap, guest: Guest, what: str, mib: int, exchanges: int, seed: int) -> int:
    """Soak until the device has received so many MiB more, in as many exchanges.
    MiB that were read back from the disk."""
    before = guest.device()
    exchanges += guest.number("exchanges")
    verified = reread = mismatches = failed = slices = 0
    while slices < 40 and not mismatches and not failed:
        slices += 1
        guestvm.soak_start(guest, 340, "5s", procs=10, seed=seed * 100 + slices,
                           options="--device /dev/vda")
        total = guestvm.soak_result(guest)
        verified += total["verified_mib"]
        reread += total["reread_mib"]
        mismatches += total["mismatches"]
        failed += total["failed"]
        after = guest.device()
        received = (after["bytes-received"] - before["bytes-received"]) // MIB
        if received >= mib and guest.number("exchanges") >= exchanges:
            break
        if mismatches or failed:
            tap.note(str(total["output"]))
    tap.note(f"{what}: {received} MiB hinted, {verified} MiB verified, {reread} read back, "
             f"{after['batches'] - before['batches']} batches, {5 * slices} s")
    tap.is_((mismatches, failed), (0, 0), f"{what}: memory keeps its content")
    tap.ok(received >= mib, f"{what}: at least {mib} MiB hinted", f"{received} MiB")
    tap.is_(after["bytes-discarded"] - before["bytes-discarded"],
            after["bytes-received"] - before["bytes-received"],
            f"{what}: the host discarded every byte of it")
    tap.ok(after["bytes-out-max"] <= 64 * MIB and after["violations"] == 0,
           f"{what}: never more out than the buffer", after)
    return reread


def check_load(tap: Tap, scratch: Scratch) -> None:
    payload = scratch.payload(selftest(scratch))
    with Guest(scratch, "load", *BUFFER, smp=2, payload=payload, extra=scratch.disk("load", 128), cmdline=(
            "page_reporting.page_reporting_order=9 page_reporting.capacity=256")) as guest:
        check_selftest(tap, guest)

        before = tracer.start(guest)
        held = guest.number("buffer_held_pages")
        reread = 0
        for seed, (order, back, mib, exchanges) in enumerate(LOADS, 1):
            guest.sh(f"echo {order} >{PARAM}/page_reporting_order; echo {back} >{PARAM}/swap_back")
            what = f"order {order}, swap back {back}"
            reread += hint_under_load(tap, guest, what, mib, exchanges, seed)
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
        tap.ok(device["bytes-out-max"] >= 64 * MIB // 2, "a batch grows with the buffer: at least half "
               "of it was out at a time", f"{device['bytes-out-max'] // MIB} of 64 MiB")
        tap.ok(reread > 0, "page cache that was dirty is read back from the disk", f"{reread} MiB")
        tap.is_(guest.splats(), [], "no splat under load")


def test(tap: Tap, scratch: Scratch) -> None:
    check_face(tap, scratch)
    check_load(tap, scratch)


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
