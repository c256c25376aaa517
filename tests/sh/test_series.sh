#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kernel-patches/review/series.sh: what it finds and what it lets pass, on a small source of
# its own; kernel-patches/review/objcode.py: which functions are the same.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

# --- object code ---

compile() { # NAME, with the source on standard input
	gcc -x c -O2 -fno-pic -fno-reorder-functions -c -o "$tmp/$1.o" - || exit
}

source='
extern int get(const char *, ...);
static int counter[4] = { 1, 2, 3, 4 };
@BEFORE@
__attribute__((noinline)) static int helper(int x) { return get("helper %d", x) + counter[x & 3]; }
int caller(int x) { static int calls; return helper(x) * 3 + ++calls; }
int text(void) { return get("@TEXT@"); }
int constant(int x) { return x * @CONSTANT@; }
'
variant() { # NAME BEFORE TEXT CONSTANT
	printf '%s\n' "$source" | sed -e "s|@BEFORE@|$2|" -e "s|@TEXT@|$3|" -e "s|@CONSTANT@|$4|" |
		compile "$1"
}
compare() { # NAME: verdicts and names of what is not as in base
	"$top/kernel-patches/review/objcode.py" "$tmp/base.o" "$tmp/$1.o" | cut -f 1,2 | tr '\t\n' ' ,'
}

before='int moved(int x) { static int calls; return get("before", x) + ++calls; }'
variant base '' here 5
variant moved "$before" here 5
variant string '' there 5
variant number '' here 9
is "$(compare base)" "functions 4," "an object has the code of itself"
is "$(compare moved)" "new moved,functions 5," \
	"code, data and strings at other places do not count; a new function does"
is "$(compare string)" "differs text,functions 4," "another string does"
is "$(compare number)" "differs constant,functions 4," "another constant does"
unique() { # NUMBER: a call as it is compared, which objdump shows by the nearest name
	PYTHONPATH=$top/kernel-patches/review python3 -B -c "import objcode
print(objcode.UNIQUE.sub(r'\\1N', 'call 69 <__UNIQUE_ID_a$1+0x1>'))"
}
is "$(unique 678)" "$(unique 679)" "nor does the number that makes a name unique"
is "$("$top/kernel-patches/review/objcode.py" "$tmp/moved.o" "$tmp/base.o" | cut -f 1,2,5,6 | head -n 1)" \
	"gone	moved	0	0" "a function that went is named, with no code"
out=$("$top/kernel-patches/review/objcode.py" "$tmp/base.o" "$tmp/none.o" 2>&1)
is $? 1 "a file that is not there: status 1"
has "$out" "none.o" "... naming it"
"$top/kernel-patches/review/objcode.py" "$tmp/base.o" >/dev/null 2>&1
is $? 2 "wrong usage: status 2"

# --- a series, in a checkout of its own ---

mkdir -p "$tmp/top/kernel-patches/qemu" "$tmp/src/scripts"
ln -s "$top/images" "$tmp/top/images"
ln -s "$top/kernel-patches/review" "$tmp/top/kernel-patches/review"
HINTBUF_CACHE=$tmp/cache
QEMU_TARBALL=$tmp/src.tar.gz
export HINTBUF_CACHE QEMU_TARBALL
printf 'a\nb\nc\n' >"$tmp/src/file"
# Finds each added line with BAD, and one kind that review/known knows.
cat >"$tmp/src/scripts/checkpatch.pl" <<'END'
my $file = $ARGV[-1];
open(my $patch, '<', $file) or die;
while (<$patch>) {
	print "$file:$.: ERROR: bad line\n" if /^\+.*BAD/;
	print "$file:$.: WARNING: imported from Linux, are you using scripts/update-linux-headers.sh?\n"
		if /^\+.*HEADER/;
}
END
tar -C "$tmp" -czf "$QEMU_TARBALL" src

patch_file() { # NAME OLD NEW
	cat >"$tmp/top/kernel-patches/qemu/$1" <<-END
	Subject: [PATCH] replace

	---
	--- a/file
	+++ b/file
	@@ -1,3 +1,3 @@
	 a
	-$2
	+$3
	 c
	END
}
check() {
	"$tmp/top/kernel-patches/review/series.sh" qemu 2>&1
}

patch_file 0001-first.patch b HEADER
patch_file 0002-second.patch HEADER good
printf '%s\n' 0001-first.patch 0002-second.patch >"$tmp/top/kernel-patches/qemu/series"
out=$(check)
is $? 0 "a series without findings passes"
has "$out" "0002-second.patch" "... each patch is named"
has "$out" "no finding" "... and the outcome"

patch_file 0002-second.patch HEADER BAD
out=$(check)
is $? 1 "a finding of checkpatch fails"
has "$out" "0002-second.patch:9: ERROR: bad line" "... with its line"
case $out in
*"WARNING: imported"*) ok 1 "... without what is known" ;;
*) ok 0 "... without what is known" ;;
esac

patch_file 0002-second.patch b good
out=$(check)
is $? 1 "a patch that fits the source but not the patch before it fails"
has "$out" "0002-second.patch does not apply" "... naming it"

: >"$tmp/top/kernel-patches/qemu/series"
out=$(check)
is $? 1 "a series of nothing is none"

for args in '' 'linux quick' 'both'; do
	# shellcheck disable=SC2086 # a list of words
	"$top/kernel-patches/review/series.sh" $args >/dev/null 2>&1
	is $? 2 "series.sh $args: wrong usage"
done
out=$(JOBS=0 "$top/kernel-patches/review/series.sh" qemu 2>&1)
is $? 2 "JOBS=0 is refused"
has "$out" "allowed: 1 to 999" "... with what is allowed"

# What is let pass says why: each block of lines begins with its reason.
is "$(awk '/^$/ { why = 0 } /^#/ { why = 1 } /^(linux|qemu|code) / && !why { print }
	!/^(#|linux |qemu |code |$)/ { print }' "$top/kernel-patches/review/known")" "" \
	"every line of review/known has its reason"

finish
