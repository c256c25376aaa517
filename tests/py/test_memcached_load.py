# SPDX-License-Identifier: GPL-2.0-or-later
"""The load generator, the wave and the keeper against a real memcached on this host."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from loadtools import Stream, built, run_script, sizes, tool

# `make setup-test` installs it; one that is missing is a failure, not a skip.
MEMCACHED = shutil.which("memcached") or "memcached"

pytestmark = pytest.mark.skipif(
    not built("mcload", "wave", "keep", "ballast"),
    reason="guest tools are not built: make collectors",
)

SUB_BITS = 7
LOST_NS = 1 << 40  # stands for the latency of a lost request
# The machine running this may be busy: lag is refused only where it is the subject.
PATIENT = "--max-lag=60s"


def lower(index: int) -> int:
    octave, rest = index >> SUB_BITS, index & ((1 << SUB_BITS) - 1)
    return index if octave == 0 else ((1 << SUB_BITS) + rest) << (octave - 1)


def above(hist: dict, ns: int) -> int:
    return sum(count for index, count in hist["counts"] if lower(index) > ns)


@pytest.fixture
def server(tmp_path: Path):
    """Address of a private memcached, and the keeper that runs it."""
    user = ["-u", "root"] if os.geteuid() == 0 else []
    path = tmp_path / "mc.sock"
    keeper = Stream(
        "keep", "--name=memcached", "--restart=50ms", MEMCACHED, *user, "-s", str(path), "-m", "64", "-t", "1"
    )
    yield f"--server=unix:{path}", keeper
    if keeper.status is None:
        keeper.process.kill()  # memcached goes with it, and at once
        keeper.finish()


@pytest.mark.parametrize("protocol", ["text", "meta"])
def test_counts_agree(server, protocol: str) -> None:
    address, _ = server
    run = Stream(
        "mcload", address, f"--protocol={protocol}", "--keys=500", "--prefill=8M", "--rate=2000",
        "--warmup=250ms", "--duration=500ms", "--phase=measure", PATIENT,
    ).finish()  # fmt: skip
    assert run.status == 0, run.stderr
    assert "prefilled 500 of 500 keys and 16 ballast items; the server holds 516 items" in run.stdout

    hist = {h["name"]: h for h in run.of(type="hist")}
    latency, service, head = (hist[f"request_{x}"] for x in ("latency", "service", "head"))
    for h in (latency, service, head):
        assert h["lost"] == 0
        assert h["n"] == sum(count for _, count in h["counts"])
        assert h["sub_bits"] == SUB_BITS and h["unit"] == "ns"
    assert latency["sum"] >= service["sum"] >= head["sum"]
    (lag,) = run.of(kind="load_lag_max")
    assert lag["nr"] == latency["n"] and 0 < lag["lag_ns"] < 60_000_000_000

    begin, end = run.of(type="phase", name="measure")
    assert (begin["edge"], end["edge"]) == ("begin", "end")
    assert end["t_ns"] - begin["t_ns"] == 500_000_000
    samples = run.of(type="sample", src="load")
    assert len(samples) == 3 and all(s["pending"] == 0 and s["errors"] == 0 for s in samples)
    measured = [s for s in samples if begin["t_ns"] < s["t_ns"] <= end["t_ns"]]
    assert sum(s["n"] for s in measured) == latency["n"]
    assert f"{latency['n']} requests:" in run.stdout and " 0 misses" in run.stdout


def test_schedule_does_not_wait_for_a_stalled_server(server) -> None:
    """A server that stops for 400 ms is charged with every request due meanwhile."""
    address, keeper = server
    pid = keeper.child()
    run = Stream(
        "mcload", address, "--keys=10", "--prefill=1M", "--schedule=fixed", "--rate=200", "--conns=2",
        "--warmup=0s", "--duration=1s", "--phase=measure", PATIENT,
    )  # fmt: skip
    run.wait_for(edge="begin")
    time.sleep(0.2)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.4)
    os.kill(pid, signal.SIGCONT)
    run.finish()
    assert run.status == 0, run.stderr
    (latency,) = run.of(type="hist", name="request_latency")
    assert latency["n"] == 199 and latency["max"] >= 350_000_000
    # 0.3 s of the stall lie more than 100 ms before its end: 60 requests. A
    # generator that waits for answers would have two, one a connection.
    assert above(latency, 100_000_000) >= 50
    # From the send they waited as long, queued behind each other. Only the first of each connection,
    # and one whose send was under way, waited as the head: what a closed-loop generator would have seen.
    (service,) = run.of(type="hist", name="request_service")
    (head,) = run.of(type="hist", name="request_head")
    assert above(service, 100_000_000) >= 50
    assert 1 <= above(head, 100_000_000) <= 4
    # The stall shows in the samples of its time, not only of its end.
    assert len([s for s in run.of(src="load") if s.get("max_us", 0) > 100_000]) >= 2


def test_killed_server_is_errors_then_misses(server) -> None:
    address, keeper = server
    first = keeper.child()
    run = Stream(
        "mcload", address, "--keys=50", "--prefill=1M", "--rate=1000", "--warmup=0s", "--duration=1s",
        "--phase=measure", PATIENT,
    )  # fmt: skip
    run.wait_for(edge="begin")
    time.sleep(0.2)
    os.kill(first, signal.SIGKILL)
    run.finish()
    assert run.status == 0, run.stderr
    (latency,) = run.of(type="hist", name="request_latency")
    errors = sum(s["errors"] for s in run.of(src="load"))
    assert errors > 0
    # A lost request is in the histogram and ranks last, so the loss cannot hide in a fine percentile.
    assert latency["lost"] == errors
    assert latency["n"] == sum(s["n"] + s["errors"] for s in run.of(src="load")) > 2 * errors
    assert latency["max"] == LOST_NS and above(latency, LOST_NS - 1) == errors
    assert any(s["p99_us"] == LOST_NS // 1000 for s in run.of(src="load") if s["errors"])
    assert f"max lost; {errors} of {latency['n']} lost" in run.stdout
    assert " 0 misses" not in run.stdout

    assert keeper.child(after=first)
    keeper.process.terminate()
    keeper.finish()
    assert keeper.status == 0
    (event,) = keeper.lines
    assert (event["kind"], event["name"], event["pid"], event["signal"]) == ("proc_exit", "memcached", first, 9)


def test_generator_that_falls_behind_is_refused(server) -> None:
    address, _ = server
    run = Stream(
        "mcload", address, "--keys=10", "--prefill=1M", "--rate=500", "--warmup=0s", "--duration=600ms",
        "--max-lag=150ms", "--phase=measure",
    )  # fmt: skip
    run.wait_for(edge="begin")
    run.process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    run.process.send_signal(signal.SIGCONT)
    run.finish()
    assert run.status == 1
    assert "refused: the generator fell behind" in run.stderr
    event = run.of(kind="load_lag")[0]
    assert event["cause"] == "generator" and event["lag_ns"] > 200_000_000


def test_wrong_values_are_found(server) -> None:
    address, _ = server
    common = [address, "--keys=50", "--rate=500", "--warmup=0s", PATIENT]
    assert Stream("mcload", *common, "--prefill=1M", "--duration=0s").finish().status == 0
    # The same keys, other values.
    run = Stream("mcload", *common, "--duration=200ms", "--value-size=20", "--get-ratio=1").finish()
    assert run.status == 1 and "not the ones stored" in run.stderr


def test_prefill_that_does_not_fit_fails(server) -> None:
    run = Stream("mcload", server[0], "--keys=10", "--prefill=100M", "--duration=0s").finish()
    assert run.status == 1 and "give memcached more memory" in run.stderr


def test_no_server() -> None:
    run = Stream("mcload", "--server=unix:/nonexistent/socket", "--wait=0s").finish()
    assert run.status == 69 and "no memcached answers" in run.stderr


@pytest.mark.parametrize(
    ("name", "args", "say"),
    [
        ("mcload", ["--rate=0"], "--rate=0: must be a number, 0.001"),
        ("mcload", ["--rate=1e3"], "--rate=1e3"),
        ("mcload", ["--duration=5"], "--duration=5: must be a time"),
        ("mcload", ["--server=localhost:1"], "must be a numeric HOST:PORT"),
        ("mcload", ["--protocol=binary"], "must be text or meta"),
        ("mcload", ["--value-size=0"], "etc or 1 to 16384"),
        ("mcload", ["more"], "unexpected argument 'more'"),
        ("wave", [], "--low and --high are needed"),
        ("wave", ["--low=2M", "--high=1M", "--rounds=1"], "low <= high-min <= high"),
        ("wave", ["--low=1M", "--high=2M"], "--rounds or --duration is needed"),
        ("wave", ["--low=1M", "--high=2M", "--rounds=1", "--rest=2s-1s"], "longer than the second"),
        ("keep", [], "PROGRAM is needed"),
    ],
)
def test_wrong_usage(name: str, args: list[str], say: str) -> None:
    run = Stream(name, *args, out=False).finish()
    assert run.status == 2 and say in run.stderr


WAVE = ["--low=4M", "--high-min=8M", "--high=12M", "--hold=40ms-60ms", "--rest=20ms-40ms", "--settle=100ms"]


def rounds(run: Stream) -> list[tuple[int, str, str | None]]:
    return [(x["index"], x["edge"], x.get("outcome")) for x in run.of(type="phase", name="round")]


def test_wave_rounds_come_from_the_seed() -> None:
    first = Stream("wave", *WAVE, "--rounds=3", "--seed=5").finish()
    again = Stream("wave", *WAVE, "--rounds=3", "--seed=5").finish()
    other = Stream("wave", *WAVE, "--rounds=3", "--seed=6").finish()
    assert first.status == again.status == other.status == 0, first.stderr
    expected = [(i, edge, "done" if edge == "end" else None) for i in range(3) for edge in ("begin", "end")]
    assert rounds(first) == rounds(again) == expected
    peaks = [[x["high_bytes"] for x in run.of(edge="begin")] for run in (first, again, other)]
    assert peaks[0] == peaks[1] != peaks[2]
    assert all(8 << 20 <= p <= 12 << 20 for p in peaks[0])
    touched = [x["nr_pages"] for x in first.of(edge="end")]
    assert touched == [(p - (4 << 20)) // 4096 for p in peaks[0]]


def test_wave_replaces_a_killed_child() -> None:
    run = Stream("wave", *WAVE, "--rounds=4", "--hold=200ms", "--restart=10ms")
    first = run.child()
    run.wait_for(edge="begin", index=0)
    os.kill(first, signal.SIGKILL)
    second = run.child(after=first)
    run.finish()
    assert run.status == 0, run.stderr
    (event,) = run.of(kind="proc_exit")
    assert (event["name"], event["pid"], event["signal"], event["round"]) == ("wave", first, 9, 0)
    ends = [x["outcome"] for x in run.of(edge="end")]
    assert len(ends) == 4 and ends[0] == "killed" and ends[-1] == "done"
    assert second != first


def test_wave_supervisor_that_is_late_loses_no_round() -> None:
    """It used to wait for ever when the child was through with a round before it had begun it."""
    run = Stream("wave", *WAVE, "--hold=5ms", "--rest=5ms", "--rounds=40")
    run.wait_for(edge="end", index=5)
    run.process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)  # ten rounds of the child
    run.process.send_signal(signal.SIGCONT)
    run.finish()
    assert run.status == 0, run.stderr
    assert rounds(run) == [(i, edge, "done" if edge == "end" else None) for i in range(40) for edge in ("begin", "end")]


def test_wave_finds_lost_data() -> None:
    run = Stream("wave", *WAVE, "--rounds=50")
    pid = run.child()
    run.wait_for(edge="begin", index=0)
    try:
        # The largest private mapping without a file is the wave's memory.
        maps = [x.split() for x in Path(f"/proc/{pid}/maps").read_text().splitlines()]
        spans = [[int(a, 16) for a in m[0].split("-")] for m in maps if len(m) == 5]
        start, _ = max(spans, key=lambda s: s[1] - s[0])
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as f:
            f.seek(start)
            f.write(bytes(4096))
    except PermissionError as e:
        run.process.terminate()
        run.finish()
        pytest.skip(f"may not write to another process: {e}")
    run.finish()
    assert run.status == 1
    assert "DATA LOST: page 0 holds 0000000000000000" in run.stderr
    assert run.of(kind="proc_exit")[0]["status"] == 4


def test_keep_ends_when_the_program_does() -> None:
    run = Stream("keep", "false").finish()
    assert run.status == 1 and "ended with wait status 0x100" in run.stderr
    assert run.of(kind="proc_exit")[0]["status"] == 1
    assert Stream("keep", "/nonexistent").finish().status == 1


def test_ballast_holds_what_it_says() -> None:
    with subprocess.Popen(tool("ballast", "--bytes=20M"), stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout and p.stdout.read() == "held\n"  # to its end: it is closed
        (rss,) = [x for x in Path(f"/proc/{p.pid}/status").read_text().splitlines() if x.startswith("VmRSS")]
        assert 20 << 10 <= int(rss.split()[1]) <= 24 << 10
        p.terminate()
        assert p.wait(timeout=10) == 0


@pytest.mark.parametrize("mem", [248, 256, 320, 384, 512, 640, 1024, 2048, 3072, 4096, 16384])
def test_slack_is_the_same_in_a_guest_of_any_size(mem: int) -> None:
    s, at_512 = sizes("memcached", mem), sizes("memcached", 512)
    used = s["need"] + s["server"] + s["cache"] + s["high"] + s["ballast"]
    assert mem * 1024 - used == s["slack"] == at_512["slack"]
    assert s["high"] - s["high_min"] == at_512["high"] - at_512["high_min"]
    # A batch of 64 MiB is less than what is freed and taken again, so it is missed.
    assert s["high_min"] - s["low"] >= 64 * 1024
    if mem >= 512:
        assert (s["cache"], s["low"]) == (at_512["cache"], at_512["low"])
        # The lists of the CPU keep more of what is freed where the watermarks are higher.
        assert s["high"] >= at_512["high"]
    else:
        assert s["ballast"] == 0 and s["cache"] < at_512["cache"] and s["low"] < at_512["low"]


def test_slack_can_be_chosen() -> None:
    usual, chosen = sizes("memcached", 1024), sizes("memcached", 1024, SLACK=80)
    assert chosen["ballast"] == usual["ballast"] + usual["slack"] - 80 * 1024


@pytest.mark.parametrize(
    ("env", "say"),
    [
        ({}, "HINT_MEM_BYTES is ''"),
        ({"HINT_MEM_BYTES": "134217728"}, "MiB more are the least"),
        ({"HINT_MEM_BYTES": "536870912", "HINT_P_DURATION": "x"}, "HINT_P_DURATION is 'x'"),
        ({"HINT_MEM_BYTES": "536870912", "HINT_P_WAVE_SPREAD": "200"}, "HINT_P_WAVE_SPREAD is '200'; allowed: 0 to 64"),
        ({"HINT_MEM_BYTES": "536870912", "HINT_P_SOCKET": "udp"}, "allowed: tcp, unix"),
    ],
)
def test_workload_refuses_wrong_parameters(env: dict[str, str], say: str) -> None:
    done = run_script("memcached", **env)
    assert done.returncode == 2 and say in done.stderr
