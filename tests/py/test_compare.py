# SPDX-License-Identifier: GPL-2.0-or-later
"""Arms against arms: died runs, roles, rates, factors, pairs."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from make_records import MIB, NS, Toy, definition, spec, write_cell
from test_analyse import FAKE, REAL, arms_of, kill_line, little_run, put, verdicts_of

from analysis.compare.factors import lower, rate

MS = 1_000_000
TOP = Path(__file__).resolve().parents[2]

FAKE_OOM = "Hinting can create a fake OOM: a page being hinted cannot be used."
REMOVES = "buffer removes the fake OOM."
CONSTANT = "With buffer the amount of useful free memory stays constant."
EXCHANGE = definition("reporting-xb")["claim"]


def kills(n: int, what=FAKE) -> list[dict]:
    """One in each of the first n rounds."""
    return [kill_line(i * NS + 1, *what) for i in range(n)]


def fine(path: Path, repeats: int = 1, **changes) -> None:
    """Reporting kills in 8 of 10 rounds, the others never."""
    for r in range(1, repeats + 1):
        put(path, "none", r, [], rounds=10, **changes)
        put(path, "reporting", r, kills(8), rounds=10, **changes)
        put(path, "buffer", r, [], rounds=10, **changes)


def failed(path: Path, arm: str, repeat: int, failure: str) -> None:
    s = spec(arm, 1, repeat)
    end = {"status": "failed", "failure": failure, "failure_detail": "deadlocked on memory"}
    write_cell(path, s, little_run(s, [], 10, end=end))


def test_an_arm_does_not_look_better_because_its_runs_died(tmp_path):
    fine(tmp_path, repeats=3)
    assert arms_of(tmp_path)["answer"]["tone"] == "good"
    for r in (2, 3):
        failed(tmp_path, "buffer", r, "panic")
    got = arms_of(tmp_path)
    assert got["answer"]["tone"] == "bad"
    assert "2 of 3 runs of buffer do not count (2 panic)" in got["answer"]["sentence"]
    assert any("2 runs of buffer did not survive" in d for d in got["answer"]["details"])
    assert verdicts_of(got)[REMOVES] == "not decided"
    assert verdicts_of(got)[CONSTANT] != "supported"


def test_all_runs_of_an_arm_died(tmp_path):
    put(tmp_path, "none", 1, [], rounds=10)
    put(tmp_path, "reporting", 1, kills(8), rounds=10)
    failed(tmp_path, "buffer", 1, "hang")
    got = arms_of(tmp_path)
    assert "1 of 1 run of buffer do not count (1 hang)" in got["answer"]["sentence"]
    assert got["answer"]["tone"] == "bad"
    assert verdicts_of(got)[REMOVES] == "not tested"


@pytest.mark.parametrize("arm", ["none", "reporting", "buffer"])
def test_nothing_is_said_for_an_arm_with_a_run_missing(tmp_path, arm):
    fine(tmp_path, repeats=2)
    (folder,) = tmp_path.glob(f"{arm}-s1-r2-*")
    (folder / "record.jsonl").unlink()
    got = arms_of(tmp_path)
    assert got["answer"]["sentence"].startswith(f"These runs cannot tell: 1 of 2 runs of {arm} do not count")
    (folder / "cell.json").unlink()
    folder.rmdir()
    got = arms_of(tmp_path)
    assert "1 of 2 runs of " + arm + " do not count (1 missing)" in got["answer"]["sentence"]
    assert verdicts_of(got)[REMOVES] == ("supported" if arm == "none" else "not decided")


def test_a_run_left_out_for_loss_is_a_gap_not_an_absent_arm(tmp_path):
    fine(tmp_path)
    lost = ({"probe": "kswapd_wake", "seen": 3, "recorded": 0, "dropped": {"ring_full": 3}},)
    put(tmp_path, "reporting", 1, kills(8), rounds=10, losses=lost)
    got = arms_of(tmp_path)
    assert "1 of 1 run of reporting do not count (1 events were lost)" in got["answer"]["sentence"]
    assert arms_of(tmp_path, allow_loss=True)["answer"]["tone"] == "good"


def test_a_fake_oom_is_not_shown_without_the_baseline(tmp_path):
    put(tmp_path, "reporting", 1, kills(8), rounds=10)
    got = arms_of(tmp_path)
    assert verdicts_of(got)[FAKE_OOM] == "not decided"
    put(tmp_path, "none", 1, [], rounds=10)
    assert verdicts_of(arms_of(tmp_path))[FAKE_OOM] == "supported"


def shifted(lines: list[dict], by: int) -> list[dict]:
    """The measured phase begins later: what came before is outside of it."""
    for x in lines:
        if x["type"] == "phase" and x["name"] == "measure" and x["edge"] == "begin":
            x["t_ns"] += by
    return sorted(lines[1:-1], key=lambda x: (x["t_ns"], x["type"] == "loss", x.get("edge") == "end"))


def test_kills_before_the_measured_phase_are_harm(tmp_path):
    fine(tmp_path)
    s = spec("buffer", 1, 1)
    lines = little_run(s, kills(1), 10)
    body = shifted(lines, NS // 10)
    write_cell(tmp_path, s, [lines[0], *body, lines[-1]])
    got = arms_of(tmp_path)
    assert got["arms"]["buffer"]["oom_kills"]["total"] == 0
    assert got["answer"]["tone"] != "good"
    assert "1 kill of buffer before or after the measured phase" in " ".join(got["answer"]["details"])
    assert verdicts_of(got)[REMOVES] == "not decided"


def end_with(lines, violations):
    lines[-1]["guests"][0]["device"]["violations"] = violations


def end_silent(lines, _):
    lines[-1]["guests"][0]["device"] = None


def count_none(lines, _):
    for x in lines:
        x.pop("exchange_free_delta_pages", None)


@pytest.mark.parametrize(
    ("change", "nr", "verdict", "said", "ok"),
    [
        (end_with, 0, "supported", "device 0", True),
        (end_with, 3, "refuted", "device 3", False),
        (end_silent, 0, "not decided", "device unknown", None),
        (count_none, 0, "not decided", "changed free memory by an unknown number of pages", True),
    ],
)
def test_violations_are_counted_or_unknown(tmp_path, change, nr, verdict, said, ok):
    for arm in ("none", "reporting", "buffer"):
        s = spec(arm, 1, 1)
        lines = Toy(s, rounds=8).run("x")
        if arm == "buffer":
            change(lines, nr)
        write_cell(tmp_path, s, lines)
    got = arms_of(tmp_path)
    assert verdicts_of(got)[CONSTANT] == verdict
    (claim,) = [c for c in got["claims"] if c["claim"] == CONSTANT]
    assert said in claim["evidence"]
    (check,) = [c for c in got["checks"] if c["name"] == "Never more out than B"]
    assert check["ok"] is ok


def test_rates_are_compared_not_sums(tmp_path):
    """1 kill in 1 run of the control, 3 in 12 runs of the cure: no verdict against the cure."""
    put(tmp_path, "reporting-xb", 1, kills(1), rounds=10)
    for r in range(1, 13):
        put(tmp_path, "buffer", r, kills(1) if r <= 3 else [], rounds=10)
    (claim,) = [c for c in arms_of(tmp_path)["claims"] if c["claim"] == EXCHANGE]
    assert claim["verdict"] == "not decided"
    assert "1 of 10 rounds (0 to 45 %)" in claim["evidence"]


def test_a_control_decides_its_own_claim(tmp_path):
    fine(tmp_path)
    put(tmp_path, "reporting-xb", 1, kills(7), rounds=10)
    assert verdicts_of(arms_of(tmp_path))[EXCHANGE] == "supported"
    put(tmp_path, "reporting-xb", 1, [], rounds=10)
    assert verdicts_of(arms_of(tmp_path))[EXCHANGE] == "not decided"
    put(tmp_path, "reporting-xb", 1, [], rounds=10)
    put(tmp_path, "buffer", 1, kills(8), rounds=10)
    assert verdicts_of(arms_of(tmp_path))[EXCHANGE] == "refuted"


def test_a_control_without_words_of_its_own(tmp_path):
    fine(tmp_path)
    s = spec("reporting-xb", 1, 1)
    lines = little_run(s, kills(7), 10)
    del lines[0]["arm"]["claim"]
    write_cell(tmp_path, s, lines)
    assert verdicts_of(arms_of(tmp_path))["buffer kills less often than reporting-xb."] == "supported"


def test_rates():
    assert rate(0, 10, "round").lo == 0 and rate(10, 10, "round").hi == 1
    assert rate(1, 2, "round").hi == pytest.approx(0.9874, abs=1e-4)
    assert rate(0, 0, "round").share is None
    assert lower(rate(0, 36, "round"), rate(7, 36, "round")) is True
    assert lower(rate(7, 36, "round"), rate(0, 36, "round")) is False
    assert lower(rate(0, 2, "round"), rate(1, 2, "round")) is None


# ---- pairs


def test_a_partner_that_was_cut_short_avoids_nothing(tmp_path):
    put(tmp_path, "none", 1, [], rounds=3)
    put(tmp_path, "reporting", 1, kills(8), rounds=10)
    (p,) = arms_of(tmp_path)["pairs"]
    assert (p["kills"], p["avoided"], p["unplaced"]) == (8, 3, 5)


def test_a_kill_after_a_round_is_in_no_round(tmp_path):
    """Rounds last 0.5 s of every second."""
    put(tmp_path, "none", 1, [])
    put(tmp_path, "reporting", 1, [kill_line(700 * MS, *FAKE)])
    got = arms_of(tmp_path)
    assert got["kills"][0]["round"] is None
    assert got["rounds"]["reporting"]["with_kill"] == 0 and got["rounds"]["reporting"]["between"] == 1
    assert any("1 kill of reporting in no whole round" in d for d in got["answer"]["details"])
    (p,) = got["pairs"]
    assert (p["avoided"], p["unplaced"]) == (0, 1)


def test_a_kill_between_rounds_keeps_an_arm_from_looking_clean(tmp_path):
    fine(tmp_path)
    put(tmp_path, "buffer", 1, [kill_line(700 * MS, *REAL)], rounds=10)
    got = arms_of(tmp_path)
    assert got["answer"]["tone"] == "bad"
    assert verdicts_of(got)[REMOVES] == "not decided"


# ---- checks and guard


def check_of(got: dict, name: str) -> dict:
    return next(c for c in got["checks"] if c["name"] == name)


@pytest.mark.parametrize("field", ["managed_pages", "min_pages", "gone"])
def test_a_guest_with_another_size_is_seen(tmp_path, field):
    fine(tmp_path)
    assert check_of(arms_of(tmp_path), "A guest of size X")["ok"] is True
    s = spec("buffer", 1, 1)
    lines = little_run(s, [], 10)
    if field == "gone":
        lines[0]["guests"][0]["zones"] = []
    else:
        lines[0]["guests"][0]["zones"][0][field] += 1
    write_cell(tmp_path, s, lines)
    check = check_of(arms_of(tmp_path), "A guest of size X")
    assert check["ok"] is False and "zone DMA32" in check["places"][0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda g: g.update(delay_ms=60000), "delay_ms is 60000 in the guest, 2000 was asked"),
        (lambda g: g.update(capacity=1), "capacity is 1 in the guest, 32 was asked"),
        (lambda g: g.update(features="0x100000000"), "feature bit 5 was not negotiated"),
    ],
)
def test_the_guest_must_be_as_the_arm_says(tmp_path, change, why):
    fine(tmp_path)
    s = spec("reporting", 1, 1)
    lines = little_run(s, kills(8), 10)
    change(lines[0]["guests"][0])
    write_cell(tmp_path, s, lines)
    assert why in arms_of(tmp_path)["cells"]["excluded_why"][0]["why"]


def test_parameters_an_arm_expects_are_read_back(tmp_path):
    s = spec("buffer", 1, 1)
    lines = little_run(s, [], 10)
    lines[0]["arm"]["expect"]["parameters"] = {"max_out_kib": "$buffer_kib"}
    lines[0]["guests"][0]["parameters"] = {"max_out_kib": "65536"}
    write_cell(tmp_path, s, lines)
    assert arms_of(tmp_path)["cells"]["counted"] == 1
    lines[0]["guests"][0]["parameters"] = {"max_out_kib": "0"}
    write_cell(tmp_path, s, lines)
    why = arms_of(tmp_path)["cells"]["excluded_why"][0]["why"]
    assert "parameter max_out_kib is 0 in the guest, 65536 was asked" in why


def test_b_of_an_arm_without_memory_beyond_x_is_what_the_kernel_was_told(tmp_path):
    s = spec("reporting", 1, 1) | {"kernel_params": {"page_reporting.max_out_kib": "32768"}}
    lines = little_run(s, [], 10)
    lines[0]["arm"] |= {"kernel": {"page_reporting.max_out_kib": "$buffer_kib"}}
    lines[0]["arm"]["expect"]["parameters"] = {"max_out_kib": "$buffer_kib"}
    lines[0]["guests"][0]["parameters"] = {"max_out_kib": "32768"}
    write_cell(tmp_path, s, lines)
    assert arms_of(tmp_path)["cells"]["counted"] == 1
    lines[0]["guests"][0]["parameters"] = {"max_out_kib": "0"}
    write_cell(tmp_path, s, lines)
    why = arms_of(tmp_path)["cells"]["excluded_why"][0]["why"]
    assert "parameter max_out_kib is 0 in the guest, 32768 was asked" in why


def test_arms_with_another_load_are_seen(tmp_path):
    fine(tmp_path)
    for arm, n in (("none", 10), ("reporting", 9)):
        s = spec(arm, 1, 1)
        lines = little_run(s, [], 4)
        load = dict(type="sample", src="load", t_ns=2 * NS, n=n, errors=0, p50_us=1, p99_us=1, max_us=1)
        hist = dict(
            type="hist", t_ns=4 * NS, name="request_latency", unit="ns", sub_bits=7, n=n, sum=n, max=1, counts=[[1, n]]
        )
        late = dict(load, t_ns=4 * NS, n=0)
        body = sorted([*lines[1:-2], load, late, hist], key=lambda x: x["t_ns"])
        body = [x for x in body if x["type"] == "tracer"] + [x for x in body if x["type"] != "tracer"] + [lines[-2]]
        write_cell(tmp_path, s, [lines[0], *body, lines[-1] | {"nr_lines": len(body)}])
    check = check_of(arms_of(tmp_path), "The same load")
    assert check["ok"] is False and "reporting" in check["places"][0]


# ---- the toolkit's own


def test_a_kill_the_toolkit_asked_for_is_apart_and_said(tmp_path):
    fine(tmp_path)
    put(tmp_path, "reporting", 1, [*kills(8), kill_line(9 * NS + 1, *FAKE, own=True)], rounds=10)
    got = arms_of(tmp_path)
    arm = got["arms"]["reporting"]
    assert (arm["oom_kills"]["total"], arm["own_kills"]["total"], arm["other_kills"]["total"]) == (8, 1, 0)
    assert "asked for 1 more kill in reporting" in " ".join(got["answer"]["details"])


# ---- roles


def renamed(lines: list[dict], names: dict[str, str]) -> list[dict]:
    lines = copy.deepcopy(lines)
    run = lines[0]
    run["spec"]["arm"] = run["spec"]["label"] = run["arm"]["name"] = names[run["spec"]["arm"]]
    if "of" in run["arm"]:
        run["arm"]["of"] = names[run["arm"]["of"]]
    return lines


def test_arms_of_any_name_are_judged_by_their_role(tmp_path):
    names = {"none": "zero", "reporting": "alpha", "reporting-xb": "beta", "buffer": "gamma"}
    for arm, what in (("none", []), ("reporting", kills(8)), ("reporting-xb", kills(7)), ("buffer", [])):
        s = spec(arm, 1, 1)
        lines = renamed(little_run(s, what, 10), names)
        write_cell(tmp_path, lines[0]["spec"], lines)
    got = arms_of(tmp_path)
    assert list(got["arms"]) == ["zero", "alpha", "beta", "gamma"]
    assert got["answer"]["tone"] == "good"
    assert "With alpha 8 of 10 rounds" in got["answer"]["sentence"]
    assert "with gamma none" in got["answer"]["sentence"]
    assert verdicts_of(got)["gamma removes the fake OOM."] == "supported"
    assert verdicts_of(got)[EXCHANGE] == "supported"
    assert got["avoided_against"]["alpha"] == "zero"


def test_no_arm_is_named_in_the_comparison():
    """Nor in the judge or the loader.  These are words of the record's format and of the kernel's parameters, too."""
    names = {p.stem for p in (TOP / "arms").glob("*.json")} - {"none", "buffer", "sync", "async", "hint"}
    assert "reporting-xb" in names
    quoted = re.compile("|".join(f"[\"']{re.escape(n)}[\"']" for n in names))
    hits = []
    for part in ("compare", "judge", "record"):
        for path in sorted((TOP / "analysis" / part).glob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if quoted.search(line):
                    hits.append(f"{path}:{number}: {line.strip()}")
    assert hits == []


def test_records_of_before_there_were_roles_are_shown_and_not_compared(tmp_path):
    for arm, what in (("none", []), ("reporting", kills(8)), ("buffer", [])):
        s = spec(arm, 1, 1)
        lines = little_run(s, what, 10)
        lines[0]["arm"] = None
        write_cell(tmp_path, s, lines)
    got = arms_of(tmp_path)
    assert got["cells"]["counted"] == 3
    assert "do not say what each arm is for" in got["answer"]["sentence"]
    assert got["arms"]["reporting"]["oom_kills"]["total"] == 8


# ---- factors


def sweep(path: Path, begins: int) -> None:
    """Host delays of 50, 100, 200 ms; reporting kills from `begins` ms on."""
    for ms in (50, 100, 200):
        put(path, "none", 1, [], rounds=10)
        put(path, "reporting", 1, kills(8) if ms >= begins else [], rounds=10, ack_base_ns=ms * MS)
        put(path, "buffer", 1, [], rounds=10, ack_base_ns=ms * MS)


def test_a_varied_delay_is_a_factor_and_nothing_is_left_out(tmp_path):
    sweep(tmp_path, 100)
    got = arms_of(tmp_path)
    assert got["cells"]["counted"] == got["cells"]["finished"] == 7
    assert got["cells"]["absent"] == []
    (factor,) = got["factors"]
    assert (factor["name"], factor["values"]) == ("ack_base_ns", [50 * MS, 100 * MS, 200 * MS])
    assert list(got["arms"])[:2] == ["none", "reporting (host delay 50 ms)"]
    # the baseline has no host delay, so it is the partner of all
    assert [g["labels"][0] for g in got["groups"]] == ["none"] * 3
    assert got["avoided_against"]["reporting (host delay 200 ms)"] == "none"
    removes = {c["where"]: c["verdict"] for c in got["claims"] if "removes" in c["claim"]}
    assert removes == {
        "host delay 50 ms": "not decided",
        "host delay 100 ms": "supported",
        "host delay 200 ms": "supported",
    }
    assert "reporting begins to kill at 100 ms (8 of 10 rounds)" in got["answer"]["sentence"]
    assert "buffer kills at no value" in got["answer"]["sentence"]


def test_a_curve_has_every_arm_at_every_value(tmp_path):
    sweep(tmp_path, 100)
    (curve,) = arms_of(tmp_path)["curves"]
    by = {a["arm"]: a for a in curve["arms"]}
    assert [p["value"] for p in by["none"]["points"]] == [50 * MS, 100 * MS, 200 * MS]
    assert [p["kills"]["with_kill"] for p in by["reporting"]["points"]] == [0, 8, 8]
    assert by["reporting"]["begins"] == 100 * MS and by["buffer"]["begins"] is None
    assert by["reporting"]["points"][1]["kills"]["lo"] == pytest.approx(0.4439, abs=1e-4)


def test_a_failed_run_is_a_gap_of_its_own_value_only(tmp_path):
    sweep(tmp_path, 100)
    s = spec("buffer", 1, 1, ack_base_ns=200 * MS)
    end = {"status": "failed", "failure": "panic", "failure_detail": ""}
    write_cell(tmp_path, s, little_run(s, [], 10, end=end))
    got = arms_of(tmp_path)
    removes = {c["where"]: c["verdict"] for c in got["claims"] if "removes" in c["claim"] and c["where"]}
    assert removes["host delay 100 ms"] == "supported"
    assert removes.get("host delay 200 ms") != "supported"


def test_sizes_of_a_buffer_are_not_merged(tmp_path):
    for mib in (32, 64):
        size = {"buffer_bytes": mib * MIB, "extra_bytes": mib * MIB}
        put(tmp_path, "buffer", 1, kills(8) if mib == 32 else [], rounds=10, **size)
    put(tmp_path, "none", 1, [], rounds=10)
    put(tmp_path, "reporting", 1, kills(8), rounds=10)
    got = arms_of(tmp_path)
    assert got["cells"]["counted"] == 4
    removes = {c["where"]: c["verdict"] for c in got["claims"] if "removes" in c["claim"]}
    assert removes == {"B 32 MiB": "refuted", "B 64 MiB": "supported"}
    assert [f["name"] for f in got["factors"]] == ["B"]


def test_two_factors_are_compared_at_equal_values(tmp_path):
    for rate_ in ("100", "400"):
        for mib in (32, 64):
            size = {"buffer_bytes": mib * MIB, "extra_bytes": mib * MIB}
            put(tmp_path, "buffer", 1, [], rounds=10, params={"rate": rate_}, **size)
        put(tmp_path, "none", 1, [], rounds=10, params={"rate": rate_})
        put(tmp_path, "reporting", 1, kills(8) if rate_ == "400" else [], rounds=10, params={"rate": rate_})
    got = arms_of(tmp_path)
    assert got["cells"]["counted"] == 8
    assert len(got["groups"]) == 4
    assert all(len(g["labels"]) == 3 for g in got["groups"])
    assert {f["name"] for f in got["factors"]} == {"B", "params.rate"}
    assert len(got["curves"]) == 4  # over B at each rate, over the rate at each B


def test_a_capacity_that_belongs_to_the_arm_is_no_factor(tmp_path):
    fine(tmp_path)
    s = spec("reporting-xb", 1, 1, capacity=64)
    lines = little_run(s, [], 10)
    lines[0]["arm"]["capacity"] = 64
    write_cell(tmp_path, s, lines)
    assert arms_of(tmp_path)["factors"] == []
    put(tmp_path, "reporting", 1, kills(8), rounds=10, capacity=1)
    assert [f["name"] for f in arms_of(tmp_path)["factors"]] == ["capacity"]


def test_a_delay_of_another_arm_is_never_its_partner(tmp_path):
    """2000 ms in one arm and 60000 in the other is no comparison."""
    put(tmp_path, "none", 1, [], rounds=10)
    put(tmp_path, "reporting", 1, kills(8), rounds=10)
    put(tmp_path, "buffer", 1, [], rounds=10, delay_ms=60000)
    got = arms_of(tmp_path)
    assert [f["name"] for f in got["factors"]] == ["delay_ms"]
    assert not any(c["verdict"] == "supported" and "removes" in c["claim"] for c in got["claims"])


def test_a_baseline_run_again_at_each_value_is_counted_once(tmp_path):
    """The host's delay means nothing without hinting; the doubles are no gap."""
    sweep(tmp_path, 100)
    put(tmp_path, "none", 1, [], rounds=10, ack_base_ns=50 * MS)
    got = arms_of(tmp_path)
    assert got["cells"]["excluded_why"][0]["why"].startswith("second cell")
    assert got["cells"]["absent"] == []
    assert "begins to kill at 100 ms" in got["answer"]["sentence"]


def test_a_sweep_is_good_where_it_can_tell(tmp_path):
    sweep(tmp_path, 100)
    got = arms_of(tmp_path)
    assert [g["answer"]["tone"] for g in got["groups"]] == ["unknown", "good", "good"]
    assert got["answer"]["tone"] == "good"
    (folder,) = [p for p in tmp_path.glob("buffer-*") if '"ack_base_ns": 50000000,' in (p / "cell.json").read_text()]
    (folder / "record.jsonl").unlink()
    assert arms_of(tmp_path)["answer"]["tone"] == "mixed"
