# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of a run that are easy to get wrong: medians that are lost, stalls that overlap, edges, what is not measured."""

from __future__ import annotations

import numpy as np
from make_records import NS, definition, spec, write_cell
from test_analyse import arms_of, little_run, put

from analysis.compare.metrics import summarise
from analysis.compare.stats import union_ns
from analysis.record.hist import LOST_US
from analysis.record.stalls import Stall, Stalls


def test_a_median_that_falls_on_a_lost_request_is_lost():
    assert summarise([450.0, float(LOST_US)], "us").median == LOST_US
    assert summarise([450.0, 460.0, float(LOST_US)], "us").median == 460


def test_stalls_of_two_tasks_at_once_count_once():
    spans = [(0, 10), (30, 40), (5, 20), (32, 35)]
    rows = [Stall(begin, 0, i, end - begin, 0, 0, False) for i, (begin, end) in enumerate(spans)]
    assert union_ns(Stalls.of([np.array(rows, dtype=np.int64)])) == 30
    assert union_ns(Stalls.of([])) == 0


def test_a_sample_at_the_left_edge_is_of_the_warm_up(tmp_path):
    s = spec("none", 1, 1)
    lines = little_run(s, [], 4)
    load = dict(type="sample", src="load", n=10, errors=5, p50_us=1, p99_us=1, max_us=1)
    more = [load | {"t_ns": 0}, load | {"t_ns": 4 * NS}]
    body = sorted(lines[1:-1] + more, key=lambda x: (x["t_ns"], x["type"] != "tracer" or x["edge"] == "end"))
    write_cell(tmp_path, s, [lines[0], *body, lines[-1] | {"nr_lines": len(body)}])
    assert arms_of(tmp_path)["arms"]["none"]["request_errors"]["total"] == 5


def test_the_generators_lag_is_measured_or_not(tmp_path):
    put(tmp_path, "none", 1, [])
    lag = arms_of(tmp_path)["arms"]["none"]["generator_lag_us"]
    assert lag["median"] is None and lag["why"] == "not measured"
    put(tmp_path, "none", 1, [{"type": "event", "t_ns": 5, "kind": "load_lag_max", "lag_ns": 0, "nr": 10}])
    assert arms_of(tmp_path)["arms"]["none"]["generator_lag_us"]["median"] == 0


def test_definitions_come_from_the_record():
    assert definition("buffer")["role"] == "cure"
