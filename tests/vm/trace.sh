#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The tracer in a guest of each arm: exact counts of kills, balance of held
# memory, loss identity, nothing left behind. Prints TAP.
#
# BUILD (default: build/ of this checkout) has kernel/, qemu/, rootfs/, guest/
# and bpf/. KEEP=DIR keeps consoles and streams there.
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 69
build=${BUILD:-$top/build}

for need in bin/hintrun kernel/bzImage qemu/qemu-system-x86_64 rootfs/root.erofs guest/hinttrace \
	guest/hintsay bpf/hint.bpf.o bpf/swap.bpf.o bpf/allocfail.bpf.o bpf/sample.bpf.o; do
	if [ ! -e "$build/$need" ]; then
		echo "1..0 # SKIP $build/$need is not there; run make first"
		exit 0
	fi
done

if [ -n "$KEEP" ]; then
	work=$KEEP
	mkdir -p "$work" || exit 69
else
	work=$(mktemp -d "${TMPDIR:-/tmp}/hint-trace.XXXXXX") || exit 69
	trap 'rm -rf "$work"' EXIT
fi

mkdir -p "$work/payload/bpf" || exit 69
cp "$build/guest/hinttrace" "$build/guest/hintsay" "$work/payload/" &&
	cp "$build"/bpf/*.bpf.o "$work/payload/bpf/" &&
	gcc -static -O2 -o "$work/payload/fillpipes" "$top/tests/vm/fillpipes.c" &&
	cp "$top/tests/vm/trace.init" "$work/payload/init" &&
	chmod +x "$work/payload/init" &&
	tar -C "$work/payload" -cf "$work/payload.tar" . &&
	truncate -s %2M "$work/payload.tar" || exit 69

# boot NAME MEMORY BALLOON-PROPERTIES [OPTION]...: one run under the virtual
# clock, acknowledgements take 20 ms.
boot() {
	name=$1 memory=$2 balloon=$3
	shift 3
	mkdir -p "$work/$name"
	timeout 400 "$build/bin/hintrun" boot --clock virtual --mem "$memory" --payload "$work/payload.tar" \
		--kernel "$build/kernel" --qemu "$build/qemu" --rootfs "$build/rootfs" \
		--append "page_reporting.page_reporting_order=9 page_reporting.page_reporting_delay_ms=50" \
		--balloon "x-report-ack-base-ns=20000000$balloon" --ports "$work/$name" \
		--console "$work/$name.console" -- "$@" 2>"$work/$name.qemu"
	mv "$work/$name/work.stream" "$work/$name.work"
	mv "$work/$name/trace.stream" "$work/$name.trace"
}

boot reporting 256M ,free-page-reporting=on
boot buffer 288M ,free-page-reporting=on,hint-buffer-size=32M
# Two nodes, the CPU on the first.
boot nodes 256M ,free-page-reporting=on \
	-object memory-backend-ram,id=ram0,size=128M -numa node,nodeid=0,cpus=0,memdev=ram0 \
	-object memory-backend-ram,id=ram1,size=128M -numa node,nodeid=1,memdev=ram1

python3 "$top/tests/vm/trace_check.py" "$work" reporting buffer nodes
