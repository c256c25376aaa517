# SPDX-License-Identifier: GPL-2.0-or-later
"""Records that contradict themselves: each kind of damage is found, named, and takes the run out of the counts."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import pytest
from make_records import MIB, NS, Toy, spec, write_cell

from analysis.compare.analyse import analyse
from analysis.compare.summary import summary
from analysis.record.invariants import TABLE, broken
from analysis.record.load import BadRecord, load_record, load_results

GOLDEN = Path(__file__).with_name("golden")
MEASURED_NS = 20 * NS


def toy(arm: str) -> list[dict]:
    return Toy(spec(arm, 1, 1), rounds=10).run("toy")


REPORTING, BUFFER = toy("reporting"), toy("buffer")


def found(tmp_path: Path, lines: list[dict], fix: bool = True) -> set[str]:
    """Names of the invariants that these lines break; fix: let the end line count them."""
    if fix:
        lines = [*lines[:-1], lines[-1] | {"nr_lines": len(lines) - 2}]
    path = tmp_path / "record.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    return {b.invariant for b in broken(load_record(path), tmp_path)}


def of(lines: list[dict], line_type: str, kind: str = "") -> list[dict]:
    return [x for x in lines if x["type"] == line_type and kind in ("", x.get("kind"), x.get("src"), x.get("name"))]


def without(lines: list[dict], gone: list[dict]) -> list[dict]:
    ids = {id(x) for x in gone}
    return [x for x in lines if id(x) not in ids]


def test_whole_records_break_nothing(tmp_path):
    assert of(REPORTING, "event", "oom_kill") and of(BUFFER, "event", "batch")
    assert found(tmp_path, REPORTING) == set()
    assert found(tmp_path, BUFFER) == set()
    for cell in load_results(GOLDEN):
        assert broken(cell.record, cell.folder) == ()


def test_a_batch_sent_while_the_tracer_detaches_is_no_contradiction(tmp_path):
    """Its programs go one after the other, with its last sample after them: the device may see one batch more."""
    lines = json.loads(json.dumps(REPORTING))
    before, last = of(lines, "sample", "guest")[-2:]
    late = [h for h in of(lines, "sample", "host") if before["t_ns"] <= h["t_ns"]]
    late += [of(lines, "sample", "host")[-1] | {"t_ns": last["t_ns"] - 1}]
    lines.insert(lines.index(last), late[-1])
    for h in late:
        h["device"] = h["device"] | {"bytes_received": h["device"]["bytes_received"] + (2 << 20)}
    assert "device bytes" not in found(tmp_path, lines)


def test_a_process_that_its_workload_killed_is_no_contradiction(tmp_path):
    lines = json.loads(json.dumps(REPORTING))
    insert(lines, {"type": "event", "t_ns": 8 * NS, "kind": "proc_exit", "name": "w", "pid": 99999, "signal": 9})
    assert found(tmp_path, lines) == set()


@pytest.mark.parametrize(("vcpus", "more", "red"), [(1, 512, True), (2, 512, False), (2, 513, True), (2, -1, True)])
def test_a_sample_within_an_exchange_on_another_cpu(tmp_path, vcpus, more, red):
    """Held has grown by the chunk of 512 pages, the level of the buffer has not sunk yet."""
    lines = json.loads(json.dumps(BUFFER))
    lines[0]["spec"]["vcpus"] = vcpus
    for b in of(lines, "event", "batch"):
        b["min_order"] = b["max_order"] = 9
    of(lines, "sample", "guest")[5]["zones"][-1]["buffer_pages"] += more
    assert ("buffer" in found(tmp_path, lines)) == red


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("guest", ("exchanges", "exchange_free_delta_pages")),
        ("host", ("swap_bytes", "process_rss_bytes", "huge_bytes")),
        ("batch", ("exchange",)),
        ("oom_kill", ("memcg", "sysrq", "batch_age_ns")),
        ("proc_exit", ("signal",)),
        ("direct_reclaim", ("batch_age_ns", "uncompensated_pages")),
    ],
)
@pytest.mark.parametrize("lines", [REPORTING, BUFFER])
def test_what_is_not_in_the_record_contradicts_nothing(tmp_path, lines, kind, names):
    lines = copy.deepcopy(lines)
    for x in lines:
        if kind in (x.get("kind"), x.get("src")):
            for name in names:
                x.pop(name, None)
    assert found(tmp_path, lines) == set()


def test_a_guest_that_does_not_read_its_parameters_back_contradicts_nothing(tmp_path):
    lines = copy.deepcopy(BUFFER)
    del lines[0]["guests"][0]["parameters"]
    assert found(tmp_path, lines) == set()


def test_every_invariant_says_what_it_is():
    names = [i.name for i in TABLE]
    assert len(set(names)) == len(names)
    assert all(i.says.endswith(".") for i in TABLE)


def insert(lines, *more):
    lines[-1:-1] = more
    return lines


def set_all(lines, **changes):
    for x in lines:
        x.update(changes)


def cut_samples(lines):
    end = next(p["t_ns"] for p in lines if p["type"] == "phase" and p["name"] == "measure" and p["edge"] == "end")
    gone = [x for x in of(lines, "sample", "guest") if x["t_ns"] > end - 5 * NS]
    for x in lines:
        if x["type"] == "loss" and x["probe"] == "sample":
            x["recorded"] -= len(gone)
    return without(lines, gone)


def in_event(kind, n=0, **changes):
    def change(lines):
        of(lines, "event", kind)[n].update(changes)
        return lines

    return change


def in_sample(src, n, change_one):
    def change(lines):
        change_one(of(lines, "sample", src)[n])
        return lines

    return change


def drop(line_type, kind=""):
    return lambda lines: without(lines, of(lines, line_type, kind))


# What was done to records that were then counted without a word, and more of the kind.
DAMAGE = {
    "all lines deleted": (lambda x: [x[0], x[-1]], "loss lines"),
    "all kills deleted": (drop("event", "oom_kill"), "recorded"),
    "kills and their exits deleted": (
        lambda x: without(x, of(x, "event", "oom_kill") + of(x, "event", "proc_exit")),
        "kills, kernel",
    ),
    "kills deleted, the loss line with them": (
        lambda x: without(x, of(x, "event", "oom_kill") + [y for y in of(x, "loss") if y["probe"] == "oom_kill"]),
        "loss lines",
    ),
    "one kill fifty times": (
        lambda x: insert(x, *[copy.deepcopy(of(x, "event", "oom_kill")[0]) for _ in range(49)]),
        "recorded",
    ),
    "all loss lines deleted": (drop("loss"), "loss lines"),
    "a second loss line": (lambda x: insert(x, copy.deepcopy(of(x, "loss")[0])), "loss lines"),
    "host memory of 4 PiB": (
        in_sample("host", 40, lambda s: s.update(rss_bytes=1 << 52, process_rss_bytes=1 << 52)),
        "resident",
    ),
    "more guest RAM than the process has": (
        in_sample("host", 40, lambda s: s.update(process_rss_bytes=s["rss_bytes"] - 1)),
        "resident",
    ),
    "host memory of another mapping": (
        lambda x: set_all(of(x, "sample", "host"), rss_bytes=72 * MIB) or x,
        "backed",
    ),
    "host memory falls by itself": (
        in_sample("host", 60, lambda s: s.update(rss_bytes=s["rss_bytes"] - 100 * MIB)),
        "follows discard",
    ),
    "exposure of 2^62": (
        in_sample("guest", -1, lambda s: s.update(uncompensated_page_ns=1 << 62, held_page_ns=1 << 62)),
        "integrals",
    ),
    "exposure twice as large": (
        lambda x: [
            y if y.get("src") != "guest" else y | {k: 2 * y[k] for k in ("uncompensated_page_ns", "held_page_ns")}
            for y in x
        ],
        "integrals",
    ),
    "exposure without holding": (
        in_sample("guest", -1, lambda s: s.update(uncompensated_page_ns=s["held_page_ns"] * 2)),
        "integrals",
    ),
    "measure ends at 2^60": (
        lambda x: set_all([p for p in of(x, "phase", "measure") if p["edge"] == "end"], t_ns=1 << 60) or x,
        "times",
    ),
    "a stall of 2^60 ns": (in_event("direct_reclaim", duration_ns=1 << 60), "durations"),
    "a kill after the end": (in_event("oom_kill", t_ns=1 << 50), "times"),
    "the tracer died": (lambda x: without(x, [y for y in of(x, "tracer") if y["edge"] == "end"]), "tracer"),
    "the tracer died before the end": (
        lambda x: set_all([y for y in of(x, "tracer") if y["edge"] == "end"], t_ns=6 * NS) or x,
        "tracer",
    ),
    "no tracer": (drop("tracer"), "tracer"),
    "samples stop before the end": (cut_samples, "covered"),
    "no host samples": (drop("sample", "host"), "covered"),
    "host samples begin late": (lambda x: without(x, of(x, "sample", "host")[:30]), "covered"),
    "host samples stop before the end": (lambda x: without(x, of(x, "sample", "host")[-10:]), "covered"),
    "no host sample for 12 s": (lambda x: without(x, of(x, "sample", "host")[40:160]), "covered"),
    "load samples stop": (
        lambda x: without(x, of(x, "sample", "load")[-12:]),
        "covered",
    ),
    "requests missing": (in_sample("load", 20, lambda s: s.update(n=s["n"] - 1)), "requests"),
    "a histogram that is too large": (
        lambda x: set_all(of(x, "hist", "request_latency"), sum=1 << 62) or x,
        "histograms",
    ),
    "a stall deleted": (drop("event", "direct_reclaim"), "recorded"),
    "stalls the kernel did not count": (
        lambda x: set_all([s["vmstat"] for s in of(x, "sample", "guest")], allocstall=0) or x,
        "direct reclaim",
    ),
    "a compaction nobody saw": (
        in_sample("guest", -1, lambda s: s["vmstat"].update(compact_stall=3)),
        "compaction",
    ),
    "a batch deleted": (lambda x: without(x, of(x, "event", "batch")[:1]), "recorded"),
    "batches overlap": (
        lambda x: in_event("batch", 1, start_ns=of(x, "event", "batch")[0]["start_ns"] + 1)(x),
        "batches apart",
    ),
    "answered before it was sent": (
        lambda x: in_event("batch", 0, ack_ns=of(x, "event", "batch")[0]["start_ns"])(x),
        "batches in order",
    ),
    "answered too early": (
        lambda x: in_event("batch", 0, ack_ns=of(x, "event", "batch")[0]["sent_ns"] + 1000)(x),
        "answers",
    ),
    "a larger batch than the device saw": (in_event("batch", 0, nr_pages=1 << 17), "largest batch"),
    "held and no batch out": (
        in_sample("guest", 2, lambda s: s["zones"][0].update(held_pages=512)),
        "held",
    ),
    "more uncompensated than held": (
        in_sample("guest", 2, lambda s: s["zones"][0].update(uncompensated_pages=512)),
        "held",
    ),
    "bytes the device did not get": (
        in_sample("host", -5, lambda s: s["device"].update(bytes_received=s["device"]["bytes_received"] + 4096)),
        "device bytes",
    ),
    "rounds out of order": (lambda x: set_all(of(x, "phase", "round")[-2:], index=77) or x, "rounds"),
    "a ledger that is not closed": (
        lambda x: x[-1]["guests"][0]["ledger"].update(ok=False) or x,
        "ledger",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(tmp_path, name):
    change, invariant = DAMAGE[name]
    assert invariant in found(tmp_path, change(copy.deepcopy(REPORTING)))


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        (in_sample("guest", 5, lambda s: s["zones"][0].update(buffer_pages=-512)), "buffer"),
        (in_sample("guest", -1, lambda s: s.update(exchanges=s["exchanges"] + 1)), "exchanges"),
        (in_event("batch", 2, exchange=False), "exchanges"),
    ],
)
def test_damage_to_a_run_with_a_buffer_is_found(tmp_path, change, invariant):
    assert invariant in found(tmp_path, change(copy.deepcopy(BUFFER)))


def test_a_line_too_few(tmp_path):
    assert "lines" in found(tmp_path, without(REPORTING, of(REPORTING, "phase")[-1:]), fix=False)


def open_batch(lines: list[dict], buffer: bool) -> list[dict]:
    """The last batch never came back: the tracer ends while it is out."""
    lines = copy.deepcopy(lines)
    last = of(lines, "event", "batch")[-1]
    for name in ("ack_ns", "done_ns", "err"):
        del last[name]
    last["open"] = True
    pages = last["nr_pages"]
    was = 0
    for s in of(lines, "sample", "guest"):
        away = s["t_ns"] - last["start_ns"]
        if away <= 0:
            was = s["held_page_ns"]
            continue
        zone = s["zones"][0]
        zone["held_pages"] = pages
        s["held_page_ns"] = was + pages * away
        if buffer:
            zone["buffer_pages"] = -pages
        else:
            zone["uncompensated_pages"] = pages
            zone["free_pages"] -= pages
            s["uncompensated_page_ns"] = s["held_page_ns"]
    return lines


@pytest.mark.parametrize(("lines", "buffer"), [(REPORTING, False), (BUFFER, True)])
def test_a_batch_that_is_out_at_the_end_is_no_contradiction(tmp_path, lines, buffer):
    assert found(tmp_path, open_batch(lines, buffer)) <= {"backed"}


def test_lost_and_open_requests_are_in_the_histogram(tmp_path):
    lines = copy.deepcopy(REPORTING)
    hist = of(lines, "hist", "request_latency")[0]
    begin, end = (p["t_ns"] for p in of(lines, "phase", "measure"))
    loads = [s for s in of(lines, "sample", "load") if begin < s["t_ns"] <= end]
    errors = sum(s["errors"] for s in loads)
    loads[5]["pending"] = 3
    # More than half of an interval lost: the median itself is a lost request's, in whole us.
    loads[6] |= {"p50_us": (1 << 40) // 1000, "p99_us": (1 << 40) // 1000}
    hist |= {"n": hist["n"] + errors + 3, "lost": errors + 1, "max": 1 << 40}
    hist["sum"] += (errors + 1) << 40
    hist["counts"] = [*hist["counts"], [(34 << 7), errors + 3]]
    assert found(tmp_path, lines) == set()
    hist["lost"] = errors + 4
    assert found(tmp_path, lines) == {"requests"}


def test_a_sample_that_took_long_may_see_a_batch_that_began_meanwhile(tmp_path):
    lines = copy.deepcopy(REPORTING)
    batch = of(lines, "event", "batch")[0]
    sample = next(x for x in of(lines, "sample", "guest") if any(z["held_pages"] for z in x["zones"]))
    assert batch["start_ns"] <= sample["t_ns"] < batch["ack_ns"]
    batch["start_ns"] = batch["sent_ns"] = sample["t_ns"] + 5_000_000
    assert "held" in found(tmp_path, lines)
    sample["took_ns"] = 4_500_000
    assert "held" not in found(tmp_path, lines)


def test_a_contradiction_takes_the_run_out_and_says_where(tmp_path):
    for arm in ("none", "reporting", "buffer"):
        write_cell(tmp_path, spec(arm, 1, 1), rounds=4)
    lines = Toy(spec("reporting", 1, 2), rounds=4).run("x")
    at = next(i for i, x in enumerate(lines) if x.get("src") == "host") + 1
    lines[at - 1]["rss_bytes"] = 1 << 52
    write_cell(tmp_path, spec("reporting", 1, 2), lines)
    got = summary(analyse(load_results(tmp_path)))
    (name,) = got["cells"]["broken"]
    assert got["cells"]["broken"][name][0]["line"] == at
    assert f"record.jsonl:{at}: resident: " in got["cells"]["excluded_why"][0]["why"]
    assert "1 of 2 runs of reporting do not count (1 contradicts itself)" in got["answer"]["sentence"]
    check = got["checks"][0]
    assert check["name"] == "Invariants" and check["ok"] is False and name in check["places"][0]


def test_each_guest_of_a_record_is_held_to_its_own_numbers(tmp_path):
    """Two guests in one record: their batches overlap, and neither contradicts itself."""
    other = [x | {"guest": 1} for x in toy("reporting")[1:-1]]
    run, end = copy.deepcopy(REPORTING[0]), copy.deepcopy(REPORTING[-1])
    run["guests"] *= 2
    end["guests"] *= 2
    body = sorted([*REPORTING[1:-1], *other], key=lambda x: x["t_ns"])
    assert found(tmp_path, [run, *body, end]) == set()
    victim = next(x for x in body if x.get("guest") == 1 and x.get("kind") == "oom_kill")
    assert found(tmp_path, [run, *without(body, [victim]), end]) >= {"recorded", "kills, kernel"}


NUMBERS = (
    ("sample", "guest", ("held_page_ns", "uncompensated_page_ns", "exchanges")),
    ("sample", "host", ("rss_bytes",)),
    ("sample", "load", ("n",)),
    ("event", "batch", ("start_ns", "ack_ns", "done_ns", "nr_pages", "nr_chunks")),
    ("event", "oom_kill", ("t_ns",)),
    ("event", "direct_reclaim", ("duration_ns", "t_ns")),
    ("hist", "request_latency", ("sum", "max")),
    ("loss", "", ("recorded",)),
)


@pytest.mark.parametrize("seed", range(40))
def test_a_number_made_huge_is_found_wherever_it_stands(tmp_path, seed):
    """Any one of the numbers that decide something, at any place, multiplied beyond what a run can be."""
    rng = random.Random(seed)
    lines = copy.deepcopy(rng.choice((REPORTING, BUFFER)))
    choices = [
        (x, name)
        for line_type, kind, names in NUMBERS
        for x in of(lines, line_type, kind)
        for name in names
        if not (line_type == "sample" and kind == "guest" and x is of(lines, "sample", "guest")[0])
    ]
    # As often one kind of line as another.
    def kind_of(choice):
        x, name = choice
        return x["type"], x.get("kind") or x.get("src") or "", name

    kind = rng.choice(sorted(set(map(kind_of, choices))))
    x, name = rng.choice([c for c in choices if kind_of(c) == kind])
    x[name] = (x[name] + 1) << rng.randrange(20, 24)
    try:
        assert found(tmp_path, lines), (x["type"], name)
    except BadRecord:
        pass  # not even read


@pytest.mark.parametrize("seed", range(40))
def test_a_deleted_or_doubled_line_is_found(tmp_path, seed):
    """Also when the end line counts along."""
    rng = random.Random(seed)
    lines = copy.deepcopy(rng.choice((REPORTING, BUFFER)))
    kinds = [("event", "oom_kill"), ("event", "batch"), ("event", "direct_reclaim"), ("loss", ""), ("sample", "load")]
    while True:
        line_type, kind = rng.choice(kinds)
        some = [x for x in of(lines, line_type, kind) if line_type != "loss" or x["recorded"]]
        if some:
            break
    x = rng.choice(some)
    measured = [p["t_ns"] for p in of(lines, "phase", "measure")]
    if line_type == "sample" and not (measured[0] < x["t_ns"] <= measured[1] and x["n"]):
        return
    lines = without(lines, [x]) if rng.random() < 0.5 else insert(lines, copy.deepcopy(x))
    assert found(tmp_path, lines), (line_type, kind)
