# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench: batches belong to the part they stand in, holds of locks, where a larger buffer stops paying."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.bench.bench import analyse_bench, enough, mechanism
from analysis.bench.boots import load_bench, load_boot
from analysis.bench.locks import Hold, lock_holds
from analysis.record.fields import BadRecord

MIB = 1 << 20
PARTS = ("sixteenth", "eighth", "all", "again", "traced", "packed", "scattered")


def event(t: int, name: str, rest: str, task: str = "kworker/0:1-10") -> str:
    return f"     {task}      [000] d....   {t}: {name}: {rest}\n"


def lock(t: int, address: str, task: str = "kworker/0:1-10") -> str:
    return event(t, "lock_irq", f"(_raw_spin_lock_irq+0x0/0x20) lock={address}", task)


TRACE = [
    "# part traced\n",
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
    "# part held\n",
    lock(5000, "0xbb", "gauge-70"),
    lock(6000, "0xbb"),
    lock(6050, "0xcc", "gauge-70"),
    lock(6400, "0xbb"),
    event(6550, "local_timer_entry", "vector=236"),  # it waited for the release
    event(9000, "page_reporting_batch", "nr_chunks=1 nr_pages=512"),
    lock(9100, "0xaa"),
    "dropped events: 1\n",
]


def test_lock_holds():
    locks = lock_holds(TRACE)
    assert locks.holds == (Hold(400, 1), Hold(150, 1))
    assert locks.exchanges == (Hold(250, 2),)
    assert (locks.nr_events, locks.nr_lost) == (7, 3)


class Guest:
    """A folder as bench/run.sh leaves it."""

    def __init__(self, folder: Path, **env: str) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.work: list[str] = []
        self.device = ["qemu: a warning\n"]
        (folder / "cell.env").write_text("".join(f"{k}='{v}'\n" for k, v in env.items()))

    def say(self, **line: object) -> None:
        text = json.dumps(line) + "\n"
        self.work.append(text)
        # In two writes: what counts is when the last byte was taken.
        self.device += [
            f"virtio_console_flush_buf port 1, in_len {n}, out_len {n}\n" for n in (10, len(text) - 10)
        ]

    def batch(self, chunks: int, size: int, discarded: int | None = None) -> None:
        discarded = size if discarded is None else discarded
        self.device.append(
            f"virtio_balloon_report chunks: {chunks} bytes: {size} discarded: {discarded} in 9 ns\n"
        )

    def part(self, name: str, ticks: int, idle: int, free: int, batches: list[int]) -> None:
        self.say(type="mark", name=name)
        for size in batches:
            self.batch(1, size)
        self.say(
            type="gauge",
            name=name,
            elapsed_ns=ticks,
            elapsed_tsc=ticks,
            idle_ns=idle,
            free_pages=free // 4096,
        )

    def end(self, trace: list[str], status: int = 0) -> None:
        self.say(type="bye", t_ns=1, status=status)
        (self.folder / "work.stream").write_text("".join(self.work))
        (self.folder / "device.log").write_text("".join(self.device))
        (self.folder / "trace.stream").write_text("".join(trace))


