# SPDX-License-Identifier: GPL-2.0-or-later
"""From records to numbers: a golden record worked out by hand, guard, pairing, loss, the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_records import (
    MARKS,
    MIB,
    NS,
    REQUEST,
    Toy,
    loss_lines,
    run_line,
    spec,
    write_cell,
    write_experiment,
    zone_state,
)

from analysis.compare.analyse import analyse
from analysis.compare.summary import summary
from analysis.record.load import load_results

GOLDEN = Path(__file__).with_name("golden")
MS = 1_000_000


def arms_of(path: Path, **kwargs) -> dict:
    return summary(analyse(load_results(path), **kwargs))


def test_golden():
    """golden/README.md works the numbers out."""
    got = arms_of(GOLDEN)
    want = json.loads((GOLDEN / "expected.json").read_text())
    for label, metrics in want["arms"].items():
        for name, number in metrics.items():
            have = got["arms"][label][name]
            assert {k: have[k] for k in number} == number, f"{label}.{name}"
    for key in ("answer", "rounds", "kills"):
        assert got[key] == want[key], key


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("toy")
    write_experiment(path, repeats=3, rounds=12)
    return path


def test_every_metric_is_there(toy):
    got = arms_of(toy)
    wanted = (
        "oom_kills alloc_failures direct_reclaim_stalls swap_out_pages held_at_kill_bytes exposure_mib_s"
        " exchanges exchange_free_delta_pages batches latency_p50_us latency_p90_us latency_p99_us"
        " latency_p999_us latency_p9999_us host_saved_mib_s residue_mib events_lost attributable_kills"
        " genuine_kills undetermined_kills avoided_kills incidents notifications_per_gib bytes_per_batch"
        " direct_reclaim_ms"
    ).split()
    assert got["schema"] == 2
    assert list(got["arms"]) == ["none", "reporting", "reporting-xb", "buffer"]
    for metrics in got["arms"].values():
        for name in wanted:
            assert set(metrics[name]) >= {"n", "total", "median", "lo", "hi", "unit"}
        for name in ("latency_p50_us", "rss_mib", "batch_hold_ms", "held_at_kill_bytes"):
            assert metrics[name]["total"] is None  # a sum of quantiles, means or ratios is nothing
    assert got["cells"]["finished"] == got["cells"]["counted"] == 12
    assert got["arms"]["none"]["latency_p9999_us"]["median"] is None
    assert got["arms"]["none"]["latency_p9999_us"]["why"].startswith("n too small")
    # Runs of the toy differ in length, so in requests.
    assert [c["name"] for c in got["checks"] if c["ok"] is False] == ["The same load"]


def test_buffer_has_no_exposure(toy):
    arms = arms_of(toy)["arms"]
    assert arms["buffer"]["exposure_mib_s"]["total"] == 0
    assert arms["buffer"]["exchanges"]["total"] > 0
    assert arms["reporting"]["exposure_mib_s"]["lo"] > 0


def test_same_input_same_summary(toy):
    assert json.dumps(arms_of(toy)) == json.dumps(arms_of(toy))


def kill_line(t_ns: int, free: int, held: int, pid: int = 9, **changes) -> dict:
    return {
        "type": "event",
        "t_ns": t_ns,
        "kind": "oom_kill",
        "victim_pid": pid,
        "victim_comm": "wave",
        "victim_rss_pages": 100,
        "victim_oom_score_adj": 0,
        "gfp": 0x140DCA,
        "order": 0,
        "highest_zoneidx": 3,
        "memcg": False,
        "sysrq": False,
        "culprit_pid": pid,
        "culprit_comm": "wave",
        "zones": [zone_state(free, held, held, 0)],
        "held_pages": held,
        "uncompensated_pages": held,
        "batch_age_ns": 0,
        **(REQUEST | changes),
    }


def little_run(
    s: dict, kills: list[dict], rounds: int = 4, losses: tuple = (), end: dict | None = None
) -> list[dict]:
    """A run of rounds of one second with given kills and samples each 500 ms."""
    lines: list[dict] = [{"type": "phase", "t_ns": 0, "name": "measure", "edge": "begin"}]
    for i in range(rounds):
        lines.append({"type": "phase", "t_ns": i * NS, "name": "round", "edge": "begin", "index": i})
        lines.append({"type": "phase", "t_ns": i * NS + NS // 2, "name": "round", "edge": "end", "index": i})
    lines.append({"type": "phase", "t_ns": rounds * NS, "name": "measure", "edge": "end"})
    for t in range(0, rounds * NS + 1, NS // 2):
        zone = {
            "node": 0,
            "zone": 1,
            "free_pages": 6000,
            "held_pages": 0,
            "uncompensated_pages": 0,
            "buffer_pages": 0,
        }
        lines.append(
            {
                "type": "sample",
                "src": "guest",
                "t_ns": t,
                "zones": [zone],
                "uncompensated_page_ns": 0,
                "held_page_ns": 0,
                "exchanges": 0,
                "exchange_free_delta_pages": 0,
                "vmstat": {
                    "pswpout": 0,
                    "oom_kill": sum(k.get("kind") == "oom_kill" and k["t_ns"] <= t for k in kills),
                },
            }
        )
        lines.append(
            {
                "type": "sample",
                "src": "host",
                "t_ns": t,
                "host_ns": t,
                "rss_bytes": 400 * MIB + s["extra_bytes"],
                "device": Toy(s).device(),
            }
        )
    lines += kills
    lines.sort(key=lambda x: x["t_ns"])
    over = {x["probe"]: x for x in losses}
    lines = [
        {"type": "tracer", "t_ns": 0, "edge": "begin"},
        *lines,
        *(x | over.get(x["probe"], {}) for x in loss_lines(rounds * NS, lines)),
        {"type": "tracer", "t_ns": rounds * NS, "edge": "end"},
    ]
    return [run_line("x", s), *lines, {**Toy(s).end(), "nr_lines": len(lines), **(end or {})}]


def put(
    path: Path, arm: str, repeat: int, kills: list[dict], rounds: int = 4, losses: tuple = (), **changes
) -> None:
    s = spec(arm, 1, repeat, **changes)
    write_cell(path, s, little_run(s, kills, rounds, losses))


SHORT = MARKS["min_pages"]


def test_pairing_and_agreement(tmp_path):
    fake, real = (SHORT, 1024), (SHORT, 0)
    put(tmp_path, "none", 1, [kill_line(3 * NS + 1, *real)])
    put(
        tmp_path,
        "reporting",
        1,
        [kill_line(1, *fake), kill_line(NS + 1, *real), kill_line(3 * NS + 1, *real)],
    )
    pairs = {(p["a"], p["b"]): p for p in arms_of(tmp_path)["pairs"]}
    p = pairs["reporting", "none"]
    # round 0 fake, avoided: agree; round 1 genuine, yet avoided: disagree; 3 genuine, not avoided: agree
    assert (p["kills"], p["avoided"], p["agree"], p["disagree"]) == (3, 2, 2, 1)
    assert p["agreement"] == pytest.approx(2 / 3, abs=1e-5)
    assert list(pairs) == [("reporting", "none")]  # only the baseline says what would have been


def test_the_round_comes_from_the_exit_when_it_says_so(tmp_path):
    gone = {
        "type": "event",
        "t_ns": NS + 200,
        "kind": "proc_exit",
        "name": "wave",
        "pid": 9,
        "status": 0,
        "signal": 9,
        "round": 0,
    }
    put(tmp_path, "reporting", 1, [kill_line(NS + 100, SHORT, 1024), gone])
    assert arms_of(tmp_path)["kills"][0]["round"] == 0


def test_incidents(tmp_path):
    """Two kills 0.4 s apart with memory still short: one incident; a sample above high between: two."""
    put(
        tmp_path,
        "reporting",
        1,
        [kill_line(10, SHORT, 0), kill_line(400 * MS, SHORT, 0), kill_line(2 * NS, SHORT, 0)],
    )
    assert arms_of(tmp_path)["arms"]["reporting"]["incidents"]["total"] == 2
    better = {
        "type": "sample",
        "src": "guest",
        "t_ns": 200 * MS,
        "zones": [
            {
                "node": 0,
                "zone": 1,
                "free_pages": MARKS["high_pages"] + 1,
                "held_pages": 0,
                "uncompensated_pages": 0,
                "buffer_pages": 0,
            }
        ],
        "uncompensated_page_ns": 0,
        "held_page_ns": 0,
        "exchanges": 0,
        "exchange_free_delta_pages": 0,
        "vmstat": {},
    }
    other = tmp_path / "b"
    put(other, "reporting", 1, [kill_line(10, SHORT, 0), better, kill_line(400 * MS, SHORT, 0)])
    assert arms_of(other)["arms"]["reporting"]["incidents"]["total"] == 2


def test_memcg_and_sysrq_are_not_counted(tmp_path):
    put(
        tmp_path,
        "reporting",
        1,
        [
            kill_line(1, SHORT, 0, memcg=True),
            kill_line(2, SHORT, 0, sysrq=True),
            kill_line(3, SHORT, 0, constraint="memcg"),
        ],
    )
    arm = arms_of(tmp_path)["arms"]["reporting"]
    assert (arm["oom_kills"]["total"], arm["other_kills"]["total"]) == (0, 3)


def test_guard_refuses_what_is_not_a_factor(tmp_path):
    for r in (1, 2):
        put(tmp_path, "none", r, [])
        put(tmp_path, "reporting", r, [])
    put(tmp_path, "none", 3, [], kernel="deadbeef")
    put(tmp_path, "reporting", 3, [], workload_hash="ff")
    got = arms_of(tmp_path)
    assert got["cells"]["counted"] == 4
    why = " ".join(x["why"] for x in got["cells"]["excluded_why"])
    assert 'kernel is "deadbeef", counted cells have "c0ffee01"' in why
    assert "workload_hash is" in why


def test_guard_compares_what_the_guest_read_back(tmp_path):
    s = spec("reporting", 1, 1)
    lines = little_run(s, [])
    lines[0]["guests"][0]["order"] = 10
    write_cell(tmp_path, s, lines)
    s = spec("buffer", 1, 1)
    lines = little_run(s, [])
    lines[0]["guests"][0]["features"] = "0x20"
    write_cell(tmp_path, s, lines)
    s = spec("none", 1, 1)
    lines = little_run(s, [])
    lines[0]["guests"] = [None]
    write_cell(tmp_path, s, lines)
    why = " ".join(x["why"] for x in arms_of(tmp_path)["cells"]["excluded_why"])
    assert "order is 10 in the guest, 9 was asked" in why
    assert "hinting buffer not negotiated" in why
    assert "never said hello" in why


def test_lossy_cells_are_left_out_unless_asked_for(tmp_path):
    put(tmp_path, "reporting", 1, [kill_line(1, SHORT, 1024)])
    put(
        tmp_path,
        "reporting",
        2,
        [kill_line(1, SHORT, 1024)],
        losses=({"probe": "oom_kill", "seen": 3, "recorded": 1, "dropped": {"ring_full": 2}},),
    )
    put(
        tmp_path,
        "reporting",
        3,
        [kill_line(1, SHORT, 1024)],
        losses=({"probe": "batch", "seen": 3, "recorded": 0, "dropped": {}},),
    )
    got = arms_of(tmp_path)
    assert got["arms"]["reporting"]["oom_kills"]["total"] == 1
    assert got["arms"]["reporting"]["events_lost"]["total"] == 5
    assert {c["name"]: c["ok"] for c in got["checks"]}["Nothing lost"] is False
    assert got["answer"]["sentence"].startswith("These runs cannot tell: 2 of 3 runs of reporting do not count")
    assert arms_of(tmp_path, allow_loss=True)["arms"]["reporting"]["oom_kills"]["total"] == 3


FAKE, REAL = (SHORT, 1024), (SHORT, 0)


@pytest.mark.parametrize(
    ("arms", "tone", "words"),
    [
        ({}, "unknown", "no finished run"),
        (
            {"none": [REAL], "reporting": [FAKE], "buffer": []},
            "unknown",
            "does not fit this guest even without hinting",
        ),
        (
            {"none": [], "reporting": [FAKE] * 8, "buffer": []},
            "good",
            "8 of 10 rounds lost a process although the guest had the memory; with buffer none of 10 did",
        ),
        (
            {"none": [], "reporting": [FAKE] + [REAL] * 7, "buffer": []},
            "good",
            "8 of 10 rounds lost a process (1 of them although",
        ),
        # as few as this is chance
        ({"none": [], "reporting": [FAKE], "buffer": []}, "mixed", "1 of 10 rounds lost a process"),
        ({"none": [], "reporting": [REAL] * 8, "buffer": []}, "mixed", "in none of them is it shown"),
        ({"none": [], "reporting": [FAKE] * 9, "buffer": [FAKE]}, "bad", "fewer, but not none"),
        ({"none": [], "reporting": [FAKE, FAKE], "buffer": [FAKE]}, "bad", "no cure, as far as these rounds tell"),
        ({"none": [], "reporting": [FAKE], "buffer": [FAKE] * 9}, "bad", "did: more"),
        ({"none": [], "reporting": [], "buffer": [REAL]}, "bad", "did harm here"),
        ({"none": [], "reporting": [], "buffer": []}, "unknown", "No fake OOM was seen"),
        ({"none": [], "reporting": [FAKE]}, "bad", "no cure was run"),
        # of several mechanisms it speaks of the first that lost a process, and of what exists before others
        ({"none": [], "reporting": [], "reporting-split": [FAKE] * 5}, "bad", "With reporting-split 5 of 10 rounds lost"),
        ({"none": [], "async": [FAKE] * 2, "reporting": [FAKE] * 8}, "bad", "With reporting 8 of 10 rounds lost"),
        ({"none": [], "hint": [], "reporting": [FAKE] * 8, "buffer": []}, "good", "With reporting 8 of 10 rounds"),
        ({"buffer": []}, "unknown", "nothing to compare with"),
        ({"none": []}, "unknown", "nothing to compare with"),
        ({"reporting": [FAKE] * 8, "buffer": []}, "mixed", "none of 10 did"),
    ],
)
def test_answer(tmp_path, arms, tone, words):
    for arm, kills in arms.items():
        put(tmp_path, arm, 1, [kill_line(i * NS + 1, *k) for i, k in enumerate(kills)], rounds=10)
    got = arms_of(tmp_path)["answer"]
    assert words in got["sentence"]
    assert got["tone"] == tone


REMOVES = "buffer removes the fake OOM."
FAKE_OOM = "Hinting can create a fake OOM: a page being hinted cannot be used."
CONSTANT = "With buffer the amount of useful free memory stays constant."


def verdicts_of(got: dict) -> dict:
    return {c["claim"]: c["verdict"] for c in got["claims"]}


def test_claims_follow_the_data(toy, tmp_path):
    verdicts = verdicts_of(arms_of(toy))
    assert verdicts[FAKE_OOM] == "supported"
    assert verdicts[REMOVES] == "supported"
    assert verdicts[CONSTANT] == "supported"
    put(tmp_path, "reporting", 1, [])
    put(tmp_path, "buffer", 1, [kill_line(1, *FAKE)])
    verdicts = verdicts_of(arms_of(tmp_path))
    assert verdicts[REMOVES] == "refuted"
    assert verdicts[FAKE_OOM] == "not decided"
