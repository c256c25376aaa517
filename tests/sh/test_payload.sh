#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What goes into a guest names the cells that ran it. It depends on sources and
# on nothing else: not on the folder of the checkout, nor on what was built
# there before, nor on other workloads. Built in a scratch copy.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
cd "$top" || exit
unset MAKEFLAGS MFLAGS MAKELEVEL

copy=$tmp/elsewhere-under-a-longer-name
mkdir "$copy"
cp -r Makefile arms bpf collectors experiments images workloads "$copy"

build() { # TARGET...
	make -C "$copy" -j2 "$@" >"$tmp/log" 2>&1 || {
		sed 's/^/# /' "$tmp/log"
		return 1
	}
}

programs="guest/hinttrace guest/hintsay"
for mk in workloads/*/workload.mk; do
	name=$(basename "$(dirname "$mk")")
	for file in build/workloads/"$name"/*; do
		programs="$programs ${file#build/}"
	done
done
# shellcheck disable=SC2046,SC2086 # a list of words
build $(printf 'build/%s ' $programs)
ok $? "tools and workloads are built in another folder"
for file in $programs; do
	cmp -s "build/$file" "$copy/build/$file"
	ok $? "$file is the same to the byte"
done
if [ -e build/bpf/hint.bpf.o ]; then
	mkdir -p "$copy/build/bpf"
	cp build/bpf/vmlinux.h "$copy/build/bpf"
	# The header comes from the kernel, which is not made here.
	build -o build/bpf/vmlinux.h build/bpf/hint.bpf.o
	cmp -s build/bpf/hint.bpf.o "$copy/build/bpf/hint.bpf.o"
	ok $? "a BPF object is the same to the byte"
else
	skip "a BPF object is the same to the byte" "there is none: make bpf"
fi

cell() { # WORKLOAD: the hash of what it puts into a guest, and of the tools
	make -C "$copy" -s build/bin/hintrun tidy >/dev/null 2>&1 &&
		"$copy/build/bin/hintrun" plan --workload "$1" --arms none --repeats 1 --accel tcg \
			--kernel "$tmp/image" --qemu "$tmp/image" --rootfs "$tmp/image" |
		sed 's/.*"workload_hash":"\([0-9a-f]*\).*"tools":"\([0-9a-f]*\).*/\1 \2/'
}
mkdir -p "$tmp/image/share"
echo 00ff >"$tmp/image/id"
truncate -s 2M "$tmp/image/bzImage" "$tmp/image/root.erofs"
install -m 755 /dev/null "$tmp/image/qemu-system-x86_64"

soak=$(cell soak)
has "$soak" " " "the cell of a workload has two hashes"
touch "$copy/build/guest/left-over" "$copy/build/guest/mcload" "$copy/build/workloads/soak/old"
mkdir -p "$copy/build/workloads/gone"
is "$(cell soak)" "$soak" "left-overs of an older build are no part of it"
build build/workloads/tracecost/mcload
cmp -s "$copy/build/workloads/tracecost/mcload" "$copy/build/workloads/memcached/mcload"
ok $? "a workload may borrow a program of another, which is the same to the byte"
is "$(cell soak)" "$soak" "and is no part of a third"

# A toy workload, with a program of its own.
before=$(cd "$copy" && find . -path ./build -prune -o -type f -exec sha256sum {} + | sort)
mkdir "$copy/workloads/toy"
printf '#!/bin/sh\nexec ./toy\n' >"$copy/workloads/toy/run"
chmod +x "$copy/workloads/toy/run"
echo 'programs := toy' >"$copy/workloads/toy/workload.mk"
echo 'int main(void) { return 0; }' >"$copy/workloads/toy/toy.c"
build build/workloads/toy/run build/workloads/toy/toy
ok $? "a toy workload is built by its own rules"
toy=$(cell toy)
has "$toy" " ${soak#* }" "it is planned, with the same tools"
is "$(cell soak)" "$soak" "cells of another workload stay as they were"
has "$("$copy/build/bin/hintrun" list)" "toy" "it is listed"
echo 'int main(void) { return 1; }' >"$copy/workloads/toy/toy.c"
build build/workloads/toy/toy
changed=$(cell toy)
is "$([ "${changed% *}" != "${toy% *}" ] && echo "${changed#* }")" "${toy#* }" \
	"a change in it changes the hash of its own cells"
is "$(cell soak)" "$soak" "... and no other"
after=$(cd "$copy" && find . -path ./build -prune -o -type f -exec sha256sum {} + | sort)
changed=$(printf '%s\n' "$before" "$after" | sort | uniq -u | sed 's/.* //; s|/[^/]*$||' | sort -u)
is "$changed" "./workloads/toy" "a workload is one folder: nothing else was changed"

finish
