# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpatched Debian kernel on our QEMU, our kernel on unpatched Debian QEMU,
and ours with ours, each with the balloon's other features off and on.

What Debian ships is kept, not installed, in build/compat. `compat.py fetch`
(make compat) gets it through images/cache/apt.sh; the test itself reaches nothing and
skips what is not there.
"""

from __future__ import annotations

import lzma
import shutil
import subprocess
import sys
import time
from pathlib import Path

import guestvm
from guestvm import (BUILD, GUEST, KERNEL, MIB, PARAM, QEMU, ROOTFS, SOAK, TOP, Guest, GuestError,
                     Scratch, Tap, accounting)

HINT_BUFFER_BIT = 20
COMPAT = BUILD / "compat"
BUFFER = "free-page-reporting=on,hint-buffer-size=64M"
# All there are beside reporting and the buffer: QEMU has some on by default.
FEATURES = ("deflate-on-oom", "page-poison", "free-page-hint")
ALONE = "".join(f",{feature}=off" for feature in FEATURES)
OTHERS = "".join(f",{feature}=on" for feature in FEATURES) + ",iothread=io"
IOTHREAD = ["-object", "iothread,id=io"]

INIT = """#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /run /usr/bin /usr/sbin /sbin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mkdir -p /run/hint
cp /soak /run/hint/
insmod /virtio_balloon.ko
exec sh /agent
"""


class Missing(Exception):
    """Something of Debian's cannot be had here."""


