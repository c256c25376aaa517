# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of kills: all kept in the data, folded by incident on the page, and no step is quadratic in them."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from bisect import bisect_right
from pathlib import Path
from typing import Any

import pytest
from make_records import Toy, spec, write_cell

from analysis.__main__ import main
from analysis.compare.stats import cell_stats
from analysis.record.load import load_record, load_results
from analysis.record.stalls import Stall

MAX_PAGE_BYTES = 3_000_000


def with_more(lines: list[dict[str, Any]], kind: str, n: int) -> list[dict[str, Any]]:
    """A record with n more events of a kind, evenly over the measured phase, and every count that goes with it."""
    body = lines[1:-1]
    edges = [i for i, x in enumerate(body) if x["type"] == "phase" and x["name"] == "measure"]
    begin, end = (body[i]["t_ns"] for i in edges)
    starts = [(x["t_ns"], x["index"]) for x in body if x["type"] == "phase" and x["edge"] == "begin" and "index" in x]
    like = next(x for x in body if x.get("kind") == kind)
    death = next(x for x in body if x.get("kind") == "proc_exit")
    more = []
    for i in range(n):
        t = begin + 1 + (end - begin - 10_000_000) * i // n
        more.append(like | {"t_ns": t} | ({"state_ns": t} if "state_ns" in like else {}))
        if kind == "oom_kill":
            more[-1]["victim_pid"] = 10_000 + i
            under_way = max((index for start, index in starts if start <= t), default=0)
            more.append(death | {"t_ns": t + 1000, "pid": 10_000 + i, "round": under_way})
    times = [x["t_ns"] for x in more if x["kind"] == kind]
    for x in body:
        if x.get("src") == "guest":
            counter = "oom_kill" if kind == "oom_kill" else "allocstall"
            x["vmstat"][counter] += bisect_right(times, x["t_ns"])
        if x["type"] == "loss" and x["probe"] == kind:
            x["seen"] += n
            x["recorded"] += n
    body[edges[1] : edges[1]] = more
    return [lines[0], *body, lines[-1] | {"nr_lines": lines[-1]["nr_lines"] + len(more)}]


def write_kills(folder: Path, n: int) -> None:
    for arm in ("none", "reporting"):
        s = spec(arm, 1, 1)
        lines = Toy(s, rounds=6).run("x")
        write_cell(folder, s, with_more(lines, "oom_kill", n) if arm == "reporting" else lines)


@pytest.fixture(scope="module")
def kills(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    write_kills(folder, 3000)
    assert main(["report", str(folder)]) == 0
    return folder


def test_every_kill_is_in_the_data_and_the_page_folds_them(kills):
    found = json.loads((kills / "summary.json").read_text())["kills"]
    assert len(found) >= 3000
    page = (kills / "report.html").read_text()
    assert len(page) < MAX_PAGE_BYTES
    assert page.count('<details class="kill"') <= 200
    assert re.search(r"more kills of this incident are in summary.json", page)


def test_a_line_per_point_of_the_page_and_not_per_kill(kills):
    page = (kills / "report.html").read_text()
    strip = next(s for s in re.findall(r"<svg .*?</svg>", page, re.DOTALL) if 'id="strip-t"' in s)
    assert len(strip) < 500_000


def test_analysis_is_linear_in_kills(tmp_path):
    took = []
    for n in (500, 4000):
        write_kills(tmp_path / str(n), n)
        cell = next(c for c in load_results(tmp_path / str(n)) if c.name.startswith("reporting"))
        began = time.process_time()
        assert cell_stats(cell).values["oom_kills"] >= n
        took.append(time.process_time() - began)
    assert took[1] < 24 * took[0], "8 times as many kills: linear is 8, quadratic 64"


def test_stalls_are_columns(tmp_path):
    s = spec("reporting", 1, 1)
    lines = with_more(Toy(s, rounds=6).run("x"), "direct_reclaim", 50)
    lines[lines.index(next(x for x in lines if x.get("kind") == "direct_reclaim"))].pop("uncompensated_pages")
    write_cell(tmp_path, s, lines)
    (cell,) = load_results(tmp_path)
    stalls = cell.record.stalls["direct_reclaim"]
    assert len(stalls) >= 50 and all(type(e) is Stall for e in stalls)
    assert list(stalls.t_ns) == sorted(x["t_ns"] for x in lines if x.get("kind") == "direct_reclaim")
    assert [e.line for e in stalls if e.uncompensated_pages is None], "unknown, not 0"
    values = cell_stats(cell).values
    assert values["direct_reclaim_stalls"] == len(stalls)
    assert values["direct_reclaim_while_held"] is None
    assert all(e.zones for e in cell.record.shortages if e.kind == "oom_kill")


def test_a_stall_takes_tens_of_bytes(tmp_path):
    """A record may hold a million: with an object each they took half a gigabyte."""
    s = spec("reporting", 1, 1)
    write_cell(tmp_path, s, with_more(Toy(s, rounds=6).run("x"), "direct_reclaim", 20_000))
    (path,) = tmp_path.glob("*/record.jsonl")
    tracemalloc.start()
    record = load_record(path)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(record.stalls["direct_reclaim"]) >= 20_000
    assert kept / 20_000 < 250, "the columns are 56 bytes; the samples, and zones seen, are in it too"
