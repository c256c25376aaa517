#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Boots the guests of `make bench` (docs/bench.md) by `hintrun boot`, each into a folder below
# OUT: cell.env, qemu.cmd, work.stream, trace.stream, device.log, console.log.
set -u
usage="usage: bench/run.sh OUT [JOBS]
  OUT   folder for the results; those of an earlier bench in it are replaced,
        a folder with anything else in it is refused
  JOBS  guests at once, 1 to 64 [2]
BUILD=DIR  products of the build [build/ of this checkout]
QUICK=1    fewer sizes, one seed, fewer rounds
ACCEL=kvm  for the guests in real time: tcg or kvm [what make run found, else tcg]
example: bench/run.sh results/bench
Exit status: 0 done, 1 a guest failed, 2 wrong usage, 69 something is missing."
EX_FAILED=1
EX_USAGE=2
EX_INFRA=69

die() {
	status=$1
	shift
	echo "bench: $*" >&2
	exit "$status"
}

[ "${1:-}" = --help ] && {
	echo "$usage"
	exit 0
}
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo "$usage" >&2
	exit $EX_USAGE
fi
jobs=${2:-2}
case $jobs in
[1-9] | [1-5][0-9] | 6[0-4]) ;;
*) die $EX_USAGE "JOBS is '$jobs'; allowed: 1 to 64" ;;
esac
case ${QUICK:=0} in
0 | 1) ;;
*) die $EX_USAGE "QUICK is '$QUICK'; allowed: 0, 1" ;;
esac

top=$(cd "$(dirname "$0")/.." && pwd) || exit $EX_INFRA
build=${BUILD:-$top/build}
for need in kernel/bzImage qemu/qemu-system-x86_64 rootfs/root.erofs guest/hinttrace \
	guest/hintsay workloads/memcached/mcload workloads/memcached/wave bench/gauge \
	bench/hold bench/firsttouch bpf/hint.bpf.o bin/hintrun; do
	[ -e "$build/$need" ] || die $EX_INFRA "$build/$need is not there; run make bench"
done
# One kernel for all guests, even if another is built meanwhile.
kernel=$(cd "$build/kernel" && pwd -P) || exit $EX_INFRA
kernel_id=$(cat "$kernel/id") || exit $EX_INFRA
if [ -z "${ACCEL:-}" ]; then
	ACCEL=tcg
	[ ! -r "$build/accel" ] || read -r ACCEL _ <"$build/accel"
fi
case $ACCEL in
tcg | kvm) ;;
*) die $EX_USAGE "ACCEL is '$ACCEL'; allowed: tcg, kvm" ;;
esac
# A name that begins with a dash is a name.
case $1 in
/*) out=$1 ;;
*) out=./$1 ;;
esac
mkdir -p "$out" || exit $EX_INFRA
out=$(cd "$out" && pwd) || exit $EX_INFRA
case $out in
*[!A-Za-z0-9._/-]*) die $EX_USAGE "OUT is '$out'; allowed: letters, digits, . _ - /" ;;
esac

# is_guest FOLDER: made by this script and by nothing else. The cells of a run
# have a cell.env too.
is_guest() {
	grep -q '^HINT_BENCH=' "$1/cell.env" 2>/dev/null && [ ! -e "$1/cell.json" ]
}

# Before anything is booted, or removed: is all that is in there a bench's?
for entry in "$out"/* "$out"/.[!.]*; do
	[ -e "$entry" ] || [ -L "$entry" ] || continue
	case ${entry##*/} in
	bench.json | bench.html) continue ;;
	esac
	is_guest "$entry" ||
		die $EX_USAGE "$entry is not of a bench, and OUT is for nothing else; choose another OUT"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/hint-bench.XXXXXX") || exit $EX_INFRA
# Guests that still run when we are stopped end with us.
trap 'trap - EXIT TERM INT; kill -- $(cat "$work"/*.pid 2>/dev/null) 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 1' TERM INT

pack() {
	mkdir -p "$work/payload/bpf" &&
		cp "$build/guest/hinttrace" "$build/guest/hintsay" "$build/workloads/memcached/mcload" \
			"$build/workloads/memcached/wave" "$build/bench/gauge" "$build/bench/hold" \
			"$build/bench/firsttouch" "$work/payload/" &&
		cp "$build"/bpf/*.bpf.o "$work/payload/bpf/" &&
		install -m 755 "$top/bench/guest-init.sh" "$work/payload/init" &&
		tar --sort=name --mtime=@0 -C "$work/payload" -cf "$work/payload.tar" . &&
		truncate -s %2M "$work/payload.tar"
}
pack || die $EX_INFRA "cannot make the payload"

# boot NAME KIND MIB BALLOON-PROPERTIES KERNEL-PARAMETERS: the guest's own file
# is there already. Under the virtual clock one instruction is one nanosecond,
# and a page that the host has dropped costs nothing: landing is in real time.
boot() {
	boot_name=$1
	boot_dir=$out/$1
	if [ "$2" = landing ]; then
		clock="--accel $ACCEL --clock real"
	else
		clock="--accel tcg --clock virtual"
	fi
	# shellcheck disable=SC2086 # words are wanted, none has a blank
	set -- --kernel "$kernel" --qemu "$build/qemu" --rootfs "$build/rootfs" $clock \
		--mem "$3M" --append "$5" --payload "$work/payload.tar" \
		--cell "$boot_dir/cell.env" --balloon "$4" --ports "$boot_dir" \
		--console "$boot_dir/console.log" -- \
		-trace virtio_balloon_report -trace virtio_console_flush_buf
	"$build/bin/hintrun" boot --dry-run "$@" >"$boot_dir/qemu.cmd"
	# Nothing a guest prints may fill the disk: 400 MiB (blocks of 512 bytes).
	(
		ulimit -f 819200
		exec timeout 1200 "$build/bin/hintrun" boot "$@" >"$boot_dir/device.log" 2>&1 </dev/null
	) &
	echo $! >"$work/$boot_name.pid"
}

# slot: wait until fewer than JOBS guests run.
slot() {
	while :; do
		running=0
		for file in "$work"/*.pid; do
			[ -e "$file" ] || continue
			if kill -0 "$(cat "$file")" 2>/dev/null; then
				running=$((running + 1))
			else
				rm "$file"
			fi
		done
		[ $running -ge "$1" ] || return 0
		sleep 0.2
	done
}

# host_thp FILE: the choice in force of those in the file.
host_thp() {
	sed -n 's/.*\[\(.*\)\].*/\1/p' "/sys/kernel/mm/transparent_hugepage/$1" 2>/dev/null
}