def make_mechanism(folder: Path, buffer: int, cost: int) -> Path:
    guest = Guest(
        folder,
        HINT_BENCH="mechanism",
        HINT_MEM_BYTES=str(1024 * MIB),
        HINT_BUFFER_BYTES=str(buffer * MIB),
        HINT_ORDER="9",
        HINT_CAPACITY="512",
    )
    guest.say(type="hello", release="6.12", buffer_held_pages=buffer * MIB // 4096)
    own = [buffer * MIB] if buffer else []
    guest.batch(1, 7 * MIB)  # before the first mark: in no part
    guest.part("sixteenth", 10_000, 0, 64 * MIB, [*own, 60 * MIB])
    guest.part("eighth", 10_000, 0, 128 * MIB, [64 * MIB])
    guest.part("all", 1_000_000 + cost, 1_000_000, 1024 * MIB, [512 * MIB, 256 * MIB])
    guest.part("again", cost, 0, 1024 * MIB, [512 * MIB, 256 * MIB])
    guest.part("traced", cost + 700, 0, 1024 * MIB, [512 * MIB, 256 * MIB])
    guest.part("held-1", cost + 70, 0, 1024 * MIB, [512 * MIB])
    guest.part("packed", 10_000, 0, 128 * MIB, [])
    guest.part("scattered", 10_000, 0, 500 * MIB, [372 * MIB])
    guest.end(TRACE)
    return folder


def test_mechanism(tmp_path):
    row = mechanism(load_boot(make_mechanism(tmp_path / "b", 32, 7_500)))
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
    rows = [mechanism(load_boot(make_mechanism(tmp_path / str(b), b, c))) for b, c in costs.items()]
    best = enough(rows)
    assert best and best.buffer_bytes == 16 * MIB
    assert enough([]) is None


def test_two_clocks_must_agree(tmp_path):
    guest = Guest(tmp_path / "x", HINT_BENCH="mechanism")
    guest.say(type="mark", name="all")
    guest.say(type="gauge", name="all", elapsed_ns=2_000_000, elapsed_tsc=1_000_000, idle_ns=0, free_pages=1)
    guest.end([])
    with pytest.raises(BadRecord, match="elapsed_tsc"):
        load_boot(tmp_path / "x")


def make_tracer(folder: Path) -> None:
    guest = Guest(folder, HINT_BENCH="tracer", HINT_MEM_BYTES=str(512 * MIB), HINT_RATE="250")
    guest.say(type="hello", release="6.12", buffer_held_pages=0)
    for way, cost in {"none": 1000, "probes": 1005, "hinttrace": 1100, "perf": 1200}.items():
        guest.part(f"rest-{way}-1", 1_000_000, 999_000, 0, [])
        for load in ("alone", "workload"):
            guest.part(f"{load}-{way}-1", 1_000_000, 1_000_000 - 100 * cost, 0, [])
            guest.say(type="hist", name="request_latency", n=100)
    guest.say(type="log", t_ns=1, src="perf", text="[ perf record: ... 0.1 MB x.data (42 samples) ]<b>")
    guest.end(
        [json.dumps({"type": "loss", "probe": "isolate", "seen": 9, "recorded": 9, "dropped": {}}) + "\n"]
    )


def test_report(tmp_path, capsys):
    make_tracer(tmp_path / "tracer")
    make_mechanism(tmp_path / "reporting", 0, 15_000)
    for size, cost in ((4, 9_000), (32, 7_500)):
        make_mechanism(tmp_path / f"b{size}", size, cost)
    assert main(["bench", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "With every probe attached a request costs 1.005 times, within the aim of 1.01" in out
    assert "ten times a second, 1.100 times, beyond the aim" in out
    assert "cheaper, up to the largest measured" in out
    got = json.loads((tmp_path / "bench.json").read_text())
    assert got["enough_buffer"] == [{"mem_bytes": 1024 * MIB, "order": 9, "buffer_bytes": 32 * MIB}]
    assert got["tracer"]["firings"] == {"isolate": 9}
    assert got["tracer"]["perf_events"] == 42
    assert "longest hold of the zone lock, instructions: 300 in reporting with a queue of 512" in out
    ratios = {r["label"]: r["ratio"]["instructions_per_gib"] for r in got["mechanisms"]}
    assert ratios == {"reporting": 1.0, "buffer 4 MiB": 0.6, "buffer 32 MiB": 0.5}
    page = (tmp_path / "bench.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )


def test_a_guest_that_failed_is_named(tmp_path, capsys):
    make_tracer(tmp_path / "tracer")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cell.env").write_text("HINT_BENCH='mechanism'\n")
    assert main(["bench", str(tmp_path)]) == 1
    assert "guest broken" in capsys.readouterr().out
    assert main(["bench", str(tmp_path / "broken")]) == 2


def test_an_arm_that_reports_nothing(tmp_path, capsys):
    guest = Guest(
        tmp_path / "r",
        HINT_BENCH="mechanism",
        HINT_MEM_BYTES=str(1024 * MIB),
        HINT_BUFFER_BYTES="0",
        HINT_ORDER="9",
        HINT_CAPACITY="512",
    )
    guest.say(type="hello", release="6.12", buffer_held_pages=0)
    for name in PARTS:
        guest.part(name, 7_000, 0, 900 * MIB, [])
    guest.end([])
    row = mechanism(load_boot(tmp_path / "r"))
    assert (row.instructions_per_gib, row.hold_max, row.residue_bytes["all"]) == (None, None, 900 * MIB)
    assert main(["bench", str(tmp_path)]) == 0
    assert "told the host nothing: it begins only with 1 GiB free" in capsys.readouterr().out


def make_landing(folder: Path, buffer: int, slow: int, kernel: str = "k1") -> Guest:
    guest = Guest(
        folder,
        HINT_BENCH="landing",
        HINT_MEM_BYTES=str(512 * MIB),
        HINT_BUFFER_BYTES=str(buffer * MIB),
        HINT_HOST_THP="madvise",
        HINT_HOST_DEFRAG="defer+madvise",
        HINT_KERNEL=kernel,
        HINT_ACCEL="tcg",
    )
    guest.say(type="hello", release="6.12", buffer_held_pages=0)
    guest.batch(1, 4 * MIB)
    for r in (1, 2):
        for state, n in (("backed", 64), ("unbacked", 64 * slow)):
            nr = {"backed": 0, "unbacked": 0, "other": 0, state: 75}
            nr["other"] = 25
            guest.say(type="touch", name=f"{state}-page-{r}", bytes=409600, small=0, **nr)
            counts = [[n, 74], [n + 10, 1]]
            guest.say(
                type="hist",
                name=f"page_{state}",
                unit="ns",
                sub_bits=7,
                n=75,
                sum=75 * n,
                max=n + 10,
                counts=counts,
            )
            guest.say(
                type="hist", name="page_other", unit="ns", sub_bits=7, n=25, sum=25, max=1, counts=[[1, 25]]
            )
    return guest


def test_landing(tmp_path, capsys):
    make_landing(tmp_path / "l0", 0, 1).end([])
    make_landing(tmp_path / "l64", 64, 2).end([])
    assert main(["bench", str(tmp_path)]) == 0
    landing = analyse_bench(load_bench(tmp_path)).landing
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
    guest = make_landing(tmp_path / "l0", 0, 1)
    guest.batch(1, 4 * MIB, discarded=MIB)
    guest.end([])
    assert main(["bench", str(tmp_path)]) == 2
    assert "device.log" in capsys.readouterr().err


def test_kernels_are_not_mixed(tmp_path, capsys):
    make_landing(tmp_path / "l0", 0, 1).end([])
    make_landing(tmp_path / "l64", 64, 2, kernel="k2").end([])
    main(["bench", str(tmp_path)])
    assert "2 different kernels: they do not compare" in capsys.readouterr().out
