#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Real guests unlike those of the default run: in wall time, with two CPUs,
# another size, another workload, another host, nothing to do. The numbers of each record
# must be able to be true together, and each cell must count. Prints TAP.
set -u
# shellcheck source=../sh/tap.sh
. "$(dirname "$0")/../sh/tap.sh"
cd "$top" || exit 69

needs build/bin/hintrun build/kernel/bzImage build/qemu/qemu-system-x86_64 \
	build/rootfs/root.erofs build/workloads/realloc/realloc build/workloads/memcached/wave
python=$(images/host/python.sh numpy scipy matplotlib jinja2) || python=
[ -n "$python" ]
ok $? "a python3 has numpy, scipy, matplotlib and jinja2: make setup-test"

# workload NAME: a folder of that name whose run is standard input
workload() {
	mkdir -p "$tmp/$1"
	cat >"$tmp/$1/run"
	chmod +x "$tmp/$1/run"
}

workload idle <<'END'
#!/bin/sh
hintsay phase measure begin
sleep 8
hintsay phase measure end
END

workload waves <<'END'
#!/bin/sh
hintsay phase measure begin
./wave --seed="$HINT_SEED" --low="$((HINT_MEM_BYTES / 5120))K" \
	--high="$((HINT_MEM_BYTES / 2048))K" --rounds=3 --out-fd=3
status=$?
hintsay phase measure end
exit $status
END
cp build/workloads/memcached/wave "$tmp/waves/"

# holds NR_CELLS TITLE SETTING...: all of them done, counted, no invariant broken
holds() {
	cells=$1 title=$2 out=$tmp/$(echo "$2" | tr -c 'a-z0-9\n' -)
	shift 2
	build/bin/hintrun run --repeats 1 --controls without --accel tcg --seed 3 --out "$out" "$@" \
		>"$out.log" 2>&1
	status=$?
	[ $status -eq 0 ] || sed 's/^/# /' "$out.log"
	is $status 0 "$title: the cells are done"
	"$python" -m analysis report "$out" >"$out.report.log" 2>&1
	is $? 0 "$title: a report is made"
	said=$("$python" - "$out/summary.json" "$cells" 2>&1 <<'END'
import json, sys
cells = json.load(open(sys.argv[1]))["cells"]
for cell, found in cells["broken"].items():
    for b in found:
        print(cell, b)
for why in cells["excluded_why"]:
    print(why)
if cells["counted"] != int(sys.argv[2]):
    print(f'{cells["counted"]} of {sys.argv[2]} cells count')
END
	)
	is "$said" "" "$title: every cell counts, and no invariant is broken"
}

holds 3 "realloc, virtual clock" --workload realloc --quick --arms "none reporting buffer" \
	--clock virtual
holds 1 "realloc, virtual clock, two cpus" --workload realloc --quick --arms reporting \
	--clock virtual --vcpus 2
holds 2 "waves, real clock, two cpus" --workload "$tmp/waves" --arms "reporting buffer" \
	--clock real --vcpus 2 --mem 256M --buffer 32M --ack-delay 300ms
holds 1 "waves, virtual clock, a large guest" --workload "$tmp/waves" --arms reporting \
	--clock virtual --mem 2G
holds 2 "waves, a host with checkpoints" --workload "$tmp/waves" --arms "reporting buffer" \
	--clock virtual --ack-delay 5ms --checkpoint 4s/2s
holds 1 "waves, a host that died" --workload "$tmp/waves" --arms reporting \
	--clock virtual --ack-delay 5ms --stuck-after 2
holds 2 "nothing to do, real clock" --workload "$tmp/idle" --arms "none buffer" --clock real \
	--mem 300M
finish
