#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second, independent account: the numbers of summary.json, recomputed from the records.

Not in it: avoided kills, pairs, curves and claims, which follow from these; of verdicts only the plain ones.

usage: tests/py/second_account.py RESULTS_DIR

Written from docs/record.md and docs/report.md with the standard library only; it imports nothing of
analysis/ and must stay that way.  Prints each number that differs and, last, how many were compared.
Exit status: 0 all agree, 1 some differ, 2 wrong usage or nothing to compare.

example: tests/py/second_account.py results/memcached
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from statistics import median

PAGE = 4096
MIB = float(1 << 20)
LOST_US = (1 << 40) // 1000
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
NOFAIL_WORDS = {"noretry": 1 << 16, "nowarn": 1 << 13}
# Metrics whose sum over runs means something (docs/report.md: the others have no total).
NO_TOTAL = ("_us", "held_at_kill_bytes", "rss_mib", "residue_mib", "bytes_per_batch", "notifications_per_gib",
            "batch_hold_ms", "batch_ack_ms")


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Run:
    """One cell: its lines by kind, and the numbers that follow from them."""

    def __init__(self, path: Path) -> None:
        self.lines = read(path)
        self.name = path.parent.name
        self.head, self.end = self.lines[0], self.lines[-1]
        self.spec = self.head["spec"]
        body = self.lines[1:-1]
        self.events = [x for x in body if x["type"] == "event"]
        self.phases = [x for x in body if x["type"] == "phase"]
        samples = [x for x in body if x["type"] == "sample"]
        self.guest = [x for x in samples if x["src"] == "guest"]
        self.host = [x for x in samples if x["src"] == "host"]
        self.load = [x for x in samples if x["src"] == "load"]
        self.hists = {x["name"]: x for x in body if x["type"] == "hist"}
        self.losses = [x for x in body if x["type"] == "loss"]
        begin = [x["t_ns"] for x in self.phases if x["name"] == "measure" and x["edge"] == "begin"]
        finish = [x["t_ns"] for x in self.phases if x["name"] == "measure" and x["edge"] == "end"]
        if len(begin) != 1 or len(finish) != 1:
            raise SystemExit(f"{path}: this account wants exactly one measured phase")
        self.a, self.b = begin[0], finish[0]

    def measured(self, kind: str) -> list[dict]:
        return [e for e in self.events if e["kind"] == kind and self.a <= e["t_ns"] <= self.b]

    def system(self, kind: str) -> list[dict]:
        """Events of the system: not a cgroup's, not asked for by sysrq or by the toolkit, no fallback."""
        found = []
        for e in self.measured(kind):
            if e.get("memcg") or e.get("constraint") == "memcg" or e.get("sysrq") or e.get("own"):
                continue
            if kind == "alloc_fail" and fallback(e):
                continue
            found.append(e)
        return found

    def counter(self, get) -> float | None:
        """Growth of a counter of events: the last sample at or before each edge."""
        if len(self.guest) < 2:
            return None

        def at(t: int) -> int:
            before = [s for s in self.guest if s["t_ns"] <= t]
            return get(before[-1] if before else self.guest[0])

        return float(at(self.b) - at(self.a))

    def integral(self, get) -> float | None:
        """Growth of a running integral, linear between samples."""
        if len(self.guest) < 2:
            return None
        points = [(s["t_ns"], get(s)) for s in self.guest]
        return linear(points, self.b) - linear(points, self.a)

    def rounds(self) -> list[int]:
        open_, whole = {}, []
        for p in self.phases:
            if p["name"] != "round" or p.get("index") is None:
                continue
            if p["edge"] == "begin":
                open_[p["index"]] = p["t_ns"]
            elif p["index"] in open_ and open_.pop(p["index"]) >= self.a and p["t_ns"] <= self.b:
                whole.append(p["index"])
        return whole

    def round_of(self, kill: dict) -> int | None:
        for e in self.events:
            if (e["kind"] == "proc_exit" and e.get("signal", 0) > 0 and e.get("round", -1) >= 0
                    and e.get("pid") == kill["victim_pid"] and e["t_ns"] >= kill["t_ns"]):
                return e["round"]
        under_way = None
        for p in self.phases:
            if p["name"] == "round" and p["t_ns"] <= kill["t_ns"]:
                under_way = p.get("index") if p["edge"] == "begin" else None
        return under_way


