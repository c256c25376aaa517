#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Build the patched QEMU into build/qemu/:
#   qemu-system-x86_64, share/ (firmware), version, id
# `build.sh qtest` instead builds QEMU's own tests of the balloon device, in the
# same tree, into build/qemu-qtest/: images/qemu/qtest.sh runs them.
# `build.sh hostile` builds, into build/qemu-hostile/, one whose balloon device
# breaks every rule when asked to: tests/vm/hostile.sh shows it to guests.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../cache/lib.sh"

case $#:${1:-} in
0:)
	kind=qemu
	targets=qemu-system-x86_64
	;;
1:qtest)
	kind=qemu-qtest
	targets="tests/qtest/virtio-balloon-test tests/qtest/virtio-balloon-hostile-test"
	;;
1:hostile)
	kind=qemu-hostile
	targets=qemu-system-x86_64
	;;
*)
	cat >&2 <<-'END'
	usage: images/qemu/build.sh [qtest|hostile]
	Source: images/cache/versions or QEMU_TARBALL=FILE (an upstream release).
	Patches: kernel-patches/qemu/series, for hostile followed by
	kernel-patches/qemu-hostile/series. Devices: images/qemu/devices.mak.
	END
	exit $EX_USAGE
	;;
esac
need gcc g++ ninja pkg-config patch dpkg-deb dpkg-source

patches=$(snapshot "$top/kernel-patches/qemu")
trap 'rm -rf "${patches%/*}"' EXIT
if [ $kind = qemu-hostile ]; then
	# The names tell the two series apart.
	series "$top/kernel-patches/qemu-hostile" | while IFS= read -r patch; do
		cp "$patch" "$patches/hostile-${patch##*/}"
		echo "hostile-${patch##*/}" >>"$patches/series"
	done
fi
src=$("$top/images/cache/source.sh" qemu)

python=$(find_python venv ensurepip) || die $EX_INFRA \
	"no python3 on PATH has venv and ensurepip: run 'make setup'"

toolchain=$({ gcc --version; ld --version; "$python" --version
	pkg-config --modversion glib-2.0 pixman-1 libfdt 2>/dev/null || :; } | hash12)
key=$({ echo "${src##*/}" "$toolchain"; patch_hash "$patches"
	cat "$top/images/qemu/devices.mak" "$0"; } | hash12)
use_product "$kind-$key"

# QEMU 10 wants meson 1.5. A private copy comes before everything else, so the
# system's version does not matter.
meson_version=$(pin meson_version)
meson=$cache/tools/meson-$(printf '%s' "$meson_version" | tr ':~' '__')
if [ ! -d "$meson" ]; then
	lock src-meson
	meson_version=$("$top/images/cache/apt.sh" version meson "$meson_version" "$(pin meson_series)")
	step FETCH "meson $meson_version"
	deb=$("$top/images/cache/apt.sh" deb "meson=$meson_version")
	rm -rf "$meson.tmp"
	mkdir -p "$meson.tmp"
	dpkg-deb -x "$deb" "$meson.tmp"
	mv "$meson.tmp" "$meson"
fi
PYTHONPATH=$meson/usr/lib/python3/dist-packages
export PYTHONPATH

options="--target-list=x86_64-softmmu --without-default-features
	--without-default-devices --with-devices-x86_64=hintbuf
	--enable-system --enable-tcg --enable-kvm --enable-plugins
	--enable-fdt=system --enable-trace-backends=log
	--disable-install-blobs --disable-download --disable-docs"
options_hash=$(echo "$options $python" | hash12)

# One work tree a source, toolchain and set of options.
open_work "${src##*/}-$toolchain-$options_hash" 2
patch_work qemu "$src" "$patches"
devices=$work/src/configs/devices/x86_64-softmmu/hintbuf.mak
cmp -s "$top/images/qemu/devices.mak" "$devices" ||
	cp "$top/images/qemu/devices.mak" "$devices"

cold=0
if [ ! -e "$work/configured" ]; then
	cold=1
	rm -rf "$work/obj"
	mkdir -p "$work/obj"
	step QEMU "configuring"
	# shellcheck disable=SC2086 # a list of words
	(cd "$work/obj" && "$work/src/configure" --python="$python" $options) \
			>"$work/configure.log" 2>&1 || {
		tail -n 20 "$work/configure.log" >&2
		die $EX_FAIL "configure of QEMU failed; the whole log: $work/configure.log"
	}
	: >"$work/configured"
fi

# Measured: 1344 steps, 4 CPU minutes.
step QEMU "building$([ $cold = 1 ] || echo ' what changed') with $jobs jobs; log: $work/build.log"
# shellcheck disable=SC2086 # a list of words
run_logged QEMU "$kind-$jobs" $cold 1344 $((260 / jobs)) '^\[[0-9]+/[0-9]+\] ' "$work/build.log" \
	ninja -v -C "$work/obj" -j"$jobs" $targets

start_product
if [ $kind = qemu-qtest ]; then
	for target in $targets; do
		strip -o "$tmp/${target##*/}" "$work/obj/$target"
	done
	finish_product QEMU
	exit 0
fi
mkdir "$tmp/share"
strip -o "$tmp/qemu-system-x86_64" "$work/obj/qemu-system-x86_64"
# Firmware: from the tree where a release tarball carries it, else from the
# packages Debian builds it into.
for file in bios-256k.bin kvmvapic.bin linuxboot_dma.bin; do
	for dir in "$src/pc-bios" /usr/share/seabios /usr/share/qemu; do
		[ -f "$dir/$file" ] || continue
		cp "$dir/$file" "$tmp/share/"
		break
	done
	[ -f "$tmp/share/$file" ] ||
		die $EX_INFRA "firmware $file not found: install seabios and qemu-system-data"
done
"$tmp/qemu-system-x86_64" --version | sed -n '1s/.*version //p' >"$tmp/version"
# The id is of what it is made from: headers name themselves in messages, by
# the folder of the cache, so the program is another one in another cache.
{ echo "$key"; cat "$tmp"/share/*; } | hash12 >"$tmp/id"
finish_product QEMU "$(cat "$tmp/version")"
