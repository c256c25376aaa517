# SPDX-License-Identifier: GPL-2.0-or-later
"""What it takes to add a probe or a factor, as docs/architecture.md says: done to a scratch copy of the
checkout, shown to work without a guest, and the changed files counted.

An arm is in test_plan.py, a workload in tests/sh/test_payload.sh, a section in test_report.py.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import Checkout
from make_records import Toy, spec, write_cell
from runner_bench import HINTRUN, TOP

from analysis.compare.analyse import Analysis, analyse
from analysis.record.fields import BadRecord
from analysis.record.load import load_record, load_results
from analysis.report import report

# ---- a probe: at most four places

# Each place: the file, what stands there, and what is put before it.
PROBE = (
    ("bpf/hint_events.h", "\tP(OOM_KILL, oom_kill) \\\n", "\tP(TOY, toy) \\\n"),
    ("bpf/hint_events.h", '\tK(EXCHANGE_VIOLATION,', '\tK(TOY, toy, TOY, "kswapd went to sleep") \\\n'),
    (
        "bpf/hint_events.h",
        "/* An exchange that changed",
        "#define TOY_FIELDS(F) \\\n\tF(u64, __u32, node, ) \\\n\tF(s64, __s32, toy_score, )\n\n",
    ),
    (
        "bpf/allocfail.bpf.c",
        "/* ---- OOM kills ---- */\n",
        """SEC("tp_btf/mm_vmscan_kswapd_sleep")
int BPF_PROG(af_toy, int nid)
{
	struct probe_stat *stat = probe__seen(PROBE_TOY);
	struct toy_rec *rec;

	if (!stat)
		return 0;
	rec = bpf_ringbuf_reserve(&alloc_events, sizeof(*rec), 0);
	if (!rec) {
		probe__dropped(stat, DROP_RING_FULL);
		return 0;
	}
	rec__init(&rec->hdr, REC_TOY, sizeof(*rec), bpf_ktime_get_ns());
	rec->node = nid;
	rec->toy_score = -1;
	bpf_ringbuf_submit(rec, 0);
	probe__recorded(stat);
	return 0;
}

""",
    ),
    (
        "collectors/trace/probes.c",
        '\tFN("af_oom_begin"',
        '\tTP("af_toy", OBJ_ALLOCFAIL, "mm_vmscan_kswapd_sleep", 1, PROBE_TOY),\n',
    ),
    (
        "collectors/run/record/record.json",
        '  "kswapd_wake": {',
        """  "toy": {"says": "kswapd went to sleep", "fields": [
   {"name": "node", "is": "node", "need": 1},
   {"name": "toy_score", "is": "score", "need": 1}
  ]},
""",
    ),
)

# A record as the program makes it goes in, the tracer's line comes out, and the runner's checker says what it
# thinks of lines. With an object, its programs are those of the tracer's table, as the tracer asks before it loads.
DRIVER = r"""
#include <bpf/libbpf.h>
#include <jansson.h>
#include <string.h>

#include "run/record/shape.h"
#include "trace/events.h"
#include "trace/probes.h"

static int check_object(const char *path)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_program *prog;
	int unknown = 0;

	if (!obj)
		return 1;
	bpf_object__for_each_program(prog, obj) {
		const struct probe *probe = probe__find(bpf_program__name(prog));

		unknown += !probe || probe->object != OBJ_ALLOCFAIL;
		if (probe && probe->counts == PROBE_TOY)
			printf("%s %s\n", bpf_program__name(prog), bpf_program__section_name(prog));
	}
	bpf_object__close(obj);
	return unknown;
}

