#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# images/cache/tree.sh: commits become patches, and no tree that was made from another
# series is written over one that has changed since.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

HINTBUF_CACHE=$tmp/cache
export HINTBUF_CACHE
mkdir -p "$tmp/images/cache" "$tmp/kernel-patches/linux"
cp "$top"/images/cache/*.sh "$top/images/cache/versions" "$tmp/images/cache/"

# What images/cache/source.sh would unpack.
mkdir -p "$tmp/linux-1.0"
echo one >"$tmp/linux-1.0/file"
: >"$tmp/linux-1.0/.checkpatch-camelcase.date.1"
printf '#!/bin/sh\necho "%s/linux-1.0"\n' "$tmp" >"$tmp/images/cache/source.sh"
chmod +x "$tmp/images/cache/source.sh"
: >"$tmp/kernel-patches/linux/series"
tree=$tmp/build/src/linux
edit() { # TEXT SUBJECT
	echo "$1" >>"$tree/file"
	git -C "$tree" commit -q -a -m "$2"
}

"$tmp/images/cache/tree.sh" open linux >"$tmp/log" 2>&1
ok $? "a tree of a source without patches"
is "$(git -C "$tree" ls-files)" file "... with the source, and not what a checkpatch left in it"
edit two "first change"
"$tmp/images/cache/tree.sh" export linux >"$tmp/log" 2>&1
ok $? "its commit is exported"
is "$(cat "$tmp/kernel-patches/linux/series")" "0001-first-change.patch" "... as one patch"
has "$(cat "$tmp/kernel-patches/linux/0001-first-change.patch")" "+two" "... with the change"
edit three "second change"
"$tmp/images/cache/tree.sh" export linux >"$tmp/log" 2>&1
ok $? "and again after another commit"

sed -i 's/second change/what it does/' "$tmp/kernel-patches/linux/0002-second-change.patch"
out=$("$tmp/images/cache/tree.sh" export linux 2>&1)
is $? 1 "not when the series was changed meanwhile"
has "$out" "kernel-patches/linux has changed" "... which is said"
has "$(cat "$tmp/kernel-patches/linux/0002-second-change.patch")" "what it does" "... and the series stays"
out=$("$tmp/images/cache/tree.sh" open linux 2>&1)
is $? 1 "nor is such a tree taken for the series"

rm -rf "$tree"
"$tmp/images/cache/tree.sh" open linux >"$tmp/log" 2>&1
is "$(git -C "$tree" log -1 --format=%s)" "what it does" "made anew it is the series"
finish
