#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The test driver counts what is there and trusts no stream that lies.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
cd "$top" || exit
# The driver runs files of this tree only.
dir=build/tests/driver.$$
mkdir -p "$dir"
trap 'rm -rf "$tmp" "$top/$dir" "$top"/build/log/build-tests-driver.$$-*' EXIT

last_line() { # LINES-OF-OUTPUT [STATUS]: the driver's verdict on such a test
	printf '#!/bin/sh\nprintf "%s"\nexit %s\n' "$1" "${2:-0}" >"$dir/t.sh"
	chmod +x "$dir/t.sh"
	tests/run-tests "$dir/t.sh" >"$tmp/out"
	echo "$? $(tail -n 1 "$tmp/out")"
}

is "$(last_line 'ok 1 - a\nok 2 - b\n1..2\n')" "0 2 passed, 0 failed, 0 skipped" "all passed"
is "$(last_line '1..3\nok 1\nok 2 - x # SKIP no kvm\nnot ok 3 - y\n' 1)" \
	"1 1 passed, 1 failed, 1 skipped" "one of each"
has "$(cat "$tmp/out")" "skipped: x (no kvm)" "a skip is shown with its reason"
has "$(cat "$tmp/out")" "not ok: y" "a failure is shown"
is "$(last_line '1..0 # skip no memcached\n')" "0 0 passed, 0 failed, 1 skipped" \
	"a whole file skipped"
is "$(last_line 'ok 1\n')" "1 1 passed, 1 failed, 0 skipped" "no plan is a failure"
is "$(last_line 'ok 1\n1..2\n')" "1 1 passed, 1 failed, 0 skipped" "a test that is missing"
is "$(last_line 'ok 1\n1..1\n' 3)" "1 1 passed, 1 failed, 0 skipped" "a bad exit status"
is "$(last_line 'okay\nnothing\n')" "1 0 passed, 1 failed, 0 skipped" "no TAP at all"

chmod -x "$dir/t.sh"
tests/run-tests "$dir/t.sh" >"$tmp/out"
is "$? $(tail -n 1 "$tmp/out")" "1 0 passed, 1 failed, 0 skipped" \
	"a test that cannot be run"

tests/run-tests no-such-file >/dev/null 2>&1
is $? 2 "an unknown file is wrong usage"
tests/run-tests /bin/true >/dev/null 2>&1
is $? 2 "a file outside the tree is wrong usage"

finish
