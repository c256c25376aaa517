#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Process 1 of the guest once the payload is unpacked (docs/guest.md): starts
# the tracer (unless the cell is without), runs the workload, says how it ended,
# powers off. It reads the cell from fw_cfg and writes only to the two ports and
# the console.
#
# While the workload runs this shell does nothing but wait: it starts no
# program and reads no file, so it is no part of what is measured.
HINT_DIR=/run/hint
PATH=$HINT_DIR:/usr/sbin:/usr/bin
LC_ALL=C
export HINT_DIR PATH LC_ALL

# What the runner takes for "the guest could not do its part".
EX_INFRA=69

log() {
	echo "guest-init: $*" >/dev/console
}

# Off, at once: nothing is mounted for writing. The pause lets the serial port
# send what was just said; under the virtual clock it takes no time.
power_off() {
	sleep 0.2
	echo o >/proc/sysrq-trigger
	sleep 60
}

# A guest that cannot go on says so by its status, where it can be said.
give_up() {
	log "$*"
	hintsay bye $EX_INFRA
	power_off
}

# port NAME: the device of the virtio port with that name.
port() {
	for port_dir in /sys/class/virtio-ports/*; do
		read -r port_name <"$port_dir/name" || continue
		if [ "$port_name" = "$1" ]; then
			echo "/dev/${port_dir##*/}"
			return 0
		fi
	done 2>/dev/null
	return 1
}

# set_to FILE VALUE: a setting every arm needs alike must not fail unseen.
set_to() {
	echo "$2" >"$1" || give_up "cannot write $2 to $1"
}

# drained PID: wait for a reader of output to come to its end. A process left
# behind may hold the pipe open: after two seconds go on without it.
drained() {
	drained_tries=20
	while kill -0 "$1" 2>/dev/null && [ $drained_tries -gt 0 ]; do
		drained_tries=$((drained_tries - 1))
		sleep 0.1
	done
}

# wait_ready FILE PID READER WHY: until the program has made the file, for which
# it has 30 s of guest time: attaching takes under one.
wait_ready() {
	ready_tries=300
	while [ ! -e "$1" ]; do
		ready_tries=$((ready_tries - 1))
		if [ $ready_tries -eq 0 ] || ! kill -0 "$2" 2>/dev/null; then
			kill "$2" 2>/dev/null
			drained "$3"
			give_up "$4"
		fi
		sleep 0.1
	done
}

work_port=$(port org.hintbuf.work) || {
	log "no virtio port org.hintbuf.work: nobody to report to"
	power_off
}
trace_port=$(port org.hintbuf.trace) || give_up "no virtio port org.hintbuf.trace"
exec 3>"$work_port" || power_off

# This shell and its helpers must outlive a shortage; the workload must not
# inherit that (see below).
echo -1000 >/proc/self/oom_score_adj
# shellcheck disable=SC3045 # dash has it
ulimit -c 0

cell=/sys/firmware/qemu_fw_cfg/by_name/opt/org.hintbuf/cell/raw
[ -r $cell ] || give_up "no cell: $cell is not there"
set -a
# shellcheck disable=SC1090 # made by the runner
. $cell
set +a

case ${HINT_P_TRACER:=on} in
on | off) ;;
*) give_up "parameter tracer is '$HINT_P_TRACER'; allowed: on, off" ;;
esac

case ${HINT_P_PROFILE:=off} in
off | hint | all) ;;
*) give_up "parameter profile is '$HINT_P_PROFILE'; allowed: off, hint, all" ;;
esac
: "${HINT_P_PROFILE_PERIOD:=auto}"

# The kernel turns transparent huge pages and khugepaged off below 512 MiB of
# memory and decides so before the balloon driver has taken the buffer: arms
# of the same size X would differ. Hence say it in every arm. Starting
# khugepaged raises min_free_kbytes, so it comes before anything is read back.
thp=/sys/kernel/mm/transparent_hugepage
case ${HINT_P_THP:=always} in
always | madvise | never) ;;
*) give_up "parameter thp is '$HINT_P_THP'; allowed: always, madvise, never" ;;
esac
set_to $thp/defrag madvise
set_to $thp/khugepaged/defrag 1
set_to $thp/use_zero_page 1
# A kernel that had them on at boot has computed min_free_kbytes before the
# memory of its own init sections was freed: off and on again computes it anew.
set_to $thp/enabled never
set_to $thp/enabled "$HINT_P_THP"
ip link set lo up || give_up "cannot set the loopback interface up"

hintsay sync
hintsay hello

# What tracer and workload print goes into the record, line by line.
mkfifo $HINT_DIR/tracer.out $HINT_DIR/workload.out

start_tracer() {
	hintsay log tracer <$HINT_DIR/tracer.out &
	tracer_reader=$!
	# What these ask for is not the workload's: their own names, and those of the
	# workload's load generator and other helpers, one a line in its file `own`.
	set -- --own init --own hintsay
	[ "$HINT_P_PROFILE" = off ] || set -- "$@" --own perf
	if [ -r $HINT_DIR/workload/own ]; then
		while read -r name || [ -n "$name" ]; do
			case $name in
			'' | '#'*) ;;
			*) set -- "$@" --own "$name" ;;
			esac
		done <$HINT_DIR/workload/own
	fi
	hinttrace --stream "$trace_port" --objects $HINT_DIR/bpf "$@" \
		--ready $HINT_DIR/tracer.ready >$HINT_DIR/tracer.out 2>&1 3>&- &
	tracer=$!
	wait_ready $HINT_DIR/tracer.ready "$tracer" "$tracer_reader" "the tracer did not become ready"
}

