#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `hintrun debug`: a guest that waits for a debugger. Prints TAP.
exec python3 -B "$(dirname "$0")/gdb.py"
