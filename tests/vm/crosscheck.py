# SPDX-License-Identifier: GPL-2.0-or-later
"""hinttrace beside all else that counts the same things: oomkill, drsnoop, perf, /proc/vmstat, dmesg, the balloon.

One load in a guest of each arm, all of them watching at once. Each pair is equal, or differs by exactly what
another count explains; anything else fails. `crosscheck.py` prints TAP; `crosscheck.py long` (make crosscheck) the
tables of a longer load, with two CPUs, and exits with 1 when something is unexplained.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import guestvm
from guestvm import BUILD, GUEST, QEMU, ROOTFS, TOP, Guest, GuestError, Scratch, Tap

SCRIPT = TOP / "tests/vm/crosscheck.guest"
HOLD = BUILD / "workloads/firsttouch/hold"
PAGE = 4096
HUGE = 512

FILES = ("trace.jsonl", "oomkill.out", "drsnoop.out", "stat.out", "sequence.out", "vmstat.before", "vmstat.after",
         "dmesg.out", "trace.err", "oomkill.err", "drsnoop.err")

# Events of perf that hinttrace has no kind for, and why.
NOT_OURS = {
    "oom:reclaim_retry_zone": "a zone is looked at again before anything is decided",
    "oom:compact_retry": "compaction is tried again before anything is decided",
    "oom:oom_score_adj_update": "a setting",
    "oom:wake_reaper": "what becomes of a victim's memory",
    "oom:start_task_reaping": "what becomes of a victim's memory",
    "oom:finish_task_reaping": "what becomes of a victim's memory",
    "oom:skip_task_reaping": "what becomes of a victim's memory",
    "vmscan:mm_vmscan_throttled": "a pause within a reclaim, whose duration has it",
    "vmscan:mm_vmscan_lru_shrink_active": "a step of a reclaim",
    "vmscan:mm_vmscan_lru_shrink_inactive": "a step of a reclaim",
    "vmscan:mm_vmscan_lru_isolate": "a step of a reclaim",
    "vmscan:mm_shrink_slab_start": "a step of a reclaim",
    "vmscan:mm_shrink_slab_end": "a step of a reclaim",
    "vmscan:mm_vmscan_write_folio": "pages on their way out: to the device, or found to be zeros",
    "vmscan:mm_vmscan_memcg_reclaim_begin": "a cgroup at its limit, while the guest has memory",
    "vmscan:mm_vmscan_memcg_reclaim_end": "a cgroup at its limit, while the guest has memory",
    "vmscan:mm_vmscan_kswapd_wake": "kswapd begins; it may have been woken by many",
    "vmscan:mm_vmscan_kswapd_sleep": "kswapd has done",
    "page_reporting:page_reporting_exchange_begin": "half of an exchange",
}


@dataclass(frozen=True)
class Row:
    """hinttrace's number, another's, and by how much they may differ: (reason, number) each."""

    what: str
    ours: int
    who: str
    theirs: int
    classes: tuple[tuple[str, int], ...] = ()

    @property
    def explained(self) -> bool:
        return self.ours + sum(n for _, n in self.classes) == self.theirs

    @property
    def verdict(self) -> str:
        if not self.explained:
            return "NOT EXPLAINED"
        parts = [f"{n:+,}: {why}" for why, n in self.classes if n]
        return "; ".join(parts) or "equal"


def _vmstat(text: str) -> dict[str, int]:
    return {name: int(n) for name, n in (line.split() for line in text.splitlines())}


def _perf(text: str) -> Counter[str]:
    """Counts by event of `perf stat -x,`."""
    out: Counter[str] = Counter()
    for line in text.splitlines():
        cells = line.split(",")
        if len(cells) > 2 and ":" in cells[2]:
            if not cells[0].isdigit():
                raise ValueError(f"perf stat counted nothing: {line}")
            out[cells[2]] += int(cells[0])
    return out


def _passes(text: str) -> tuple[int, int]:
    """Direct reclaims, and the passes over memory made within them, from the order of perf's events."""
    within: set[str] = set()
    begun = passes = 0
    for line in text.splitlines():
        m = re.fullmatch(r"\s*(\d+) [\d.]+: (\S+):\s*", line)
        if not m:
            raise ValueError(f"not a line of perf script: {line!r}")
        tid, event = m[1], m[2]
        if event.endswith("direct_reclaim_begin"):
            within.add(tid)
            begun += 1
        elif event.endswith("direct_reclaim_end"):
            within.discard(tid)
        else:
            passes += tid in within
    return begun, passes


