# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a kernel once with the buffer offered: what kernel-patches/review/series.sh full does
with each patch. One that does not know the buffer yet boots just as well."""

from __future__ import annotations

import sys

import guestvm
from guestvm import GUEST, KERNEL, QEMU, ROOTFS, SOAK, SYSFS, Guest, Scratch, Tap


def test(tap: Tap, scratch: Scratch) -> None:
    with Guest(scratch, "boot", "320M",
               "free-page-reporting=on,hint-buffer-size=64M") as guest:
        guest.sh("dd if=/dev/zero of=/run/file bs=1M count=64 2>/dev/null; rm /run/file; sleep 3")
        held = guest.sh(f"cat {SYSFS}/buffer_held_pages 2>/dev/null || echo").strip()
        device = guest.device()
        tap.is_(guest.splats(), [], "boots, fills memory and frees it without a splat")
        tap.ok(device["bytes-received"] > 0, "free pages are reported", device)
    tap.note(f"booted: boots, {f'{held} pages in the buffer' if held else 'no buffer in sysfs'}")


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(test))
