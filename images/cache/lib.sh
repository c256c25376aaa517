# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# What the image scripts share: messages, the cache, locks, patch series.
# Sourced, after `set -eu`, by the scripts beside it.
#
# The cache (outside the checkout, shared by every clone of the user) holds
#   dl/                 files as fetched and verified
#   apt/                private apt state
#   src/<name>/         unpacked upstream sources, never written to again
#   work/<name>/        incremental build trees
#   <kind>-<hash>/      finished products; <hash> covers all that went in
# A product is made in tmp-<kind>-<hash>/ and renamed, so what has a final
# name is whole. Each name is made under a lock of the same name; the lock is
# a descriptor, so it ends with its last holder whatever the way of its death.

top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build
# shellcheck disable=SC2034 # used by the scripts that source this
jobs=$(nproc)
cache=${HINTBUF_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set: set HINTBUF_CACHE}/.cache}/hintbuf}
export LC_ALL=C
# Called by make: its options and its command line's variables are not for the
# makefiles of Linux and QEMU. Nor are anybody's compiler flags.
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CPATH LIBRARY_PATH \
	KCFLAGS KAFLAGS KCPPFLAGS CROSS_COMPILE LLVM ARCH PYTHONPATH

# Exit statuses: 1 the build failed, 2 wrong usage, 69 something needed from
# the machine or the network is missing.
# shellcheck disable=SC2034 # used by the scripts that source this
readonly EX_FAIL=1 EX_USAGE=2 EX_INFRA=69

step() { # TAG TEXT: the one line a step prints
	printf '  %-8s %s\n' "$1" "$2"
}

warn() {
	printf '%s: warning: %s\n' "${0#"$top"/}" "$*" >&2
}

# Whether anything can still be written to the cache, quotas and all.
has_room() {
	hr_probe=$cache/tmp-room-$$
	hr_status=0
	{ head -c 65536 /dev/zero >"$hr_probe"; } 2>/dev/null || hr_status=1
	rm -f "$hr_probe"
	return $hr_status
}

# A full disk is behind messages of all kinds, so it is looked for first.
die() { # STATUS TEXT...
	die_status=$1
	shift
	if [ "$die_status" -ne $EX_USAGE ] && ! has_room; then
		die_status=$EX_INFRA
		set -- "nothing can be written to $cache: make room or set HINTBUF_CACHE (this failed: $*)"
	fi
	printf '%s: %s\n' "${0#"$top"/}" "$*" >&2
	exit "$die_status"
}

# Kbuild, configure and apt break on these, each in its own way and after much
# was fetched. Bytes above 127 are letters.
if [ -n "$(printf '%s' "$cache" | tr -d 'A-Za-z0-9/._+@,=~\200-\377-')" ]; then
	printf '%s\n' "${0#"$top"/}: the cache would be in '$cache': set HINTBUF_CACHE to a folder with none but letters, digits and / . _ + @ , = ~ - in its path" >&2
	exit $EX_USAGE
