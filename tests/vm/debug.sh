#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Load and life cycle of the buffer, and a device that breaks every rule, on the
# kernel of `make kernel-debug` (KASAN, lockdep, DEBUG_VM, ...): the same tests,
# not one splat. Prints TAP. What such a kernel keeps for itself follows from
# the size of memory, so the comparison with a guest without a buffer is not
# made here.
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 69
KERNEL=${DEBUG_KERNEL:-$top/build/kernel-debug}
ROOM_MIB=512
APPEND=page_owner=on	# built in, but off unless asked for
export KERNEL ROOM_MIB APPEND
if [ ! -e "$KERNEL/bzImage" ]; then
	echo "1..0 # SKIP $KERNEL/bzImage is not there; run make kernel-debug first"
	exit 0
fi
[ ! -e "$top/build/qemu/qemu-system-x86_64" ] || "$top/images/qemu/build.sh" hostile >&2 || exit
exec python3 -B "$top/tests/vm/debug.py"
