#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The interface of the makefile: what is asked for is passed on as it is, and
# what is wrong is answered with what is allowed.
set -u
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"
cd "$top" || exit
unset MAKEFLAGS MFLAGS MAKELEVEL

for word in run report list shell debug kernel qemu image bpf collectors patches check vm-check test \
	lint format compile_commands FAST man install uninstall deb DESTDIR PREFIX \
	soak bench profile PROFILE crosscheck \
	fuzz series-check kernel-debug src-linux src-qemu cache-clean clean distclean setup \
	WORKLOAD ARMS REPEATS MEM BUFFER ACK_DELAY CHECKPOINT STUCK_AFTER CLOCK ACCEL SEED JOBS CONTROLS \
	QUICK OUT RESULTS EXPERIMENT PARAM VCPUS ORDER DELAY_MS CAPACITY TIME_LIMIT HANG_LIMIT CELL; do
	make help | grep -qw "$word"
	ok $? "help names $word"
done

runner_line() { # VARIABLE=VALUE...: how the runner would be called
	make -n run "$@" 2>&1 | grep -o 'hintrun run .*' | sed 's/ || .*//' | tr -s ' '
}
is "$(runner_line WORKLOAD=memcached)" \
	"hintrun run --workload 'memcached' " \
	"run passes on nothing that was not given"
is "$(runner_line WORKLOAD=memcached EXPERIMENT=delay ARMS='none buffer' CONTROLS=without REPEATS=5 MEM=1G BUFFER=128M \
	ACK_DELAY=200ms+1ms CHECKPOINT=10s/2s STUCK_AFTER=5 \
	CLOCK=real ACCEL=kvm SEED=7 JOBS=2 VCPUS=2 ORDER=0 DELAY_MS=100 CAPACITY=16 \
	TIME_LIMIT=60s HANG_LIMIT=9s QUICK=1 PARAM='rate=400 threads=2' OUT=results/x)" \
	"hintrun run --workload 'memcached' --experiment 'delay' --arms 'none buffer' --controls 'without' --repeats '5'\
 --mem '1G' --buffer '128M' --ack-delay '200ms+1ms' --checkpoint '10s/2s' --stuck-after '5' --clock 'real' --accel 'kvm' --seed '7'\
 --jobs '2' --vcpus '2' --order '0' --delay-ms '100' --capacity '16' --time-limit '60s'\
 --hang-limit '9s' --quick --param 'rate=400' --param 'threads=2' --out 'results/x'" \
	"run passes on every variable"
has "$(runner_line "WORKLOAD=it's;touch $tmp/x" OUT=results/q)" \
	"--workload 'it'\\''s;touch $tmp/x'" "a value is one word of the shell"
has "$(runner_line WORKLOAD=memcached "OUT=a folder/of mine")" "--out 'a folder/of mine'" \
	"OUT may have blanks"

bench_line() { # VARIABLE=VALUE...: the runner and the page of make bench
	make -n bench "$@" 2>&1 | sed -n -e 's/.*\(hintrun run .*\) || status=.*/\1/p' \
		-e 's/^0) .*analysis \(bench .*\) || status.*/\1/p' | tr -s ' \n' ' '
}
is "$(bench_line)" "hintrun run --experiment 'bench' bench 'results/bench' " "the bench is an experiment"
is "$(bench_line QUICK=1 JOBS=2 ACCEL=kvm OUT=x)" \
	"hintrun run --experiment 'bench' --accel 'kvm' --jobs '2' --quick --out 'x' bench 'x' " \
	"and takes what an experiment takes"
is "$(bench_line EXPERIMENT=delay)" "hintrun run --experiment 'bench' bench 'results/bench' " \
	"it is no other experiment"
has "$(make -n run EXPERIMENT=bench 2>&1)" "analysis bench 'results/bench'" \
	"make run EXPERIMENT=bench is the same"