def output(*command: object) -> str:
    done = subprocess.run([str(x) for x in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(str(x) for x in command)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def fetch(package: str) -> Path:
    """A package of the suite that the kernel comes from."""
    return Path(output(TOP / "images/cache/apt.sh", "deb", package).split()[-1])


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An initramfs: names to (mode, content). The format is in the kernel's
    Documentation/driver-api/early-userspace/buffer-format.rst ("newc")."""
    out = bytearray()
    for nr, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], 1):
        path = name.encode() + b"\0"
        fields = (nr, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def fetch_kernel(folder: Path) -> None:
    meta = fetch("linux-image-cloud-amd64")
    image = output("dpkg-deb", "-f", meta, "Depends").split()[0]
    output("dpkg-deb", "-x", fetch(image), folder)
    output("dpkg-deb", "-x", fetch("busybox-static"), folder)


def fetch_qemu(folder: Path) -> None:
    sources = COMPAT / "sources.list"
    lines = output(TOP / "images/cache/apt.sh", "lines").splitlines()
    sources.write_text("".join(f"{line}\n" for line in lines if line.startswith("deb ")))
    output("mmdebstrap", "--mode=chrootless", "--variant=extract", "--include=qemu-system-x86",
           "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\"",
           "", folder, sources)


def fetch_debian12(folder: Path) -> None:
    """A whole Debian 12 with systemd and its own kernel, as deb.py boots it: a tar, and /boot."""
    folder.mkdir()
    sources = folder / "sources.list"
    sources.write_text(output(TOP / "images/cache/apt.sh", "lines", "bookworm"))
    output("mmdebstrap", "--variant=minbase", "--include=systemd-sysv,linux-image-cloud-amd64",
           "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\"",
           "bookworm", folder / "root.tar", sources)
    output("tar", "-C", folder, "-xf", folder / "root.tar", "--wildcards", "./boot/vmlinuz-*", "./boot/initrd.img-*")


def fetch_all() -> int:
    """Get what is not there yet, for later tests. 0, or 69 when something cannot be had."""
    for name, get in (("kernel", fetch_kernel), ("qemu", fetch_qemu), ("debian12", fetch_debian12)):
        folder = COMPAT / name
        if (folder / "done").exists():
            continue
        print(f"  FETCH    Debian's {name} for tests/vm", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        COMPAT.mkdir(parents=True, exist_ok=True)
        try:
            get(folder)
        except (Missing, OSError) as err:
            print(f"compat.py: {err}", file=sys.stderr)
            return 69
        (folder / "done").touch()
    return 0


def fetched(name: str) -> Path:
    if not (COMPAT / name / "done").exists():
        raise Missing(f"no build/compat/{name}: run make compat")
    return COMPAT / name


def debian_kernel(scratch: Scratch) -> list[str]:
    """Options of `hintrun boot` for Debian's cloud kernel with an initramfs around soak."""
    folder = fetched("kernel")
    kernel = next(folder.glob("boot/vmlinuz-*"))
    module = next(folder.glob("**/virtio_balloon.ko.xz"))
    busybox = next(path for path in folder.glob("**/bin/busybox") if path.is_file())
    executable = 0o100755
    files = {name: (0o40755, b"") for name in ("bin", "proc", "sys", "dev", "run")}
    files |= {
        "bin/busybox": (executable, busybox.read_bytes()),
        "bin/sh": (0o120777, b"busybox"),
        "init": (executable, INIT.encode()),
        "agent": (executable, (TOP / "tests/vm/agent.init").read_bytes()),
        "soak": (executable, SOAK.read_bytes()),
        "virtio_balloon.ko": (0o100644, lzma.decompress(module.read_bytes())),
    }
    initrd = scratch.dir / "initrd"
    initrd.write_bytes(cpio(files))
    return ["--kernel", str(kernel), "--initrd", str(initrd), "--append", "swiotlb=noforce"]


def debian_qemu(scratch: Scratch) -> Path:
    """A folder such as build/qemu for Debian's QEMU, with the libraries it needs."""
    root = fetched("qemu")
    lib = root / "usr/lib/x86_64-linux-gnu"
    folder = scratch.dir / "debian-qemu"
    folder.mkdir(exist_ok=True)
    program = folder / "qemu-system-x86_64"
    program.write_text(f"""#!/bin/sh
exec {lib}/ld-linux-x86-64.so.2 --library-path {lib} {root}/usr/bin/qemu-system-x86_64 "$@" \\
	-L {root}/usr/share/seabios
""")
    program.chmod(0o755)
    (folder / "share").symlink_to(root / "usr/share/qemu")
    return folder


def offers(tap: Tap, guest: Guest, name: str, reporting: bool, others: bool) -> None:
    """Does the device have the features on that this is about, and no other?"""
    got = {feature: guest.balloon(feature) for feature in ("free-page-reporting", *FEATURES)}
    tap.is_(got, {"free-page-reporting": reporting, **dict.fromkeys(FEATURES, others)},
            f"{name}: reporting is {'on' if reporting else 'off'}, other features "
            f"{'on' if others else 'off'}")


def soaked(tap: Tap, guest: Guest, name: str, mib: int = 256) -> None:
    guestvm.soak_start(guest, mib, "8s", seed=51)
    total = guestvm.soak_result(guest)
    tap.note(f"{name}: {total['output'].splitlines()[-1]}")
    tap.ok(total["status"] == 0, f"{name}: memory keeps its content", total["output"])


def check_old_driver(tap: Tap, scratch: Scratch) -> None:
    kernel = debian_kernel(scratch)
    for name, more, extra in (("Debian's kernel", ALONE, []),
                              ("Debian's kernel, other features on", OTHERS, IOTHREAD)):
        with Guest(scratch, name.replace(" ", "-").replace("'", "").replace(",", ""), "578M",
                   BUFFER + more, smp=2, kernel=kernel, extra=extra) as guest:
            tap.note(guest.sh("uname -r; grep MemTotal /proc/meminfo"))
            offers(tap, guest, name, True, more == OTHERS)
            soaked(tap, guest, name)
            time.sleep(3)
            device = guest.device()
            tap.is_(device["guest-features"] >> HINT_BUFFER_BIT & 1, 0,
                    f"{name}: the device says that the driver did not take the feature")
            tap.ok(device["bytes-received"] > 0 and device["violations"] == 0,
                   f"{name}: reporting works as ever", device)
            total = int(guest.sh("awk '/^MemTotal/ { print $2 }' /proc/meminfo"))
            tap.ok(total > 512 * 1024, f"{name}: the extra memory is simply used", total)
            guest.balloon("hint-buffer-size", 32 * MIB)
            guest.balloon("hint-buffer-size", 0)
            guest.sh("rmmod virtio_balloon && insmod /virtio_balloon.ko")
            tap.is_(guest.splats(), [], f"{name}: no splat, sizes changed, driver reloaded")


def check_old_device(tap: Tap, scratch: Scratch) -> None:
    qemu = debian_qemu(scratch)
    for name, reporting, more, extra in (
            ("Debian's QEMU, all features off", False, ALONE, []),
            ("Debian's QEMU, reporting alone", True, ALONE, []),
            ("Debian's QEMU, all features on", True, OTHERS, IOTHREAD)):
        balloon = f"free-page-reporting={'on' if reporting else 'off'}{more}"
        with Guest(scratch, name.replace(" ", "-").replace("'", "").replace(",", ""), "512M", balloon,
                   smp=2, qemu=qemu, extra=extra, cmdline="page_reporting.page_reporting_delay_ms=10") as guest:
            version = guest.qmp("query-version")
            tap.note(f"{name}: {version}")
            offers(tap, guest, name, reporting, more == OTHERS)
            guest.sh("echo 1 >/sys/kernel/tracing/events/page_reporting/page_reporting_ack/enable")
            soaked(tap, guest, name)
            nr = int(guest.sh("grep -c page_reporting_ack: /sys/kernel/tracing/trace || :"))
            tap.is_(nr > 0, reporting, f"{name}: hinted {reporting} ({nr} batches)")
            numbers = guest.numbers()
            tap.is_({key: value for key, value in numbers.items() if value}, {},
                    f"{name}: no buffer, no exchange")
            tap.is_(guest.splats(), [], f"{name}: no splat")


def check_alone(tap: Tap, scratch: Scratch) -> None:
    name = "the buffer alone"
    with Guest(scratch, "alone", "578M", BUFFER + ALONE, smp=2, cmdline=(
            "page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=10")) as guest:
        offers(tap, guest, name, True, False)
        soaked(tap, guest, name)
        device = guest.device()
        tap.ok(device["guest-features"] >> HINT_BUFFER_BIT & 1 == 1 and device["violations"] == 0 and
               guest.number("exchanges") > 0, f"{name}: chunks are exchanged", device)
        tap.is_(guest.splats(), [], f"{name}: no splat")


def check_other_features(tap: Tap, scratch: Scratch) -> None:
    """The buffer beside everything else that the balloon can do."""
    name = "all features with the buffer"
    with Guest(scratch, "others", "578M", BUFFER + OTHERS, smp=2, extra=IOTHREAD, cmdline=(
            "page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=10")) as guest:
        offers(tap, guest, name, True, True)
        whole = accounting(guest)
        guest.balloon("guest-stats-polling-interval", 1)
        guest.qmp("balloon", value=450 * MIB)
        soaked(tap, guest, f"{name}, balloon inflated", 128)
        actual = guest.qmp("query-balloon")["actual"]  # type: ignore[index]
        tap.is_(actual, 450 * MIB, f"{name}: the balloon inflates")
        tap.is_(guest.number("buffer_held_pages"), whole["held"],
                f"{name}: the buffer is as large as before")
        guest.qmp("balloon", value=578 * MIB)
        soaked(tap, guest, f"{name}, balloon deflated")
        tap.is_(accounting(guest), whole, f"{name}: managed and held pages add up")
        stats = guest.balloon("guest-stats")
        tap.ok(stats["last-update"] > 0, f"{name}: statistics arrive", stats)  # type: ignore[index]
        device = guest.device()
        tap.ok(device["guest-features"] >> HINT_BUFFER_BIT & 1 == 1 and device["violations"] == 0 and
               guest.number("exchanges") > 0, f"{name}: chunks are exchanged", device)
        guest.sh(f"echo 1 >{PARAM}/flush")
        tap.is_(guest.splats(), [], f"{name}: no splat")


def test(tap: Tap, scratch: Scratch) -> None:
    for check in (check_alone, check_other_features, check_old_driver, check_old_device):
        try:
            check(tap, scratch)
        except Missing as err:
            tap.skip(check.__name__, str(err).replace("\n", " "))
        except GuestError as err:
            tap.ok(False, f"{check.__name__}: the guest does what every guest must", err)


if __name__ == "__main__":
    if sys.argv[1:] == ["fetch"]:
        sys.exit(fetch_all())
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