def linear(points: list[tuple[int, float]], t: int) -> float:
    if t <= points[0][0]:
        return points[0][1]
    for (t0, v0), (t1, v1) in zip(points, points[1:]):
        if t <= t1:
            return v0 + (v1 - v0) * (t - t0) / (t1 - t0) if t1 > t0 else v1
    return points[-1][1]


def fallback(e: dict) -> bool:
    """An attempt that the kernel makes with a plan B: high order, or told not to try hard or not to warn."""
    return e["order"] > 3 or bool(e["gfp"] & (NOFAIL_WORDS["noretry"] | NOFAIL_WORDS["nowarn"]))


def bucket_top(i: int, bits: int) -> int:
    def low(k: int) -> int:
        if k < 1 << bits:
            return k
        shift = (k >> bits) - 1
        return ((k & ((1 << bits) - 1)) + (1 << bits)) << shift

    return low(i + 1) - 1


def quantile_us(h: dict | None, q: float, beyond: int) -> float | None:
    """`beyond` requests were lost and are not in the histogram: they rank as slowest."""
    if h is None or h["n"] + beyond < round(10 / (1 - q)):
        return None
    rank, seen = max(math.ceil(q * (h["n"] + beyond) - 1e-9), 1), 0
    for i, n in h["counts"]:
        seen += n
        if seen >= rank:
            return min(min(bucket_top(i, h["sub_bits"]), h["max"]) / 1000, float(LOST_US))
    return float(LOST_US)


def trapezoid(points: list[tuple[int, float]], a: int, b: int) -> float:
    inner = [(a, linear(points, a))] + [p for p in points if a < p[0] < b] + [(b, linear(points, b))]
    return sum((t1 - t0) / 1e9 * (v0 + v1) / 2 for (t0, v0), (t1, v1) in zip(inner, inner[1:]))


def union_ms(stalls: list[dict]) -> float:
    total = reached = 0
    for begin, end in sorted((e["t_ns"], e["t_ns"] + e["duration_ns"]) for e in stalls):
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total / 1e6


def incidents(run: Run, kills: list[dict]) -> int:
    count, last = 0, None
    for k in kills:
        same = last is not None and k["t_ns"] - last["t_ns"] < 1e9
        if same and last.get("zones"):
            want = {(z["node"], z["zone"]) for z in last["zones"]}
            high = sum(z["high_pages"] for z in last["zones"])
            for s in run.guest:
                if last["t_ns"] < s["t_ns"] < k["t_ns"]:
                    free = sum(z["free_pages"] for z in s["zones"] if (z["node"], z["zone"]) in want)
                    same = same and free <= high
        count += not same
        last = k
    return count


