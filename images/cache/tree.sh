#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Edit the patches as commits: `open` makes build/src/NAME, a git tree whose
# first commit (tag "base") is the upstream source and whose others are the
# series; `export` writes the commits since base back to kernel-patches/NAME.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/lib.sh"

case $#:${1:-}:${2:-} in
2:open:linux | 2:open:qemu | 2:export:linux | 2:export:qemu) ;;
*)
	echo "usage: images/cache/tree.sh open|export linux|qemu" >&2
	exit $EX_USAGE
	;;
esac
verb=$1 name=$2
need git
tree=$build/src/$name
patches=$top/kernel-patches/$name

# Which series the tree was made from or last written to. A tree from before
# kernel-patches/NAME was changed otherwise would undo that change.
state=$tree/.git/hintbuf-series
series_now() {
	series "$patches" >/dev/null
	series "$patches" | xargs -r -d '\n' sed -e '/^index /d' | hash12
}
is_stale() {
	[ ! -f "$state" ] || [ "$(cat "$state")" != "$(series_now)" ]
}

open_tree() {
	if [ -d "$tree" ]; then
		step TREE "build/src/$name is there already ($(git -C "$tree" rev-list --count base..HEAD) commits on its base)"
		is_stale || return 0
		die $EX_FAIL "build/src/$name is not made from kernel-patches/$name as it is now:" \
			"save what is new in it (git format-patch), remove it and run this again"
	fi
	src=$("$top/images/cache/source.sh" "$name")
	# A folder's name has _ for the : of a version's epoch.
	version="$(pin "${name}_package") $(basename "$src" | sed -e "s/^$name-//" -e 's/_/:/')"
	step TREE "copying $version to build/src/$name (about 1 min)"
	mkdir -p "$build/src"
	rm -rf "$tree.tmp"
	cp -a "$src" "$tree.tmp"
	cd "$tree.tmp"
	git init -q -b main
	git config user.name "Hintbuf Developers"
	git config user.email developers@hintbuf.invalid
	# What git would choose grows with the tree, and every patch would differ.
	git config core.abbrev 9
	git config commit.gpgsign false
	# Everything, also what the source's own .gitignore hides.
	# What a checkpatch has left in the source is no part of it.
	rm -f .checkpatch-camelcase.*
	git add -A -f
	GIT_AUTHOR_DATE='1577836800 +0000' GIT_COMMITTER_DATE='1577836800 +0000' \
		git commit -q -m "$version"
	git tag base
	# The dates are the authors', so the same series gives the same commits.
	series "$patches" | xargs -r -d '\n' git am -q --committer-date-is-author-date --keep-non-patch ||
		die $EX_FAIL "the series does not apply; the tree is in $tree.tmp"
	cd "$top"
	mv "$tree.tmp" "$tree"
	series_now >"$state"
	step TREE "build/src/$name: edit and commit there, then 'make patches'"
}

export_tree() {
	[ -d "$tree" ] || {
		step PATCHES "$name: no tree (make src-$name), its series stays as it is"
		return 0
	}
	[ -z "$(git -C "$tree" status --porcelain --untracked-files=no)" ] ||
		die $EX_FAIL "build/src/$name has changes that are not committed: commit or stash them"
	! is_stale ||
		die $EX_FAIL "kernel-patches/$name has changed since build/src/$name was made from it, and would" \
			"be undone: save what is new there (git format-patch), remove it, run 'make src-$name'," \
			"apply what was saved"
	new=$build/src/$name.patches
	rm -rf "$new"
	# No commit hashes, tool versions or dates of today in the files: they
	# change only when a patch does.
	git -C "$tree" -c format.useAutoBase=false format-patch -q --numbered --zero-commit \
		--no-signature --no-base --minimal -o "$new" base..HEAD
	find "$new" -name '[0-9]*.patch' -printf '%f\n' | sort >"$new/series"
	git -C "$tree" log -1 --format=%s base >"$new/base"
	# The cover letter is written by hand and stays, as the fragment does.
	find "$patches" -maxdepth 1 -name '0*.patch' ! -name '0000-*' -delete
	cp "$new"/*.patch "$new/series" "$new/base" "$patches/" 2>/dev/null ||
		cp "$new/series" "$new/base" "$patches/"
	rm -rf "$new"
	series_now >"$state"
	step PATCHES "kernel-patches/$name: $(wc -l <"$patches/series") patches"
}

case $verb in
open) open_tree ;;
export) export_tree ;;
esac
