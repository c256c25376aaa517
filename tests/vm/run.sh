#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The main job with real guests: a workload of the user's own from a folder
# outside the checkout, two arms and the control, killed in the middle and
# continued, then once more elsewhere: the same cell gives the same streams to
# the byte. The records hold to their schema, and a report is made of them.
# Prints TAP.
set -u
# shellcheck source=../sh/tap.sh
. "$(dirname "$0")/../sh/tap.sh"
cd "$top" || exit 69

needs build/bin/hintrun build/kernel/bzImage build/qemu/qemu-system-x86_64 \
	build/rootfs/root.erofs build/workloads/memcached/wave
python=$(images/host/python.sh numpy matplotlib jinja2 jsonschema) || python=

mkdir -p "$tmp/my-load"
cat >"$tmp/my-load/run" <<'END'
#!/bin/sh
# A fifth of memory held, and waves up to a half.
echo "hello from <b>$0</b>"
hintsay phase measure begin
./wave --seed="$HINT_SEED" --low="$((HINT_MEM_BYTES / 5120))K" \
	--high="$((HINT_MEM_BYTES / 2048))K" --rounds=4 --out-fd=3
status=$?
hintsay phase measure end
exit $status
END
chmod +x "$tmp/my-load/run"
cp build/workloads/memcached/wave "$tmp/my-load/"

# run OUT: four cells of a small guest with a slow host
run() {
	build/bin/hintrun run --workload "$tmp/my-load" --arms "reporting buffer" \
		--repeats 1 --mem 256M --buffer 32M --ack-delay 300ms --clock virtual \
		--accel tcg --seed 7 --jobs 2 --out "$tmp/$1" 2>&1
}

# Killed when the first cell is done: nothing of the others may count.
run a >"$tmp/killed.log" &
runner=$!
tries=1200
until ls "$tmp"/a/*/record.jsonl >/dev/null 2>&1 || [ $tries -eq 0 ]; do
	tries=$((tries - 1))
	sleep 0.1
done
kill -9 "$(pgrep -P $runner hintrun || echo $runner)" 2>/dev/null
wait $runner 2>/dev/null
finished=$(find "$tmp/a" -name record.jsonl | wc -l)
is "$([ "$finished" -ge 1 ] && echo yes)" yes "a cell was finished before the runner was killed"
stamp=$(find "$tmp/a" -name record.jsonl -exec stat -c '%n %Y %s' {} + | sort)
sleep 1
is "$(pgrep -f "$tmp/a/" | wc -l)" 0 "no guest survives its runner"

out=$(run a)
is $? 0 "the same command finishes the rest"
has "$out" "(done)" "what was finished is not run again"
is "$(find "$tmp/a" -name record.jsonl | wc -l)" 4 "four cells: reporting, buffer and its two controls"
is "$(find "$tmp/a" -name record.jsonl -exec stat -c '%n %Y %s' {} + | sort | grep -cF "$stamp")" \
	"$finished" "finished records were not touched"

out=$(run b)
is $? 0 "the same cells elsewhere"
for cell in "$tmp"/a/*/cell.json; do
	name=$(basename "$(dirname "$cell")")
	for stream in work trace; do
		cmp -s "$tmp/a/$name/$stream.stream" "$tmp/b/$name/$stream.stream"
		ok $? "same seed, virtual clock: ${name%%-s*}: $stream.stream is the same to the byte"
	done
done

# What nobody watched is no result, whatever the workload says.
mkdir -p "$tmp/killer"
cat >"$tmp/killer/run" <<'END'
#!/bin/sh
hintsay phase measure begin
kill -KILL "$(cat $HINT_DIR/tracer.ready)"
sleep 1
hintsay phase measure end
END
chmod +x "$tmp/killer/run"
build/bin/hintrun run --workload "$tmp/killer" --arms none --repeats 1 --mem 256M \
	--clock virtual --accel tcg --seed 7 --out "$tmp/k" >"$tmp/killer.log" 2>&1
ok $((! $?)) "a run whose tracer was killed by the workload fails"
said=$(find "$tmp/k" -name work.stream -exec cat {} +)
has "$said" 'the tracer did not live to the end of the workload: status 137' "the guest says why"
has "$said" '"status":69' "... and that it could not do its part"

for record in "$tmp"/a/buffer-*/record.jsonl; do
	has "$(tail -n 1 "$record")" '"status":"done"' "the record of buffer ends with done"
	has "$(cat "$record")" 'hello from <b>./run</b>' "output of the workload is in the record"
done

[ -n "$python" ]
ok $? "a python3 has numpy, matplotlib, jinja2 and jsonschema: make setup-test"
"$python" - "$tmp"/a/*/record.jsonl <<'END'
import json, sys, jsonschema
sys.path.insert(0, "")
from collectors.run.record import describe, gen
schema = gen.json_schema(describe.load(), json.loads(open(sys.argv[1]).readline())["schema"])
check = jsonschema.validators.validator_for(schema)(schema)
for path in sys.argv[1:]:
    for nr, line in enumerate(open(path), 1):
        for error in check.iter_errors(json.loads(line)):
            sys.exit(f"{path}:{nr}: {error.message}"[:400])
END
ok $? "records hold to the schema"

"$python" -m analysis report "$tmp/a" >"$tmp/report.log" 2>&1
is $? 0 "a report is made"
"$python" - "$tmp/a" 2>&1 <<'END'
import json, sys
s = json.load(open(sys.argv[1] + "/summary.json"))
assert [s["cells"][k] for k in ("finished", "failed", "unfinished")] == [4, 0, 0], s["cells"]
a = s["arms"]
assert set(a) == {"reporting", "reporting-xb", "reporting-xb-cap", "buffer"}, set(a)
assert a["buffer"]["exchanges"]["total"] > 0
assert a["buffer"]["exchange_free_delta_pages"]["total"] == 0
assert a["buffer"]["exposure_mib_s"]["total"] == 0
assert a["reporting"]["exposure_mib_s"]["total"] > 0
assert all(a[x]["events_lost"]["total"] == 0 for x in a)
html = open(sys.argv[1] + "/report.html").read()
assert "<b>./run" not in html
END
ok $? "the summary: exchanges move no free memory, exposure only without a buffer, no loss"
out=$("$python" tests/py/second_account.py "$tmp/a")
status=$?
is $status 0 "the numbers of the summary, computed a second time from the records"
echo "$out" | sed 's/^/# /'
finish
