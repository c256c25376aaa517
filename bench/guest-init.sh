#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Process 1 of a guest of `make bench` (docs/bench.md). The cell says which of
# three measurements: what hinting costs (mechanism), what it costs to watch it
# (tracer), or how long memory takes that the host has dropped (landing). Every
# result is a line on port org.hintbuf.work.
HINT_DIR=/run/hint
PATH=$HINT_DIR:/usr/sbin:/usr/bin
LC_ALL=C
export HINT_DIR PATH LC_ALL

tracing=/sys/kernel/tracing

power_off() {
	sleep 0.2
	echo o >/proc/sysrq-trigger
	sleep 60
}

# A guest that did not say bye 0 has measured nothing.
give_up() {
	echo "bench: $*" >/dev/console
	hintsay bye 69
	power_off
}

port() {
	for port_dir in /sys/class/virtio-ports/*; do
		read -r port_name <"$port_dir/name"
		[ "$port_name" = "$1" ] && echo "/dev/${port_dir##*/}"
	done
}

exec 3>"$(port org.hintbuf.work)" || power_off
trace_port=$(port org.hintbuf.trace)
echo -1000 >/proc/self/oom_score_adj

set -a
# shellcheck disable=SC1091 # made by bench/run.sh
. /sys/firmware/qemu_fw_cfg/by_name/opt/org.hintbuf/cell/raw || give_up "no cell"
set +a

# The same in every arm, whatever the memory (collectors/guest/init.sh).
thp=/sys/kernel/mm/transparent_hugepage
echo madvise >$thp/defrag
echo never >$thp/enabled
echo always >$thp/enabled
ip link set lo up

# What the guest opens later, it reads now: nothing but the flush is to take
# memory while it is measured.
for tool in gauge hold firsttouch mcload wave hinttrace; do
	$tool --help >/dev/null || give_up "$tool does not run"
done

hintsay hello

# --- what hinting costs

# holder COMMAND: give a command to the process that holds memory, wait for
# its answer.
holder() {
	echo "$*" >&4
	read -r answer <&5
	[ "$answer" = ok ] || give_up "hold: $* failed"
}

# start_hold [OPTION]
start_hold() {
	rm -f /run/hold.in /run/hold.out
	mkfifo /run/hold.in /run/hold.out
	hold "$@" </run/hold.in >/run/hold.out 2>/dev/console 3>&- &
	exec 4>/run/hold.in 5</run/hold.out
}

stop_hold() {
	exec 4>&- 5<&-
	wait
}

flush() {
	gauge flush "$1" || give_up "flush $1"
}

# trace_begin EVENT...: the kernel's own trace, empty and off.
trace_begin() {
	echo 0 >$tracing/tracing_on
	echo 16384 >$tracing/buffer_size_kb || give_up "cannot trace"
	echo x86-tsc >$tracing/trace_clock || give_up "no trace clock x86-tsc"
	echo >$tracing/trace
	for trace_event in "$@"; do
		echo 1 >"$tracing/events/$trace_event/enable" || give_up "no event $trace_event"
	done
}

traced_flush() {
	echo 1 >$tracing/tracing_on
	flush "$1"
	echo 0 >$tracing/tracing_on
}

# trace_end NAME
trace_end() {
	echo 0 >$tracing/events/enable
	{
		echo "# part $1"
		cat $tracing/trace
		grep -e ^overrun -e '^dropped events' $tracing/per_cpu/cpu0/stats
	} >"$trace_port"
	echo 1 >$tracing/buffer_size_kb
}

# What can follow the release of a lock at once.
outside="irq_vectors/local_timer_entry irq/irq_handler_entry sched/sched_switch"

# traced: a flush whose every step is in the trace, and every taking of a lock
# with interrupts off, the zone's among them. It says which locks and tasks
# count.
traced() {
	echo 'p:lock_irq _raw_spin_lock_irq lock=%di:x64' >$tracing/kprobe_events ||
		give_up "cannot probe"
	# shellcheck disable=SC2086 # words
	trace_begin page_reporting kprobes/lock_irq $outside
	traced_flush traced
	trace_end traced
}

