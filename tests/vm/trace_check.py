# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's part of trace.sh: reads the two streams of each arm and prints TAP.

Usage: trace_check.py FOLDER ARM...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tap import Tap

tap = Tap()
ok = tap.ok


def lines(path: Path) -> tuple[list[dict], int]:
    """Objects of a stream and the number of lines that are none."""
    good, bad = [], 0
    for raw in path.read_bytes().splitlines() if path.exists() else []:
        try:
            good.append(json.loads(raw))
        except ValueError:
            bad += 1
    return good, bad


def phase(work: list[dict], name: str) -> tuple[int, int]:
    """Begin and end of a phase; an empty interval when the guest did not get there."""
    at = {x["edge"]: x["t_ns"] for x in work if x["type"] == "phase" and x["name"] == name}
    return at.get("begin", 0), at.get("end", 0)


def within(events: list[dict], span: tuple[int, int], kind: str) -> list[dict]:
    return [e for e in events if e["kind"] == kind and span[0] <= e["t_ns"] <= span[1]]


def zone_sums(sample: dict, field: str) -> int:
    return sum(z[field] for z in sample["zones"])


def check_kills(arm: str, work: list[dict], events: list[dict]) -> None:
    kills = within(events, phase(work, "kills"), "oom_kill")
    ok(
        len(kills) == 3 and all(k["victim_comm"] == "tail" and not k["memcg"] for k in kills),
        f"{arm}: three processes too large are three kills of tail",
        [(k["victim_comm"], k["memcg"]) for k in kills],
    )
    ok(
        all(k["victim_rss_pages"] > 20000 and k["victim_oom_score_adj"] == 1000 for k in kills),
        f"{arm}: the victim's size and score are its own",
        [(k["victim_rss_pages"], k["victim_oom_score_adj"]) for k in kills],
    )
    parts = ("victim_anon_pages", "victim_file_pages", "victim_shmem_pages")
    ok(
        all(sum(k[p] for p in parts) == k["victim_rss_pages"] and k["victim_anon_pages"] > 20000 for k in kills),
        f"{arm}: the victim's memory is anonymous, and the parts make up the whole",
        kills[:1],
    )
    ok(
        all(k["victim_uid"] == 0 and 0 < k["victim_start_ns"] < k["t_ns"] for k in kills),
        f"{arm}: whose it was and when it began",
        kills[:1],
    )
    # The kernel's test failed a moment ago, with the high mark: so it must in the sample.
    starved = [
        z
        for k in kills
        for z in k["zones"]
        if z["zone"] <= k["highest_zoneidx"]
        and z["free_pages"] - z["highatomic_pages"] > z["high_pages"] + z["boost_pages"] + z["reserve_pages"]
    ]
    ok(not starved and all(k["zones"] for k in kills), f"{arm}: no zone was above its mark at a kill", starved)
    of_group = within(events, phase(work, "memcg"), "oom_kill")
    ok(
        len(of_group) == 1 and of_group[0]["memcg"] and of_group[0]["constraint"] == "memcg",
        f"{arm}: a kill by a cgroup's limit is told apart",
        of_group,
    )


SHORTAGES = ("oom_kill", "alloc_fail", "direct_reclaim", "compaction_stall", "kswapd_wake")


def check_requests(arm: str, work: list[dict], events: list[dict]) -> None:
    """Who asked, and what for."""
    of = [e for e in events if e["kind"] in SHORTAGES]
    late = [e for e in of if e["state_ns"] > e["t_ns"] + 1_000_000]
    ok(bool(of) and not late, f"{arm}: zones are sampled before or as the event is", late[:1])
    own = [e for e in of if e["own"] != (e["comm"] == "fillpipes")]
    ok(not own, f"{arm}: events of the tasks named are the toolkit's own, and no other: the tracer has none", own[:1])
    charges = within(events, phase(work, "charge"), "alloc_fail")
    ok(
        bool(charges) and all(e["memcg"] and e["constraint"] == "memcg" for e in charges if e["comm"] == "fillpipes"),
        f"{arm}: a charge to a cgroup that fails is no failed allocation",
        charges[:1],
    )
    of_system = [e for e in of if e not in charges and e["kind"] == "alloc_fail" and e.get("memcg") is not False]
    ok(not of_system, f"{arm}: ... and what is one is not said to be a charge", of_system[:1])
    kills = within(events, phase(work, "kills"), "oom_kill")
    nodes = [0, 1] if arm == "nodes" else [0]
    ok(
        all(k["constraint"] == "none" and k["allowed_nodes"] == nodes for k in kills),
        f"{arm}: a request that is not bound may use every node",
        [(k["constraint"], k.get("allowed_nodes")) for k in kills],
    )
    if arm != "nodes":
        bound = [e for e in of if e["constraint"] not in ("none", "memcg")]
        ok(not bound, f"{arm}: with one node no request is bound", bound[:1])
        return
    for name, constraint in (("cpuset", "cpuset"), ("policy", "memory_policy")):
        span = phase(work, name)
        kill = within(events, span, "oom_kill")
        ok(
            [(k["victim_comm"], k["constraint"], k.get("allowed_nodes")) for k in kill] == [("tail", constraint, [1])],
            f"{arm}: a kill bound by {constraint} says so, and to which node",
            [(k["victim_comm"], k["constraint"], k.get("allowed_nodes")) for k in kill],
        )
        stalls = [
            e
            for kind in ("direct_reclaim", "compaction_stall")
            for e in within(events, span, kind)
            if e["comm"] == "tail" and e["gfp"] & 0x100000
        ]
        ok(
            bool(stalls) and all(e["constraint"] == constraint and e["allowed_nodes"] == [1] for e in stalls),
            f"{arm}: and so do its stalls",
            [(e["kind"], e["gfp"], e["constraint"], e.get("allowed_nodes")) for e in stalls][:3],
        )
        free = [z for k in kill for z in k["zones"] if z["node"] == 0 and z["free_pages"] > 8192]
        ok(bool(free), f"{arm}: while the other node has memory", [k["zones"] for k in kill])


