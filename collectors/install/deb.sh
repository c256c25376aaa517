#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Build the Debian package of the tracer from what `make install` puts below a
# folder. The same files give the same package.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -ne 2 ] || [ ! -x "$1/usr/sbin/hinttrace" ]; then
	echo "usage: collectors/install/deb.sh FOLDER PACKAGE.deb    FOLDER: the tracer installed below it" >&2
	exit 2
fi
root=$1
version=$(sed -n '2s/^[^ ]* (\([^)]*\)).*/\1/p' "$here/changelog")
who=$(sed -n 's/^ -- \(.*>\)  .*/\1/p' "$here/changelog" | head -n 1)
SOURCE_DATE_EPOCH=$(date -d "$(sed -n 's/^ -- .*>  //p' "$here/changelog" | head -n 1)" +%s)
export SOURCE_DATE_EPOCH

doc=$root/usr/share/doc/hinttrace
mkdir -p "$root/DEBIAN" "$root/usr/share/lintian/overrides"
# Their formats know no comment, so no licence of a source.
plain() { sed '1{/^# SPDX/d}' "$here/$1"; }
plain copyright >"$doc/copyright"
install -m 644 "$here/lintian-overrides" "$root/usr/share/lintian/overrides/hinttrace"
plain changelog | gzip -9n >"$doc/changelog.gz"
chmod 644 "$doc/copyright" "$doc/changelog.gz"
find "$root/usr/share/man" -type f -name '*.[18]' -exec gzip -9n {} +
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find etc -type f | sort | sed 's|^|/|') >"$root/DEBIAN/conffiles"
(cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -print0 | sort -z |
	xargs -0 md5sum | sed 's|  \./|  |') >"$root/DEBIAN/md5sums"
size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
plain control.in | sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$(dpkg --print-architecture)/" \
	-e "s/@MAINTAINER@/$who/" -e "s/@SIZE@/$size/" >"$root/DEBIAN/control"
chmod 644 "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums" "$root/DEBIAN/control"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$2"