report_line() { # VARIABLE=VALUE...: of what the report would be made
	make -n run "$@" 2>&1 | sed -n "s/^0) .*analysis report '\(.*\)' || status.*/\1/p"
}
is "$(report_line WORKLOAD=memcached)" results/memcached "the report is made of results/WORKLOAD"
is "$(report_line WORKLOAD=/my/own/load/)" results/load "of an own workload: under its last name"
is "$(report_line "WORKLOAD=/tmp/w x/wl")" results/wl "... also where its path has blanks"
is "$(report_line WORKLOAD=memcached EXPERIMENT=delay)" results/delay "of an experiment: under its name"
is "$(report_line WORKLOAD=memcached "OUT=a b")" "a b" "... or of OUT"

profile_line() { # VARIABLE=VALUE...: the runner and the pages of make profile
	make -n profile "$@" 2>&1 | sed -n -e 's/.*\(hintrun run .*\) || status=.*/\1/p' -e '/^0) /{
		s/[^;]*analysis \([a-z]*\) \([^ ]*\) ||[^;]*;/\1 \2 /g; s/^0) //; s/ *;; .*//; p }' | tr -s ' \n' ' '
}
is "$(profile_line ARM=sync)" "hintrun run --experiment 'profile' --arms 'sync' profile 'results/profile' " \
	"make profile has an experiment of its own, and a page"
is "$(profile_line ARM="none buffer" PROFILE=hint QUICK=1 OUT=x PARAM=tracer=on)" \
	"hintrun run --experiment 'profile' --arms 'none buffer' --quick --param 'tracer=on' --param 'profile=hint' --out 'x' profile 'x' " \
	"and takes what an experiment takes"
is "$(profile_line WORKLOAD=memcached ARM=buffer)" \
	"hintrun run --workload 'memcached' --arms 'buffer' --controls 'without' --repeats '1' --param 'profile=hint' --out 'results/profile-memcached' profile 'results/profile-memcached' report 'results/profile-memcached' " \
	"of another workload it has both pages, in a folder of their own"
has "$(make -n profile PROFILE=some 2>&1)" "PROFILE=some: allowed: hint or all" "PROFILE is one of two"
shell_line() { # VARIABLE=VALUE...
	make -n shell "$@" 2>&1 | sed -n '/hintrun shell/,$ { s/[\\]$//; p }' | tr -s ' \t\n' ' '
}
is "$(shell_line ARM=buffer WORKLOAD=none)" \
	"build/bin/hintrun shell --arm 'buffer' --workload 'none' " "shell without a workload"
is "$(make -n debug CELL='results/a b' 2>&1 | grep -o 'hintrun debug .*' | tr -s ' ')" \
	"hintrun debug --cell 'results/a b'" "debug takes a cell"
is "$(PATH=/nowhere /usr/bin/make -s help | head -n 1)" \
	"Does free-page hinting make a guest run out of memory it has, and does a" \
	"a PATH without the base tools is completed"
is "$(shell_line CELL=results/x/y)" "build/bin/hintrun shell --cell 'results/x/y' " "shell of a cell"

# A workload that is wrong is refused before anything is built.
said=$(make run WORKLOAD="$tmp/no such/wl" 2>&1)
is $? 2 "a workload that is not there is refused"
case $said in
*KERNEL* | *QEMU* | *fetch*) ok 1 "... at once" ;;
*"neither a folder with"*) ok 0 "... at once" ;;
*) ok 1 "... with what is allowed" ;;
esac

# The runner's status is make's, be it called with -j or not.
printf '%s\n' "load $top/build/make/exit.so" 'all: part' "	@\$(exit-status $tmp/status)exit 99" \
	'part:' "	@echo \$(STATUS) >$tmp/status.\$\$PPID" >"$tmp/Makefile"
for status in 1 2 69 130; do
	make -s -j2 -f "$tmp/Makefile" STATUS=$status
	is $? $status "make ends with status $status"
done
make -s -f "$tmp/Makefile" STATUS=0 2>/dev/null
is $? 2 "status 0 lets the recipe go on"

