#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guest as built: kernel, root image, and the init that runs a workload
# (with a stand-in for the tracer). Prints TAP. KEEP=DIR keeps the consoles.
set -u
# shellcheck source=../sh/tap.sh
. "$(dirname "$0")/../sh/tap.sh"
build=$top/build
work=${KEEP:-$tmp}
mkdir -p "$work"

for need in bin/hintrun kernel/bzImage qemu/qemu-system-x86_64 rootfs/root.erofs guest/hintsay; do
	if [ ! -e "$build/$need" ]; then
		echo "1..0 # SKIP build/$need is not there; run make first"
		exit 0
	fi
done

# boot NAME PAYLOAD-FOLDER [CELL-FILE]: run to power-off under the virtual
# clock; leaves NAME.console and, in the folder NAME.ports, work.stream and trace.stream.
boot() {
	rm -rf "$work/$1.ports"
	mkdir "$work/$1.ports"
	[ -z "$2" ] || {
		tar --mtime=@0 -C "$2" -cf "$work/$1.tar" . && truncate -s %2M "$work/$1.tar"
	}
	timeout 120 "$build/bin/hintrun" boot --clock virtual --append loglevel=5 \
		${2:+--payload "$work/$1.tar"} ${3:+--cell "$3"} --balloon free-page-reporting=on \
		--ports "$work/$1.ports" --console "$work/$1.console" >"$work/$1.qemu" 2>&1
}

# --- what the guest is made of
mkdir "$tmp/facts"
install -m 755 "$top/tests/vm/guest.init" "$tmp/facts/init"
boot facts "$tmp/facts"
ok $? "the guest boots and powers off"
facts=$(tr -d '\r' <"$work/facts.console")
fact() { has "$facts" "FACT $1" "$2"; }
for symbol in DEBUG_INFO_BTF BPF_JIT_ALWAYS_ON KPROBES FPROBE SWAP ZSWAP ZRAM \
	TRANSPARENT_HUGEPAGE NUMA MEMORY_HOTREMOVE CMA COMPACTION PAGE_REPORTING VIRTIO_BALLOON \
	VIRTIO_MEM MEMCG FAIL_PAGE_ALLOC PERF_EVENTS DYNAMIC_FTRACE_WITH_DIRECT_CALLS; do
	fact "config $symbol" "kernel has $symbol"
done
for symbol in MODULES KASAN DEBUG_VM PROVE_LOCKING PAGE_OWNER SLUB_DEBUG RANDOMIZE_BASE; do
	fact "no $symbol" "kernel is without $symbol"
done
for tool in memcached bpftool perf stress-ng libbpf-tools; do
	fact "runs $tool" "$tool runs"
done
fact "bpftool-version 7.5" "bpftool has autoattach"
fact "root read-only" "the root is read-only"
fact "tmpfs /run 49152 KiB" "/run is bounded"
fact "tmpfs /tmp 8192 KiB" "/tmp is bounded"
fact "tmpfs /dev/shm 8192 KiB" "/dev/shm is bounded"
fact "mounts" "bpf, tracefs, debugfs and cgroup2 are mounted"
fact "no network device" "there is no network device"
fact "patched" "the kernel is the patched one"
fact "btf 1" "BTF of the kernel can be read"
fact "bounce 0" "no memory is taken for bounce buffers"
fact "end" "the guest came to its end"

# --- nothing to run
boot nothing ""
ok $? "without a payload the guest powers off"
has "$(cat "$work/nothing.console")" "no payload: neither" "... and says why"

# --- the init: order of lines, exit status, what is recorded
pay=$tmp/init
mkdir -p "$pay/workload" "$pay/bpf"
install -m 755 "$top/collectors/guest/init.sh" "$pay/init"
cp "$build/guest/hintsay" "$pay/"
cat >"$pay/hinttrace" <<'END'
#!/bin/sh
# Stand-in for the tracer: writes to the port, is ready, ends on SIGTERM.
while [ $# -gt 0 ]; do
	case $1 in
	--stream) port=$2 ;;
	--ready) ready=$2 ;;
	esac
	shift
done
echo "tracer says hello"
trap 'echo "{\"type\":\"loss\"}" >"$port"; exit 0' TERM
: >"$ready"
while :; do sleep 0.1; done
END
cat >"$pay/workload/run" <<'END'
#!/bin/sh
echo "arm $HINT_ARM, oom $(cat /proc/self/oom_score_adj), init $(cat /proc/1/oom_score_adj)"
echo "thp $(cat /sys/kernel/mm/transparent_hugepage/enabled) in $PWD"
ip addr show lo | grep -c 127.0.0.1
echo to stderr >&2
hintsay phase measure begin
hintsay phase measure end
# Left behind, with the pipe open: must not keep the guest from ending.
sleep 1000 &
exit 7
END
chmod +x "$pay/hinttrace" "$pay/workload/run"
printf "HINT_ARM='none'\nHINT_MEM_BYTES=536870912\n" >"$tmp/cell.env"
boot init "$pay" "$tmp/cell.env"
ok $? "a guest that ran a workload powers off"
lines=$(cat "$work/init.ports/work.stream")
is "$(sed -n 's/^{"type":"\(sync\|hello\|phase\|bye\)".*/\1/p' "$work/init.ports/work.stream" | tr '\n' ' ')" \
	"sync hello phase phase sync bye " "lines come in the order of docs/guest.md"
has "$lines" '"text":"arm none, oom 0, init -1000"' "the workload can be killed, init cannot"
has "$lines" '"text":"thp [always] madvise never in /run/hint/workload"' \
	"transparent huge pages are on whatever the size of memory"
has "$lines" '"text":"1"' "the loopback interface is up"
has "$lines" '"text":"to stderr"' "stderr is recorded"
has "$lines" '"src":"tracer","text":"tracer says hello"' "what the tracer prints is recorded"
has "$lines" '{"type":"bye","t_ns":' "the guest says good-bye"
has "$(tail -n 1 "$work/init.ports/work.stream")" '"status":7' "... with the workload's status"
is "$(cat "$work/init.ports/trace.stream")" '{"type":"loss"}' "the tracer ended cleanly before"

# --- a tracer that fails
printf '#!/bin/sh\necho cannot load\nexit 1\n' >"$pay/hinttrace"
boot tracer "$pay" "$tmp/cell.env"
ok $? "a guest whose tracer fails powers off"
has "$(tail -n 1 "$work/tracer.ports/work.stream")" '"status":69' "... with status 69"
has "$(cat "$work/tracer.ports/work.stream")" '"text":"cannot load"' "... and the tracer's words"

# --- no cell, a wrong parameter
boot nocell "$pay"
has "$(tail -n 1 "$work/nocell.ports/work.stream")" '"status":69' "without a cell: status 69"
printf "HINT_ARM='none'\nHINT_P_THP='maybe'\n" >"$tmp/cell.env"
boot thp "$pay" "$tmp/cell.env"
has "$(cat "$work/thp.console")" "allowed: always, madvise, never" "a wrong parameter is answered"

finish
