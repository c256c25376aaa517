# SPDX-License-Identifier: GPL-2.0-or-later
"""What the invariants make of clocks: the virtual one that jumps, two real ones, and the kernel's on the console."""

from __future__ import annotations

import copy

from make_records import NS
from test_invariants import REPORTING, found, of, set_all, without


def test_an_idle_guest_on_the_virtual_clock_is_no_contradiction(tmp_path):
    """Its clock jumps while it sleeps: half a minute between two host samples, and several at one instant."""
    lines = copy.deepcopy(REPORTING)
    host = of(lines, "sample", "host")
    begin, end = (p["t_ns"] for p in of(lines, "phase", "measure"))
    before = [h for h in host if h["t_ns"] <= begin]
    gone = [h for h in host if begin < h["t_ns"] < end]
    same = [copy.deepcopy(before[-1]) for _ in range(3)]
    at = lines.index(before[-1])
    for i, h in enumerate([*before, *same, *(h for h in host if h["t_ns"] >= end)]):
        h["host_ns"] = i * NS // 10
    lines[at + 1 : at + 1] = same
    assert end - begin > 11 * NS
    assert found(tmp_path, without(lines, gone)) == set()


def test_clock_rates_of_guest_and_host_differ_on_the_real_clock(tmp_path):
    """The host counts 200 ms, the guest 199.9: well on the real clock, impossible on the virtual one."""
    lines = copy.deepcopy(REPORTING)
    b = of(lines, "event", "batch")[0]
    b["ack_ns"] = b["sent_ns"] + 199_900_000
    assert found(tmp_path, lines) == {"answers"}
    lines[0]["spec"]["clock"] = lines[0]["clock"]["mode"] = "real"
    assert found(tmp_path, lines) == set()
    b["ack_ns"] = b["sent_ns"] + 199_700_000
    assert found(tmp_path, lines) == {"answers"}


def test_a_host_sample_on_the_real_clock_counts_as_far_as_its_time_is_known(tmp_path):
    """Each one 60 ms off: a contradiction when it claims to be exact, none when it says so, and unknown is no claim."""
    lines = copy.deepcopy(REPORTING)
    lines[0]["spec"]["clock"] = lines[0]["clock"]["mode"] = "real"
    host = of(lines, "sample", "host")
    set_all(host, t_error_ns=0)
    assert found(tmp_path, lines) == set()
    batch = of(lines, "event", "batch")[0]
    for h in host:
        if batch["start_ns"] - NS // 10 < h["t_ns"] <= batch["start_ns"]:
            h["t_ns"] = batch["sent_ns"] - 60_000_000
            h["device"]["bytes_received"] += batch["nr_pages"] * 4096
    assert found(tmp_path, lines) == {"device bytes"}
    set_all(host, t_error_ns=60_000_000)
    assert found(tmp_path, lines) == set()
    of(lines, "sample", "host")[-5]["device"]["bytes_received"] += 4096
    assert found(tmp_path, lines) == {"device bytes"}
    for h in host:
        del h["t_error_ns"]
    assert found(tmp_path, lines) == set()


def kill_lines(n: int, first_s: int = 10) -> str:
    return "".join(
        f"[   {first_s + i}.123456] Out of memory: Killed process {i} (wave) total-vm:1kB\n" for i in range(n)
    )


def test_kills_on_the_console(tmp_path):
    n = len(of(REPORTING, "event", "oom_kill"))
    console = tmp_path / "console.log"
    console.write_text("boot\nOut of memory: Killed process 1 (said by a program)\n" + kill_lines(n))
    assert found(tmp_path, REPORTING) == set()
    console.write_text(kill_lines(n + 1))
    assert found(tmp_path, REPORTING) == {"kills, console"}
    console.write_text(kill_lines(n - 1))
    assert found(tmp_path, REPORTING) == {"kills, console"}


def test_a_kill_before_the_tracer_began_is_no_contradiction(tmp_path):
    """The console begins with the boot. One kill for another is one: a late one that the record lacks is found."""
    n = len(of(REPORTING, "event", "oom_kill"))
    begin_s = of(REPORTING, "tracer")[0]["t_ns"] // NS
    console = tmp_path / "console.log"
    console.write_text(kill_lines(1, begin_s - 1) + kill_lines(n))
    assert found(tmp_path, REPORTING) == set()
    console.write_text(kill_lines(1, begin_s + 1) + kill_lines(n))
    assert found(tmp_path, REPORTING) == {"kills, console"}
    console.write_text(kill_lines(1, begin_s - 1) + kill_lines(n - 1))
    assert found(tmp_path, REPORTING) == {"kills, console"}


def test_blocks_that_are_handed_over_one_by_one_are_with_the_host_before_all_are(tmp_path):
    lines = copy.deepcopy(REPORTING)
    b = of(lines, "event", "batch")[0]
    b["ack_ns"] = b["sent_ns"] + 200_000_000 - 20_000
    assert b["sent_ns"] - b["start_ns"] > 20_000
    assert found(tmp_path, lines) == {"answers"}
    lines[0]["spec"]["device"] |= {"free-page-hint": "on"}
    assert found(tmp_path, lines) == set()
    b["ack_ns"] = b["start_ns"] + 200_000_000 - 20_000
    assert found(tmp_path, lines) == {"answers"}


def test_a_batch_from_before_the_tracer_is_where_the_device_says(tmp_path):
    """Not backed, not free, and held by nobody that was watched."""
    lines = copy.deepcopy(REPORTING)
    host = of(lines, "sample", "host")[60]
    host["rss_bytes"] -= 200 * 1024 * 1024
    assert "backed" in found(tmp_path, lines)
    host["device"]["bytes_out"] = 200 * 1024 * 1024
    assert "backed" not in found(tmp_path, lines)
