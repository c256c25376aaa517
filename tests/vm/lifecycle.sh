#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The life cycle of the hinting buffer: driver, size and memory come and go
# under load. Prints TAP; see lifecycle.py and guestvm.py (environment).
exec python3 -B "$(dirname "$0")/lifecycle.py"
