#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest with a balloon device that breaks every rule. Prints TAP; see
# hostile.py, guestvm.py (environment) and kernel-patches/qemu-hostile.
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 69
if [ ! -e "$top/build/qemu/qemu-system-x86_64" ]; then
	echo "1..0 # SKIP build/qemu is not there; run make first"
	exit 0
fi
"$top/images/qemu/build.sh" hostile >&2 || exit
exec python3 -B "$top/tests/vm/hostile.py"
