#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# images/cache/lib.sh: series are applied exactly, undone, and touch no more than
# they must; locks exclude; links are replaced whole.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

HINTBUF_CACHE=$tmp/cache
export HINTBUF_CACHE
call() { # COMMAND...: in a shell of its own with the library
	sh -c 'set -eu; . "$1/images/cache/lib.sh"; shift; "$@"' "$top/images/cache/call" "$top" "$@" 2>&1
}

# A source of two files and a series that edits one, adds one.
src=$tmp/src tree=$tmp/tree dir=$tmp/kernel-patches/linux
mkdir -p "$src/sub" "$dir"
printf '%s\n' a b c d e f g h i j >"$src/edited"
echo same >"$src/sub/kept"
cat >"$dir/0001-edit.patch" <<'END'
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A <a@example.invalid>
Subject: [PATCH] edit and add

---
diff --git a/edited b/edited
index 1111111..2222222 100644
--- a/edited
+++ b/edited
@@ -1,4 +1,4 @@
 a
-b
+B
 c
 d
diff --git a/new/file b/new/file
new file mode 100755
index 0000000..3333333
--- /dev/null
+++ b/new/file
@@ -0,0 +1 @@
+new
-- 
2.39.5
END
printf '# the series\n0001-edit.patch\n' >"$dir/series"

is "$(call patched_files "$dir" | tr '\n' ' ')" "edited new/file " "the files a series touches"
hash=$(call patch_hash "$dir")
sed -i -e 's/^index 1111111/index 4444444/' -e 's/^Subject.*/Subject: other/' "$dir/0001-edit.patch"
is "$(call patch_hash "$dir")" "$hash" "mail header and blob names do not count in the hash"

call patch_tree "$src" "$tree" "$dir"
ok $? "a series applies"
is "$(sed -n 2p "$tree/edited")" B "... the edit is there"
is "$(cat "$tree/new/file")" new "... the new file is there"
[ -x "$tree/new/file" ]
ok $? "... with its mode"
is "$(sed -n 2p "$src/edited")" b "... and the source is as it was"
is "$(stat -c %i "$tree/sub/kept")" "$(stat -c %i "$src/sub/kept")" \
	"... what is not touched is one file with the source's"

touch -d 2020-01-01 "$tree/edited" "$tree/new/file"
before=$(stat -c '%n %i %Y' "$tree/edited" "$tree/new/file")
call patch_tree "$src" "$tree" "$dir"
is "$(stat -c '%n %i %Y' "$tree/edited" "$tree/new/file")" "$before" \
	"the same series again writes nothing"

sed -i 's/^+B$/+BB/' "$dir/0001-edit.patch"
[ "$(call patch_hash "$dir")" != "$hash" ]
ok $? "another change, another hash"
before=$(stat -c '%i %Y' "$tree/new/file")
call patch_tree "$src" "$tree" "$dir"
is "$(sed -n 2p "$tree/edited")" BB "an edited patch is applied to the source, not on top"
is "$(stat -c '%i %Y' "$tree/new/file")" "$before" "... and leaves the other file alone"
is "$(find "$tree/edited" -newer "$tree/new/file")" "$tree/edited" "... make sees what changed"

# As after a kill: half a scratch folder, a tree ahead of the series.
mkdir -p "$tree.scratch/new"
echo garbage >"$tree.scratch/new/file"
rm "$tree/new/file"
call patch_tree "$src" "$tree" "$dir"
is "$(cat "$tree/new/file")" new "recovers from an interrupted run"

: >"$dir/series"
call patch_tree "$src" "$tree" "$dir"
cmp -s "$src/edited" "$tree/edited"
ok $? "an empty series undoes the edit"
[ ! -e "$tree/new/file" ]
ok $? "... and removes the new file"

printf '0001-edit.patch\n' >"$dir/series"
cp "$dir/0001-edit.patch" "$tmp/good.patch"
sed -i 's/^ c$/ x/' "$dir/0001-edit.patch"
out=$(call patch_tree "$src" "$tree" "$dir")
is $? 1 "context that differs is refused: no fuzz"
has "$out" "kernel-patches/linux/0001-edit.patch does not apply to src" "... naming the patch"

sed 's|b/new/file|b/../escape|' "$tmp/good.patch" >"$dir/0001-edit.patch"
out=$(call patch_tree "$src" "$tree" "$dir")
is $? 1 "a patch that leaves the tree is refused"
[ ! -e "$tmp/escape" ]
ok $? "... and wrote nothing there"

printf '0002-missing.patch\n' >"$dir/series"
out=$(call patch_hash "$dir")
is $? 1 "a series that names a missing patch is refused"
has "$out" "series names 0002-missing.patch" "... naming it"
rm "$dir/series"
is "$(call patch_hash "$dir")" "$(call hash12 </dev/null)" "no series: nothing to apply"

out=$(call pin no_such_pin)
is $? 1 "an unknown pin is refused"
is "$(call pin linux_package)" linux-source-6.12 "a pin is read"

is "$(PATH=/nonexistent:$PATH call find_python sys | grep -c '/python3$')" 1 "a python3 is found"
call find_python no_such_module_at_all >/dev/null
is $? 1 "... or not, when it lacks a module"

# Two at once: the second waits for the whole life of the first.
sh -c 'set -eu; . "$1/images/cache/lib.sh"; lock test-a; echo in >"$2"; sleep 1; echo out >"$2"' \
	"$top/images/cache/call" "$top" "$tmp/state" &
while [ ! -e "$tmp/state" ]; do sleep 0.05; done
out=$(sh -c 'set -eu; . "$1/images/cache/lib.sh"; lock test-a' \
	"$top/images/cache/call" "$top" 2>"$tmp/said")
is "$(cat "$tmp/state")" out "a lock excludes"
has "$(cat "$tmp/said")" "another build holds test-a" "... and says that it waits"
is "$out" "" "... but not where a caller reads"
wait

out=$(call need_space 999999999)
is $? 69 "too little disk: status 69"
has "$out" "HINTBUF_CACHE" "... and says what to do"

out=$(call hash_files /dev/null "$tmp/nosuch")
is $? 1 "what is not there has no hash"
has "$out" "nosuch" "... and is named"

finish
