#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# images/host/setup.sh installs what is missing where it may, and says what to do
# where it may not. dpkg, apt, sudo and id are stand-ins.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

HINTBUF_CACHE=$tmp/cache
export HINTBUF_CACHE
bin=$tmp/bin
mkdir "$bin"
stand_in() { # NAME: its body on standard input
	{ echo '#!/bin/sh'; cat; } >"$bin/$1"
	chmod +x "$bin/$1"
}
setup() { PATH=$bin:$PATH "$top/images/host/setup.sh" "$@" 2>&1; }

# All packages but bc, and pkg-config only by another's Provides.
sed 's/#.*//' "$top/images/host/packages" |
	awk 'NF && $1 != "bc" && $1 != "pkg-config" { print "installed", $1, "" }' >"$tmp/installed"
echo "installed pkgconf pkg-config (= 1.8.1-1), other" >>"$tmp/installed"
echo "deinstall bc" >>"$tmp/installed"
stand_in dpkg-query <<END
cat "$tmp/installed"
END
stand_in apt-get <<END
echo "\$*" >>"$tmp/calls"
[ ! -e "$tmp/broken" ] || [ "\$1" = update ] && rm -f "$tmp/broken" || exit 100
END
stand_in id <<END
cat "$tmp/uid"
END
stand_in sudo <<END
[ ! -e "$tmp/no-sudo" ] || exit 1
shift
exec "\$@"
END
line="install -y --no-install-recommends bc"

echo 0 >"$tmp/uid"
out=$(setup)
is "$?" 0 "root: installs"
is "$(cat "$tmp/calls")" "$line" "... what is missing and no more"
has "$out" "installing 1 packages: bc" "... and says what"

: >"$tmp/broken"
rm "$tmp/calls"
setup >/dev/null
is "$?" 0 "root, stale lists: installs"
is "$(cat "$tmp/calls")" "$line
update
$line" "... after reading the lists anew"

echo 1000 >"$tmp/uid"
rm "$tmp/calls"
setup >/dev/null
is "$?" 0 "user with sudo: installs"
is "$(cat "$tmp/calls")" "$line" "... through sudo"

: >"$tmp/no-sudo"
rm "$tmp/calls"
out=$(setup)
is "$?" 69 "user without sudo: status 69"
has "$out" "sudo apt-get $line" "... and the line to run"
[ ! -e "$tmp/calls" ]
ok $? "... and nothing was tried"

echo "installed bc " >>"$tmp/installed"
is "$(setup)" "" "all there: not a word"

sed -i '/shellcheck/d' "$tmp/installed"
is "$(setup)" "" "what only tests need is not asked for"
has "$(setup test)" "--no-install-recommends shellcheck" "... but for tests it is"

finish
