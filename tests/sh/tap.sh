# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# Test Anything Protocol for shell tests: source, check, end with `finish`.

# shellcheck disable=SC2034 # used by the tests
top=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
nr=0
nr_failed=0

ok() { # STATUS NAME: passes when STATUS is 0
	nr=$((nr + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $nr - $2"
	else
		nr_failed=$((nr_failed + 1))
		echo "not ok $nr - $2"
	fi
}

is() { # GOT WANT NAME
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "got:  $1" "want: $2" | sed 's/^/# /'
	fi
}

has() { # TEXT PART NAME: TEXT contains PART
	case $1 in
	*"$2"*) ok 0 "$3" ;;
	*)
		ok 1 "$3"
		printf '%s\n' "no \"$2\" in:" "$1" | sed 's/^/# /'
		;;
	esac
}

needs() { # FILE...: the whole test is skipped where one is missing
	for need; do
		if [ ! -e "$need" ]; then
			echo "1..0 # SKIP $need is not there; run make first"
			exit 0
		fi
	done
}

skip() { # NAME WHY
	nr=$((nr + 1))
	echo "ok $nr - $1 # SKIP $2"
}

finish() {
	echo "1..$nr"
	[ "$nr_failed" -eq 0 ]
	exit
}
