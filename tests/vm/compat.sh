#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Old driver on the new device, new driver on an old device, and the balloon's
# other features beside the buffer. Prints TAP; see compat.py and guestvm.py.
exec python3 -B "$(dirname "$0")/compat.py"
