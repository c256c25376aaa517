#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Host memory of a guest follows what the guest touches, frees and hints.
exec python3 -B "$(dirname "$0")/host_memory.py"