fi
case $cache in
/*) ;;
*) cache=$PWD/$cache ;;
esac
# For the scripts that this one calls, whatever folder they are called in.
export HINTBUF_CACHE="$cache"
mkdir -p "$cache" 2>/dev/null ||
	die $EX_INFRA "$cache cannot be made: set HINTBUF_CACHE to a folder that can"

need() { # PROGRAM...
	for need_prog; do
		command -v "$need_prog" >/dev/null ||
			die $EX_INFRA "$need_prog not found: run 'make setup'"
	done
}

# find_python MODULE...: the first python3 on PATH that can import them all.
# The first of all may be a private one without the distribution's modules.
find_python() {
	fp_import=$(printf ',%s' "$@")
	fp_dirs=$PATH:
	while [ -n "$fp_dirs" ]; do
		fp_prog=${fp_dirs%%:*}/python3
		fp_dirs=${fp_dirs#*:}
		if [ -x "$fp_prog" ] && "$fp_prog" -c "import ${fp_import#,}" 2>/dev/null; then
			printf '%s\n' "$fp_prog"
			return 0
		fi
	done
	return 1
}

# lock NAME: take the cache lock NAME until this process and all its children
# are gone. Locks nest in one order, so nobody waits in a circle: a source, then
# a product or its work tree, then apt.
lock() {
	mkdir -p "$cache/lock"
	case $1 in
	apt*) lock_fd=7 ;;
	src-*) lock_fd=8 ;;
	*) lock_fd=9 ;;
	esac
	eval "exec $lock_fd>\"\$cache/lock/\$1\""
	if ! flock -n $lock_fd; then
		# Standard output may be what a caller reads: a source, a path.
		step WAIT "another build holds $1" >&2
		flock $lock_fd
	fi
}

hash12() { # standard input to 12 hex digits
	sha256sum | cut -c1-12
}

hash_files() { # FILE...: of what they hold, one after the other
	for hf_file; do
		[ -r "$hf_file" ] || die $EX_FAIL "not readable: $hf_file"
	done
	cat "$@" | hash12
}

# pin NAME: the value of NAME in images/cache/versions.
pin() {
	pin_value=$(sed -n "s/^$1=//p" "$top/images/cache/versions")
	[ -n "$pin_value" ] || die $EX_FAIL "images/cache/versions has no $1"
	printf '%s\n' "$pin_value"
}

# snapshot DIR: copy a folder of patches and print where. The hash and the
# tree must come from one state of it, whoever exports patches meanwhile.
# Left-overs of the dead go with the next snapshot.
snapshot() {
	find "$cache" -maxdepth 1 -name 'tmp-patches-*' -mmin +600 -exec rm -rf {} +
	snapshot_dir=$cache/tmp-patches-$$/${1##*/}
	rm -rf "$cache/tmp-patches-$$"
	mkdir -p "$snapshot_dir"
	cp -L "$1"/* "$snapshot_dir"/ 2>"$snapshot_dir.log" || {
		cat "$snapshot_dir.log" >&2
		die $EX_FAIL "$1 could not be read whole; if it was being written to, run again"
	}
	printf '%s\n' "$snapshot_dir"
}

# series DIR: the patches of DIR/series in order, as paths. None is fine.
series() {
	[ -f "$1/series" ] || return 0
	sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$1/series" |
	while IFS= read -r series_patch; do
		[ -f "$1/$series_patch" ] ||
			die $EX_FAIL "kernel-patches/${1##*/}/series names $series_patch, which is not there"
		printf '%s\n' "$1/$series_patch"
	done
}

# patch_hash DIR: hash of the changes a series makes. The mail around them and
# the blob names say nothing about the result and change when it is exported.
patch_hash() {
	series "$1" >/dev/null
	series "$1" | xargs -r -d '\n' sed -n \
		-e '/^diff --git /,/^-- $/{/^index /d;/^-- $/d;p}' | hash12
}

# patched_files DIR: every file a series touches, old and new names.
patched_files() {
	series "$1" | xargs -r -d '\n' sed -n \
		-e 's|^--- a/||p' -e 's|^+++ b/||p' \
		-e 's|^rename from ||p' -e 's|^rename to ||p' |
	sed 's/\t.*//' | sort -u
}

# patch_tree PRISTINE TREE DIR: make TREE equal to PRISTINE plus the series of
# DIR, writing only the files whose content changes: an edited patch rebuilds
# what it touches. TREE starts as hard links to PRISTINE, so files are
# replaced, never written in place. Cut short at any point, the next call
# starts from PRISTINE again for every file ever touched.
patch_tree() {
	pt_state=$2.touched
	pt_scratch=$2.scratch

	if [ ! -d "$2" ]; then
		rm -rf "$2.tmp" "$pt_state"
		cp -al "$1" "$2.tmp"
		mv "$2.tmp" "$2"
	fi
	{ patched_files "$3"; cat "$pt_state" 2>/dev/null || :; } |
		sort -u >"$pt_state.tmp"
	mv "$pt_state.tmp" "$pt_state"

	rm -rf "$pt_scratch"
	mkdir -p "$pt_scratch"
	while IFS= read -r pt_file; do
		case /$pt_file/ in
		*/../*) die $EX_FAIL "a patch in $3 leaves the tree: $pt_file" ;;
		esac
		[ -f "$1/$pt_file" ] || continue
		mkdir -p "$pt_scratch/$(dirname "$pt_file")"
		cp -p "$1/$pt_file" "$pt_scratch/$pt_file"
	done <"$pt_state"

	series "$3" >"$pt_scratch.list"
	while IFS= read -r pt_patch; do
		patch -d "$pt_scratch" -p1 -F0 -s -N --no-backup-if-mismatch \
			<"$pt_patch" >"$pt_scratch.log" 2>&1 || {
			cat "$pt_scratch.log" >&2
			die $EX_FAIL "kernel-patches/${3##*/}/${pt_patch##*/} does not apply to ${1##*/}"
		}
	done <"$pt_scratch.list"

	while IFS= read -r pt_file; do
		if [ ! -f "$pt_scratch/$pt_file" ]; then
			rm -f "$2/$pt_file"
		elif ! cmp -s "$pt_scratch/$pt_file" "$2/$pt_file"; then
			mkdir -p "$2/$(dirname "$pt_file")"
			# patch leaves the time of a file it did not change;
			# make must see a new one whenever the content moved.
			touch "$pt_scratch/$pt_file"
			mv -f "$pt_scratch/$pt_file" "$2/$pt_file"
		fi
	done <"$pt_state"
	rm -rf "$pt_scratch" "$pt_scratch.list" "$pt_scratch.log"
}

