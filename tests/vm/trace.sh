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

for need in kernel/bzImage qemu/qemu-system-x86_64 rootfs/root.erofs guest/hinttrace \
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

# pad FILE: an NVDIMM is a multiple of 2 MiB.
pad() {
	truncate -s %2M "$1"
}

mkdir -p "$work/payload/bpf" || exit 69
cp "$build/guest/hinttrace" "$build/guest/hintsay" "$work/payload/" &&
	cp "$build"/bpf/*.bpf.o "$work/payload/bpf/" &&
	cp "$top/tests/vm/trace.init" "$work/payload/init" &&
	chmod +x "$work/payload/init" &&
	tar -C "$work/payload" -cf "$work/payload.tar" . &&
	pad "$work/payload.tar" &&
	cp "$build/rootfs/root.erofs" "$work/root" && pad "$work/root" || exit 69

# nvdimm NUMBER FILE: QEMU orders them by their ids.
nvdimm() {
	echo "-object memory-backend-file,id=image$1,mem-path=$2,share=on,readonly=on,size=$(stat -c %s "$2")"
	echo "-device nvdimm,id=nv$1,memdev=image$1,unarmed=on"
}

# Nothing a guest prints may fill the disk: 400 MiB (in blocks of 512 bytes).
ulimit -f 819200

# boot ARM MEMORY BALLOON-PROPERTIES: one run under the virtual clock, acknowledgements take 20 ms.
boot() {
	# shellcheck disable=SC2046 # words are wanted, none has a space
	timeout 400 "$build/qemu/qemu-system-x86_64" -L "$build/qemu/share" -nodefaults \
		-no-user-config -machine pc,nvdimm=on,hpet=off -accel tcg,thread=single \
		-cpu kvm64 -smp 1 -m "size=$2,slots=4,maxmem=8G" \
		-icount shift=0,sleep=off,align=off -rtc clock=vm,base=2020-01-01T00:00:00 \
		-no-reboot -kernel "$build/kernel/bzImage" \
		-append "console=ttyS0 panic=-1 oops=panic nokaslr root=/dev/pmem0 rootfstype=erofs ro init=/sbin/hint-init loglevel=6 tsc=reliable clocksource=tsc no_timer_check random.trust_cpu=on random.trust_bootloader=on mitigations=off page_reporting.page_reporting_order=9 page_reporting.delay_ms=50" \
		$(nvdimm 0 "$work/root") $(nvdimm 1 "$work/payload.tar") \
		-device "virtio-balloon-pci,ioeventfd=off,x-report-ack-base-ns=20000000$3" \
		-device virtio-serial-pci,id=ports,ioeventfd=off,max_ports=4 \
		-chardev "file,id=work,path=$work/$1.work" \
		-device virtserialport,bus=ports.0,nr=1,chardev=work,name=org.hintbuf.work \
		-chardev "file,id=trace,path=$work/$1.trace" \
		-device virtserialport,bus=ports.0,nr=2,chardev=trace,name=org.hintbuf.trace \
		-display none -serial "file:$work/$1.console" 2>"$work/$1.qemu"
}

boot reporting 256M ,free-page-reporting=on
boot buffer 288M ,free-page-reporting=on,hint-buffer-size=32M

python3 "$top/tests/vm/trace_check.py" "$work" reporting buffer