def check_zones(arm: str, events: list[dict]) -> None:
    """What a snapshot says must fit together."""
    zones = [z for e in events for z in e.get("zones", [])]
    wrong = [z for z in zones if sum(n << o for o, n in z["held_by_order"]) != z["held_pages"]]
    ok(bool(zones) and not wrong, f"{arm}: held chunks by order make up the held pages", wrong[:1])
    # Free pages are counted a moment before the blocks are, while others allocate.
    wrong = [
        z
        for z in zones
        if abs(sum(n << o for o, n in enumerate(z["nr_free_by_order"])) - z["free_pages"]) > 2048
    ]
    ok(not wrong, f"{arm}: free blocks by order make up the free pages", wrong[:1])
    wrong = [z for z in zones if not z["min_pages"] <= z["low_pages"] <= z["high_pages"]]
    ok(not wrong, f"{arm}: watermarks ascend", wrong[:1])
    wrong = [z for z in zones if z["cma_pages"] or z.get("isolated_pageblocks")]
    ok(not wrong, f"{arm}: nothing is CMA or isolated here", wrong[:1])


def check_hinting(arm: str, trace: list[dict], events: list[dict], hists: dict) -> None:
    batches = [e for e in events if e["kind"] == "batch"]
    ordered = all(b["start_ns"] <= b["sent_ns"] <= b["ack_ns"] <= b["done_ns"] for b in batches)
    ok(bool(batches) and ordered, f"{arm}: batches are isolated, sent, acknowledged, back, in this order")
    slow = [b for b in batches if b["ack_ns"] - b["sent_ns"] >= 20_000_000 and b["err"] == 0]
    ok(len(slow) == len(batches), f"{arm}: the device's 20 ms are in every acknowledgement")
    sizes = [b for b in batches if not b["nr_chunks"] << b["min_order"] <= b["nr_pages"] <= b["nr_chunks"] << b["max_order"]]
    ok(not sizes, f"{arm}: pages of a batch fit its chunks and orders", sizes[:1])
    ok(
        hists["batch_hold"]["n"] == len(batches) == hists["batch_ack"]["n"],
        f"{arm}: as many values in the histograms as batches",
        (hists["batch_hold"]["n"], len(batches), hists["batch_ack"]["n"]),
    )

    samples = [x for x in trace if x["type"] == "sample"]
    last = samples[-1]
    ok(zone_sums(last, "held_pages") == 0, f"{arm}: at rest nothing is held", last["zones"])
    grows = all(
        a["held_page_ns"] <= b["held_page_ns"] and a["uncompensated_page_ns"] <= b["uncompensated_page_ns"]
        for a, b in zip(samples, samples[1:])
    )
    ok(grows, f"{arm}: the integrals never fall")
    # Each chunk is held from its isolation to its return: between the sum of
    # (sent..ack) and the sum of (start..done), pages times time.
    low = sum(b["nr_pages"] * (b["ack_ns"] - b["sent_ns"]) for b in batches)
    high = sum(b["nr_pages"] * (b["done_ns"] - b["start_ns"]) for b in batches)
    ok(low <= last["held_page_ns"] <= high, f"{arm}: exposure agrees with the batches", (low, last["held_page_ns"], high))

    if arm == "buffer":
        ok(last["exchanges"] > 0, f"{arm}: chunks were exchanged", last["exchanges"])
        ok(last["uncompensated_page_ns"] == 0, f"{arm}: exposure is 0", last["uncompensated_page_ns"])
        ok(last["exchange_free_delta_pages"] == 0, f"{arm}: no exchange changed the free pages")
        ok(not [e for e in events if e["kind"] == "exchange_violation"], f"{arm}: no violation")
        sums = {zone_sums(s, "buffer_pages") + zone_sums(s, "held_pages") for s in samples}
        ok(sums == {0}, f"{arm}: in every sample the buffer lacks what is held", sums)
        ok(all(b["exchange"] for b in batches), f"{arm}: every batch says that it was exchanged")
        ok(
            sum(b["nr_exchanges"] for b in batches) == last["exchanges"],
            f"{arm}: the exchanges of all batches are those of the samples",
            (sum(b["nr_exchanges"] for b in batches), last["exchanges"]),
        )
        ok(
            hists["exchange_latency"]["n"] == last["exchanges"],
            f"{arm}: every exchange was timed",
            (hists["exchange_latency"]["n"], last["exchanges"]),
        )
    else:
        ok(
            last["uncompensated_page_ns"] == last["held_page_ns"] > 0,
            f"{arm}: without a buffer all that is held is exposure",
            last,
        )
        ok(hists["exchange_latency"]["n"] == 0 == last["exchanges"], f"{arm}: nothing was exchanged")


