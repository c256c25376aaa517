#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The tracer on Debian's own kernel: other structures, no tracepoints of ours.
# Prints TAP; see trace_debian.py and guestvm.py.
exec python3 -B "$(dirname "$0")/trace_debian.py"
