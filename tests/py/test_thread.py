# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread, sentence by sentence: every rule says every verdict, and says what it lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_records import ARMS, B, MIB, NS, PAGE, definition, spec, write_cell
from test_analyse import FAKE, REAL, kill_line, little_run

from analysis.__main__ import main
from analysis.compare.analyse import Analysis, analyse
from analysis.compare.metrics import summarise
from analysis.compare.stats import CellStats
from analysis.record.load import load_results
from analysis.record.model import Batch
from analysis.record.stalls import Stalls
from analysis.thread.page import render_thread
from analysis.thread.thread import RULES, VERDICTS, judge_thread, load_sentences
from analysis.thread.world import BORNE_OUT, CONTRADICTED, UNDECIDED, World

TOP = Path(__file__).resolve().parents[2]
MS = 1_000_000
SENTENCES = {s.id: s for s in load_sentences()[2]}
ROUNDS = 10


def cell(
    path: Path, arm: str, kills: Iterable[dict] = (), repeat: int = 1, rounds: int = ROUNDS, rss: int = 0, **changes
) -> None:
    """A run of an arm as its definition has it; rss in MiB."""
    arms = definition(arm)
    extra = dict(ARMS["reporting-xb"]) if arms["memory"] == "x+b" else {}
    extra |= {"buffer_bytes": B} if arms.get("buffer") else {}
    values = {k: v.replace("$buffer_kib", str(B // 1024)) for k, v in arms.get("kernel", {}).items()}
    s = spec(arm, 1, repeat, **(extra | {"kernel_params": values, "capacity": arms["capacity"]} | changes))
    lines = little_run(s, list(kills), rounds)
    guest = lines[0]["guests"][0]
    features = sum(1 << int(bit) for bit, on in arms["expect"]["features"].items() if on)
    guest["features"] = hex(1 << 32 | features)
    wanted = arms["expect"].get("parameters", {})
    guest["parameters"] = {k: v.replace("$buffer_kib", str(B // 1024)) for k, v in wanted.items()}
    for x in lines:
        if rss and x.get("src") == "host":
            x["rss_bytes"] = rss * MIB
    write_cell(path, s, lines)


def fakes(n: int, what: tuple[int, int] = FAKE) -> list[dict]:
    return [kill_line(i * NS + 1, *what) for i in range(n)]


def loaded(path: Path) -> Analysis:
    a = analyse(load_results(path))
    assert not a.excluded, a.excluded
    return a


def killing(**arms: int) -> Callable[[Path], Analysis]:
    """Arms with so many rounds of ten that lost a process although the memory was there."""

    def build(path: Path) -> Analysis:
        for arm, n in {"none": 0, **arms}.items():
            cell(path, arm.replace("_", "-"), fakes(n))
        return loaded(path)

    return build


def changed(a: Analysis, arm: str, change: Callable[[CellStats], CellStats]) -> Analysis:
    arms = {
        label: tuple(change(c) if c.record.spec.arm == arm else c for c in cells) for label, cells in a.arms.items()
    }
    return replace(a, arms=arms)


def valued(**values: float | None) -> Callable[[CellStats], CellStats]:
    return lambda c: replace(c, values=dict(c.values) | values)


def device(**counters: int) -> Callable[[CellStats], CellStats]:
    def change(c: CellStats) -> CellStats:
        end = c.record.end._replace(device=dict(c.record.end.device) | counters)
        return replace(c, record=replace(c.record, end=end))

    return change


def stalled(nr_rounds: int) -> Callable[[CellStats], CellStats]:
    """A stall of 20 ms in each of the first rounds."""

    def change(c: CellStats) -> CellStats:
        rows = np.array([[i * NS + 5, 0, 1, 20 * MS, 0, 0, 0] for i in range(nr_rounds)], dtype=np.int64)
        return replace(c, record=replace(c.record, stalls={"direct_reclaim": Stalls.of([rows.reshape(-1, 7)])}))

    return change


def batches(*found: tuple[int, int], free: int = 6000, exchange: bool = False) -> Callable[[CellStats], CellStats]:
    """Batches by (start, pages), each answered after 16 ms."""

    def change(c: CellStats) -> CellStats:
        made = tuple(
            Batch(t_ns=t, start_ns=t, sent_ns=t, ack_ns=t + 16 * MS, done_ns=t + 16 * MS, nr_pages=n, nr_chunks=1,
                  err=0, exchange=exchange)
            for t, n in found
        )
        samples = tuple(
            s._replace(zones=tuple(z._replace(free_pages=free) for z in s.zones)) for s in c.record.guest_samples
        )
        return replace(c, record=replace(c.record, batches=made, guest_samples=samples))

    return change


def one(arm: str, change: Callable[[CellStats], CellStats], *beside: str) -> Callable[[Path], Analysis]:
    def build(path: Path) -> Analysis:
        for name in ("none", arm, *beside):
            cell(path, name)
        return changed(loaded(path), arm, change)

    return build


def sizes(small: int, large: int | None) -> Callable[[Path], Analysis]:
    """Kills of a buffer of 16 and of 64 MiB."""

    def build(path: Path) -> Analysis:
        cell(path, "none")
        cell(path, "reporting", fakes(8))
        cell(path, "buffer", fakes(small), buffer_bytes=16 * MIB, extra_bytes=16 * MIB)
        if large is not None:
            cell(path, "buffer", fakes(large))
        return loaded(path)

    return build


def hosts(fast: int, slow: int, rounds: int = ROUNDS) -> Callable[[Path], Analysis]:
    """Kills of reporting with two hosts."""

    def build(path: Path) -> Analysis:
        cell(path, "none", rounds=rounds)
        for n, ns in ((fast, 0), (slow, 16 * MS)):
            cell(path, "reporting", fakes(n), rounds=rounds, ack_base_ns=0, ack_per_chunk_ns=ns)
        return loaded(path)

    return build


def orders(*numbers: float) -> Callable[[Path], Analysis]:
    """Notifications per GiB by order, from order 0."""

    def build(path: Path) -> Analysis:
        for order in range(len(numbers)):
            cell(path, "reporting", order=order)
        a = loaded(path)
        found = {
            label: dict(n) | {"notifications_per_gib": summarise([numbers[a.arms[label][0].record.spec.order]], "")}
            for label, n in a.numbers.items()
        }
        return replace(a, numbers=found)

    return build


def memory(arm: str, rss: int, other: str, theirs: int) -> Callable[[Path], Analysis]:
    def build(path: Path) -> Analysis:
        cell(path, arm, rss=rss)
        cell(path, other, rss=theirs)
        return loaded(path)

    return build


def gains(nr_stalled: int, rss: int) -> Callable[[Path], Analysis]:
    def build(path: Path) -> Analysis:
        cell(path, "none", rss=500)
        cell(path, "reporting", rss=rss)
        return changed(loaded(path), "reporting", stalled(nr_stalled))

    return build


def waits(theirs: int, ours: int) -> Callable[[Path], Analysis]:
    def build(path: Path) -> Analysis:
        cell(path, "buffer")
        cell(path, "reporting-oom-wait")
        return changed(changed(loaded(path), "buffer", stalled(theirs)), "reporting-oom-wait", stalled(ours))

    return build


def twins(repeats: int, factor: float = 1.0) -> Callable[[Path], Analysis]:
    """A buffer that swaps back beside one that does not."""

    def build(path: Path) -> Analysis:
        for r in range(1, repeats + 1):
            cell(path, "buffer", repeat=r)
            cell(path, "buffer-back", repeat=r)
        numbers = {"latency_p50_us": 40.0, "latency_p99_us": 60.0, "notifications_per_gib": 17.0, "hinted_mib": 900.0}
        a = changed(loaded(path), "buffer", valued(**numbers))
        return changed(a, "buffer-back", valued(**{k: v * factor for k, v in numbers.items()}))

    return build


STOPS = [(i * NS // 2 - 20 * MS, 512) for i in range(1, 19)]
WHOLE, HALF = (0, B // PAGE), (0, B // PAGE // 2)


def early(*found: tuple[int, int]) -> Callable[[CellStats], CellStats]:
    """Batches that were back before the measured phase, which these records begin with."""
    made = batches(*found)

    def change(c: CellStats) -> CellStats:
        c = made(c)
        return replace(c, record=replace(c.record, batches=tuple(b._replace(done_ns=0) for b in c.record.batches)))

    return change


CONSTANT = {"exchanges": 10.0, "exchange_free_delta_pages": 0.0, "exposure_mib_s": 0.0}

CASES: list[tuple[str, str, Callable[[Path], Analysis]]] = [
    ("async-oom", BORNE_OUT, killing(**{"async": 3})),
    ("async-oom", UNDECIDED, killing(**{"async": 0})),
    ("sync-safe", BORNE_OUT, killing(reporting=8, sync=0)),
    ("sync-safe", CONTRADICTED, killing(reporting=8, sync=3)),
    ("sync-safe", UNDECIDED, killing(reporting=0, sync=0)),
    ("no-solution", CONTRADICTED, killing(reporting=8, buffer=0)),
    ("no-solution", BORNE_OUT, killing(reporting=8, buffer=3)),
    ("no-solution", UNDECIDED, killing(reporting=2, buffer=0)),
    ("small-buffer", BORNE_OUT, sizes(0, 3)),
    ("small-buffer", CONTRADICTED, sizes(3, 0)),
    ("small-buffer", UNDECIDED, sizes(0, None)),
    ("time", BORNE_OUT, hosts(0, 8)),
    ("time", CONTRADICTED, hosts(300, 300, 600)),
    ("time", UNDECIDED, hosts(0, 1)),
    ("sync-blocks", BORNE_OUT, one("sync", batches(*STOPS, free=20_000))),
    ("sync-blocks", CONTRADICTED, one("sync", batches(*STOPS, free=7_500))),
    ("sync-blocks", UNDECIDED, one("sync", batches())),
    ("oom-exit", BORNE_OUT, killing(**{"async": 8})),
    ("oom-exit", CONTRADICTED, lambda p: [cell(p, "async", fakes(8, REAL)), loaded(p)][1]),
    ("oom-exit", UNDECIDED, killing(**{"async": 0})),
    ("large-cheap", BORNE_OUT, orders(8000, 16)),
    ("large-cheap", CONTRADICTED, orders(16, 8000)),
    ("large-cheap", UNDECIDED, orders(16)),
    ("constant", BORNE_OUT, one("buffer", valued(**CONSTANT))),
    ("constant", CONTRADICTED, one("buffer", valued(**CONSTANT | {"exchange_free_delta_pages": 4.0}))),
    ("constant", UNDECIDED, one("buffer", valued(**CONSTANT | {"exchanges": 0.0}))),
    ("unpinned", BORNE_OUT, memory("buffer", 484, "reporting", 480)),
    ("unpinned", CONTRADICTED, memory("buffer", 540, "reporting", 480)),
    ("unpinned", UNDECIDED, memory("buffer", 500, "reporting", 480)),
    ("at-start", BORNE_OUT, one("buffer", early(WHOLE))),
    ("at-start", CONTRADICTED, one("buffer", early())),
    ("at-start", UNDECIDED, one("buffer", early(HALF))),
    ("bounded", BORNE_OUT, one("buffer", device(bytes_out_max=B, violations=0))),
    ("bounded", CONTRADICTED, one("buffer", device(bytes_out_max=B + 1, violations=0))),
    ("bounded", UNDECIDED, one("buffer", device(bytes_out_max=0, violations=0))),
    ("more-than-sold", BORNE_OUT, memory("buffer", 513, "none", 500)),
    ("more-than-sold", UNDECIDED, memory("buffer", 512, "none", 500)),
    ("more-than-sold", UNDECIDED, one("buffer", lambda c: replace(c, record=replace(c.record, host_samples=())))),
    ("tenth", BORNE_OUT, one("reporting", device(bytes_out_max=64 * MIB))),
    ("tenth", CONTRADICTED, one("reporting", device(bytes_out_max=16 * MIB))),
    ("tenth", UNDECIDED, one("reporting", device(bytes_out_max=40 * MIB))),
    ("trade", BORNE_OUT, gains(8, 450)),
    ("trade", CONTRADICTED, gains(8, 510)),
    ("trade", UNDECIDED, gains(1, 450)),
    ("wait-price", BORNE_OUT, waits(0, 8)),
    ("wait-price", CONTRADICTED, waits(8, 0)),
    ("wait-price", UNDECIDED, waits(1, 2)),
    ("back-guest", BORNE_OUT, twins(3)),
    ("back-guest", CONTRADICTED, twins(3, 1.2)),
    ("back-guest", UNDECIDED, twins(2, 1.2)),
    ("back-host", BORNE_OUT, twins(3)),
    ("back-host", CONTRADICTED, twins(3, 0.8)),
    ("back-host", UNDECIDED, twins(2)),
]


@pytest.mark.parametrize(("name", "verdict", "build"), CASES, ids=[f"{i}-{n}-{v}" for i, (n, v, _) in enumerate(CASES)])
def test_a_rule_says(tmp_path: Path, name: str, verdict: str, build: Callable[[Path], Analysis]) -> None:
    s = SENTENCES[name]
    found = RULES[s.rule](World(build(tmp_path)), s.args)
    assert found.verdict == verdict, found.reason
    assert found.reason
    assert found.table is None or all(len(row) in (1, len(found.table.head)) for row in found.table.rows)


def test_every_rule_says_every_verdict_here() -> None:
    """But that nobody was killed does not prove that nobody can be, and a sample is not all of the time."""
    tried = {(SENTENCES[name].rule, verdict) for name, verdict, _ in CASES}
    assert tried == {(r, v) for r in RULES for v in VERDICTS} - {(r, CONTRADICTED) for r in ("creates", "exceeds")}
    assert {s.rule for s in SENTENCES.values()} == set(RULES)


@pytest.mark.parametrize("name", list(SENTENCES))
def test_without_its_data_a_sentence_is_not_decided_and_says_what_is_missing(tmp_path: Path, name: str) -> None:
    cell(tmp_path, "none")
    s = SENTENCES[name]
    found = RULES[s.rule](World(loaded(tmp_path)), s.args)
    assert found.verdict == UNDECIDED
    arms = [s.args["arm"]] if "arm" in s.args else s.args["arms"]
    assert re.search("|".join([*(f"no run of arm {a} " for a in arms), "nothing varies"]), found.reason), found.reason


def test_a_factor_that_is_not_varied_is_named(tmp_path: Path) -> None:
    cell(tmp_path, "none")
    cell(tmp_path, "reporting")
    found = {s.id: f for s, f in judge_thread(loaded(tmp_path)).found}
    assert found["large-cheap"].reason == "nothing varies order in these results"
    assert found["workload"].reason == "nothing varies wave_rest in these results"


def test_a_workload_that_does_not_fit_decides_nothing(tmp_path: Path) -> None:
    cell(tmp_path, "none", fakes(1, REAL))
    cell(tmp_path, "async", fakes(8))
    found = {s.id: f for s, f in judge_thread(loaded(tmp_path)).found}
    assert found["async-oom"].verdict == UNDECIDED
    assert "does not fit even without hinting" in found["async-oom"].reason


def test_runs_that_are_missing_decide_nothing(tmp_path: Path) -> None:
    for r in (1, 2):
        cell(tmp_path, "none", repeat=r)
        cell(tmp_path, "reporting", fakes(8), repeat=r)
    cell(tmp_path, "sync")
    found = {s.id: f for s, f in judge_thread(loaded(tmp_path)).found}
    assert found["sync-safe"].verdict == UNDECIDED
    assert "1 of 2 runs of sync do not count" in found["sync-safe"].reason


def test_a_kill_hides_what_is_never_reported(tmp_path: Path) -> None:
    """The memory of a dead process is free, and nobody is to blame that it was not reported."""
    for order in (0, 9):
        cell(tmp_path, "reporting", fakes(1), order=order)
    found = {s.id: f for s, f in judge_thread(loaded(tmp_path)).found}
    assert found["large-hard"].verdict == UNDECIDED
    assert found["large-hard"].table and found["large-hard"].table.rows[0][1] == "–"


def test_a_verdict_at_one_point_stands(tmp_path: Path) -> None:
    """Kills with a slow host are not undone by a fast one."""
    found = {s.id: f for s, f in judge_thread(hosts(0, 8)(tmp_path)).found}
    assert found["reproduce"].verdict == BORNE_OUT
    assert found["reproduce"].where == "host delay per chunk 16 ms"


def test_the_page_is_whole(tmp_path: Path) -> None:
    a = killing(reporting=8, buffer=0, sync=0)(tmp_path)
    thread = judge_thread(a)
    html = render_thread(a, thread)
    for s, f in thread.found:
        assert f'id="{s.id}"' in html and f'href="#{s.id}"' in html
    assert not re.search(r"<script|https?://|src=", html)
    assert "no run of arm hint is in these results" in html
    assert html.count('<table class="numbers">') == sum(f.table is not None for _, f in thread.found)
    for at in (m.start() for m in re.finditer("<table", html)):
        assert 'class="scroll"' in html[at - 120 : at], "a table as wide as it likes scrolls in a box of its own"


def test_the_command_writes_both_pages_for_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell(tmp_path, "none")
    cell(tmp_path, "reporting", fakes(8))
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").exists() and not (tmp_path / "thread.html").exists()
    assert main(["thread", str(tmp_path)]) == 0
    assert "contradict" in capsys.readouterr().out
    written = json.loads((tmp_path / "thread.json").read_text())
    assert len(written["sentences"]) == len(SENTENCES) == sum(written["verdicts"].values())
    (tmp_path / "thread.html").unlink()
    for path in tmp_path.glob("*/record.jsonl"):
        path.write_text(path.read_text().replace('"experiment": "memcached"', '"experiment": "thread"'))
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "thread.html").exists()


def test_the_experiment_has_what_the_sentences_need() -> None:
    """But for the arms that do not exist (yet)."""
    matrices = json.loads((TOP / "experiments/thread.json").read_text())["matrices"]
    run = {arm for m in matrices for arm in m["set"]["arms"].split()}
    wanted: set[str] = set()
    for s in SENTENCES.values():
        wanted |= {v for k, v in s.args.items() if k in ("arm", "rival")} | set(s.args.get("arms", ()))
    there = {p.stem for p in (TOP / "arms").glob("*.json")}
    assert wanted & there <= run <= there
    varied = {f for m in matrices for f in m.get("vary", {})} | {"ack-delay"}
    known = {"B": "buffer", "order": "order", "ack_per_chunk_ns": "ack-delay", "params.wave_rest": "param.wave_rest"}
    assert {known[s.args["factor"]] for s in SENTENCES.values() if "factor" in s.args} <= varied
