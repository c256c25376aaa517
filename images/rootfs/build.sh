#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Build the guest root into build/rootfs/: root.erofs (read-only, not
# compressed, padded to 2 MiB as an NVDIMM wants), packages.txt, id.
# The same packages give the same id on any machine.
set -eu
umask 022
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../cache/lib.sh"

if [ $# -ne 0 ]; then
	cat >&2 <<-'END'
	usage: images/rootfs/build.sh
	Packages: images/rootfs/packages, of Debian 13. First process:
	images/rootfs/hint-init.sh.
	END
	exit $EX_USAGE
fi
need mmdebstrap mkfs.erofs tar

suite=trixie
cd "$top/images/rootfs"
key=$(hash_files packages exclude hint-init.sh build.sh)
use_product "rootfs-$key"
lock "rootfs-$key"
use_product "rootfs-$key"

# 1 January 2020, the day the guests' clocks start.
SOURCE_DATE_EPOCH=1577836800
export SOURCE_DATE_EPOCH

need_space 1
start_product
mkdir "$tmp/root"

include=$(sed -e 's/#.*//' -e '/^$/d' "$top/images/rootfs/packages" | paste -sd,)
step ROOTFS "fetching and unpacking Debian $suite (about 1 min); log: $tmp.log"
# "extract" runs no maintainer script, so "chrootless" will do and needs no
# powers; what those scripts would have made is made below.
# shellcheck disable=SC2016 # expanded by the hook's own shell
"$top/images/cache/apt.sh" lines "$suite" |
	mmdebstrap --mode=chrootless --variant=extract --format=tar --include="$include" \
		--aptopt='APT::Install-Recommends "false"' \
		--aptopt='Acquire::Languages "none"' \
		--dpkgopt="$top/images/rootfs/exclude" \
		--extract-hook='for deb in "$1"/var/cache/apt/archives/*.deb; do dpkg-deb -W --showformat="\${Package} \${Version}\n" "$deb"; done >"$1/packages.txt"' \
		"$suite" "$tmp/root.tar" - >"$tmp.log" 2>&1 || {
	tail -n 20 "$tmp.log" >&2
	die $EX_INFRA "mmdebstrap failed; the whole log: $tmp.log"
}
tar -C "$tmp/root" -xpf "$tmp/root.tar" --no-same-owner --exclude='./dev/*'
rm -f "$tmp/root.tar"
sort "$tmp/root/packages.txt" >"$tmp/packages.txt"

cd "$tmp/root"
rm -rf packages.txt var/cache/* var/log/* var/lib/apt var/lib/dpkg etc/apt \
	etc/hostname etc/resolv.conf etc/fstab
mkdir -p dev proc sys run tmp root mnt
ln -sfn ../run var/run
rm -rf var/tmp && ln -sfn ../tmp var/tmp
install -m 755 "$top/images/rootfs/hint-init.sh" usr/sbin/hint-init
[ -e usr/bin/sh ] || ln -s dash usr/bin/sh
[ -e usr/bin/awk ] || ln -s mawk usr/bin/awk
cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
memcache:x:100:100:memcached:/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
END
cat >etc/group <<'END'
root:x:0:
memcache:x:100:
nogroup:x:65534:
END
printf 'hintbuf\n' >etc/hostname
printf '127.0.0.1 localhost hintbuf\n' >etc/hosts
printf 'passwd: files\ngroup: files\nhosts: files\n' >etc/nsswitch.conf
# ldconfig belongs to the guest's libc; run on this tree it needs no chroot.
usr/sbin/ldconfig -r . 2>/dev/null || /sbin/ldconfig -r .
rm -rf var/cache/ldconfig
# dpkg unpacks under the umask of whoever is not root. All is root's in the
# guest, so plain modes will do, and nothing is set-user-ID.
find . -type d -exec chmod 755 {} +
find . -type f -exec chmod u=rwX,go=rX {} +
chmod 1777 tmp

# The id is of the content, not of the image: mkfs.erofs numbers inodes in the
# order in which the builder's file system lists them.
{
	find . -printf '%P %y %m %l\n' | sort
	find . -type f -print0 | sort -z | xargs -0 sha256sum
} | hash12 >"$tmp/id"
cd "$tmp"

step ROOTFS "making the image"
mkfs.erofs -T$SOURCE_DATE_EPOCH -U 00000000-0000-0000-0000-000000000000 \
	--all-root root.erofs root >>"$tmp.log" 2>&1 || {
	tail -n 20 "$tmp.log" >&2
	die $EX_FAIL "mkfs.erofs failed; the whole log: $tmp.log"
}
rm -rf root
truncate -s %2M root.erofs
rm -f "$tmp.log"
finish_product ROOTFS \
	"$(wc -l <"$tmp/packages.txt") packages, $(du -m --apparent-size root.erofs | cut -f1) MiB"