# held ROUNDS: the same again and again, with nothing in the trace but what
# begins a hold of a lock and what follows it.
held() {
	# shellcheck disable=SC2086
	trace_begin page_reporting/page_reporting_batch page_reporting/page_reporting_ack \
		kprobes/lock_irq $outside
	round=1
	while [ $round -le "$1" ]; do
		holder leave $((x / 8))M
		holder none
		traced_flush held-$round
		round=$((round + 1))
	done
	trace_end held
	echo >$tracing/kprobe_events
}

mechanism() {
	x=$((HINT_MEM_BYTES / 1048576))
	start_hold
	# Nothing has been reported yet: the first pass is put off for a minute.
	holder leave $((x / 16))M
	flush sixteenth
	holder leave $((x / 8))M
	flush eighth
	holder none
	flush all
	# The same again, traced: what differs is the cost of tracing.
	holder leave $((x / 8))M
	holder none
	flush again
	holder leave $((x / 8))M
	holder none
	traced
	held "$HINT_ROUNDS"
	stop_hold

	# Half of what is held comes back in parts that nothing can merge.
	start_hold --small-pages
	holder leave $((x / 8))M
	flush packed
	holder holes "$HINT_HOLE"
	flush scattered
	stop_hold
}

# --- memory that the host has dropped

# backed: memory was in use, so the host has it.
backed() {
	holder leave $((x / 16))M
	holder used /run/pages
	holder none
}

# report_all: all free memory is reported. The log of pages tells what the host
# has dropped: what was taken for reporting, and what a buffer gave in exchange,
# which was reported before.
report_all() {
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
	echo 1 >/sys/module/page_reporting/parameters/flush || give_up "flush"
	echo 0 >$tracing/tracing_on
	sed -n -e 's/.* page_reporting_isolate: .* pfn=0x\([0-9a-f]*\) order=\([0-9]*\).*/reported \1 \2/p' \
		-e 's/.* page_reporting_exchange: .* released=0x\([0-9a-f]*\) order=\([0-9]*\).*/reported \1 \2/p' \
		$tracing/trace >>/run/pages
	grep -q '^overrun: 0' $tracing/per_cpu/cpu0/stats || give_up "the trace lost events"
}

# first_touch [OPTION]... NAME
first_touch() {
	firsttouch --log=/run/pages "$@" half || give_up "firsttouch $*"
}

# An application takes half of what is free, in small and in huge pages.
landing_backed() {
	backed
	first_touch "backed-page-$1"
	backed
	first_touch --huge "backed-huge-$1"
}

landing_unbacked() {
	backed
	report_all
	first_touch "unbacked-page-$1"
	backed
	report_all
	first_touch --huge "unbacked-huge-$1"
}

# Another has used as much since, or only an eighth of memory is free.
landing_others() {
	backed
	report_all
	first_touch --twice "again-page-$1"
	backed
	holder leave $((x / 8))M
	holder used /run/pages
	report_all
	first_touch "eighth-page-$1"
	holder none
}

landing() {
	x=$((HINT_MEM_BYTES / 1048576))
	echo 2048 >$tracing/buffer_size_kb || give_up "cannot trace"
	for trace_event in isolate exchange; do
		echo 1 >$tracing/events/page_reporting/page_reporting_$trace_event/enable ||
			give_up "no event page_reporting_$trace_event"
	done
	start_hold
	round=1
	while [ $round -le "$HINT_ROUNDS" ]; do
		# Each of a pair comes first in every other round.
		case $((round % 2)) in
		1) pair="landing_backed landing_unbacked" ;;
		0) pair="landing_unbacked landing_backed" ;;
		esac
		for half in $pair; do
			$half $round
		done
		landing_others $round
		round=$((round + 1))
	done
	stop_hold
}

# --- what it costs to watch

