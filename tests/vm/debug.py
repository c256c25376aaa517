# SPDX-License-Identifier: GPL-2.0-or-later
"""What debug.sh runs: the tests of load, life cycle and bad devices on another kernel."""

from __future__ import annotations

import sys

import buffer
import controls
import guestvm
import hostile
import lifecycle
import memory
from guestvm import GUEST, KERNEL, QEMU, ROOTFS, SOAK, Guest, Scratch, Tap
from lifecycle import BUFFER, FAST

DEBUG = "/sys/kernel/debug"
# Not check_never: this kernel has too much memory in use for it.
HOSTILE_CHECKS = (hostile.check_run_time, hostile.check_failed_batch, hostile.check_boot)


def check_watched(tap: Tap, scratch: Scratch) -> None:
    """What can be off, or goes off by itself, is on."""
    with Guest(scratch, "watched", "578M", BUFFER, smp=2, cmdline=FAST) as guest:
        guestvm.soak_start(guest, 256, "10s", seed=81)
        lifecycle.soak_ok(tap, guest, "watched")
        status, out = guest.run(f"grep -c '^Page allocated via order' {DEBUG}/page_owner")
        tap.ok(not status and int(out) > 1000, "watched: page_owner has entries", f"status {status}: {out}")
        status, out = guest.run("awk '/debug_locks:/ { print $2 }' /proc/lockdep_stats")
        tap.is_((status, out.strip()), (0, "1"), "watched: lockdep is on")
        status, out = guest.run(f"awk '/^warnings/ {{ print $NF }}' {DEBUG}/debug_objects/stats")
        tap.is_((status, out.strip().lstrip(":")), (0, "0"), "watched: objects are, without a warning")
        tap.is_(guest.console().count("ODEBUG disabled"), 0, "watched: ... and went on to be")
        tap.is_(guest.splats(), [], "watched: no splat")


if __name__ == "__main__":
    guestvm.require(KERNEL / "bzImage", QEMU / "qemu-system-x86_64",
                    hostile.HOSTILE / "qemu-system-x86_64", ROOTFS / "root.erofs",
                    SOAK, GUEST / "hinttrace")
    sys.exit(guestvm.main_of(check_watched, lifecycle.check_load, lifecycle.check_batch_out, lifecycle.check_suspend,
                             memory.check_offline, memory.check_plug, buffer.check_load,
                             controls.check_keep, controls.check_oom_wait, controls.check_dump,
                             *HOSTILE_CHECKS))
