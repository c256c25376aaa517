# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench: batches belong to the part they stand in, holds of locks, where a larger buffer stops paying."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from make_records import DEFINITIONS, run_line, spec, write_cell
from runner_bench import HINTRUN, TOP, Bench

from analysis.__main__ import main
from analysis.bench.bench import Mechanism, analyse_bench, enough, mechanism
from analysis.bench.boots import Boot, load_bench
from analysis.bench.locks import Hold, lock_holds

MIB = 1 << 20
PARTS = ("sixteenth", "eighth", "all", "again", "traced", "packed", "scattered")


def event(t: int, name: str, rest: str, task: str = "kworker/0:1-10") -> str:
    return f"     {task}      [000] d....   {t}: {name}: {rest}\n"


def lock(t: int, address: str, task: str = "kworker/0:1-10") -> str:
    return event(t, "lock_irq", f"(_raw_spin_lock_irq+0x0/0x20) lock={address}", task)


TRACED = [
    "# tracer: nop\n",
    lock(1000, "0xaa", "gauge-70"),  # another task's: not ours
    lock(2000, "0xaa"),  # not a zone's: nothing is reported under it
    lock(3000, "0xbb"),
    event(3100, "page_reporting_exchange_begin", "nid=0 zid=1 order=9"),
    event(3200, "page_reporting_isolate", "nid=0 zid=1 pfn=0x800 order=9 migratetype=1 exchange=1"),
    event(3350, "page_reporting_exchange", "nid=0 zid=1 taken=0x800 released=0x200 order=9"),
    lock(3400, "0xbb"),
    event(3500, "page_reporting_batch", "nr_chunks=1 nr_pages=512"),
    "overrun: 2\n",
]
HELD = [
    lock(5000, "0xbb", "gauge-70"),
    lock(6000, "0xbb"),
    lock(6050, "0xcc", "gauge-70"),
    lock(6400, "0xbb"),
    event(6550, "local_timer_entry", "vector=236"),  # it waited for the release
    event(9000, "page_reporting_batch", "nr_chunks=1 nr_pages=512"),
    lock(9100, "0xaa"),
    "dropped events: 1\n",
]


def test_lock_holds(tmp_path):
    (tmp_path / "traced").write_text("".join(TRACED))
    (tmp_path / "held").write_text("".join(HELD))
    locks = lock_holds(tmp_path / "traced", tmp_path / "held")
    assert locks.holds == (Hold(400, 1), Hold(150, 1))
    assert locks.exchanges == (Hold(250, 2),)
    assert (locks.nr_events, locks.nr_lost) == (7, 3)


