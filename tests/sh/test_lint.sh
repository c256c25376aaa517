#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a reader takes for granted of every file, and that tests/lint finds what
# it is there to find.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
cd "$top" || exit

for check in $(tests/lint --list); do
	tests/lint "$check" >"$tmp/out" 2>&1
	ok $? "every file: $check"
	sed 's/^/# /' "$tmp/out"
done

# A tree of one file for each rule.
mkdir -p "$tmp/tree/tests"
cp tests/lint "$tmp/tree/tests/"
finds() { # CHECK FILE TEXT PART: TEXT in FILE is a finding that says PART
	printf '%b' "$3" >"$tmp/tree/$2"
	out=$("$tmp/tree/tests/lint" "$1" 2>&1)
	is $? 1 "$1 finds: $4"
	has "$out" "$4" "... and says so"
	rm -f "$tmp/tree/$2"
}
spdx='/* SPDX-License-Identifier: GPL-2.0-or-later */\n'
finds licence a.c 'int x;\n' "SPDX-License-Identifier"
finds text a.c "${spdx}int x; \n" "a.c:2: blanks"
finds text a.c "${spdx}int x;" "no newline"
finds text a.c "${spdx}int x;\n\n" "empty lines"
finds text a.c "${spdx}/* TO""DO */\n" "left to do"
finds width a.c "${spdx}int $(printf '%0120d' 0);\n" "at most 100"
finds length a.c "$spdx$(yes '\n' | head -n 501 | tr -d '\n')" "split it"
finds c a.c "${spdx}int f(void)\n{\n        return 0;\n}\n" "a.c:4: indent with tabs"
finds c a.c "${spdx}int x; // why\n" "comments"
finds c a.c "${spdx}void f(void)\n{\n\tif(x)\n\t\ty();\n}\n" "between the keyword"
finds c a.c "${spdx}void f(void)\n{\n\tx = atoi(y);\n}\n" "bounded"
finds shell a.sh "#!/bin/sh\necho \$1\n" "SC2086"
finds python a.py 'import os\n' "imported but unused"

printf '%s%s' "$spdx" 'char s[] = "if(x) // TAB      atoi(";\n' | sed 's/\\n/\n/g' >"$tmp/tree/a.c"
"$tmp/tree/tests/lint" c >"$tmp/out" 2>&1
ok $? "what stands in a text is no code"
printf '/* SPDX-License-Identifier: GPL-2.0-or-later */\n/* Over 500 lines: a table. */\n' >"$tmp/tree/a.c"
yes 'int x;' | head -n 500 >>"$tmp/tree/a.c"
"$tmp/tree/tests/lint" length >"$tmp/out" 2>&1
ok $? "a long file with its reason"
tests/lint no-such-check >"$tmp/out" 2>&1
is $? 2 "an unknown check is wrong usage"

finish
