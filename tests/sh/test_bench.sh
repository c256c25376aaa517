#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make bench never removes anything but what a bench made.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
cd "$top" || exit

# Nothing boots: the launcher of this build ends at once.
build=$tmp/build
for file in kernel/bzImage kernel/id qemu/qemu-system-x86_64 rootfs/root.erofs guest/hinttrace \
	guest/hintsay workloads/memcached/mcload workloads/memcached/wave bench/gauge bench/hold \
	bench/firsttouch bpf/hint.bpf.o bin/hintrun; do
	mkdir -p "$build/${file%/*}"
	printf '#!/bin/sh\nexit 1\n' >"$build/$file"
	chmod +x "$build/$file"
done

bench() { # OUT
	BUILD=$build QUICK=1 bench/run.sh "$1" 8 2>&1
}

# A finished cell has a cell.env as well: that was once taken for a bench's.
runs=$tmp/runs
mkdir -p "$runs/none-s1-r1-0123456789ab"
for file in cell.json cell.env record.jsonl; do
	echo "HINT_ARM='none'" >"$runs/none-s1-r1-0123456789ab/$file"
done
out=$(bench "$runs")
is $? 2 "a folder of runs is refused"
has "$out" "none-s1-r1-0123456789ab is not of a bench" "and the message names what is in it"
is "$(find "$runs" -type f | wc -l)" 3 "the runs are still there"
is "$(find "$runs" -mindepth 1 -maxdepth 1 | wc -l)" 1 "and nothing beside them"

mkdir "$tmp/other"
echo precious >"$tmp/other/.notes"
bench "$tmp/other" >/dev/null
is $? 2 "so is a folder with a file of somebody else"
is "$(cat "$tmp/other/.notes")" precious "the file is still there"

mkdir "$tmp/both"
ln -s "$runs/none-s1-r1-0123456789ab" "$tmp/both/link"
bench "$tmp/both" >/dev/null
is $? 2 "and one with a link to a run"

bench "$tmp/bench" >/dev/null
is $? 1 "an empty folder is taken; the guests fail, as they must here"
guests=$(find "$tmp/bench" -name cell.env | wc -l)
is "$([ "$guests" -gt 5 ] && echo yes)" yes "with a folder for each guest"
mkdir "$tmp/bench/old"
echo "HINT_BENCH='mechanism'" >"$tmp/bench/old/cell.env"
bench "$tmp/bench" >/dev/null
is $? 1 "a second bench there is not refused"
is "$(find "$tmp/bench" -name cell.env | wc -l)" "$guests" "it replaces the first"
finish
