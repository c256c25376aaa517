# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# The part of kernel-patches/review/series.sh for QEMU. Sourced.
# shellcheck disable=SC2034,SC2086,SC2154 # its variables

begin() {
	:
}

check_patch() { # N PATCH
	[ -n "$full" ] || return 0
	if once "$1" build build_patch "$1" >"$work/said"; then
		said=$(cat "$work/said")
	else
		tail -n 30 "$work/build.log" >"$work/said"
		finding "${2##*/}" "does not build, or fails qtest" <"$work/said"
	fi
}

# build_patch N: as images/qemu/build.sh does, in a checkout and a cache of its own,
# then the tests of the balloon there are by then.
build_patch() {
	checkout "$1"
	"$top_own/images/qemu/build.sh" >"$work/build.log" 2>&1 || return 1
	# As images/qemu/build.sh has it: ninja calls meson.
	PYTHONPATH=$(echo "$cache"/tools/meson-*/usr/lib/python3/dist-packages | tr ' ' ':')
	export PYTHONPATH
	# The one work tree of that cache.
	set -- "$top_own"/build/qemu/qemu-system-x86_64 "$HINTBUF_CACHE"/*/qemu-*/obj
	printf '#!/bin/sh\nexec "%s" -L "%s/share" "$@"\n' "$1" "${1%/*}" >"$work/qemu-system-x86_64"
	chmod +x "$work/qemu-system-x86_64"
	built="builds"
	for test in virtio-balloon-test virtio-balloon-hostile-test; do
		[ -f "$work/src/tests/qtest/$test.c" ] || continue
		ninja -C "$2" -j"$jobs" "tests/qtest/$test" >>"$work/build.log" 2>&1 &&
			QTEST_QEMU_BINARY=$work/qemu-system-x86_64 "$2/tests/qtest/$test" -k \
				>>"$work/build.log" 2>&1 || return 1
		built="$built, $test passes"
	done
	echo "$built"
}

end() {
	:
}
