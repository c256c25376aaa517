#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# perf in a guest of make profile: its data comes out whole, samples of the
# hint path are in it with the names of functions, the same cell gives the same
# data to the byte, and the page shows it. Prints TAP.
set -u
# shellcheck source=../sh/tap.sh
. "$(dirname "$0")/../sh/tap.sh"
cd "$top" || exit 69

needs build/bin/hintrun build/kernel/bzImage build/qemu/qemu-system-x86_64 \
	build/rootfs/root.erofs build/workloads/hintpath/hold
python=$(images/host/python.sh numpy scipy matplotlib jinja2) || python=
[ -n "$python" ]
ok $? "a python3 has numpy, scipy, matplotlib and jinja2: make setup-test"

# run OUT [OPTION]...: one cell
run() {
	folder=$tmp/$1
	shift
	build/bin/hintrun run --experiment profile --arms reporting --param rounds=5 \
		--accel tcg --out "$folder" "$@" 2>&1
}

out=$(run a)
status=$?
is $status 0 "a cell with perf is done"
[ $status -eq 0 ] || echo "$out" | sed 's/^/# /'
run b >/dev/null
is $? 0 "the same cell elsewhere"
cell=$(cd "$tmp/a" && echo reporting-*)
data=$tmp/a/$cell/artefacts/perf.data
is "$(head -c 8 "$data")" PERFILE2 "perf.data is what perf wrote"
has "$(tail -n 1 "$tmp/a/$cell/record.jsonl")" \
	"\"name\":\"perf.data\",\"bytes\":$(stat -c %s "$data"),\"sha256\":\"$(sha256sum "$data" | cut -d' ' -f1)\"" \
	"the record lists it"
cmp -s "$data" "$tmp/b/$cell/artefacts/perf.data"
ok $? "virtual clock: perf.data is the same to the byte"

"$python" -m analysis profile "$tmp/a" >"$tmp/profile.log"
is $? 0 "a page is made of it"
has "$(cat "$tmp/profile.log")" page_reporting_process "it names the function that reports"
"$python" - "$tmp/a/profile.json" <<'END'
import json, sys
arm = json.load(open(sys.argv[1]))["arms"]["reporting"]
assert arm["lost"] == 0 and arm["samples_hint"] >= 12, arm
assert arm["period_ns"] == 25_000 and arm["hinted_bytes"] > 1 << 30, arm
# Names of tasks, and of functions other than that of the loop.
tasks = {f["function"] for f in arm["whole"] if f["own_ns"] == 0}
assert "kworker" in tasks and not any(t.startswith(":") for t in tasks), tasks
# Which others are hit hangs on the layout of the kernel.
hint = {f["function"] for f in arm["hint"]}
assert "page_reporting_process" in hint and len(hint) > 2, hint
END
ok $? "nothing lost, the hint path sampled, tasks and functions by their names"
run workers --param profile=hint >/dev/null
is $? 0 "a cell in which perf samples the workers alone"
"$python" -m analysis profile "$tmp/workers" >/dev/null
is $? 0 "... is whole"
"$python" - "$tmp/a/profile.json" "$tmp/workers/profile.json" <<'END'
import json, sys
every, workers = (json.load(open(path))["arms"]["reporting"] for path in sys.argv[1:])
tasks = {f["function"] for f in workers["whole"] if f["total_ns"] and not f["own_ns"]}
assert "kworker" in tasks and "run" not in tasks, tasks
assert 0.7 < workers["hint_ns"] / every["hint_ns"] < 1.4, (workers["hint_ns"], every["hint_ns"])
END
ok $? "... and finds the same cost in the hint path, and no other task"
"$python" -m analysis report "$tmp/a" >/dev/null
has "$(cat "$tmp/a/report.html")" 'href="profile.html"' "the report leads to the page"
finish