def numbers(run: Run) -> dict[str, float | None]:
    """Every metric of a run but those that need a verdict or a partner."""
    spec, out = run.spec, {}
    kills = run.system("oom_kill")
    reclaim, fails = run.system("direct_reclaim"), run.system("alloc_fail")
    apart = [e for e in run.measured("oom_kill") if e not in kills]
    attempts = [e for e in run.measured("alloc_fail") if fallback(e) and not e.get("memcg") and not e.get("own")]

    def held(found: list[dict]) -> int:
        return sum(e["uncompensated_pages"] > 0 for e in found)

    out["oom_kills"], out["kills_while_held"] = len(kills), held(kills)
    out["incidents"] = incidents(run, kills)
    out["own_kills"] = sum(bool(e.get("own")) and not e.get("memcg") and not e.get("sysrq") for e in apart)
    out["other_kills"] = len(apart) - out["own_kills"]
    out["own_stalls"] = sum(bool(e.get("own")) for k in ("direct_reclaim", "compaction_stall") for e in run.measured(k))
    out["alloc_failures"], out["alloc_failures_while_held"] = len(fails), held(fails)
    out["alloc_fallbacks"], out["alloc_fallbacks_high"] = len(attempts), sum(e["order"] > 3 for e in attempts)
    out["direct_reclaim_stalls"], out["direct_reclaim_while_held"] = len(reclaim), held(reclaim)
    out["direct_reclaim_ms"] = union_ms(reclaim)
    out["direct_reclaim_task_ms"] = sum(e["duration_ns"] for e in reclaim) / 1e6
    out["compaction_stalls"], out["kswapd_wakes"] = (len(run.system(k)) for k in ("compaction_stall", "kswapd_wake"))
    out["swap_out_pages"] = run.counter(lambda s: s["vmstat"].get("pswpout", 0))
    out["swap_in_pages"] = run.counter(lambda s: s["vmstat"].get("pswpin", 0))
    exposure = run.integral(lambda s: s["uncompensated_page_ns"])
    out["exposure_mib_s"] = None if exposure is None else exposure * PAGE / MIB / 1e9
    out["exchanges"] = run.counter(lambda s: s["exchanges"])
    out["exchange_free_delta_pages"] = run.counter(lambda s: s["exchange_free_delta_pages"])
    out["events_lost"] = sum(x["seen"] - x["recorded"] for x in run.losses)

    lost_in_samples = sum(s["errors"] for s in run.load if run.a < s["t_ns"] <= run.b)
    for prefix, name in (("latency", "request_latency"), ("service", "request_service"), ("head", "request_head")):
        h = run.hists.get(name)
        for short, q in QUANTILES.items():
            out[f"{prefix}_{short}_us"] = quantile_us(h, q, lost_in_samples if h and "lost" not in h else 0)
    h = run.hists.get("request_latency")
    out["requests"] = h["n"] - h.get("lost", 0) if h else None
    out["request_errors"] = h["lost"] if h and "lost" in h else lost_in_samples
    lag = [e["lag_ns"] / 1000 for e in run.events if e["kind"] in ("load_lag_max", "load_lag")]
    out["generator_lag_us"] = max(lag) if any(e["kind"] == "load_lag_max" for e in run.events) else None

    batches = [e for e in run.events if e["kind"] == "batch" and run.a <= e["start_ns"] <= run.b]
    back = [e for e in batches if not e.get("open")]
    hinted = sum(e["nr_pages"] for e in batches if not e.get("err") and e["sent_ns"]) * PAGE
    out["batches"], out["hinted_mib"] = len(batches), hinted / MIB
    out["bytes_per_batch"] = sum(e["nr_pages"] for e in batches) * PAGE / len(batches) if batches else None
    out["notifications_per_gib"] = len(batches) / (hinted / 2**30) if hinted else None
    out["batch_hold_ms"] = median(e["done_ns"] - e["start_ns"] for e in back) / 1e6 if back else None
    out["batch_ack_ms"] = median(max(e["ack_ns"] - e["sent_ns"], 0) for e in back) / 1e6 if back else None

    seconds = (run.b - run.a) / 1e9
    rss = [(s["t_ns"], s["rss_bytes"] / MIB) for s in run.host]
    given = (spec["mem_bytes"] + spec["extra_bytes"] + spec["overhead_bytes"]) / MIB
    used = trapezoid(rss, run.a, run.b) if len(rss) > 1 else None
    out["rss_mib"] = None if used is None else used / seconds
    out["host_saved_mib_s"] = None if used is None else given * seconds - used
    out["host_saved_vs_x_mib_s"] = None if used is None else spec["mem_bytes"] / MIB * seconds - used
    stopped = [(s["t_ns"], (s["device"] or {}).get("stopped_ns")) for s in run.host]
    edges = [[v for t, v in stopped if t <= edge][-1:] or [v for _, v in stopped[:1]] for edge in (run.a, run.b)]
    whole = len(stopped) > 1 and None not in (x for edge in edges for x in edge)
    out["vcpu_stopped_ms"] = (edges[1][0] - edges[0][0]) / 1e6 if whole else None
    base = run.head["guests"][0]["buffer_held_pages"]
    idle = [(s["t_ns"], (base + sum(z["free_pages"] + max(z["held_pages"], 0) + z.get("buffer_pages", 0)
                                    for z in s["zones"])) * PAGE / MIB) for s in run.guest]
    backed = [max(0.0, v + linear(idle, t) - given) for t, v in rss if run.a <= t <= run.b]
    out["residue_mib"] = median(backed) if backed and len(idle) > 1 else None
    return out


