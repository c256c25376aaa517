# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of a run a second time, straight from record.jsonl and the words of docs/report.md.

Shares nothing with analysis/, and is written to be read, not to be fast: plain lines, plain loops.  Where the
two disagree one of them is wrong.
"""

from __future__ import annotations

import json
import statistics
from fractions import Fraction
from pathlib import Path

PAGE = 4096
MIB = 1 << 20
LOST_NS = 1 << 40
NORETRY, NOWARN = 1 << 16, 1 << 13


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(x) for x in (folder / "record.jsonl").read_text().splitlines()]


class Run:
    def __init__(self, lines: list[dict]) -> None:
        self.run, self.end = lines[0], lines[-1]
        self.lines = lines[1:-1]
        edges = {x["edge"]: x["t_ns"] for x in self.of("phase") if x["name"] == "measure"}
        self.a, self.b = edges["begin"], edges["end"]

    def of(self, line_type: str, kind: str = "") -> list[dict]:
        return [x for x in self.lines if x["type"] == line_type and kind in ("", x.get("kind"), x.get("src"))]

    def events(self, kind: str) -> list[dict]:
        """Of the system, while measured."""
        return [
            x
            for x in self.of("event", kind)
            if self.a <= x["t_ns"] <= self.b
            and not (x.get("memcg") or x.get("sysrq") or x.get("own") or x.get("constraint") == "memcg")
        ]


def verdict(event: dict) -> str:
    """For order 0, an unbound movable request that may wait: what the toy and the golden records have."""
    fails, helped = True, False
    for z in event["zones"]:
        need = z["min_pages"] + z["boost_pages"] + z["reserve_pages"]
        usable = z["free_pages"] - z["highatomic_pages"]
        fails &= usable <= need
        helped |= usable + z["uncompensated_pages"] > need
    if not fails:
        return "undetermined"
    return "attributable" if helped else "genuine"


def incidents(run: Run, kills: list[dict]) -> int:
    n = 0
    last = None
    for k in sorted(kills, key=lambda k: k["t_ns"]):
        if last is None or k["t_ns"] - last["t_ns"] >= 1_000_000_000:
            n += 1
        else:
            keys = {(z["node"], z["zone"]) for z in last["zones"]}
            high = sum(z["high_pages"] for z in last["zones"])
            for s in run.of("sample", "guest"):
                free = sum(z["free_pages"] for z in s["zones"] if (z["node"], z["zone"]) in keys)
                if last["t_ns"] < s["t_ns"] < k["t_ns"] and free > high:
                    n += 1
                    break
        last = k
    return n


def line_at(points: list[tuple[int, float]], t: int) -> float:
    """Linear between points, flat outside."""
    if t <= points[0][0]:
        return points[0][1]
    for (t0, v0), (t1, v1) in zip(points, points[1:], strict=False):
        if t0 <= t <= t1:
            return float(v0 + Fraction(t - t0, t1 - t0) * Fraction(v1 - v0)) if t1 > t0 else v1
    return points[-1][1]


def area(points: list[tuple[int, float]], a: int, b: int) -> float:
    inner = [p for p in points if a < p[0] < b]
    every = [(a, line_at(points, a)), *inner, (b, line_at(points, b))]
    return sum((t1 - t0) * (v0 + v1) / 2 for (t0, v0), (t1, v1) in zip(every, every[1:], strict=False)) / 1e9


def step(run: Run, name) -> float:
    samples = run.of("sample", "guest")

    def at(t: int) -> float:
        before = [s for s in samples if s["t_ns"] <= t]
        return name((before or samples)[-1 if before else 0])

    return at(run.b) - at(run.a)


def quantile(run: Run, name: str, q: float, lost: int) -> float | None:
    h = next((x for x in run.of("hist") if x["name"] == name), None)
    if h is None:
        return None
    more = lost if "lost" not in h else 0
    n = h["n"] + more
    if n < round(10 / (1 - q)):
        return None
    rank = -(-int(round(q * n * 10_000)) // 10_000)
    values = []
    s = h["sub_bits"]
    for index, count in h["counts"]:
        i = index + 1
        top = i if i < 1 << s else ((i & ((1 << s) - 1)) + (1 << s)) << ((i >> s) - 1)
        values += [min(top - 1, h["max"])] * count
    values += [LOST_NS] * more
    return min(values[rank - 1] / 1000, LOST_NS // 1000)


def numbers(run: Run) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    kills = run.events("oom_kill")
    kinds = [verdict(k) for k in kills]
    out["oom_kills"] = len(kills)
    for kind in ("attributable", "genuine", "undetermined"):
        out[f"{kind}_kills"] = kinds.count(kind)
    out["incidents"] = incidents(run, kills)
    out["kills_while_held"] = sum(k["uncompensated_pages"] > 0 for k in kills)
    failed = run.events("alloc_fail")
    plan_b = [x for x in failed if x["gfp"] & (NORETRY | NOWARN) or x["order"] > 3]
    out["alloc_fallbacks"] = len(plan_b)
    out["alloc_failures"] = len(failed) - len(plan_b)
    stalls = run.events("direct_reclaim")
    out["direct_reclaim_stalls"] = len(stalls)
    out["direct_reclaim_task_ms"] = sum(x["duration_ns"] for x in stalls) / 1e6
    edges = sorted({t for x in stalls for t in (x["t_ns"], x["t_ns"] + x["duration_ns"])})
    out["direct_reclaim_ms"] = (
        sum(
            t1 - t0
            for t0, t1 in zip(edges, edges[1:], strict=False)
            if any(x["t_ns"] <= t0 and t1 <= x["t_ns"] + x["duration_ns"] for x in stalls)
        )
        / 1e6
    )
    out["compaction_stalls"] = len(run.events("compaction_stall"))
    out["kswapd_wakes"] = len(run.events("kswapd_wake"))
    out["swap_out_pages"] = step(run, lambda s: s["vmstat"].get("pswpout", 0))
    out["exchanges"] = step(run, lambda s: s["exchanges"])
    exposed = [(s["t_ns"], s["uncompensated_page_ns"]) for s in run.of("sample", "guest")]
    out["exposure_mib_s"] = (line_at(exposed, run.b) - line_at(exposed, run.a)) * PAGE / MIB / 1e9

    loads = [s for s in run.of("sample", "load") if run.a < s["t_ns"] <= run.b]
    hist = next((x for x in run.of("hist") if x["name"] == "request_latency"), None)
    lost = hist["lost"] if hist and "lost" in hist else sum(s["errors"] for s in loads)
    out["request_errors"] = lost
    out["requests"] = hist["n"] - hist.get("lost", 0) if hist else None
    for short, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        out[f"latency_{short}_us"] = quantile(run, "request_latency", q, lost)
        out[f"service_{short}_us"] = quantile(run, "request_service", q, lost)

    spec, seconds = run.run["spec"], (run.b - run.a) / 1e9
    given = (spec["mem_bytes"] + spec["extra_bytes"] + spec["overhead_bytes"]) / MIB
    host = [(h["t_ns"], h["rss_bytes"] / MIB) for h in run.of("sample", "host")]
    used = area(host, run.a, run.b)
    out["rss_mib"] = used / seconds
    out["host_saved_mib_s"] = given * seconds - used
    out["host_saved_vs_x_mib_s"] = spec["mem_bytes"] / MIB * seconds - used
    level = run.run["guests"][0]["buffer_held_pages"]
    idle = [
        (s["t_ns"], (level + sum(z["free_pages"] + z["held_pages"] + z["buffer_pages"] for z in s["zones"])) / 256)
        for s in run.of("sample", "guest")
    ]
    backed = [max(rss + line_at(idle, t) - given, 0) for t, rss in host if run.a <= t <= run.b]
    out["residue_mib"] = statistics.median(backed)

    batches = [x for x in run.of("event", "batch") if run.a <= x["start_ns"] <= run.b]
    back = [x for x in batches if not x.get("open")]
    hinted = sum(x["nr_pages"] for x in batches if not x.get("err") and x["sent_ns"]) * PAGE
    out["batches"] = len(batches)
    out["hinted_mib"] = hinted / MIB
    out["bytes_per_batch"] = sum(x["nr_pages"] for x in batches) * PAGE / len(batches) if batches else None
    out["notifications_per_gib"] = len(batches) / (hinted / (1 << 30)) if hinted else None
    out["batch_hold_ms"] = statistics.median([x["done_ns"] - x["start_ns"] for x in back]) / 1e6 if back else None
    out["batch_ack_ms"] = statistics.median([x["ack_ns"] - x["sent_ns"] for x in back]) / 1e6 if back else None
    return out
