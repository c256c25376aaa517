#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fetch and unpack an upstream source as pinned in images/cache/versions; print the
# folder. It is shared by all builds and never written to again.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/lib.sh"

case $#:${1:-} in
1:linux | 1:qemu) ;;
*)
	cat >&2 <<-'END'
	usage: images/cache/source.sh linux|qemu
	LINUX_TARBALL=FILE or QEMU_TARBALL=FILE is used instead of the archive's
	version: a .tar.gz, .tar.xz or .tar.zst with one folder at its top.
	example: LINUX_TARBALL=~/linux-6.12.tar.xz images/cache/source.sh linux
	END
	exit $EX_USAGE
	;;
esac
name=$1

# unpack DIR COMMAND...: run COMMAND in an empty folder that becomes DIR.
unpack() {
	unpack_dir=$1
	shift
	rm -rf "$unpack_dir.tmp"
	mkdir -p "$unpack_dir.tmp"
	(cd "$unpack_dir.tmp" && "$@") || {
		rm -rf "$unpack_dir.tmp"
		die $EX_INFRA "could not unpack ${unpack_dir##*/}"
	}
	mv "$unpack_dir.tmp" "$unpack_dir"
}

unpack_linux() { # DEB: Debian's package of the source holds a tarball
	dpkg-deb --fsys-tarfile "$1" |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ --strip-components=1
	[ -f Kbuild ]
}

unpack_qemu() { # DSC: with Debian's own patches applied
	dpkg-source --no-check -x "$1" tree >/dev/null
	# dpkg-source wants a new folder: move its content up to this one.
	find tree -mindepth 1 -maxdepth 1 -exec mv -t . {} +
	rmdir tree
	[ -f VERSION ]
}

mkdir -p "$cache/src"

case $name in
linux) tarball=${LINUX_TARBALL:-} ;;
qemu) tarball=${QEMU_TARBALL:-} ;;
esac
if [ -n "$tarball" ]; then
	[ -r "$tarball" ] || die $EX_USAGE "tarball not readable: $tarball"
	tarball=$(realpath "$tarball")
	dir=$cache/src/$name-tarball-$(hash12 <"$tarball")
	lock "src-${dir##*/}"
	if [ ! -d "$dir" ]; then
		step UNPACK "${tarball##*/}" >&2
		unpack "$dir" tar -xf "$tarball" --strip-components=1
	fi
	echo "$dir"
	exit 0
fi

package=$(pin "${name}_package")
version=$(pin "${name}_version")
# The pin is a link to what was taken for it, so that a version the archive
# has dropped is looked up once, not at every run.
link=$cache/src/$name-pin-$(printf '%s' "$version" | tr ':/' '__')
if [ -d "$link/." ]; then
	realpath "$link"
	exit 0
fi

# Measured: the source twice over, unpacked, and what is built of it.
case $name in
linux) need_space 5 ;;
qemu) need_space 3 ;;
esac
lock "src-$name"
version=$("$top/images/cache/apt.sh" version "$package" "$version" "$(pin "${name}_series")")
dir=$cache/src/$name-$(printf '%s' "$version" | tr ':/' '__')
if [ ! -d "$dir" ]; then
	step FETCH "$package $version" >&2
	case $name in
	linux)
		file=$("$top/images/cache/apt.sh" deb "$package=$version")
		step UNPACK "linux $version" >&2
		unpack "$dir" unpack_linux "$file"
		;;
	qemu)
		file=$("$top/images/cache/apt.sh" source "$package=$version")
		step UNPACK "qemu $version" >&2
		unpack "$dir" unpack_qemu "$file"
		;;
	esac
fi
ln -sfn "${dir##*/}" "$link"
echo "$dir"