static int check_lines(void)
{
	char line[4096], why[SHAPE_WHY_MAX];

	while (fgets(line, sizeof(line), stdin)) {
		json_t *json = json_loads(line, 0, NULL);

		why[0] = '\0';
		puts(shape__check(json, why, sizeof(why)) == LINE_EVENT ? "taken" : why);
		json_decref(json);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct toy_rec rec = { .hdr = { .type = REC_TOY, .len = sizeof(rec), .cpu = 1, .tgid = 77,
					.tid = 77, .comm = "kswapd0" }, .node = 3, .toy_score = -5 };
	static struct events e;
	static struct out out;

	if (argc > 2)
		return check_object(argv[2]);
	if (!strcmp(argv[1], "check"))
		return check_lines();
	rec.hdr.t_ns = strtoull(argv[1], NULL, 10);
	if (out__open(&out, NULL, true, false) || rec__check(&rec, sizeof(rec) - 1) >= 0)
		return 1;
	e.out = &out;
	events__handle(&e, &rec, sizeof(rec));
	events__flush(&e, true);
	return e.nr_bad || e.nr_unwritten[PROBE_TOY];
}
"""
DRIVER_SOURCES = ("collectors/run/record/shape.c", "collectors/run/util.c")


def add_probe(checkout: Checkout) -> None:
    checkout.copy("bpf", "collectors", "analysis")
    checkout.track()
    for name, place, text in PROBE:
        path = checkout.root / name
        old = path.read_text()
        assert old.count(place) == 1, f"{name}: {place!r}"
        path.write_text(old.replace(place, text + place))


def at(checkout: Checkout, *command: str | Path, stdin: str = "") -> str:
    r = subprocess.run([str(c) for c in command], cwd=checkout.root, input=stdin, capture_output=True,
                       text=True, timeout=120)  # fmt: skip
    assert r.returncode == 0, f"{command}: {r.stdout}{r.stderr}"
    return r.stdout


def build(checkout: Checkout) -> tuple[Path, Path]:
    """The tracer, and DRIVER with the tracer's objects and the runner's checker; built beside the copy."""
    out = checkout.tmp / "build"
    (out / "gen").mkdir(parents=True)
    for what in ("types", "shapes"):
        text = at(checkout, sys.executable, "-B", "collectors/run/record/gen.py", what)
        (out / f"gen/record_{what}.h").write_text(text)
    driver = out / "driver.c"
    driver.write_text("#include <stdlib.h>\n" + DRIVER)
    folders = (checkout.root / "collectors/trace", checkout.root / "collectors/common")
    sources = [p for f in folders for p in sorted(f.glob("*.c"))]
    sources += [checkout.root / name for name in DRIVER_SOURCES] + [driver]

    def compile_one(source: Path) -> Path:
        folder = source.parent.name
        obj = out / f"{folder}-{source.stem}.o"
        at(checkout, "gcc", "-std=gnu11", "-O0", "-Wall", "-Wextra", "-Werror", "-Icollectors", "-Ibpf", f"-I{out}",
           "-c", "-o", obj, source)  # fmt: skip
        return obj

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    tracer = [o for o in objects if o.name.startswith(("trace-", "common-"))]
    at(checkout, "gcc", "-o", out / "hinttrace", *tracer, "-ljansson", "-lbpf", "-lelf", "-lz", "-lm")
    rest = [o for o in objects if o.name != "trace-main.o"]
    at(checkout, "gcc", "-o", out / "driver", *rest, "-lbpf", "-lelf", "-lz", "-ljansson", "-lm")
    return out / "hinttrace", out / "driver"


@dataclass(frozen=True)
class Toys:
    """A scratch copy with the probe, and what was built of it."""

    checkout: Checkout
    hinttrace: Path
    driver: Path


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    checkout = Checkout(tmp_path_factory.mktemp("toys"))
    add_probe(checkout)
    return Toys(checkout, *build(checkout))


def loaded(checkout: Checkout, lines: list[dict]) -> str:
    """What the copy's analysis has to say of a record with these lines; empty when it is read."""
    path = checkout.tmp / "record.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    code = (
        "import sys; from pathlib import Path\n"
        "from analysis.record.load import load_record\n"
        "from analysis.record.fields import BadRecord\n"
        "try: load_record(Path(sys.argv[1]))\n"
        "except BadRecord as e: print(e)\n"
    )
    return at(checkout, sys.executable, "-B", "-c", code, path)


def test_a_probe_is_at_most_four_places(toys: Toys) -> None:
    checkout, driver = toys.checkout, toys.driver

    # The tracer knows it, with its fields, and makes a line of its record.
    fields = at(checkout, toys.hinttrace, "--list-fields").splitlines()
    assert [x for x in fields if x.startswith("toy ")] == ["toy node u64", "toy toy_score s64"]
    record = Toy(spec("none", 1, 1), rounds=1).run("toy-cell")
    line = json.loads(at(checkout, driver, str(record[5]["t_ns"])))
    assert line == {"type": "event", "t_ns": record[5]["t_ns"], "kind": "toy", "cpu": 1, "pid": 77,
                    "tid": 77, "comm": "kswapd0", "node": 3, "toy_score": -5}  # fmt: skip

    # The runner and the analysis take that line, and refuse it with a wrong field, by its name.
    less = {k: v for k, v in line.items() if k != "node"}
    bad = {"toy_score": line | {"toy_score": 1001}, "node": less, "kind": line | {"kind": "toys"}}
    said = at(checkout, driver, "check", stdin="".join(json.dumps(x) + "\n" for x in (line, *bad.values())))
    first, *others = said.splitlines()
    assert first == "taken"
    assert len(others) == len(bad) and all(name in text for name, text in zip(bad, others, strict=True)), others

    def with_line(x: dict) -> list[dict]:
        return [*record[:6], x, *record[6:-1], record[-1] | {"nr_lines": record[-1]["nr_lines"] + 1}]

    for name, x in bad.items():
        assert f":7: {name}: " in loaded(checkout, with_line(x)), name
    assert loaded(checkout, with_line(line)) == ""
    with pytest.raises(BadRecord, match="unknown event 'toy'"):
        load_record(checkout.tmp / "record.jsonl")  # of the checkout itself, which has no such probe

    changed = checkout.changed()
    assert changed == {name for name, _, _ in PROBE} and len(changed) <= 4


