#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Build the patched guest kernel into build/kernel/:
#   bzImage, vmlinux (BTF kept, DWARF removed), System.map, config, release, id
# or the same with debug.config on top into build/kernel-debug/.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../cache/lib.sh"

case $#:${1:-} in
0:) kind=kernel ;;
1:debug) kind=kernel-debug ;;
*)
	cat >&2 <<-'END'
	usage: images/kernel/build.sh [debug]
	Source: images/cache/versions or LINUX_TARBALL=FILE. Patches:
	kernel-patches/linux/series. Configuration: guest.config beside it, with
	debug.config on top when "debug" is given.
	END
	exit $EX_USAGE
	;;
esac
need make gcc ld flex bison bc pahole patch lz4 objcopy

patches=$(snapshot "$top/kernel-patches/linux")
trap 'rm -rf "${patches%/*}"' EXIT
fragment=$patches/fragment
cat "$patches/guest.config" >"$fragment"
[ $kind = kernel ] || cat "$patches/debug.config" >>"$fragment"
src=$("$top/images/cache/source.sh" linux)

toolchain=$({ gcc --version; ld --version; pahole --version; } | hash12)
key=$({ echo "${src##*/}" "$toolchain"; patch_hash "$patches"; cat "$fragment" "$0"; } | hash12)
use_product "$kind-$key"

# One work tree a source and toolchain. Kbuild tracks configuration changes
# itself, so an edited fragment rebuilds only what depends on it.
open_work "${src##*/}-$toolchain${kind#kernel}" 4
patch_work linux "$src" "$patches"

# Nothing of the machine, the user or the day may reach the image; a Rust
# compiler, where there is one, would do so through the configuration.
kmake() {
	make -C "$work/src" O="$work/obj" ARCH=x86 \
		LOCALVERSION=-hintbuf RUSTC=false \
		KBUILD_BUILD_TIMESTAMP=@1577836800 KBUILD_BUILD_VERSION=1 \
		KBUILD_BUILD_USER=hintbuf KBUILD_BUILD_HOST=hintbuf \
		"$@"
}

cold=0
if [ ! -d "$work/obj" ]; then
	cold=1
	mkdir "$work/obj"
fi
kmake -s KCONFIG_ALLCONFIG="$fragment" KCONFIG_CONFIG="$work/obj/.config.new" \
	allnoconfig >"$work/config.log" 2>&1 || {
	cat "$work/config.log" >&2
	die $EX_FAIL "allnoconfig failed"
}
lost=$(sed -n 's/^\(CONFIG_[^=]*=.*\|# CONFIG_[^ ]* is not set\)$/\1/p' "$fragment" |
	grep -vxFf "$work/obj/.config.new" || :)
# "is not set" also holds for a symbol Kconfig does not show at all.
lost=$(printf '%s\n' "$lost" | while read -r line; do
	symbol=$(printf '%s' "$line" | sed -n 's/^# \(CONFIG_[^ ]*\) is not set$/\1/p')
	if [ -z "$symbol" ] || grep -q "^$symbol=" "$work/obj/.config.new"; then
		printf '%s\n' "$line"
	fi
done)
[ -z "$lost" ] || die $EX_FAIL "Kconfig refused these lines of kernel-patches/linux/*.config
(a dependency is missing, or the symbol is not in this kernel):
$lost"
# Kbuild goes by content from here on; keep the time when nothing changed.
if cmp -s "$work/obj/.config.new" "$work/obj/.config"; then
	rm -f "$work/obj/.config.new"
else
	mv "$work/obj/.config.new" "$work/obj/.config"
fi

# Measured: 1864 steps, 11 CPU minutes.
step KERNEL "building$([ $cold = 1 ] || echo ' what changed') with $jobs jobs; log: $work/build.log"
run_logged KERNEL "$kind-$jobs" $cold 1864 $((720 / jobs)) '^ *(CC|AS|LD|AR) ' "$work/build.log" \
	kmake -j"$jobs" bzImage

start_product
cp "$work/obj/arch/x86/boot/bzImage" "$work/obj/System.map" "$tmp/"
cp "$work/obj/.config" "$tmp/config"
objcopy --strip-debug "$work/obj/vmlinux" "$tmp/vmlinux"
kmake -s kernelrelease >"$tmp/release"
[ "$(objdump -h -j .BTF "$tmp/vmlinux" | grep -c ' \.BTF ')" -eq 1 ] ||
	die $EX_FAIL "the kernel has no BTF: pahole failed, see $work/build.log"
# The id is of what runs. The build id covers debug information, which names the
# cache's folder, and the order of types in the BTF is that of pahole's threads.
objcopy -O binary -R .notes -R .BTF -R .BTF_ids "$tmp/vmlinux" "$tmp/code"
hash12 <"$tmp/code" >"$tmp/id"
rm -f "$tmp/code"
finish_product KERNEL "$(cat "$tmp/release")"