# use_product KIND-HASH: end here when the cache has it, made by us or by another
# clone. Sets $product.
use_product() {
	product=$cache/$1
	[ -d "$product" ] || return 0
	publish "${1%-*}" "$product"
	exit 0
}

# start_product: make $tmp, the folder that becomes $product.
start_product() {
	tmp=$cache/tmp-${product##*/}
	rm -rf "$tmp"
	mkdir -p "$tmp"
}

# finish_product TAG [TEXT]: $tmp is whole now.
finish_product() {
	mv "$tmp" "$product"
	finish_name=${product##*/}
	publish "${finish_name%-*}" "$product"
	[ $# -lt 2 ] || step "$1" "$2, $(cat "$product/id")"
}

# open_work NAME GIB: the incremental build tree NAME, locked, in $work. Ends here
# when whoever had the lock has made the product.
open_work() {
	work=$cache/work/$1
	lock "work-$1"
	use_product "${product##*/}"
	[ -d "$work" ] || need_space "$2"
	mkdir -p "$work"
	touch "$work"
}

# patch_work NAME SOURCE PATCHES: the source with its patches in $work/src.
patch_work() {
	step PATCH "$1 ${2##*/"$1"-} + $(series "$3" | wc -l) patches"
	patch_tree "$2" "$work/src" "$3"
}

# publish KIND DIR: build/KIND -> DIR, replaced in one step.
publish() {
	mkdir -p "$build"
	ln -sfn "$2" "$build/$1.$$"
	mv -fT "$build/$1.$$" "$build/$1"
	# The time of last use, for images/cache/cache.sh.
	touch "$2"
}

# need_space GIB: before the first fetch and the first build, which is when the
# cache grows.
need_space() {
	ns_free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$ns_free" -ge "$1" ] || die $EX_INFRA \
		"$cache has $ns_free GiB left, $1 are needed: make room or set HINTBUF_CACHE"
}

# run_logged TAG KEY COLD TOTAL SECONDS PATTERN LOG COMMAND...
# Run a long command with its output in LOG, showing progress as the count of
# lines that match PATTERN. COLD is 1 when all is to be built: then the share
# done and the time left are shown, from how KEY went the last time in this
# cache, else from TOTAL lines in SECONDS.
run_logged() {
	rl_tag=$1 rl_key=$2 rl_cold=$3 rl_total=$4 rl_secs=$5 rl_pattern=$6 rl_log=$7
	shift 7
	if [ "$rl_cold" -eq 0 ]; then
		rl_total=0
	elif [ -r "$cache/took/$rl_key" ]; then
		read -r rl_total rl_secs <"$cache/took/$rl_key"
	fi
	rl_tty=0
	[ ! -t 1 ] || rl_tty=1
	rl_begin=$(date +%s)
	rm -f "$rl_log.status"
	{
		rl_status=0
		"$@" 2>&1 || rl_status=$?
		echo "$rl_status" >"$rl_log.status"
	} | awk -v tag="$rl_tag" -v total="$rl_total" -v secs="$rl_secs" \
		-v pattern="$rl_pattern" -v log_file="$rl_log" -v tty="$rl_tty" \
		-v verbose="${V:-0}" -f "$top/images/cache/progress.awk" || :
	rl_status=$(cat "$rl_log.status" 2>/dev/null || echo 1)
	rm -f "$rl_log.status"
	if [ "$rl_status" -ne 0 ]; then
		tail -n 30 "$rl_log" >&2
		die $EX_FAIL "$rl_tag failed (status $rl_status); the whole log: $rl_log"
	fi
	[ "$rl_cold" -eq 1 ] || return 0
	mkdir -p "$cache/took"
	echo "$(grep -cE "$rl_pattern" "$rl_log") $(($(date +%s) - rl_begin))" >"$cache/took/$rl_key.$$"
	mv "$cache/took/$rl_key.$$" "$cache/took/$rl_key"
}
