#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The Debian package in a Debian 12 that systemd started: installed, run as a
# service, a kill judged, purged. Prints TAP; see deb.py and guestvm.py.
exec python3 -B "$(dirname "$0")/deb.py"
