# SPDX-License-Identifier: GPL-2.0-or-later
"""The realloc workload on this host."""

from __future__ import annotations

import os
import signal

import pytest

from loadtools import Stream, built, run_script, sizes

pytestmark = pytest.mark.skipif(not built("realloc"), reason="guest tools are not built: make collectors")

SMALL = ["--hold=8M", "--take=4M", "--ballast=2M", "--for=150ms", "--pause-min=50ms", "--pause-max=100ms"]


def outcomes(run: Stream) -> list[str]:
    return [x["outcome"] for x in run.of(type="phase", name="round", edge="end")]


def test_rounds() -> None:
    run = Stream("realloc", *SMALL, "--rounds=3").finish()
    assert run.status == 0, run.stderr
    assert outcomes(run) == ["done"] * 3 and not run.of(kind="proc_exit")
    assert [x["index"] for x in run.of(edge="begin")] == [0, 1, 2]


def test_killed_taker_and_holder_are_results() -> None:
    run = Stream("realloc", *SMALL, "--rounds=4")
    run.wait_for(edge="begin", index=0)
    holder = run.child()
    taker = run.child(after=holder)
    os.kill(taker, signal.SIGKILL)
    run.wait_for(edge="begin", index=1)
    os.kill(holder, signal.SIGKILL)
    run.finish()
    assert run.status == 0, run.stderr
    assert outcomes(run) == ["killed", "killed", "done", "done"]
    exits = [(x["name"], x["pid"], x["signal"], x["round"]) for x in run.of(kind="proc_exit")]
    assert exits == [("taker", taker, 9, 0), ("holder", holder, 9, 1)]


def test_other_end_of_a_child_fails() -> None:
    run = Stream("realloc", *SMALL, "--rounds=4")
    run.wait_for(edge="begin", index=0)
    os.kill(run.child(), signal.SIGABRT)
    assert run.finish().status == 1 and "holder ended with wait status" in run.stderr


@pytest.mark.parametrize("mem", [256, 384, 512, 1024, 4096])
def test_slack_is_the_same_in_a_guest_of_any_size(mem: int) -> None:
    s = sizes("realloc", mem)
    assert mem * 1024 - sum(v for k, v in s.items() if k != "slack") == s["slack"] == sizes("realloc", 512)["slack"]
    assert s["take"] >= 64 * 1024


@pytest.mark.parametrize(
    ("env", "say"),
    [
        ({}, "HINT_MEM_BYTES is ''"),
        ({"HINT_MEM_BYTES": "134217728"}, "MiB more are the least"),
        ({"HINT_MEM_BYTES": "536870912", "HINT_P_ROUNDS": "0"}, "HINT_P_ROUNDS is '0'; allowed: 1 to"),
    ],
)
def test_refuses_wrong_parameters(env: dict[str, str], say: str) -> None:
    done = run_script("realloc", **env)
    assert done.returncode == 2 and say in done.stderr