def check_samples(arm: str, work: list[dict], trace: list[dict]) -> None:
    """The first and the last are read from /proc, those between are taken in the kernel."""
    samples = [x for x in trace if x["type"] == "sample"]
    own = [x["t_ns"] for x in samples[1:-1]]
    steps = [b - a for a, b in zip(own, own[1:])]
    ok(
        len(own) > 50
        and all(abs((s + 50_000_000) % 100_000_000 - 50_000_000) < 5_000_000 and s < 5_200_000_000 for s in steps),
        f"{arm}: a sample every 100 ms, to 5 ms, or none for up to 5 s",
        (len(own), min(steps, default=0), max(steps, default=0)),
    )
    begin, end = phase(work, "idle")
    nr = sum(begin <= t <= end for t in own)
    # Of 200; what the kernel does by itself changes counters too, the more the more nodes there are.
    ok(4 <= nr <= 100, f"{arm}: 20 s in which little happens are few samples", nr)
    names = {tuple(x["vmstat"]) for x in samples}
    zones = {tuple((z["node"], z["zone"]) for z in x["zones"]) for x in samples}
    ok(len(names) == 1 and len(zones) == 1, f"{arm}: the same zones and counters from both", (names, zones))
    falls = [
        (name, a["t_ns"])
        for a, b in zip(samples, samples[1:])
        for name in a["vmstat"]
        if b["vmstat"][name] < a["vmstat"][name]
    ]
    ok(not falls, f"{arm}: no counter falls, from one source to the other either", falls[:1])
    # At rest: up to 5 s lie between the two, and a tracer that stops and gives back its tables, some MiB.
    kernel, proc = samples[-2], samples[-1]
    apart = [
        (a, b)
        for a, b in zip(kernel["zones"], proc["zones"])
        if abs(a["free_pages"] - b["free_pages"]) > 1024
        or any(a[f] != b[f] for f in ("held_pages", "uncompensated_pages", "buffer_pages"))
    ]
    grown = {n: proc["vmstat"][n] - v for n, v in kernel["vmstat"].items() if proc["vmstat"][n] != v}
    ok(not apart and set(grown) <= {"pgfault"} and grown.get("pgfault", 0) < 1000,
       f"{arm}: both say the same at rest", (apart, grown))
    sums = ("held_page_ns", "uncompensated_page_ns", "exchanges", "exchange_free_delta_pages")
    ok(all(kernel[s] == proc[s] for s in sums), f"{arm}: and the same sums", [(kernel[s], proc[s]) for s in sums])