def _kills_of_dmesg(text: str) -> tuple[list[int], dict[int, tuple[int, ...]], int]:
    """Victims that were decided on, every one killed with its pages (anon, file, shmem), lines about one killed."""
    decided = [int(n) for n in re.findall(r"oom-kill:constraint=.*,pid=(\d+),", text)]
    lines = re.findall(r"Killed process (\d+) .*anon-rss:(\d+)kB, file-rss:(\d+)kB, shmem-rss:(\d+)kB", text)
    killed = {int(line[0]): tuple(int(kib) * 1024 // PAGE for kib in line[1:]) for line in lines}
    return decided, killed, len(lines)


def gather(raw: Mapping[str, str], before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Every number that is compared, by name; nothing is decided here."""
    lines = [json.loads(line) for line in raw["trace.jsonl"].splitlines()]
    kills = [x for x in lines if x.get("kind") == "oom_kill"]
    batches = [x for x in lines if x.get("kind") == "batch"]
    was, now = _vmstat(raw["vmstat.before"]), _vmstat(raw["vmstat.after"])
    decided, killed, nr_lines = _kills_of_dmesg(raw["dmesg.out"])
    ours = {x["victim_pid"]: tuple(x[f"victim_{k}_pages"] for k in ("anon", "file", "shmem")) for x in kills}
    snooped = [int(n) for n in re.findall(r"OOM kill of PID (\d+)", raw["oomkill.out"])]
    n = {f"trace.{x['probe']}": x["seen"] for x in lines if x["type"] == "loss"}
    n |= {f"perf.{event}": count for event, count in _perf(raw["stat.out"]).items()}
    n |= {f"vmstat.{name}": now[name] - was[name] for name in now}
    n |= {f"device.{name}": after[name] - before[name] for name in ("batches", "chunks", "bytes-received")}
    n["perf.reclaims"], n["perf.passes"] = _passes(raw["sequence.out"])
    n["trace.kills"] = len(kills)
    n["trace.lost"] = sum(sum(x["dropped"].values()) for x in lines if x["type"] == "loss")
    n["trace.batches"] = len(batches)
    n["trace.chunks"] = sum(x["nr_chunks"] for x in batches)
    n["trace.bytes"] = sum(x["nr_pages"] for x in batches) * PAGE
    n["drsnoop"] = len(re.findall(r"^\d\d:\d\d:\d\d ", raw["drsnoop.out"], re.M))
    n["oomkill"] = len(snooped)
    n["oomkill.as_dmesg"] = sum((Counter(snooped) & Counter(decided)).values())
    n["dmesg.decided"] = len(decided)
    n["dmesg.killed"] = len(killed)
    n["dmesg.lines"] = nr_lines
    n["dmesg.failures"] = raw["dmesg.out"].count("page allocation failure")
    n["same.victims"] = len(set(ours) & set(killed))
    n["same.pages"] = sum(ours[pid] == killed[pid] for pid in set(ours) & set(killed))
    return n


def table(n: Mapping[str, int]) -> Iterator[Row]:
    kills, stalls = n["trace.kills"], n["trace.direct_reclaim"]
    allocstall = sum(v for name, v in n.items() if name.startswith("vmstat.allocstall"))
    exiting = n["perf.oom:mark_victim"] - n["dmesg.killed"]
    of_groups = n["dmesg.killed"] - n["dmesg.decided"]
    twice = n["dmesg.lines"] - n["dmesg.killed"]
    quiet = ("marked while already exiting: the kernel prints and counts nothing", -exiting)
    yield Row("kills", kills, "perf stat, oom:mark_victim", n["perf.oom:mark_victim"])
    yield Row("kills", kills, "dmesg, processes killed", n["dmesg.killed"], (quiet,))
    yield Row("kills", kills, "vmstat oom_kill", n["vmstat.oom_kill"],
              (quiet, ("the first of a memory.oom.group is killed twice", twice)))
    yield Row("kills", kills, "oomkill", n["oomkill"],
              (quiet, ("the others of a memory.oom.group: decided once", -of_groups)))
    yield Row("victims, by pid", n["same.victims"], "dmesg", n["dmesg.killed"])
    yield Row("victims decided on, by pid", n["dmesg.decided"], "oomkill", n["oomkill.as_dmesg"])
    yield Row("victims' anon, file, shmem pages", n["same.pages"], "dmesg, rss", n["dmesg.killed"])
    yield Row("direct reclaim", stalls, "perf stat, ..._begin", n["perf.vmscan:mm_vmscan_direct_reclaim_begin"])
    yield Row("direct reclaim", stalls, "perf stat, ..._end", n["perf.vmscan:mm_vmscan_direct_reclaim_end"])
    yield Row("direct reclaim", stalls, "perf record", n["perf.reclaims"])
    yield Row("direct reclaim", stalls, "drsnoop", n["drsnoop"])
    yield Row("direct reclaim", stalls, "vmstat allocstall", allocstall,
              (("passes after the first of a reclaim, each counted", n["perf.passes"] - n["perf.reclaims"]),))
    yield Row("kswapd woken", n["trace.kswapd_wake"], "perf stat", n["perf.vmscan:mm_vmscan_wakeup_kswapd"])
    yield Row("compaction stalls", n["trace.compaction_stall"], "vmstat compact_stall", n["vmstat.compact_stall"])
    attempts = n["perf.compaction:mm_compaction_try_to_compact_pages"]
    yield Row("compaction stalls", n["trace.compaction_stall"], "perf stat, try_to_compact_pages", attempts,
              (("attempts that are skipped: no stall for vmstat either", attempts - n["vmstat.compact_stall"]),))
    yield Row("failed allocations", n["trace.alloc_fail"], "perf stat, mm_page_alloc of no page",
              n["perf.kmem:mm_page_alloc"])
    yield Row("swap-out", n["trace.swap_out"], "vmstat pswpout", n["vmstat.pswpout"],
              (("a huge page goes in one piece of 512", (HUGE - 1) * n["vmstat.thp_swpout"]),))
    yield Row("swap-in", n["trace.swap_in"], "vmstat pswpin", n["vmstat.pswpin"],
              (("pages of zeros (swpin_zero), which no device has", -n["vmstat.swpin_zero"]),))
    yield Row("zswap out", n["trace.zswap_out"], "vmstat zswpout", n["vmstat.zswpout"])
    yield Row("zswap in", n["trace.zswap_in"], "vmstat zswpin", n["vmstat.zswpin"])
    for event, ours in (("isolate", "isolate"), ("putback", "putback"), ("batch", "batch"), ("ack", "batch"),
                        ("done", "batch"), ("exchange", "exchange"), ("buffer", "buffer")):
        yield Row(f"hinting: {event}", n[f"trace.{ours}"], "perf stat",
                  n[f"perf.page_reporting:page_reporting_{event}"])
    yield Row("batches", n["trace.batches"], "balloon", n["device.batches"])
    yield Row("chunks", n["trace.chunks"], "balloon", n["device.chunks"])
    yield Row("bytes hinted", n["trace.bytes"], "balloon", n["device.bytes-received"])
    yield Row("events lost", n["trace.lost"], "none may be", 0)


def others(n: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """What perf counted that hinttrace has no kind for; and of that what nobody has given a reason for."""
    compared = {f"perf.{e}" for e in (
        "oom:mark_victim", "vmscan:mm_vmscan_direct_reclaim_begin", "vmscan:mm_vmscan_direct_reclaim_end",
        "vmscan:mm_vmscan_wakeup_kswapd", "compaction:mm_compaction_try_to_compact_pages", "kmem:mm_page_alloc",
        *(f"page_reporting:page_reporting_{x}"
          for x in ("isolate", "putback", "batch", "ack", "done", "exchange", "buffer")))}
    rest = {k.removeprefix("perf."): v for k, v in n.items() if k.startswith("perf.") and ":" in k
            and k not in compared and v}
    return rest, sorted(set(rest) - set(NOT_OURS))


# What must have happened, or a row that is equal says nothing.
WANTED = ("trace.kills", "trace.direct_reclaim", "trace.kswapd_wake", "trace.compaction_stall", "trace.alloc_fail",
          "trace.swap_out", "trace.swap_in", "vmstat.pswpin", "vmstat.swpin_zero", "trace.batches", "dmesg.decided",
          "perf.passes")


def markdown(rows: Sequence[Row]) -> list[str]:
    out = ["| what | hinttrace | other | its number | |", "|---|---|---|---|---|"]
    return out + [f"| {r.what} | {r.ours:,} | {r.who} | {r.theirs:,} | {r.verdict} |" for r in rows]


ARMS = {"reporting": ("320M", ""), "buffer": ("352M", ",hint-buffer-size=32M")}


def watch(scratch: Scratch, arm: str, *, smp: int = 1, kills: int = 2, rounds: int = 1) -> dict[str, int]:
    """One guest, one load; the numbers."""
    fillpipes = scratch.dir / "fillpipes"
    subprocess.run(["gcc", "-static", "-O2", "-o", fillpipes, TOP / "tests/vm/fillpipes.c"], check=True)
    payload = scratch.payload({"fillpipes": fillpipes, "hold": HOLD})
    mem, more = ARMS[arm]
    functions = SCRIPT.read_text()
    with Guest(scratch, f"crosscheck-{arm}", mem, f"free-page-reporting=on,x-report-ack-base-ns=20000000{more}",
               # Delay accounting from boot on: a kernel thread made before it would have no passes.
               cmdline="page_reporting.page_reporting_order=9 log_buf_len=1M delayacct", smp=smp, payload=payload) as guest:
        guest.sh(f"mkdir /run/x && cat >/run/x/functions <<'@@'\n{functions}\n@@")

        def run(script: str) -> None:
            guest.sh(f". /run/x/functions\n{script}", 900)

        run("start")
        before = guest.device()
        for _ in range(rounds):
            run(f"churn; kills {kills}; groups; pieces; churn")
        run("settle")
        after = guest.device()
        run("stop")
        raw = {name: guest.sh(f"cat /run/x/{name}", 600) for name in FILES}
        if splats := guest.splats():
            raise GuestError(f"{arm}: {splats[0]}")
    for name in ("oomkill.err", "drsnoop.err"):
        if raw[name].strip():
            raise GuestError(f"{arm}: {name.split('.')[0]} says: {raw[name]}")
    for name, text in raw.items():
        (scratch.keep / f"crosscheck-{arm}.{name}").write_text(text)
    return gather(raw, before, after)


def judge(tap: Tap, arm: str, n: Mapping[str, int]) -> None:
    for row in table(n):
        tap.ok(row.explained, f"{arm}: {row.what}: {row.ours:,}, {row.who}: {row.theirs:,} ({row.verdict})", row)
    tap.is_(others(n)[1], [], f"{arm}: perf counted nothing else that has no reason here")
    tap.is_([x for x in WANTED if not n[x]], [], f"{arm}: all of it happened")


def test(tap: Tap, scratch: Scratch) -> None:
    judge(tap, "reporting", watch(scratch, "reporting"))


def long_form() -> int:
    """Both arms, two CPUs, three rounds: tables; 1 when something is not explained."""
    scratch = Scratch()
    bad = 0
    for arm in ARMS:
        n = watch(scratch, arm, smp=2, kills=3, rounds=3)
        rows = list(table(n))
        rest, unknown = others(n)
        print(f"## {arm}", *markdown(rows), "", sep="\n")
        print("Counted by perf and no kind of hinttrace:", *(f"- {e} {c:,}: {NOT_OURS.get(e, 'NOT EXPLAINED')}"
                                                             for e, c in rest.items()), "", sep="\n", flush=True)
        missing = [x for x in WANTED if not n[x]]
        if missing:
            print(f"crosscheck: {arm}: did not happen: {', '.join(missing)}", file=sys.stderr)
        bad += len(unknown) + len(missing) + sum(not r.explained for r in rows)
    print(f"{bad} differences without a reason" if bad else "every pair is equal or explained")
    return 1 if bad else 0


if __name__ == "__main__":
    guestvm.require(*(GUEST / f"bpf/{x}.bpf.o" for x in ("hint", "swap", "allocfail", "sample")), GUEST / "hinttrace",
                    HOLD, QEMU / "qemu-system-x86_64", Path(ROOTFS / "root.erofs"))
    if sys.argv[1:] == ["long"]:
        try:
            sys.exit(long_form())
        except GuestError as err:
            sys.exit(f"crosscheck: {err}")
    sys.exit(guestvm.main_of(test))
