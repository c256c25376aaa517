#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hinting buffer in a guest: looks like one without, no page goes missing,
# no content is lost. Prints TAP; see buffer.py and guestvm.py (environment).
exec python3 -B "$(dirname "$0")/buffer.py"
