#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# page_reporting.keep_kib and page_reporting.oom_wait_ms: what reporting leaves
# alone, and that a kill waits for a batch. Prints TAP; see controls.py.
exec python3 -B "$(dirname "$0")/controls.py"
