#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Show or prune the cache.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/lib.sh"

usage() {
	cat <<-'END'
	usage: images/cache/cache.sh show         what is in it
	       images/cache/cache.sh clean DAYS   remove what DAYS days did not use
	example: images/cache/cache.sh clean 0    (everything that nobody uses now)
	END
}

entries() {
	find "$cache" -mindepth 1 -maxdepth 1 \
		\( -name 'kernel-*' -o -name 'qemu-*' -o -name 'rootfs-*' -o -name 'tmp-*' \) "$@"
	find "$cache/work" "$cache/src" -mindepth 1 -maxdepth 1 "$@" 2>/dev/null || :
}

case $#:${1:-} in
1:show)
	entries | xargs -r -d '\n' du -sh
	du -sh "$cache"
	;;
2:clean)
	case $2 in
	'' | *[!0-9]* | ?????*)
		die $EX_USAGE "DAYS is '$2'; allowed: 0 to 9999" ;;
	esac
	# A build holds locks for as long as it runs: none may be held.
	for file in "$cache"/lock/*; do
		[ -e "$file" ] || continue
		flock -n "$file" true ||
			die $EX_INFRA "a build is running (lock ${file##*/}): try again when it is done"
	done
	# Whole days, rounded down, as find counts: +N is more than N.
	entries -mmin "+$(($2 * 1440))" | while IFS= read -r entry; do
		step REMOVE "$entry"
		rm -rf "$entry" "$entry.touched"
	done
	if [ "$2" -eq 0 ]; then
		rm -rf "$cache/dl" "$cache/tools" "$cache/apt"
	fi
	;;
*)
	usage >&2
	exit $EX_USAGE
	;;
esac
