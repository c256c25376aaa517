# SPDX-License-Identifier: GPL-2.0-or-later
"""The cross-check's arithmetic: what each tool printed becomes numbers, and one too many or too few is seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "vm"))

import crosscheck  # noqa: E402
from crosscheck import Row, gather, others, table  # noqa: E402

SEEN = {"isolate": 5, "putback": 5, "batch": 2, "exchange": 0, "buffer": 0, "swap_out": 7, "swap_in": 9, "zswap_out": 0,
        "zswap_in": 0, "alloc_fail": 3, "direct_reclaim": 2, "compaction_stall": 1, "kswapd_wake": 4, "oom_kill": 4}


def loss(probe: str, seen: int) -> str:
    return json.dumps({"type": "loss", "probe": probe, "seen": seen, "recorded": seen, "dropped": {}})


def kill(pid: int) -> str:
    return json.dumps({"type": "event", "kind": "oom_kill", "victim_pid": pid, "victim_anon_pages": pid,
                       "victim_file_pages": 1, "victim_shmem_pages": 0})


def batch(chunks: int, pages: int) -> str:
    return json.dumps({"type": "event", "kind": "batch", "nr_chunks": chunks, "nr_pages": pages})


def decided(pid: int) -> str:
    return f"[ 1.0] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=tail,pid={pid},uid=0"


def killed(pid: int) -> str:
    return (f"[ 1.0] Out of memory: Killed process {pid} (tail) total-vm:1kB, anon-rss:{4 * pid}kB, file-rss:4kB, "
            "shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0")


# 101 and 102 are killed alone, 103 with its group (and twice), 104 is of that group.
RAW = {
    "trace.jsonl": "\n".join([*map(kill, (101, 102, 103, 104)), batch(2, 2048), batch(3, 3072),
                              *(loss(p, n) for p, n in SEEN.items())]),
    "dmesg.out": "\n".join([decided(101), killed(101), decided(102), killed(102), decided(103), killed(103),
                            "Tasks in /both are going to be killed due to memory.oom.group set", killed(103),
                            killed(104)]),
    "oomkill.out": "".join(f'00:00:13 Triggered by PID 9 ("a"), OOM kill of PID {p} ("tail"), 9 pages\n'
                           for p in (101, 102, 103)),
    "drsnoop.out": "Tracing\nTIME COMM\n00:00:10 tail 101 8.538 64\n00:00:10 perf 88 40.975 43\n",
    "stat.out": "# started on\n\n" + "".join(f"{n},,{e},1000,100.00,,\n" for e, n in (
        ("oom:mark_victim", 4), ("vmscan:mm_vmscan_direct_reclaim_begin", 2),
        ("vmscan:mm_vmscan_direct_reclaim_end", 2), ("vmscan:mm_vmscan_wakeup_kswapd", 4),
        ("vmscan:mm_vmscan_lru_isolate", 80), ("compaction:mm_compaction_try_to_compact_pages", 3),
        ("kmem:mm_page_alloc", 3), ("page_reporting:page_reporting_isolate", 5),
        ("page_reporting:page_reporting_putback", 5), ("page_reporting:page_reporting_batch", 2),
        ("page_reporting:page_reporting_ack", 2), ("page_reporting:page_reporting_done", 2),
        ("page_reporting:page_reporting_exchange", 0), ("page_reporting:page_reporting_buffer", 0))),
    # Task 7 goes over memory twice, in the midst of which task 8 begins; 9 is a cgroup's.
    "sequence.out": "7 1.1: vmscan:mm_vmscan_direct_reclaim_begin:\n 7 1.2: xc:pass:\n"
                    "8 1.3: vmscan:mm_vmscan_direct_reclaim_begin:\n7 1.4: xc:pass:\n9 1.4: xc:pass:\n8 1.5: xc:pass:\n"
                    "7 1.6: vmscan:mm_vmscan_direct_reclaim_end:\n8 1.7: vmscan:mm_vmscan_direct_reclaim_end:\n"
                    "8 1.8: xc:pass:\n",
    "vmstat.before": "oom_kill 1\nallocstall_normal 1\nallocstall_movable 0\ncompact_stall 0\npswpout 0\npswpin 0\n"
                     "thp_swpout 0\nswpin_zero 0\nzswpin 0\nzswpout 0\n",
    "vmstat.after": "oom_kill 6\nallocstall_normal 1\nallocstall_movable 3\ncompact_stall 1\npswpout 518\npswpin 6\n"
                    "thp_swpout 1\nswpin_zero 3\nzswpin 0\nzswpout 0\n",
}
BEFORE = {"batches": 10, "chunks": 100, "bytes-received": 1000}
AFTER = {"batches": 12, "chunks": 105, "bytes-received": 1000 + 5120 * 4096}


def unexplained(raw: dict[str, str], after: dict[str, int] = AFTER) -> list[str]:
    n = gather(raw, BEFORE, after)
    return [row.what for row in table(n) if not row.explained] + others(n)[1]


def test_all_of_it_agrees():
    rows = list(table(gather(RAW, BEFORE, AFTER)))
    assert [r.what for r in rows if not r.explained] == [] and len(rows) == 31
    by_who = {(r.what, r.who.split(",")[0]): r.verdict for r in rows}
    assert by_who["kills", "vmstat oom_kill"] == "+1: the first of a memory.oom.group is killed twice"
    assert by_who["kills", "oomkill"] == "-1: the others of a memory.oom.group: decided once"
    assert by_who["direct reclaim", "vmstat allocstall"].startswith("+1: passes after the first")
    assert by_who["swap-out", "vmstat pswpout"].startswith("+511: a huge page")
    assert by_who["swap-in", "vmstat pswpin"].startswith("-3: pages of zeros")
    assert by_who["batches", "balloon"] == "equal"


def cut(name: str, text: str) -> Callable[[dict[str, str]], None]:
    """Without the first line that has it."""

    def change(raw: dict[str, str]) -> None:
        lines = raw[name].split("\n")
        lines.remove(next(line for line in lines if text in line))
        raw[name] = "\n".join(lines)

    return change


def instead(name: str, old: str, new: str) -> Callable[[dict[str, str]], None]:
    def change(raw: dict[str, str]) -> None:
        assert old in raw[name]
        raw[name] = raw[name].replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    "change",
    [
        cut("trace.jsonl", '"victim_pid": 102'),
        cut("trace.jsonl", '"nr_chunks": 3'),
        cut("dmesg.out", "Killed process 102"),
        cut("dmesg.out", "Killed process 103"),
        cut("dmesg.out", "pid=102,uid"),
        cut("oomkill.out", "PID 102"),
        instead("oomkill.out", "PID 102", "PID 999"),
        instead("dmesg.out", "anon-rss:408kB", "anon-rss:404kB"),
        cut("drsnoop.out", "perf"),
        cut("sequence.out", "7 1.4: xc:pass"),
        cut("sequence.out", "8 1.3:"),
        *(instead("stat.out", f"{n},,{event}", f"{n + 1},,{event}") for n, event in (
            (4, "oom:mark_victim"), (2, "vmscan:mm_vmscan_direct_reclaim_begin"), (4, "vmscan:mm_vmscan_wakeup_kswapd"),
            (2, "vmscan:mm_vmscan_direct_reclaim_end"), (3, "kmem:mm_page_alloc"),
            (5, "page_reporting:page_reporting_isolate"), (0, "page_reporting:page_reporting_exchange,"))),
        instead("stat.out", "80,,vmscan:mm_vmscan_lru_isolate", "80,,vmscan:mm_vmscan_something_new"),
        *(instead("vmstat.after", old, new) for old, new in (
            ("oom_kill 6", "oom_kill 5"), ("allocstall_movable 3", "allocstall_movable 4"), ("pswpout 518", "pswpout 517"),
            ("pswpin 6", "pswpin 7"), ("swpin_zero 3", "swpin_zero 2"), ("compact_stall 1", "compact_stall 2"))),
        *(instead("trace.jsonl", loss(p, n), loss(p, n + 1)) for p, n in SEEN.items() if p != "oom_kill"),
        instead("trace.jsonl", '"dropped": {}', '"dropped": {"rate": 1}'),
    ],
)
def test_one_too_many_or_too_few_is_seen(change):
    raw = dict(RAW)
    change(raw)
    assert unexplained(raw)


@pytest.mark.parametrize("name", AFTER)
def test_the_balloon_is_seen(name):
    assert unexplained(RAW, AFTER | {name: AFTER[name] + 1})


def test_one_marked_while_it_exits_is_a_class_of_its_own():
    """It has no line in dmesg, and vmstat does not count it: in perf and hinttrace only."""
    raw = dict(RAW)
    raw["trace.jsonl"] += "\n" + kill(105)
    raw["stat.out"] = raw["stat.out"].replace("4,,oom:mark_victim", "5,,oom:mark_victim")
    assert unexplained(raw) == []


def test_what_is_no_output_of_a_tool_is_refused():
    for name, text in (("stat.out", "<not counted>,,oom:mark_victim,0,100.00,,\n"), ("sequence.out", "perf: failed\n")):
        with pytest.raises(ValueError):
            gather(RAW | {name: text}, BEFORE, AFTER)


def test_a_row_says_what_it_found():
    assert Row("a", 3, "b", 3).verdict == "equal"
    assert Row("a", 3, "b", 5, (("why", 2), ("not so", 0))).verdict == "+2: why"
    assert Row("a", 3, "b", 4, (("why", 2),)).verdict == "NOT EXPLAINED"
    assert crosscheck.markdown([Row("a", 3000, "b", 3000)])[-1] == "| a | 3,000 | b | 3,000 | equal |"
