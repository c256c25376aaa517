#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Install the Debian packages of images/host/packages that are missing. Asks
# nothing: as root or with a sudo that needs no password it installs, else it
# prints the line to run and exits with 69.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../cache/lib.sh"

case $#:${1:-} in
0:) wanted='NF == 1' ;;
1:test) wanted='1' ;;
*)
	echo "usage: images/host/setup.sh [test]   (test: also what only tests need)" >&2
	exit $EX_USAGE
	;;
esac
command -v dpkg-query >/dev/null ||
	die $EX_INFRA "this is no Debian system; Debian 12 or 13 is needed"

packages=$(sed 's/#.*//' "$top/images/host/packages" | awk "NF && $wanted { print \$1 }")
# A package may come under another name (pkg-config is provided by pkgconf).
# shellcheck disable=SC2016,SC2086 # dpkg's own notation; a list of words
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
	sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr -s ', ' '\n' | sort -u)
missing=$(printf '%s\n' "$packages" | grep -vxF "$installed" || :)
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086 # a list of words
set -- $missing
line="apt-get install -y --no-install-recommends $*"
if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root='sudo -n'
else
	die $EX_INFRA "$# packages are missing and this is not root. Run:
  sudo $line"
fi

step SETUP "installing $# packages: $*"
log=$cache/setup.log
export DEBIAN_FRONTEND=noninteractive
# The lists may be absent (a fresh container) or too old for the mirror: read
# them anew when the first try fails.
# shellcheck disable=SC2086 # the sudo above, or nothing
$as_root $line >"$log" 2>&1 ||
	{ $as_root apt-get update && $as_root $line; } >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	die $EX_INFRA "installing failed; the whole log: $log. To try by hand:
  sudo $line"
}
