#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# page_reporting.max_out_kib: how much is out at once, with and without a
# hinting buffer. Prints TAP; see bound.py and guestvm.py (environment).
exec python3 -B "$(dirname "$0")/bound.py"