def check_losses(arm: str, trace: list[dict], events: list[dict]) -> None:
    losses = {x["probe"]: x for x in trace if x["type"] == "loss"}
    wrong = [x for x in losses.values() if x["seen"] != x["recorded"] + sum(x["dropped"].values())]
    ok(len(losses) == 16 and not wrong, f"{arm}: seen = recorded + dropped for all 16 probes", wrong or sorted(losses))
    lost = {p: x["dropped"] for p, x in losses.items() if x["dropped"]}
    ok(not lost, f"{arm}: nothing was dropped", lost)
    for probe in ("batch", "oom_kill", "alloc_fail", "direct_reclaim", "compaction_stall", "kswapd_wake"):
        nr = sum(e["kind"] == probe for e in events)
        ok(losses[probe]["recorded"] == nr, f"{arm}: {probe}: as many lines as recorded", (losses[probe], nr))
    nr = sum(x["type"] == "sample" for x in trace)
    ok(losses["sample"]["recorded"] == nr - 2, f"{arm}: sample: two lines more, from /proc", (losses["sample"], nr))
    # The kernel's own counters over the same time.
    samples = [x["vmstat"] for x in trace if x["type"] == "sample"]
    for counter, probe in (("oom_kill", "oom_kill"), ("compact_stall", "compaction_stall")):
        delta = samples[-1][counter] - samples[0][counter]
        ok(
            losses[probe]["recorded"] == delta,
            f"{arm}: as many of {probe} as vmstat counts",
            (losses[probe], delta),
        )
    ok(
        losses["isolate"]["recorded"] == losses["putback"]["recorded"] + (losses["buffer"]["recorded"] if arm == "buffer" else 0),
        f"{arm}: every chunk isolated came back",
        (losses["isolate"], losses["putback"], losses["buffer"]),
    )


def check_cost(arm: str, trace: list[dict], events: list[dict]) -> None:
    costs = {x["program"]: x for x in trace if x["type"] == "cost"}
    edges = [x["t_ns"] for x in trace if x["type"] == "tracer"]
    kills = sum(e["kind"] == "oom_kill" for e in events)
    ok(
        costs.get("af_alloc", {}).get("runs", 0) > 1000 and costs.get("af_oom_kill", {}).get("runs") == kills > 0,
        f"{arm}: the kernel's account has a run of a program for each of its events",
        costs,
    )
    total = sum(x["run_ns"] for x in costs.values())
    ok(
        costs.get("hinttrace", {}).get("run_ns", 0) > 0 and 0 < total < (edges[-1] - edges[0]) // 4,
        f"{arm}: watching took time, and not most of it",
        (total, edges, costs),
    )
    print(f"# {arm}: {total / 1e9:.2f} s of {(edges[-1] - edges[0]) / 1e9:.1f} s were spent on watching")


def check_paging(arm: str, work: list[dict], hists: dict) -> None:
    values = [x["text"].split() for x in work if x["type"] == "log" and x["src"] == "value"]
    pswpout = {v[0]: int(v[1]) for v in values if len(v) == 2}.get("pswpout", 0)
    ok(
        0 < hists["swap_out"]["n"] <= pswpout,
        f"{arm}: swap-outs were timed, at most one a page (a folio may be many)",
        (hists["swap_out"]["n"], pswpout),
    )
    for h in hists.values():
        ok(
            h["n"] == sum(n for _, n in h["counts"]) and h["counts"] == sorted(h["counts"]),
            f"{arm}: histogram {h['name']} adds up",
        )


def check_arm(folder: Path, arm: str) -> None:
    work, bad_work = lines(folder / f"{arm}.work")
    trace, bad_trace = lines(folder / f"{arm}.trace")
    ok(any(x["type"] == "bye" for x in work), f"{arm}: the guest came to its end", f"see {folder}/{arm}.console")
    ok(not bad_work and not bad_trace, f"{arm}: every line is JSON", (bad_work, bad_trace))
    console = (folder / f"{arm}.console").read_text(errors="replace")
    splats = [s for s in ("BUG:", "WARNING:", "Oops", "Call Trace:\n") if s in console and s != "Call Trace:\n"]
    ok(not splats, f"{arm}: no splat on the console", splats)
    for x in work:
        if x["type"] == "log" and x["src"] == "check":
            ok(x["text"].startswith("ok "), f"{arm}: {x['text'].split(' ', 2)[-1] if x['text'].startswith('not') else x['text'][3:]}")
        elif x["type"] == "log" and x["src"] == "note":
            print(f"# {arm}: {x['text']}")
    events = [x for x in trace if x["type"] == "event"]
    hists = {x["name"]: x for x in trace if x["type"] == "hist"}
    edges = [i for i, x in enumerate(trace) if x["type"] == "tracer"]
    ok(
        [trace[i]["edge"] for i in edges] == ["begin", "end"] and edges[-1] == len(trace) - 1,
        f"{arm}: the tracer says that it begins, and as the very last that it ends",
        edges,
    )
    if len(hists) != 9 or not any(x["type"] == "sample" for x in trace):
        ok(False, f"{arm}: nine histograms and samples", sorted(hists))
        return
    check_kills(arm, work, events)
    check_requests(arm, work, events)
    check_zones(arm, events)
    check_hinting(arm, trace, events, hists)
    check_samples(arm, work, trace)
    check_losses(arm, trace, events)
    check_cost(arm, trace, events)
    check_paging(arm, work, hists)


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    for arm in sys.argv[2:]:
        check_arm(Path(sys.argv[1]), arm)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
