#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages of Debian suites the machine does not use itself, without touching
# its apt configuration: private lists and sources under the cache, the mirror
# taken from the system's own sources, every file checked against the signed
# index by apt.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/lib.sh"

usage() {
	cat <<-'END'
	usage: images/cache/apt.sh lines [SUITE]          print the private sources
	       images/cache/apt.sh version PKG PIN SERIES  PIN if there, else the newest SERIES*
	       images/cache/apt.sh deb PKG[=VERSION]...   fetch binary packages, print their paths
	       images/cache/apt.sh source PKG=VERSION     fetch a source package, print its .dsc

	examples: images/cache/apt.sh deb linux-source-6.12
	          images/cache/apt.sh source qemu=1:10.0.13+ds-0+deb13u1
	END
}

dir=$cache/apt
# Where the kernel, QEMU and meson come from.
suite=trixie
# The archive's own keys, whatever the mirror.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archive this machine's own suite comes from. apt itself reads the
# sources, one-line or deb822: told that it has no lists yet, it prints the
# address of each index it would fetch.
system_mirror() {
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	[ -n "$codename" ] ||
		die $EX_INFRA "/etc/os-release names no VERSION_CODENAME: a Debian 12 or 13 is needed"
	rm -rf "$dir/none"
	mkdir -p "$dir/none/partial"
	apt-get -o Dir::State::lists="$dir/none" update --print-uris 2>/dev/null |
		sed -n "s|^'\(.*\)/dists/$codename/main/binary-.*|\1|p" | sort | head -n 1
}

sources() { # [SUITE]: one line a type
	mirror=$(system_mirror)
	[ -n "$mirror" ] || die $EX_INFRA \
		"apt knows no 'main' of this machine's own suite: check /etc/apt/sources.list*"
	[ -r $keyring ] || die $EX_INFRA "$keyring is not there: install debian-archive-keyring"
	from="[signed-by=$keyring] $mirror"
	echo "deb $from ${1:-$suite} main"
	[ $# -ne 0 ] || echo "deb-src $from $suite main"
}

private_apt() { # COMMAND ARGS...: a program of apt with the private state
	private_prog=$1
	shift
	"$private_prog" -q \
		-o Dir::Etc::sourcelist="$dir/sources.list" \
		-o Dir::Etc::sourceparts=- \
		-o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- \
		-o Dir::State::lists="$dir/lists" \
		-o Dir::Cache="$dir" \
		-o APT::Get::AllowUnauthenticated=false \
		-o APT::Sandbox::User= \
		-o APT::Update::Post-Invoke-Success= \
		-o APT::Update::Post-Invoke= \
		"$@"
}

# Fetch the indexes when there are none, when the sources changed, or when
# they are a day old; an old index is better than none when offline.
update() {
	need apt-get apt-cache
	mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$cache/dl"
	sources >"$dir/sources.new"
	if cmp -s "$dir/sources.new" "$dir/sources.list" &&
	   [ -n "$(find "$dir/updated" -mmin -1440 2>/dev/null)" ]; then
		return 0
	fi
	mv "$dir/sources.new" "$dir/sources.list"
	step APT "reading the package lists" >&2
	if private_apt apt-get update --error-on=any >"$dir/update.log" 2>&1; then
		: >"$dir/updated"
	elif [ -e "$dir/updated" ]; then
		warn "package lists could not be refreshed, using those of $(date -r "$dir/updated" +%F); see $dir/update.log"
	else
		cat "$dir/update.log" >&2
		die $EX_INFRA "apt-get update failed: is the network reachable?"
	fi
}

versions() { # PKG: newest first
	private_apt apt-cache madison "$1" | awk -F ' *[|] *' '{ print $2 }' | sort -uV -r
}

version() { # PKG PIN SERIES
	all=$(versions "$1")
	if printf '%s\n' "$all" | grep -qxF "$2"; then
		printf '%s\n' "$2"
		return 0
	fi
	newest=$(printf '%s\n' "$all" | awk -v series="$3" 'index($0, series) == 1 { print; exit }')
	[ -n "$newest" ] || die $EX_INFRA \
		"no version $2 and no $3* of $1 in the archive (it has: ${all:-none})"
	warn "$1 $2 is gone from the archive, using $newest"
	printf '%s\n' "$newest"
}

# apt checks the hash of a file that is already there, so calling it again
# after an interrupted download is safe and after a whole one costs nothing.
deb() { # PKG[=VERSION]...
	for spec; do
		pkg=${spec%%=*}
		case $spec in
		*=*) ver=${spec#*=} ;;
		*) ver=$(versions "$pkg" | head -n 1) ;;
		esac
		[ -n "$ver" ] || die $EX_INFRA "package $pkg is not in the archive"
		(cd "$cache/dl" && private_apt apt-get download "$pkg=$ver") \
				>"$dir/download.log" 2>&1 || {
			cat "$dir/download.log" >&2
			die $EX_INFRA "package $pkg $ver could not be fetched"
		}
		find "$cache/dl" -name "${pkg}_$(file_version "$ver")_*.deb"
	done
}

source_package() { # PKG=VERSION
	(cd "$cache/dl" && private_apt apt-get source --download-only "$1") \
			>"$dir/download.log" 2>&1 || {
		cat "$dir/download.log" >&2
		die $EX_INFRA "source package $1 could not be fetched"
	}
	# A .dsc is named without the epoch.
	ver=${1#*=}
	printf '%s\n' "$cache/dl/${1%%=*}_${ver#*:}.dsc"
}

file_version() { # the version as in a package's file name
	printf '%s' "$1" | sed 's/:/%3a/g'
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb:$# in
lines:0 | lines:1) lock apt; sources "$@" ;;
version:3) lock apt; update; version "$@" ;;
deb:[1-9]*) lock apt; update; deb "$@" ;;
source:1) lock apt; update; source_package "$1" ;;
help:0 | --help:0) usage ;;
*) usage >&2; exit $EX_USAGE ;;
esac
