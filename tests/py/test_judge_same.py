# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracer's judge (collectors/trace/verdict.c) and the analysis' on the same kills, and the screens they give."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from analysis.judge import gfp as g
from analysis.judge.judge import judge_event
from analysis.record.load import load_events

TOP = Path(__file__).resolve().parents[2]
TRACER = TOP / "build/guest/hinttrace"
CASES = TOP / "tests/py/cases/schema2"
NR_KILLS = 20_000

GFPS = (g.GFP_KERNEL, g.GFP_HIGHUSER_MOVABLE, g.GFP_ATOMIC, g.GFP_NOWAIT, g.GFP_TRANSHUGE,
        g.GFP_USER | g.THISNODE, g.GFP_KERNEL | g.MEMALLOC, g.GFP_KERNEL | g.NOMEMALLOC,
        g.GFP_KERNEL | g.HIGH, g.GFP_KERNEL | g.DMA32)  # fmt: skip


def some_zone(r: random.Random, node: int, zone: int) -> dict:
    """A zone near its mark, so that every inequality is met from both sides."""
    low = r.randrange(0, 4000)
    blocks = [r.choice((0, 0, r.randrange(4))) for _ in range(11)]
    listed = sum(n << o for o, n in enumerate(blocks))
    held = [[o, r.randrange(1, 4)] for o in range(11) if r.random() < 0.12]
    nr_held = sum(n << o for o, n in held)
    torn = r.random() < 0.1
    z = {
        "node": node,
        "zone": zone,
        "free_pages": max(listed + r.choice((0, 0, 0, r.randrange(-600, 600))), 0),
        "min_pages": low,
        "low_pages": low * 5 // 4,
        "high_pages": low * 3 // 2,
        "boost_pages": r.choice((0, 0, r.randrange(500))),
        "reserve_pages": r.choice((0, 0, r.randrange(3000))),
        "highatomic_pages": r.choice((0, 0, r.randrange(1500))),
        "cma_pages": r.choice((0, 0, r.randrange(1500))),
        "held_pages": nr_held + (r.randrange(700) if torn else 0),
        "uncompensated_pages": r.choice((nr_held, nr_held, nr_held // 2, 0)),
        "buffer_pages": 0,
        "held_by_order": held,
        "nr_free_by_order": blocks,
    }
    if r.random() < 0.9:
        z["isolated_pageblocks"] = r.choice((0, 0, 0, 1, 2))
    return z


def some_kill(r: random.Random, t_ns: int) -> dict:
    nr_nodes = r.choice((1, 1, 2, 3))
    zones = [some_zone(r, node, zone) for node in range(nr_nodes) for zone in range(3) if r.random() < 0.6][:8]
    kill = {
        "type": "event",
        "t_ns": t_ns,
        "kind": "oom_kill",
        "comm": "a",
        "pid": 1,
        "victim_pid": 2,
        "victim_comm": "v",
        "memcg": r.random() < 0.03,
        "sysrq": r.random() < 0.03,
        "culprit_pid": 1,
        "culprit_comm": r.choice(("a",) * 30 + ("",)),
        "state_ns": t_ns - r.choice((0, 10**6, 10**6, -(2 * 10**6), 2 * 10**9)),
        "gfp": r.choice(GFPS),
        "order": r.choice((0, 0, 1, 3, 9, 10)),
        "highest_zoneidx": r.choice((0, 1, 2, 3)),
        "constraint": r.choice(("none",) * 6 + ("cpuset", "memory_policy", "memcg", "thisnode", "unknown")),
        "pf_memalloc": r.random() < 0.1,
        "oom_victim": r.random() < 0.1,
        "zones": zones,
    }
    if r.random() < 0.6:
        kill["allowed_nodes"] = sorted(r.sample(range(nr_nodes + (r.random() < 0.1)), r.randrange(1, nr_nodes + 1)))
    if r.random() < 0.02:
        kill["zones_missing"] = True
    return kill


def write(path: Path, lines: list[dict]) -> Path:
    end = {"type": "tracer", "t_ns": 10**15, "edge": "end"}
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in [*lines, end]))
    return path


