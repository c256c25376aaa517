#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What hinttrace counts against what oomkill, drsnoop, perf, /proc/vmstat, dmesg
# and the balloon count, over one load. Prints TAP; see crosscheck.py and guestvm.py
# (environment). `make crosscheck` is the long form.
exec python3 -B "$(dirname "$0")/crosscheck.py"
