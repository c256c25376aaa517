#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hinting buffer on machines of many shapes: conservation holds in all.
# Prints TAP and a table. One row unless FULL=1 (as `make soak` has it); see
# matrix.py and guestvm.py (environment).
exec python3 -B "$(dirname "$0")/matrix.py"