# cell NAME KIND MIB BUFFER-MIB ORDER CAPACITY SEED ACK-NS [ASSIGNMENT]...
cell() {
	nr=$((nr + 1))
	[ -n "$total" ] || return 0
	# What is in real time has the machine for itself.
	if [ "$2" = landing ]; then
		slot 1
	else
		slot "$jobs"
	fi
	name=$1
	gone=$(($(date +%s) - begun))
	printf '  %-8s %2d of %d  %s  (%d:%02d gone)\n' BENCH $nr "$total" "$name" \
		$((gone / 60)) $((gone % 60))
	rm -rf "${out:?}/$name"
	mkdir -p "$out/$name" || die $EX_INFRA "cannot make $out/$name"
	props="free-page-reporting=on,reporting-queue-size=$6,x-report-ack-base-ns=$8"
	[ "$4" -eq 0 ] || props="$props,hint-buffer-size=$4M"
	# A minute's delay: but for the tracer, only a flush reports.
	delay=60000
	[ "$2" != tracer ] || delay=2000
	kind=$2
	params="page_reporting.page_reporting_order=$5 page_reporting.capacity=$6 page_reporting.page_reporting_delay_ms=$delay"
	{
		echo "HINT_BENCH='$2'"
		echo "HINT_MEM_BYTES=$(($3 * 1048576))"
		echo "HINT_BUFFER_BYTES=$(($4 * 1048576))"
		echo "HINT_ORDER=$5"
		echo "HINT_CAPACITY=$6"
		echo "HINT_SEED=$7"
		echo "HINT_ACK_NS=$8"
		echo "HINT_KERNEL=$kernel_id"
		echo "HINT_ACCEL=$ACCEL"
		echo "HINT_HOST_THP=$(host_thp enabled)"
		echo "HINT_HOST_DEFRAG=$(host_thp defrag)"
		mib=$(($3 + $4))
		shift 8
		for word in "$@"; do
			echo "$word"
		done
	} >"$out/$name/cell.env"
	boot "$name" "$kind" "$mib" "$props" "$params"
}

# All of this was looked at above; what came since is left alone.
for dir in "$out"/*/; do
	! is_guest "${dir%/}" || rm -rf "${dir%/}"
done

seeds="1 2"
sizes="4 8 16 32 64 128 256 512"
large="32 128 512"
holds=8
landings=8
[ "$QUICK" = 0 ] || {
	seeds=1
	sizes="4 32 512"
	large=512
	holds=2
	landings=3
}

# mechanism NAME MIB BUFFER-MIB ORDER CAPACITY
mechanism() {
	cell "$1" mechanism "$2" "$3" "$4" "$5" 1 0 HINT_HOLE=64K HINT_ROUNDS=$holds
}

# What is measured, the longest guests first.
cells() {
	nr=0
	# The tracer, in an arm where every one of its probes has something to see;
	# the host takes 200 ms, as in the default experiment.
	[ "$QUICK" = 1 ] ||
		cell tracer-r1000-s1 tracer 512 64 9 32 1 200000000 HINT_RATE=1000 HINT_SECONDS=3
	for seed in $seeds; do
		cell "tracer-r250-s$seed" tracer 512 64 9 32 "$seed" 200000000 HINT_RATE=250 HINT_SECONDS=5
	done

	# The mechanisms. The host answers at once: what is counted is the guest's
	# work. With 4 GiB reporting too can fill a queue of 512 chunks.
	for capacity in 32 512; do
		mechanism "reporting-m4096-o9-c$capacity" 4096 0 9 $capacity
	done
	for size in $large; do
		mechanism "buffer-m4096-o9-c512-b$size" 4096 "$size" 9 512
	done
	for order in 9 0; do
		some=$sizes
		[ $order -eq 9 ] || some="4 32 512"
		for capacity in 32 128 512; do
			mechanism "reporting-o$order-c$capacity" 1024 0 $order $capacity
		done
		for size in $some; do
			mechanism "buffer-o$order-c512-b$size" 1024 "$size" $order 512
		done
	done

	# Memory that the host has dropped: its own page faults are what is measured.
	for size in 0 64; do
		capacity=512
		[ $size -gt 0 ] || capacity=32
		cell "landing-b$size" landing 512 $size 9 $capacity 1 0 HINT_ROUNDS=$landings
	done
}

# The first time they are only counted.
total=
cells
total=$nr
begun=$(date +%s)
cells
slot 1

bad=0
for env in "$out"/*/cell.env; do
	dir=${env%/*}
	grep -q '^{"type":"bye",.*"status":0}$' "$dir/work.stream" || {
		echo "bench: guest ${dir##*/} failed; see $dir/console.log and device.log" >&2
		grep -hv ^virtio_ "$dir/device.log" "$dir/console.log" | tail -n 3 >&2
		bad=1
	}
done
[ $bad -eq 0 ] || exit $EX_FAILED