wait_for() {
	wait_tries=300
	while [ ! -e "$1" ]; do
		wait_tries=$((wait_tries - 1))
		if [ $wait_tries -eq 0 ] || ! kill -0 "$watcher" 2>/dev/null; then
			cat /run/watch.out >/dev/console
			give_up "no $1"
		fi
		sleep 0.1
	done
}

# The tracepoints that hinttrace is attached to. Where it uses a function, the
# tracepoint next to it. Of allocations both look at those that failed.
perf_events="page_reporting:*,vmscan:mm_vmscan_direct_reclaim_begin,\
vmscan:mm_vmscan_direct_reclaim_end,vmscan:mm_vmscan_wakeup_kswapd,\
compaction:mm_compaction_try_to_compact_pages,oom:mark_victim,oom:reclaim_retry_zone"

# watch_begin HOW: none; probes, that is hinttrace without its samples of the
# guest ten times a second; hinttrace as in a run; or perf.
watch_begin() {
	case $1 in
	hinttrace | probes)
		interval=100
		[ "$1" = hinttrace ] || interval=60000
		hinttrace --interval $interval --stream "$trace_port" --objects $HINT_DIR/bpf --strict \
			--ready /run/ready >/run/watch.out 2>&1 3>&- &
		watcher=$!
		wait_for /run/ready
		;;
	perf)
		perf record -a -e kmem:mm_page_alloc --filter 'pfn == 0xffffffffffffffff' \
			-e "$perf_events" -o /run/perf.data >/run/watch.out 2>&1 3>&- &
		watcher=$!
		wait_for /run/perf.data
		sleep 1
		;;
	esac
}

watch_end() {
	[ "$1" = none ] && return
	kill -INT "$watcher"
	wait "$watcher"
	hintsay log "$1" </run/watch.out
	rm -f /run/perf.data
}

# measure HOW ROUND: the guest at rest, memcached alone, and memcached beside
# the process that grows and shrinks, as in the workload memcached but with
# peaks low enough that nothing is reclaimed: that would cost more than watching
# does, and not the same in any two rounds.
measure() {
	watch_begin "$1"
	sleep 1
	gauge idle "rest-$1-$2" 2s || give_up "gauge idle"
	load="mcload --keys=20000 --seed=$HINT_SEED --warmup=1s --duration=${HINT_SECONDS}s \
		--phase=measure --out-fd=3"
	# shellcheck disable=SC2086 # words
	gauge phase "alone-$1-$2" $load --rate="$HINT_RATE" || give_up "load"
	wave --seed="$HINT_SEED" --low=$((kib * 280 / 1000))K --high-min=$((kib * 400 / 1000))K \
		--high=$((kib * 430 / 1000))K --settle=1.5s --hold=300ms-700ms --rest=1.5s-2.4s \
		--duration=$((HINT_SECONDS + 2))s >/dev/console 2>&1 3>&- &
	wave_pid=$!
	# shellcheck disable=SC2086
	gauge phase "workload-$1-$2" $load --rate="$HINT_RATE" || give_up "load"
	wait $wave_pid || give_up "wave"
	watch_end "$1"
}

tracer() {
	kib=$((HINT_MEM_BYTES / 1024))
	cache=$((kib * 220 / 1000))
	memcached -u root -l 127.0.0.1 -p 11211 -U 0 -m $((cache * 5 / 4096 + 32)) \
		-t 1 -c 1024 3>&- &
	mcload --keys=20000 --seed="$HINT_SEED" --prefill=${cache}K --duration=0s 3>&- || give_up "prefill"
	# Unwatched and not counted: memcached costs less while its cache has room.
	measure none 0
	# Each way of watching comes first, second, third and last once.
	round=1
	for ways in "none probes hinttrace perf" "probes perf none hinttrace" \
		"hinttrace none perf probes" "perf hinttrace probes none"; do
		for how in $ways; do
			measure "$how" $round
		done
		round=$((round + 1))
	done
}

case $HINT_BENCH in
mechanism | tracer | landing) $HINT_BENCH ;;
*) give_up "HINT_BENCH is '$HINT_BENCH'; allowed: mechanism, tracer, landing" ;;
esac
hintsay bye 0
power_off