def replay(path: Path, *more: str) -> str:
    out = subprocess.run([TRACER, "--replay", path, *more], capture_output=True, text=True, check=True)
    assert out.stderr == ""
    return out.stdout


def test_both_judges_agree_on_random_kills(tmp_path):
    r = random.Random(10)
    path = write(tmp_path / "s", [some_kill(r, 10**12 + i * 10**6) for i in range(NR_KILLS)])
    ours = [json.loads(line) for line in replay(path, "-j").splitlines()]
    theirs = [judge_event(e) for e in load_events(path).found]
    assert len(ours) == len(theirs) == NR_KILLS
    for mine, other in zip(ours, theirs, strict=True):
        want = (other.event.t_ns, other.verdict.kind, other.verdict.reason)
        assert (mine["t_ns"], mine["verdict"], mine["reason"]) == want, other.event
    # Not one answer for all: each verdict often enough to mean something, and nearly every reason.
    kinds = Counter(mine["verdict"] for mine in ours)
    assert min(kinds[k] for k in ("attributable", "genuine", "undetermined")) > NR_KILLS // 100, kinds
    assert len({"".join(c for c in mine["reason"] if not c.isdigit()) for mine in ours}) > 12


@pytest.mark.parametrize("name", sorted(p.stem for p in CASES.glob("*.jsonl")))
def test_a_public_case(name):
    path = CASES / f"{name}.jsonl"
    (event,) = load_events(path).found
    if event.kind != "oom_kill":
        assert replay(path) == f"nobody was killed in {path}\n"
        return
    (mine,) = (json.loads(line) for line in replay(path, "-j").splitlines())
    other = judge_event(event).verdict
    assert (mine["verdict"], mine["reason"]) == (other.kind, other.reason)
    screen = replay(path)
    want = {
        "attributable": "This kill was caused by memory on its way to the host, because zone ",
        "genuine": "This kill was not caused by memory on its way to the host, because ",
        "undetermined": other.reason,
    }
    assert want[other.kind] in screen


def test_a_kill_that_an_older_tracer_wrote_is_refused(tmp_path):
    kill = some_kill(random.Random(1), 10**12)
    del kill["pf_memalloc"]
    path = write(tmp_path / "s", [kill])
    out = subprocess.run([TRACER, "--replay", path], capture_output=True, text=True, check=False)
    assert out.returncode == 2
    assert f"{path}:1: a kill without pf_memalloc" in out.stderr


def test_kills_of_one_shortage_are_one_incident(tmp_path):
    kills = [json.loads((CASES / "O4-h512.jsonl").read_text().splitlines()[1]) for _ in range(3)]
    kills[0]["victim_comm"] = "a\x1b[2Jb"
    for i, k in enumerate(kills):
        k |= {"t_ns": 20 * 10**9 + (0, 5 * 10**8, 9 * 10**9)[i], "victim_pid": 100 + i}
        k["state_ns"] = k["t_ns"] - 10**6
    state = kills[0]["state_ns"]
    batch = {"type": "event", "kind": "batch", "t_ns": state + 4 * 10**8, "start_ns": state - 10**6, "sent_ns": state,
             "ack_ns": state + 3 * 10**8, "done_ns": state + 4 * 10**8, "nr_chunks": 1, "nr_pages": 512, "err": 0}  # fmt: skip
    samples = [
        {"type": "sample", "t_ns": (12 + i) * 10**9, "src": "guest", "held_page_ns": 0, "uncompensated_page_ns": 0,
         "zones": [{"node": 0, "zone": 1, "free_pages": 25600 - 2560 * i, "held_pages": 256 * i,
                    "uncompensated_pages": 0}], "vmstat": {"allocstall": i}}
        for i in range(8)
    ]  # fmt: skip
    out = replay(write(tmp_path / "s", [*samples, kills[0], batch, kills[1], kills[2]]))
    assert out.count("==== incident") == 2
    assert "incident 1 at 20.000000 s: 2 killed" in out
    assert "  0.500 s later " in out
    assert "\x1b" not in out
    assert "a\\x1b[2Jb[100]" in out
    assert "back 0.400 s after" in out
    assert "  free MiB      .     .   100    90    80    70    60    50    40    30\n" in out
    assert "  out MiB       .     .     0     1     2     3     4     5     6     7\n" in out
