#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The private sources are derived from whatever form the system's have.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if ! command -v apt-get >/dev/null || [ ! -r $keyring ] || [ -z "$suite" ]; then
	skip "apt sources" "this is no Debian system"
	finish
fi

# apt with its sources in a folder of ours.
mkdir -p "$tmp/etc/sources.list.d" "$tmp/lists/partial"
cat >"$tmp/apt.conf" <<END
Dir::Etc "$tmp/etc";
Dir::State::lists "$tmp/lists";
END
APT_CONFIG=$tmp/apt.conf
HINTBUF_CACHE=$tmp/cache
export APT_CONFIG HINTBUF_CACHE
lines() { "$top/images/cache/apt.sh" lines "$@" 2>&1; }

want="deb [signed-by=$keyring] http://mirror.invalid/debian trixie main
deb-src [signed-by=$keyring] http://mirror.invalid/debian trixie main"

cat >"$tmp/etc/sources.list" <<END
# deb http://wrong.invalid/debian $suite main
deb http://security.invalid/debian-security $suite-security main
deb [arch=amd64] http://mirror.invalid/debian $suite main contrib
END
is "$(lines)" "$want" "one-line sources"

rm "$tmp/etc/sources.list"
cat >"$tmp/etc/sources.list.d/debian.sources" <<END
Types: deb
URIs: http://mirror.invalid/debian
Suites: $suite $suite-updates
Components: main
Signed-By: $keyring

Types: deb
URIs: http://security.invalid/debian-security
Suites: $suite-security
Components: main
END
is "$(lines)" "$want" "deb822 sources"
is "$(lines sid)" "deb [signed-by=$keyring] http://mirror.invalid/debian sid main" \
	"a suite by name"

sed -i 's/^Types/Enabled: no\nTypes/' "$tmp/etc/sources.list.d/debian.sources"
out=$(lines)
is $? 69 "nothing to derive from: status 69"
has "$out" "no 'main' of this machine's own suite" "... and it says so"

"$top/images/cache/apt.sh" nonsense >/dev/null 2>&1
is $? 2 "wrong usage: status 2"
"$top/images/cache/apt.sh" deb >/dev/null 2>&1
is $? 2 "no package: status 2"

finish