def test_the_program_of_a_probe_is_built(toys: Toys) -> None:
    """And is one that the tracer would load: it refuses objects with a program it does not know."""
    if not (TOP / "build/bpf/vmlinux.h").exists():
        pytest.skip("build/bpf/vmlinux.h is not built: make bpf")
    checkout = toys.checkout
    out = checkout.tmp / "allocfail.bpf.o"
    makefile = (TOP / "Makefile").read_text().replace("\\\n", " ")
    [flags] = [x.split(":=")[1] for x in makefile.splitlines() if x.startswith("BPF_CFLAGS :=")]
    words = [w for w in flags.split() if not w.startswith(("-Ibuild", "-ffile-prefix"))]
    at(checkout, "clang", *words, "-Werror", f"-I{TOP}/build/bpf", "-c", "-o", out, "bpf/allocfail.bpf.c")
    assert at(checkout, toys.driver, "object", out) == "af_toy tp_btf/mm_vmscan_kswapd_sleep\n"


# ---- a factor: whatever an experiment varies

ARMS = ("none", "reporting", "reporting-xb", "buffer")  # a control is named, so no others come along
SLACK = ("1", "4", "16")
# The other factor: its values, its name in the analysis, whether it applies to an arm that does not hint.
OTHERS = {"vcpus": (("1", "2"), "vcpus", True), "order": (("0", "9"), "order", False)}


def planned(checkout: Checkout) -> list[dict]:
    t = checkout.tmp
    r = checkout.hintrun("plan", "--root", str(checkout.root), "--experiment", "toy", "--accel", "tcg",
                         *(f"--{name}={t / folder}" for name, folder in (
                             ("kernel", "kernel"), ("qemu", "qemu"), ("rootfs", "rootfs"),
                             ("payload-dir", "guest"))))  # fmt: skip
    assert r.returncode == 0, r.stdout + r.stderr
    return [json.loads(line)["spec"] for line in r.stdout.splitlines()]


def at_equal_factors(a: Analysis, label: str, other: str) -> bool:
    theirs = a.points[other]
    return all(theirs[k] in (None, v) for k, v in a.points[label].items())


@pytest.mark.skipif(not HINTRUN.exists(), reason="build/bin/hintrun is not built")
@pytest.mark.parametrize("other", OTHERS)
def test_a_factor_is_whatever_an_experiment_varies(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    values, name, of_all = OTHERS[other]
    built = checkout.root / "build/workloads/realloc"
    built.mkdir(parents=True)
    shutil.copy(TOP / "workloads/realloc/run", built)
    checkout.track()
    checkout.experiment(
        "toy",
        set={"workload": "realloc", "arms": " ".join(ARMS), "repeats": "1"},
        vary={"param.slack": list(SLACK), other: list(values)},
    )

    # The plan: every combination, none twice.
    specs = planned(checkout)
    wanted = set(itertools.product(ARMS, SLACK, map(int, values)))
    found = [(s["arm"], s["params"]["slack"], s[name]) for s in specs]
    if not of_all:  # the baseline has the default only
        [default] = {s[name] for s in specs if s["arm"] == "none"}
        wanted = {w for w in wanted if w[0] != "none" or w[2] == default}
    assert set(found) == wanted and len(found) == len(wanted)
    assert len({s["label"] for s in specs}) == len(specs)

    # The analysis: found in the records, compared at equal values, nothing refused for it.
    results = checkout.tmp / "results"
    for s in specs:
        write_cell(results, s, rounds=2)
    a = analyse(load_results(results))
    assert [(f.name, f.values, f.numeric) for f in a.factors] == [
        (name, tuple(map(int, values)), True), ("params.slack", tuple(map(int, SLACK)), True)]  # fmt: skip
    assert a.excluded == () and a.absent == () and len(a.accepted) == len(specs) == a.count("finished")
    assert len(a.groups) == len(SLACK) * len(values) and all(len(g.labels) == len(ARMS) for g in a.groups)
    paired = {p.a: p for p in a.pairings}
    assert set(paired) == {label for label in a.arms if a.arms[label][0].record.spec.arm != "none"}
    assert all(p.nr_cells == 1 and at_equal_factors(a, p.a, p.b) for p in paired.values())
    over = [c.factor.name for c in a.curves]
    assert over.count(name) == len(SLACK) and over.count("params.slack") == len(values)
    for c in a.curves:
        assert {x.arm: [p.value for p in x.points] for x in c.arms} == {arm: list(c.factor.values) for arm in ARMS}
        assert not [p for x in c.arms for p in x.points if p.missing or p.nr_cells != 1]

    # The report has its section, with every setting; the other sections take half a minute.
    monkeypatch.setattr(report, "SECTIONS", tuple(x for x in report.SECTIONS if x.id == "curves"))
    text = report.render(a).replace("\N{NO-BREAK SPACE}", " ")
    assert 'id="curves"' in text and "Harm against what was varied" in text
    assert text.count("Rounds that lost a process, of all rounds") == len(a.curves)
    held = [f"slack {v}" for v in SLACK] + [f"{a.factors[0].title} {v}" for v in values]
    assert re.findall("<h3>(.*?)</h3>", text) == held, "in the order of their values, as they were set"

    assert checkout.changed() == {"experiments/toy.json"}
