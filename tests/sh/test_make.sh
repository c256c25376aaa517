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

for word in run report list shell kernel qemu image bpf collectors patches check vm-check test \
	soak bench fuzz series-check kernel-debug src-linux src-qemu cache-clean clean distclean setup WORKLOAD ARMS REPEATS MEM BUFFER ACK_DELAY CLOCK ACCEL SEED JOBS \
	QUICK OUT RESULTS; do
	make help | grep -qw "$word"
	ok $? "help names $word"
done

runner_line() { # VARIABLE=VALUE...: how the runner would be called
	make -n run "$@" 2>&1 | grep -o 'hintrun run .*' | sed 's/ || .*//' | tr -s ' '
}
is "$(runner_line WORKLOAD=memcached)" \
	"hintrun run --workload 'memcached' --out 'results/memcached'" \
	"run passes on nothing that was not given"
is "$(runner_line WORKLOAD=memcached ARMS='none buffer' REPEATS=5 MEM=1G BUFFER=128M \
	ACK_DELAY=200ms+1ms CLOCK=real ACCEL=kvm SEED=7 JOBS=2 QUICK=1 OUT=results/x)" \
	"hintrun run --workload 'memcached' --arms 'none buffer' --repeats '5' --mem '1G'\
 --buffer '128M' --ack-delay '200ms+1ms' --clock 'real' --accel 'kvm' --seed '7' --jobs '2'\
 --quick --out 'results/x'" \
	"run passes on every variable"
is "$(runner_line WORKLOAD=/my/own/load/)" \
	"hintrun run --workload '/my/own/load/' --out 'results/load'" \
	"a workload by path, results under its last name"
has "$(runner_line "WORKLOAD=it's;touch $tmp/x" OUT=results/q)" \
	"--workload 'it'\\''s;touch $tmp/x'" "a value is one word of the shell"

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
refused "OUT with blanks" "a folder without blanks" run WORKLOAD=memcached "OUT=a b"

for script in cache/apt cache/cache kernel/build qemu/build rootfs/build host/setup cache/source cache/tree host/python; do
	"images/$script.sh" --no-such-option >/dev/null 2>&1
	status=$?
	case $script:$status in
	host/python:69 | *:2) ok 0 "$script.sh: wrong usage has its status" ;;
	*) is $status 2 "$script.sh: wrong usage has its status" ;;
	esac
done

finish
