#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Memory that comes and goes with part of the hinting buffer in it: blocks taken
# offline, virtio-mem, DIMMs, huge and gigantic pages. Prints TAP; see memory.py
# and guestvm.py (environment).
exec python3 -B "$(dirname "$0")/memory.py"
