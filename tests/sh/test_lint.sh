#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a reader takes for granted of every file: shellcheck and a licence line.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
cd "$top" || exit

# The files of the project: what git knows and what it does not ignore.
git ls-files -co --exclude-standard >"$tmp/files" 2>/dev/null ||
	find . -path ./.git -prune -o -path ./build -prune -o -path ./results -prune \
		-o -type f -printf '%P\n' >"$tmp/files"

if command -v shellcheck >/dev/null; then
	while IFS= read -r file; do
		[ -f "$file" ] || continue
		case $file in
		*.sh) ;;
		*.*) continue ;;
		*) head -c 64 "$file" | head -n 1 | grep -aq '^#!/bin/\(ba\)\?sh' || continue ;;
		esac
		shellcheck "$file" >"$tmp/out" 2>&1
		ok $? "shellcheck $file"
		sed 's/^/# /' "$tmp/out"
	done <"$tmp/files"
else
	skip "shellcheck" "not installed"
fi

# Licence texts, patches (whose files have their own) and data without comments
# are excepted.
while IFS= read -r file; do
	case $file in
	COPYING | LICENSES/* | *.patch | */series | */base | *.json | *.jsonl | *.png | *.svg | \
	.gitignore | *.md) continue ;;
	esac
	[ -f "$file" ] || continue
	head -n 5 "$file" | grep -aq 'SPDX-License-Identifier: GPL-2.0-\(only\|or-later\)' ||
		echo "$file"
done <"$tmp/files" >"$tmp/out"
is "$(cat "$tmp/out")" "" "every source file names its licence"

finish
