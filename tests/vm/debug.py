# SPDX-License-Identifier: GPL-2.0-or-later
"""What debug.sh runs: the tests of load and life cycle on another kernel."""

from __future__ import annotations

import sys

import buffer
import guestvm
import lifecycle
import memory
from guestvm import GUEST, KERNEL, QEMU, ROOTFS


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    GUEST / "soak", GUEST / "hinttrace")
    sys.exit(guestvm.main_of(lifecycle.check_load, lifecycle.check_batch_out, lifecycle.check_suspend,
                             memory.check_offline, memory.check_plug, buffer.check_load))
