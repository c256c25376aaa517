#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Check a series as its reviewers will: docs/series.md.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../../images/cache/lib.sh"

case $#:${1:-}:${2:-} in
1:linux: | 1:qemu: | 2:linux:full | 2:qemu:full) ;;
*)
	cat >&2 <<-'END'
	usage: kernel-patches/review/series.sh linux|qemu [full]
	Each patch of kernel-patches/NAME in order: applies; checkpatch.pl finds
	nothing; linux: what it touches builds without a new warning in every
	configuration; after the last, the object code of the page allocator with
	the buffer left out is what it was.
	full: each patch builds as a whole, boots (linux), passes qtest (qemu).
	What was checked is not built again. Findings known to be none, and why:
	kernel-patches/review/known. JOBS=N: processes at once.
	examples: kernel-patches/review/series.sh linux
	          JOBS=1 kernel-patches/review/series.sh qemu full
	Exit status: 0 no finding, 1 findings, 2 wrong usage, 69 something is missing
	END
	exit $EX_USAGE
	;;
esac
name=$1 full=${2:-}
jobs=${JOBS:-$jobs}
case $jobs in
'' | *[!0-9]* | 0* | ????*) die $EX_USAGE "JOBS is '$jobs'; allowed: 1 to 999" ;;
esac
need make gcc ld objdump size perl patch pkg-config

patches=$(snapshot "$top/kernel-patches/$name")
trap 'rm -rf "${patches%/*}"' EXIT
cp "$top/kernel-patches/review/known" "${patches%/*}/known"
src=$("$top/images/cache/source.sh" "$name")
nr=$(series "$patches" | wc -l)
[ "$nr" -gt 0 ] || die $EX_FAIL "kernel-patches/$name/series names no patch"

sparse=0
if [ "$name" = linux ]; then
	if command -v sparse >/dev/null; then
		sparse=1
	else
		warn "sparse is not installed: its warnings are not looked for"
	fi
fi
toolchain=$({ gcc --version; ld --version; [ $sparse = 0 ] || sparse --version; } | hash12)

# A tree of its own: what is built to be used is not touched.
work=$cache/work/series-${src##*/}-$toolchain
lock "work-${work##*/}"
[ -d "$work" ] || need_space 4
mkdir -p "$work/done"
touch "$work"

nr_findings=0

finding() { # PATCH TEXT, with details on standard input; not in a pipe, it counts
	nr_findings=$((nr_findings + 1))
	step FINDING "$1: $2"
	sed 's/^/           /'
}

known() { # WHOSE: its regular expressions, one a line
	sed -n "s/^$1 //p" "${patches%/*}/known"
}

# first N: a folder with the first N patches, for patch_tree and patch_hash.
first() {
	first_dir=${patches%/*}/first/$name
	rm -rf "$first_dir"
	mkdir -p "$first_dir"
	series "$patches" | head -n "$1" | while IFS= read -r first_patch; do
		ln -s "$first_patch" "$first_dir/"
		echo "${first_patch##*/}" >>"$first_dir/series"
	done
	printf '%s\n' "$first_dir"
}

# advance N: the tree becomes the source and the first N patches.
advance() {
	patch_tree "$src" "$work/src" "$(first "$1")"
}

# key N WHAT: names the outcome of a check of the first N patches.
key() {
	key_dir=$(first "$1")
	echo "$work/done/$2-$({ echo "${src##*/} $toolchain $2"
		patch_hash "$key_dir"
		cat "$top/kernel-patches/review/$name.sh"
		[ "$name" = qemu ] || cat "$patches/guest.config"
		[ "$2" != code ] || cat "$top/kernel-patches/review/objcode.py" "${patches%/*}/known"
	} | hash12)"
}

# once N WHAT COMMAND...: run COMMAND unless it ended well before. It says what
# there is to say on standard output, kept for the next time.
once() {
	once_key=$(key "$1" "$2")
	shift 2
	if [ ! -e "$once_key" ]; then
		"$@" >"$once_key.tmp" || return
		mv "$once_key.tmp" "$once_key"
	fi
	cat "$once_key"
}

# checkout N: $top_own, like this checkout but with the first N patches only,
# and HINTBUF_CACHE, a cache of its own that shares what was fetched.
checkout() {
	top_own=$work/checkout
	rm -rf "$top_own"
	mkdir -p "$top_own/kernel-patches" "$work/cache"
	ln -s "$top/images" "$top_own/images"
	cp -rL "$(first "$1")" "$top_own/kernel-patches/$name"
	for checkout_dir in src dl apt tools; do
		mkdir -p "$cache/$checkout_dir"
		ln -sfn "$cache/$checkout_dir" "$work/cache/$checkout_dir"
	done
	# A product is of use until its patch is checked.
	rm -rf "$work/cache/kernel"-* "$work/cache/qemu"-*
	export HINTBUF_CACHE="$work/cache"
}

checkpatch() { # PATCH-FILE: in the tree of that patch
	case $name in
	linux) checkpatch_options='--strict --show-types --showfile' ;;
	qemu) checkpatch_options= ;;
	esac
	known "$name" >"$work/known"
	# shellcheck disable=SC2086 # a list of words
	(cd "$work/src" && perl scripts/checkpatch.pl $checkpatch_options --terse --no-summary "$1") \
		>"$work/checkpatch.log" 2>&1 || :
	grep -vEf "$work/known" "$work/checkpatch.log" >"$work/checkpatch.new" || return 0
	sed -i "s|^$1|${1##*/}|" "$work/checkpatch.new"
	finding "${1##*/}" "checkpatch" <"$work/checkpatch.new"
}

# shellcheck source=linux.sh
. "$top/kernel-patches/review/$name.sh"

step SERIES "$name: $nr patches on ${src##*/}"
begin
n=0
series "$patches" >"$work/list"
while IFS= read -r patch <&3; do
	n=$((n + 1))
	before=$nr_findings
	advance "$n"
	checkpatch "$patch"
	said=
	check_patch "$n" "$patch"
	[ "$nr_findings" -ne "$before" ] ||
		step OK "${patch##*/}${said:+: $said}"
done 3<"$work/list"
end

if [ "$nr_findings" -ne 0 ]; then
	die $EX_FAIL "$name: $nr_findings findings in $nr patches"
fi
step SERIES "$name: each applies, no finding"
