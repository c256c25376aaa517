# SPDX-License-Identifier: GPL-2.0-or-later
"""Host memory of arms that kill: only the time before the first kill compares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from make_records import MIB, NS, spec, write_cell
from test_analyse import FAKE, arms_of, kill_line, little_run

from analysis.compare.analyse import analyse
from analysis.record.load import load_results
from analysis.report.report import render


def with_rss(path: Path, arm: str, kills_at: tuple[int, ...], before: int, after: int, repeat: int = 1) -> None:
    """Host memory in MiB before the first kill and from there on; ten rounds of a second."""
    s = spec(arm, 1, repeat)
    lines = little_run(s, [kill_line(t * NS + 1, *FAKE) for t in kills_at], 10)
    first = min(kills_at, default=10) * NS
    for x in lines:
        if x.get("src") == "host":
            x["rss_bytes"] = (before if x["t_ns"] <= first else after) * MIB
    write_cell(path, s, lines)


CHEAP = "If guest memory is not pinned, the extra memory of buffer costs the host nothing while unused."


@pytest.mark.parametrize(
    ("kills_at", "verdict", "said"),
    [
        ((5,), "supported", "+4.0 MiB, of 64 MiB extra; 1 pair only up to the first kill"),
        ((), "supported", "+4.0 MiB, of 64 MiB extra"),
        ((1,), "not decided", "1 pair left out: a process was lost too early"),
    ],
)
def test_a_kill_makes_no_arm_cheap_for_the_host(tmp_path, kills_at, verdict, said):
    with_rss(tmp_path, "none", (), 500, 500)
    with_rss(tmp_path, "reporting", kills_at, 480, 100)
    with_rss(tmp_path, "buffer", (), 484, 484)
    got = arms_of(tmp_path)
    (claim,) = [c for c in got["claims"] if c["claim"] == CHEAP]
    assert claim["verdict"] == verdict
    assert said in claim["evidence"]
    assert ("first kill" in claim["evidence"]) == (kills_at == (5,))


def test_memory_given_back_stands_for_the_time_before_a_kill(tmp_path):
    with_rss(tmp_path, "none", (), 500, 500)
    with_rss(tmp_path, "reporting", (5,), 480, 100)
    with_rss(tmp_path, "buffer", (), 484, 484)
    page = render(analyse(load_results(tmp_path)))
    shown = re.findall(r"<dt>(given back[^<]*)</dt><dd>([^<]*)</dd>", page)
    assert shown == [("given back until a first kill", f"{n}.0 MiB") for n in (12, 32, 28)]