def interval(data: list[float]) -> tuple[float, float]:
    """The order-statistic interval of the median from six values on, else least and largest."""
    n, best, tail = len(data), None, 0.0
    for r in range(n // 2):
        tail += math.comb(n, r) / 2**n
        if 1 - 2 * tail < 0.95:
            break
        best = r
    return (data[0], data[-1]) if best is None else (data[best], data[n - 1 - best])


def rounded(v: float | None) -> float | None:
    return None if v is None else float(f"{v:.6g}") if v != int(v) else float(int(v))


class Account:
    def __init__(self) -> None:
        self.compared = 0
        self.wrong: list[str] = []

    def same(self, where: str, theirs: object, ours: object) -> None:
        self.compared += 1
        if isinstance(theirs, float | int) and isinstance(ours, float | int) and not isinstance(theirs, bool):
            # Host samples of one instant of the guest's clock: where the step between them is drawn is free.
            share = 1e-3 if "host_saved" in where or "rss_mib" in where else 2e-5
            if math.isclose(theirs, ours, rel_tol=share, abs_tol=1e-9):
                return
        elif theirs == ours:
            return
        self.wrong.append(f"{where}: the summary has {theirs}, the records give {ours}")


def of_label(summary: dict, label: str, runs: dict[str, Run]) -> list[Run]:
    """Counted runs of a label: its arm, at its values of what was varied."""
    want = summary["labels"][label]

    def fits(run: Run) -> bool:
        for name, value in want["point"].items():
            spec = run.spec
            if name == "B":
                ours = spec["buffer_bytes"] or spec["extra_bytes"] or None
            else:
                ours = spec["params"].get(name[7:]) if name.startswith("params.") else spec[name]
            if value is not None and str(value) != str(ours):
                return False
        return run.spec["arm"] == want["arm"]

    return [r for r in runs.values() if fits(r)]


def check_label(acc: Account, summary: dict, label: str, group: list[Run], lossy: list[Run]) -> None:
    """lossy: runs that are not counted for what they lost, and are in the count of that all the same."""
    per_run = [numbers(r) for r in group]
    verdicts = [k for k in summary["kills"] if k["label"] == label]
    for key, number in summary["arms"][label].items():
        where = f"{label}: {key}"
        if key == "held_at_kill_bytes":
            data = [float(k["uncompensated_pages"] * PAGE) for r in group for k in r.system("oom_kill")]
        elif key in ("attributable_kills", "genuine_kills", "undetermined_kills"):
            kind = key.split("_")[0]
            data = [float(sum(k["verdict"] == kind for k in verdicts if k["cell"] == r.name)) for r in group]
        elif key == "avoided_kills":
            continue
        elif key == "events_lost":
            data = [float(numbers(r)[key]) for r in group + lossy]
        else:
            data = [x[key] for x in per_run if x[key] is not None]
            if len(data) < len(per_run) and number.get("why"):
                data = []
        acc.same(f"{where}.n", number["n"], len(data))
        data.sort()
        if not data:
            acc.same(f"{where}.median", number["median"], None)
            continue
        lo, hi = (data[0], data[-1]) if key == "held_at_kill_bytes" else interval(data)
        acc.same(f"{where}.median", number["median"], rounded(median(data)))
        acc.same(f"{where}.lo", number["lo"], rounded(lo))
        acc.same(f"{where}.hi", number["hi"], rounded(hi))
        total = None if key.endswith(NO_TOTAL[0]) or key in NO_TOTAL else rounded(sum(data))
        acc.same(f"{where}.total", number["total"], total)


def check_kills(acc: Account, summary: dict, runs: dict[str, Run]) -> None:
    """The list of kills, the rounds they fall in, and the rate of each arm."""
    for label, rounds in summary["rounds"].items():
        group = of_label(summary, label, runs)
        listed = [k for k in summary["kills"] if k["label"] == label]
        ours = [(r, k, r.round_of(k)) for r in group for k in r.system("oom_kill")]
        acc.same(f"{label}: kills listed", sorted((k["cell"], k["t_ns"]) for k in listed),
                 sorted((r.name, k["t_ns"]) for r, k, _ in ours))
        by_time = {(k["cell"], k["t_ns"]): k for k in listed}
        for r, k, index in ours:
            theirs = by_time.get((r.name, k["t_ns"]), {})
            where = f"{label}: kill at {k['t_ns']}"
            acc.same(f"{where}: round", theirs.get("round"), index)
            acc.same(f"{where}: held", theirs.get("held_bytes"), k["held_pages"] * PAGE)
            acc.same(f"{where}: victim", theirs.get("victim"), k["victim_comm"])
        if rounds["unit"] == "round":
            hit = {(r.name, i) for r, _, i in ours if i in r.rounds()}
            acc.same(f"{label}: rounds", rounds["total"], sum(len(set(r.rounds())) for r in group))
            acc.same(f"{label}: rounds with a kill", rounds["with_kill"], len(hit))
        else:
            acc.same(f"{label}: runs with a kill", rounds["with_kill"], len({r.name for r, _, _ in ours}))
        check_verdicts(acc, label, ours, by_time)


def check_verdicts(acc: Account, label: str, ours: list, by_time: dict) -> None:
    """The plainest case by hand: an order-0 movable request of an ordinary task, no reserve but lowmem's.

    Where neither free pages nor free and held pages reach the mark the kill is genuine; where only the
    latter do it is attributable; and a zone that passes with its free pages settles nothing.
    """
    for r, k, _ in ours:
        plain = k["order"] == 0 and not k["gfp"] & 0x20 and k["gfp"] & 0x8 and not k.get("pf_memalloc")
        plain = plain and not k.get("oom_victim") and k.get("constraint") == "none" and k.get("zones")
        if not plain:
            continue
        short, helped = True, False
        for z in k["zones"]:
            if z["zone"] > k["highest_zoneidx"]:
                continue
            need = z["min_pages"] + z["boost_pages"] + z["reserve_pages"]
            usable = z["free_pages"] - z["highatomic_pages"]
            short = short and usable <= need
            helped = helped or usable + z["uncompensated_pages"] > need
        verdict = by_time.get((r.name, k["t_ns"]), {}).get("verdict")
        want = ("attributable" if helped else "genuine") if short else "undetermined"
        # A doubt about the sample may turn a verdict into undetermined, never into the other one.
        acc.same(f"{label}: kill at {k['t_ns']}: verdict", verdict, verdict if verdict == "undetermined" else want)


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 0 if sys.argv[1:] in (["--help"], ["-h"]) else 2
    folder = Path(sys.argv[1])
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except OSError as error:
        print(f"second_account.py: {error}; make report RESULTS={folder}", file=sys.stderr)
        return 2
    counted = {c["cell"] for c in summary["cells"]["list"] if c["counted"]}
    lost = {x["cell"] for x in summary["cells"]["excluded_why"] if x["why"].startswith("events were lost")}
    paths = sorted(folder.glob("*/record.jsonl"))
    runs = {p.parent.name: Run(p) for p in paths if p.parent.name in counted}
    lossy = {p.parent.name: Run(p) for p in paths if p.parent.name in lost - counted}
    acc = Account()
    acc.same("cells counted", summary["cells"]["counted"], len(runs))
    for label in summary["arms"]:
        check_label(acc, summary, label, of_label(summary, label, runs), of_label(summary, label, lossy))
    check_kills(acc, summary, runs)
    for text in acc.wrong:
        print(text)
    print(f"{acc.compared} numbers compared, {len(acc.wrong)} differ")
    if not runs:
        return 2
    return 1 if acc.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