class Guest:
    """A cell of the bench as the runner leaves it."""

    def __init__(self, root: Path, workload: str, arm: str, buffer: int = 0, **changes: object) -> None:
        params = {"tracer": "off"} | changes.pop("params", {})
        size = buffer * MIB
        cure = {"buffer_bytes": size, "extra_bytes": size} if arm == "buffer" else {}
        label = f"{workload}-{arm}-{buffer}"
        self.spec = spec(arm, 1, 1, workload=workload, label=label, params=params, capacity=512,
                         **{"mem_bytes": 1024 * MIB, "delay_ms": 60000, **cure, **changes})  # fmt: skip
        self.root = root
        self.t = 0
        self.lines: list[dict] = []
        self.device = ["qemu: a warning\n"]
        self.received = self.discarded = 0

    def say(self, port: int = 1, **line: object) -> None:
        self.t += 1000
        self.lines.append({"type": line.pop("type"), "t_ns": self.t, **line})
        self.device.append(f"virtio_console_flush_buf port {port}, in_len 99, out_len 99\n")

    def batch(self, chunks: int, size: int, discarded: int | None = None) -> None:
        discarded = size if discarded is None else discarded
        self.received += size
        self.discarded += discarded
        self.device.append(
            f"virtio_balloon_report chunks: {chunks} bytes: {size} discarded: {discarded} in 9 ns\n"
        )

    def part(self, name: str, ticks: int, idle: int, free: int, batches: list[int], port: int = 2, **more) -> None:
        self.say(port, type="mark", name=name)
        self.device.append("virtio_console_flush_buf port 1, in_len 9, out_len 9\n")  # a log line
        for size in batches:
            self.batch(1, size)
        self.say(port, type="gauge", name=name, elapsed_ns=ticks, elapsed_tsc=ticks, idle_ns=idle,
                 free_pages=free // 4096, **more)  # fmt: skip

    def end(self, status: str = "done", **artefacts: list[str]) -> Path:
        device = {
            "virtual_ns": 0, "batches": 1, "chunks": 1, "bytes_received": self.received,
            "bytes_discarded": self.discarded, "bytes_skipped": {}, "discard_ns": 0, "bytes_out": 0,
            "bytes_out_max": 0, "violations": 0, "buffer_pages": 0, "guest_features": "0x20",
        }  # fmt: skip
        end = {
            "type": "end", "status": status, "failure": None if status == "done" else "workload",
            "failure_detail": None if status == "done" else "the workload ended with status 1",
            "wall_s": 1.0, "nr_lines": len(self.lines), "nr_bad_lines": 0, "artefacts": [],
            "guests": [{"device": device, "ledger": None, "loss": {}}],
        }  # fmt: skip
        run = run_line("cell", self.spec)
        run["host"] |= {"thp": "madvise", "thp_defrag": "defer+madvise"}
        folder = write_cell(self.root, self.spec, [run, *self.lines, end])
        (folder / "qemu.log").write_text("".join(self.device))
        (folder / "artefacts").mkdir(exist_ok=True)
        for name, text in artefacts.items():
            (folder / "artefacts" / name).write_text("".join(text))
        return folder


def boots(root: Path) -> list[Boot]:
    return load_bench(root)


def make_mechanism(root: Path, buffer: int, cost: int) -> None:
    guest = Guest(root, "hintcost", "buffer" if buffer else "reporting", buffer)
    own = [buffer * MIB] if buffer else []
    guest.batch(1, 7 * MIB)  # before the first mark: in no part
    guest.part("sixteenth", 10_000, 0, 64 * MIB, [*own, 60 * MIB])
    guest.part("eighth", 10_000, 0, 128 * MIB, [64 * MIB])
    guest.part("all", 1_000_000 + cost, 1_000_000, 1024 * MIB, [512 * MIB, 256 * MIB])
    guest.part("again", cost, 0, 1024 * MIB, [512 * MIB, 256 * MIB])
    guest.part("traced", cost + 700, 0, 1024 * MIB, [512 * MIB, 256 * MIB])
    guest.part("held-1", cost + 70, 0, 1024 * MIB, [512 * MIB])
    guest.batch(1, 3 * MIB)  # between two parts
    guest.part("packed", 10_000, 0, 128 * MIB, [])
    guest.part("scattered", 10_000, 0, 500 * MIB, [372 * MIB])
    guest.end(traced=TRACED, held=HELD)


def row_of(root: Path, buffer: int, cost: int) -> Mechanism:
    make_mechanism(root, buffer, cost)
    [boot] = boots(root)
    assert not boot.failure, boot.failure
    return mechanism(boot)


def test_mechanism(tmp_path):
    row = row_of(tmp_path, 32, 7_500)
    assert (row.label, row.arm, row.role) == ("buffer 32 MiB", "buffer", "cure")
    assert row.colour == tuple(json.loads((DEFINITIONS / "buffer.json").read_text())["colour"].values())
    assert row.instructions_per_gib == 10_000  # skipped time is none of it
    assert row.notifications_per_gib == pytest.approx(2 / 0.75)
    assert row.report_all_ns == 1_007_500
    assert row.batch_max_bytes == 512 * MIB
    assert row.residue_bytes == {
        "sixteenth": 4 * MIB,
        "eighth": 4 * MIB,
        "all": 132 * MIB,
        "scattered": 0,
    }
    assert row.event_cost == 100
    assert (row.hold_p50, row.hold_p999, row.hold_max, row.nr_holds) == (50.0, 300.0, 300.0, 2)
    assert row.hold_per_gib == 700
    assert (row.exchange_max, row.nr_lost) == (50.0, 3)


def test_enough(tmp_path):
    costs = {4: 9_000, 16: 7_600, 64: 7_500, 256: 7_550}
    rows = [row_of(tmp_path / str(b), b, c) for b, c in costs.items()]
    best = enough(rows)
    assert best and best.buffer_bytes == 16 * MIB
    assert enough([]) is None


def failure_of(guest: Guest) -> str:
    guest.end(traced=[], held=[])
    [boot] = boots(guest.root)
    return boot.failure


def test_two_clocks_must_agree(tmp_path):
    guest = Guest(tmp_path, "hintcost", "reporting")
    guest.say(2, type="mark", name="all")
    guest.say(2, type="gauge", name="all", elapsed_ns=2_000_000, elapsed_tsc=1_000_000, idle_ns=0, free_pages=1)
    assert "elapsed_tsc: 1000000 ticks in 2000000 ns" in failure_of(guest)


def test_a_gauge_line_needs_its_mark(tmp_path):
    guest = Guest(tmp_path, "hintcost", "reporting")
    guest.say(2, type="mark", name="some")
    guest.say(2, type="gauge", name="all", elapsed_ns=1, elapsed_tsc=1, idle_ns=0, free_pages=1)
    assert "a gauge line without its mark" in failure_of(guest)


def test_each_line_must_be_a_write_that_the_device_saw(tmp_path):
    guest = Guest(tmp_path, "hintcost", "reporting")
    guest.part("all", 10, 0, MIB, [MIB])
    guest.device.append("virtio_console_flush_buf port 2, in_len 9, out_len 9\n")
    assert "3 writes to the trace port, 2 lines of it" in failure_of(guest)


def test_a_guest_that_is_not_as_its_arm_says_is_refused(tmp_path):
    guest = Guest(tmp_path, "hintcost", "buffer", 32)
    guest.spec |= {"buffer_bytes": 0, "extra_bytes": 0}  # its guest then negotiates none
    assert "feature bit 20 was not negotiated" in failure_of(guest)


def make_tracer(root: Path) -> None:
    guest = Guest(root, "tracecost", "buffer", 64, mem_bytes=512 * MIB, delay_ms=2000, params={"rate": "250"})
    for way, cost in {"none": 1000, "probes": 1005, "hinttrace": 1100, "perf": 1200}.items():
        guest.part(f"rest-{way}-1", 1_000_000, 999_000, 0, [], port=1)
        for load in ("alone", "workload"):
            guest.part(f"{load}-{way}-1", 1_000_000, 1_000_000 - 100 * cost, 0, [], port=1, nr_requests=100)
        # Each time it is run the tracer has its own lines, with names as before.
        guest.say(2, type="loss", probe="isolate", seen=4, recorded=4, dropped={})
        guest.say(2, type="hist", name="batch_hold", unit="ns", sub_bits=5, n=1, sum=1, max=1, counts=[[1, 1]])
    guest.say(type="log", src="perf", text="[ perf record: ... 0.1 MB x.data (42 samples) ]<b>")
    guest.say(type="log", src="hinttrace", text="(7 samples)")
    guest.end()


def test_report(tmp_path, capsys):
    make_tracer(tmp_path)
    make_mechanism(tmp_path, 0, 15_000)
    for size, cost in ((4, 9_000), (32, 7_500)):
        make_mechanism(tmp_path, size, cost)
    assert main(["bench", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "With every probe attached a request costs 1.005 times, within the aim of 1.01" in out
    assert "ten times a second, 1.100 times, beyond the aim" in out
    assert "cheaper, up to the largest measured" in out
    got = json.loads((tmp_path / "bench.json").read_text())
    assert got["enough_buffer"] == [{"mem_bytes": 1024 * MIB, "order": 9, "buffer_bytes": 32 * MIB}]
    assert got["tracer"]["firings"] == {"isolate": 16}
    assert got["tracer"]["perf_events"] == 42
    assert "longest hold of the zone lock, instructions: 300 in reporting with a queue of 512" in out
    ratios = {r["label"]: r["ratio"]["instructions_per_gib"] for r in got["mechanisms"]}
    assert ratios == {"reporting": 1.0, "buffer 4 MiB": 0.6, "buffer 32 MiB": 0.5}
    page = (tmp_path / "bench.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    assert "5 are checked in every run; without a tracer these do not apply: tracer; loss lines" in page
    for arm in ("reporting", "buffer"):
        assert json.loads((DEFINITIONS / f"{arm}.json").read_text())["colour"]["light"] in page


def test_runs_beside_it_are_no_business_of_the_bench(tmp_path, capsys):
    make_mechanism(tmp_path, 0, 15_000)
    write_cell(tmp_path, spec("none", 1, 1), rounds=4)
    assert main(["bench", str(tmp_path)]) == 0
    assert len(boots(tmp_path)) == 1


def test_a_guest_that_failed_is_named(tmp_path, capsys):
    make_tracer(tmp_path)
    Guest(tmp_path, "hintcost", "reporting").end(status="failed")
    unfinished = tmp_path / "hintcost-buffer-unfinished"
    unfinished.mkdir()
    (unfinished / "cell.json").write_text(json.dumps({"workload": "hintcost", "params": {"tracer": "off"}}))
    assert main(["bench", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "guest hintcost-reporting-0-s1-r1" in out and "the workload ended with status 1" in out
    assert "guest hintcost-buffer-unfinished: no record.jsonl" in out
    (tmp_path / "empty").mkdir()
    assert main(["bench", str(tmp_path / "empty")]) == 2


def test_an_arm_that_reports_nothing(tmp_path, capsys):
    guest = Guest(tmp_path, "hintcost", "reporting")
    for name in PARTS:
        guest.part(name, 7_000, 0, 900 * MIB, [])
    guest.end(traced=[], held=[])
    row = mechanism(boots(tmp_path)[0])
    assert (row.instructions_per_gib, row.hold_max, row.residue_bytes["all"]) == (None, None, 900 * MIB)
    assert main(["bench", str(tmp_path)]) == 0
    assert "told the host nothing: it begins only with 1 GiB free" in capsys.readouterr().out


def make_landing(root: Path, buffer: int, slow: int, kernel: str = "c0ffee01") -> Guest:
    guest = Guest(root, "firsttouch", "buffer" if buffer else "reporting", buffer, mem_bytes=512 * MIB,
                  clock="real", kernel=kernel)  # fmt: skip
    guest.batch(1, 4 * MIB)
    for r in (1, 2):
        for state, n in (("backed", 64), ("unbacked", 64 * slow)):
            nr = {"backed": 0, "unbacked": 0, "other": 0, state: 75}
            nr["other"] = 25
            name = f"{state}-page-{r}"
            guest.say(type="touch", name=name, bytes=409600, small=0, **nr)
            guest.say(type="hist", name=f"{name}.page_{state}", unit="ns", sub_bits=7, n=75, sum=75 * n, max=n + 10,
                      counts=[[n, 74], [n + 10, 1]])  # fmt: skip
            guest.say(type="hist", name=f"{name}.page_other", unit="ns", sub_bits=7, n=25, sum=25, max=1,
                      counts=[[1, 25]])  # fmt: skip
    return guest


def test_landing(tmp_path, capsys):
    make_landing(tmp_path, 0, 1).end()
    make_landing(tmp_path, 64, 2).end()
    assert main(["bench", str(tmp_path)]) == 0
    landing = analyse_bench(boots(tmp_path)).landing
    reporting, buffer = landing.pairs
    assert (reporting.label, buffer.label, buffer.kind) == ("reporting", "buffer 64 MiB", "page")
    assert (buffer.backed.n, buffer.backed.ns["p50"], buffer.backed.ns["p99"]) == (150, 64.0, 74.0)
    assert reporting.ratio["p50"].median == 1.0 and buffer.ratio["p50"].median == 2.0
    assert [(s.label, s.state, s.unbacked.median) for s in landing.shares] == [
        ("reporting", "unbacked", 0.75),
        ("buffer 64 MiB", "unbacked", 0.75),
    ]
    out = capsys.readouterr().out
    assert "75% of the pages are such" in out
    page = (tmp_path / "bench.html").read_text()
    assert "on for guest memory (madvise, which QEMU asks for), defrag defer+madvise" in page


def test_landing_demands_that_the_host_dropped_it(tmp_path, capsys):
    guest = make_landing(tmp_path, 0, 1)
    guest.batch(1, 4 * MIB, discarded=MIB)
    guest.end()
    assert main(["bench", str(tmp_path)]) == 1
    assert f"the host dropped {5 * MIB} bytes of {8 * MIB} reported" in capsys.readouterr().out


def test_kernels_are_not_mixed(tmp_path, capsys):
    make_landing(tmp_path, 0, 1).end()
    make_landing(tmp_path, 64, 2, kernel="c0ffee02").end()
    main(["bench", str(tmp_path)])
    assert "2 different kernels: they do not compare" in capsys.readouterr().out


# ---- the experiment


def planned(bench: Bench, *more: str) -> list[dict]:
    t = bench.tmp
    r = subprocess.run(
        [HINTRUN, "plan", "--root", TOP, "--experiment", "bench", "--kernel", t / "kernel", "--qemu", t / "qemu",
         "--rootfs", t / "rootfs", "--payload-dir", t / "guest", *more],
        capture_output=True, text=True, timeout=60)  # fmt: skip
    assert r.returncode == 0, r.stderr
    return [json.loads(line)["spec"] for line in r.stdout.splitlines() if line.startswith("{")]


def cells(specs: list[dict], workload: str, *fields: str) -> list[tuple]:
    return sorted(tuple(s[f] for f in fields) for s in specs if s["workload"] == workload)


@pytest.mark.parametrize(
    ("more", "nr", "large", "sizes", "rates"),
    [((), 28, [32, 128, 512], [4, 8, 16, 32, 64, 128, 256, 512], {("250", 1), ("250", 2), ("1000", 1), ("1000", 2)}),
     (("--quick",), 18, [512], [4, 32, 512], {("250", 1)})],
)  # fmt: skip
def test_the_bench_is_an_experiment(bench: Bench, more, nr, large, sizes, rates) -> None:
    specs = planned(bench, *more)
    assert len(specs) == nr and len({s["label"] + str(s["repeat"]) for s in specs}) == nr
    assert {s["params"]["tracer"] for s in specs} == {"off"}
    assert {s["arm"] for s in specs} == {"reporting", "buffer"}
    gib = 1024 * MIB
    queues = [(4 * gib, 0, 9, c) for c in (32, 512)] + [(gib, 0, o, c) for o in (0, 9) for c in (32, 128, 512)]
    buffers = [(4 * gib, b * MIB, 9, 512) for b in large] + [(gib, b * MIB, 9, 512) for b in sizes]
    buffers += [(gib, b * MIB, 0, 512) for b in (4, 32, 512)]
    assert cells(specs, "hintcost", "mem_bytes", "buffer_bytes", "order", "capacity") == sorted(queues + buffers)
    assert {(s["clock"], s["delay_ms"], s["ack_base_ns"]) for s in specs if s["workload"] == "hintcost"} == {
        ("virtual", 60000, 0)}  # fmt: skip
    assert cells(specs, "firsttouch", "buffer_bytes", "capacity", "clock") == [
        (0, 32, "real"), (64 * MIB, 512, "real")]  # fmt: skip
    watched = [s for s in specs if s["workload"] == "tracecost"]
    assert {(s["params"]["rate"], s["repeat"]) for s in watched} == rates
    assert {(s["clock"], s["ack_base_ns"], s["delay_ms"]) for s in watched} == {("virtual", 200_000_000, 2000)}


def test_no_arm_is_named_in_what_makes_the_page() -> None:
    names = "|".join(p.stem for p in DEFINITIONS.glob("*.json"))
    for folder in ("analysis/bench", "workloads/hintcost", "workloads/firsttouch", "workloads/tracecost"):
        for path in (TOP / folder).glob("*"):
            if path.suffix in (".py", ".c") or path.name == "run":
                # "none" is also a way of not watching.
                found = set(re.findall(rf"""["']({names})["']""", path.read_text())) - {"none"}
                assert not found, f"{path} names {found}"