# ... whatever becomes of the report: a runner that only ends with a status.
mkdir -p "$tmp/copy/build/bin"
cp -r Makefile collectors workloads images "$tmp/copy"
# shellcheck disable=SC2016 # the stand-in expands it
printf '#!/bin/sh\n[ "$1" = check ] || exit "$RUNNER_STATUS"\n' >"$tmp/copy/build/bin/hintrun"
chmod +x "$tmp/copy/build/bin/hintrun"
for status in 0:true:0 0:false:1 1:true:1 1:false:1 69:true:69 2:false:2; do
	report=${status#*:}
	RUNNER_STATUS=${status%%:*} make -s -C "$tmp/copy" -o build/bin/hintrun everything= \
		python="${report%:*}" run WORKLOAD=memcached >/dev/null 2>&1
	is $? "${status##*:}" "runner ${status%%:*}, report ${report%:*}: make run ends with ${status##*:}"
done

# What make cannot work in is said in one sentence, before anything else.
# shellcheck disable=SC2016 # a dollar sign in the name
for name in 'a b' "q'uote" 'pa(ren' 'co:lon' 'dol$lar' 'ha#sh' 'semi;colon'; do
	mkdir "$tmp/$name"
	cp -r Makefile workloads images "$tmp/$name"
	said=$(make -C "$tmp/$name" run WORKLOAD=memcached 2>&1)
	is $? 2 "a checkout in '$name' is refused"
	has "$said" "make cannot work in a folder with" "... with the reason"
	is "$(printf '%s\n' "$said" | grep -vc '^make: [EL]')" 1 "... in one sentence"
done

for cache in "$tmp/c a" "$tmp/c:a"; do
	said=$(HINTBUF_CACHE=$cache make run WORKLOAD=memcached 2>&1)
	is $? 2 "a cache in '${cache##*/}' is refused"
	has "$said" "set HINTBUF_CACHE" "... with what to do"
	is "$(printf '%s\n' "$said" | wc -l)" 1 "... in one sentence"
	is "$([ -e "$cache" ] || echo none)" none "... before it is made"
done
# shellcheck disable=SC2016 # make expands it
is "$(printf 'print:\n\t@echo $$HINTBUF_CACHE\n' | HINTBUF_CACHE=rel/cache make -s -f Makefile -f - print)" \
	"$top/rel/cache" "a relative cache is meant from the checkout"

refused() { # NAME PART ARGS...
	refused_name=$1 refused_part=$2
	shift 2
	refused_out=$(make -n "$@" 2>&1)
	is $? 2 "$refused_name is refused"
	has "$refused_out" "$refused_part" "... with what is allowed"
}
refused "run without WORKLOAD" "make run WORKLOAD=memcached" run
refused "QUICK=yes" "allowed: 0 or 1" run WORKLOAD=memcached QUICK=yes
refused "V=2" "allowed: 0" help V=2
refused "report without RESULTS" "make report RESULTS=" report
refused "shell without ARM" "make shell ARM=" shell
refused "debug without ARM" "make debug ARM=" debug
refused "OUT with a dash in front" "write OUT=./-x" run WORKLOAD=memcached OUT=-x

make compile_commands >/dev/null 2>&1
python3 -c 'import json, sys; print(len({x["file"] for x in json.load(open(sys.argv[1]))}))' \
	build/compile_commands.json >"$tmp/nr" 2>&1
is "$(cat "$tmp/nr")" "$(make -nB V=1 collectors bpf check 2>/dev/null | grep -oE ' -c .* [^ ]+\.c$' |
	sed 's/.* //' | sort -u | wc -l)" "compile_commands.json names every C file that make compiles"

for script in cache/apt cache/cache cache/source cache/tree kernel/build qemu/build rootfs/build \
	host/setup host/python; do
	"images/$script.sh" --no-such-option >/dev/null 2>&1
	status=$?
	case $script:$status in
	host/python:69 | *:2) ok 0 "$script.sh: wrong usage has its status" ;;
	*) is $status 2 "$script.sh: wrong usage has its status" ;;
	esac
done

finish