# SIGTERM is the tracer's clean end: it writes its totals, then exits. One that
# was gone before has not seen what is to be reported: no status of the workload
# is worth anything then. (1: it lost events, which its own lines say.)
end_tracer() {
	alive=0
	[ -e "/proc/$tracer/exe" ] && alive=1
	kill -TERM "$tracer" 2>/dev/null
	wait "$tracer"
	tracer_status=$?
	drained "$tracer_reader"
	if [ $alive -eq 0 ] || [ $tracer_status -gt 1 ]; then
		echo "the tracer did not live to the end of the workload: status $tracer_status" |
			hintsay log init
		status=$EX_INFRA
	fi
}

# perf in the background, for a cell with the parameter profile (docs/profile.md).
# It is told to begin once it is ready, so that what it reads and sets up is no
# part of the profile. User stacks are left out: the programs have no frame
# pointers.
start_profile() {
	mkfifo $HINT_DIR/profile.do $HINT_DIR/profile.done $HINT_DIR/profile.out
	hintsay log perf <$HINT_DIR/profile.out &
	profile_reader=$!
	set -- --clockid CLOCK_MONOTONIC -g --kernel-callchains --no-buildid-cache --no-buildid \
		--switch-events --sample-cpu --mmap-pages 1M --max-size 12M
	case $HINT_P_PROFILE in
	hint)
		# The threads that report, and whatever kthreadd makes later.
		profile_threads=2
		for task in /proc/[0-9]*; do
			read -r name <"$task/comm" || continue
			case $name in
			kworker/*) profile_threads=$profile_threads,${task#/proc/} ;;
			esac
		done 2>/dev/null
		[ "$HINT_P_PROFILE_PERIOD" != auto ] || HINT_P_PROFILE_PERIOD=10us
		set -- "$@" --event cpu-clock/name=clock/ -t "$profile_threads"
		;;
	all)
		[ "$HINT_P_PROFILE_PERIOD" != auto ] || HINT_P_PROFILE_PERIOD=200us
		set -- "$@" --event cpu-clock/name=clock/I --all-cpus
		;;
	esac
	case $HINT_P_PROFILE_PERIOD in
	*us) profile_ns=${HINT_P_PROFILE_PERIOD%us}000 ;;
	*ms) profile_ns=${HINT_P_PROFILE_PERIOD%ms}000000 ;;
	*) profile_ns=bad ;;
	esac
	case $profile_ns in
	*[!0-9]* | ????????????*)
		give_up "parameter profile_period is '$HINT_P_PROFILE_PERIOD'; allowed: auto, a whole number of us or ms" ;;
	esac
	perf record "$@" --count "$profile_ns" --delay=-1 \
		--control fifo:$HINT_DIR/profile.do,$HINT_DIR/profile.done \
		--output $HINT_DIR/perf.data >$HINT_DIR/profile.out 2>&1 3>&- &
	profiler=$!
	# It has opened both pipes by the time it makes its file.
	wait_ready $HINT_DIR/perf.data "$profiler" "$profile_reader" "perf does not run"
	echo enable >$HINT_DIR/profile.do
	read -r profile_said <$HINT_DIR/profile.done
	[ "$profile_said" = ack ] || give_up "perf did not begin"
}

# After the tracer's end: what perf needs now is no longer watched.
end_profile() {
	kill -INT "$profiler"
	wait "$profiler"
	profile_status=$?
	[ $profile_status -eq 0 ] || [ $profile_status -eq 130 ] ||
		echo "perf record ended with status $profile_status" | hintsay log init
	drained "$profile_reader"
}

hand_out_profile() {
	hintsay artefact perf.data base64 <$HINT_DIR/perf.data || status=$EX_INFRA
	{
		perf script --input $HINT_DIR/perf.data --ns --show-lost-events --show-switch-events \
			--fields comm,tid,cpu,time,period,ip,sym 2>$HINT_DIR/perf.err ||
			echo "perf script ended with status $?" >>$HINT_DIR/perf.err
	} | gzip -n | hintsay artefact perf.script.gz base64 || status=$EX_INFRA
	hintsay log perf <$HINT_DIR/perf.err
}

# Without a tracer its port is for what the workload watches with.
case $HINT_P_TRACER in
on) start_tracer ;;
off)
	HINT_TRACE_PORT=$trace_port
	export HINT_TRACE_PORT
	;;
esac

[ "$HINT_P_PROFILE" = off ] || start_profile

if [ "${HINT_SHELL:-0}" = 1 ]; then
	log "shell of arm ${HINT_ARM:-?}: the tracer is $HINT_P_TRACER (try 'hinttrace -d 5'); 'exit' ends the guest"
	setsid -c sh -c 'echo 0 >/proc/self/oom_score_adj; cd /run/hint; exec sh -i' \
		</dev/ttyS0 >/dev/ttyS0 2>&1
	status=0
else
	hintsay log workload <$HINT_DIR/workload.out &
	workload_reader=$!
	(
		echo 0 >/proc/self/oom_score_adj
		cd $HINT_DIR/workload && exec ./run
	) >$HINT_DIR/workload.out 2>&1 </dev/null &
	wait $!
	status=$?
	drained $workload_reader
fi

[ "$HINT_P_PROFILE" = off ] || end_profile
[ "$HINT_P_TRACER" = off ] || end_tracer
[ "$HINT_P_PROFILE" = off ] || hand_out_profile
hintsay sync
hintsay bye $status
power_off
