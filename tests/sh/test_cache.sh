#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where the cache and the checkout may lie, what a full disk is called, and what
# a product is named after. What fetches and builds are stand-ins.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
unset HINTBUF_CACHE XDG_CACHE_HOME

# A checkout whose name means something to a shell and to make.
copy="$tmp/a b'c(d\$e"
mkdir -p "$copy/images" "$tmp/bin"
cp -r "$top/images/cache" "$top/images/rootfs" "$top/images/host" "$copy/images/"
printf '#!/bin/sh\necho called >>"%s"\nexit 1\n' "$tmp/called" >"$tmp/bin/mmdebstrap"
cp "$tmp/bin/mmdebstrap" "$tmp/bin/mkfs.erofs"
printf '#!/bin/sh\n' >"$copy/images/cache/apt.sh"
chmod +x "$tmp/bin"/*

rootfs() { PATH=$tmp/bin:$PATH HINTBUF_CACHE=$cache "$copy/images/rootfs/build.sh" 2>&1; }
product() { rootfs | grep -o 'tmp-rootfs-[0-9a-f]*' | head -n 1; }

cache=$tmp/cache
before=$(product)
[ -n "$before" ]
ok $? "the guest root has a name"
is "$(product)" "$before" "... the same each time"
for file in packages exclude hint-init.sh build.sh; do
	echo "# more" >>"$copy/images/rootfs/$file"
	[ "$(product)" != "$before" ]
	ok $? "a change of $file makes another guest root"
	cp "$top/images/rootfs/$file" "$copy/images/rootfs/"
done
mkdir "$cache/${before#tmp-}"
out=$(rootfs)
is $? 0 "a checkout in a folder with blanks, quotes and more"
is "$(readlink "$copy/build/rootfs")" "$cache/${before#tmp-}" "... gets what the cache has"

# What cannot work is said at once, in one line, and nothing is fetched or made.
rm -f "$tmp/called"
for name in 'a b' 'a:b' "a'b" 'a"b' 'a&b' 'a(b' 'a#b' 'a%b' 'a;b' 'a\b'; do
	cache=$tmp/$name
	out=$(rootfs)
	is $? 2 "a cache in a folder $name is refused"
	is "$(printf '%s\n' "$out" | wc -l)" 1 "... in one line"
	has "$out" "$cache': set HINTBUF_CACHE" "... that says what and what to do"
	[ ! -e "$cache" ] && [ ! -e "$tmp/called" ]
	ok $? "... and nothing was begun"
done
cache=/proc/nowhere
out=$(rootfs)
is $? 69 "a cache that cannot be made"
has "$out" "HINTBUF_CACHE" "... with what to do"

cache=$tmp/wíth-létters_1.0+@,=~
out=$(rootfs)
has "$out" "$cache" "a cache in a folder with letters of all kinds is taken"

# A relative cache is one folder, whatever the folder a script is called in.
mkdir "$tmp/here"
out=$(cd "$tmp/here" && HINTBUF_CACHE=../relative sh -c 'set -eu
	. "$1/images/cache/lib.sh"
	cd / && sh -c '\''. "$1/images/cache/lib.sh"; echo "$cache"'\'' "$0" "$1"' \
	"$top/images/cache/call" "$top")
is "$(cd "$tmp/here" && realpath "$out")" "$tmp/relative" "a relative cache is the same for nested scripts"

# A full disk is called that, whatever failed.
cache=$tmp/full
mkdir "$cache"
if mount -t tmpfs -o size=64k tmpfs "$cache" 2>/dev/null; then
	trap 'umount "$cache"; rm -rf "$tmp"' EXIT
	head -c 1M /dev/zero >"$cache/most" 2>/dev/null
else
	# Without the right to mount: a stand-in for what writes the probe.
	printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/head"
	chmod +x "$tmp/bin/head"
fi
mkdir "$tmp/series"
head -c 100000 /dev/zero >"$tmp/series/guest.config" 2>/dev/null || : >"$tmp/series/guest.config"
# shellcheck disable=SC2016 # expanded by the shell that runs it
for what in 'snapshot "$1/series"' 'die $EX_INFRA "is the network reachable?"' 'need_space 1'; do
	out=$(PATH=$tmp/bin:$PATH HINTBUF_CACHE=$cache sh -c 'set -eu
		. "$0"
		'"$what" "$top/images/cache/lib.sh" "$tmp" 2>&1)
	status=$?
	case $what in
	snapshot*) [ -e "$tmp/bin/head" ] || is $status 69 "a full disk: ${what%% *}" ;;
	*) is $status 69 "a full disk: ${what%% *}" ;;
	esac
	case $status in
	69) has "$out" "make room or set HINTBUF_CACHE" "... is called that" ;;
	esac
done

finish
