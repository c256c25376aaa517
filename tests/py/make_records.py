# SPDX-License-Identifier: GPL-2.0-or-later
"""Test data only: records of a toy guest, for the tests of analysis/ and for looking at the report.

The toy has one zone, a wave process and a batch of free memory that is away for the host's answer time.
It follows docs/record.md line by line; nothing in the product reads or runs this file.

    python3 tests/py/make_records.py OUT_DIR [REPEATS]
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

PAGE = 4096
MIB = 1 << 20
MS = 1_000_000
NS = 1_000_000_000
X = 512 * MIB
B = 64 * MIB
STEP = 10 * MS
START = 3 * NS
MARKS = {"min_pages": 5632, "low_pages": 7040, "high_pages": 8448}
GFP_USER_PAGE = 0x140DCA  # GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO

ARMS: dict[str, dict[str, int]] = {
    "none": {},
    "reporting": {},
    "reporting-xb": {"extra_bytes": B, "overhead_bytes": 2 * MIB},
    "buffer": {"buffer_bytes": B, "extra_bytes": B, "overhead_bytes": 2 * MIB},
}
DEFINITIONS = Path(__file__).resolve().parents[2] / "arms"
PROBES = ("batch", "oom_kill", "alloc_fail", "direct_reclaim", "compaction_stall", "kswapd_wake")

Line = dict[str, Any]

# An ordinary request of the workload.
REQUEST: Line = {
    "constraint": "none",
    "allowed_nodes": [0],
    "memcg": False,
    "pf_memalloc": False,
    "oom_victim": False,
    "own": False,
}


def pages(mib: float) -> int:
    return round(mib * MIB / PAGE)


def hist_index(value: int, sub_bits: int) -> int:
    if value < 1 << sub_bits:
        return value
    e = value.bit_length() - 1
    return ((e - sub_bits + 1) << sub_bits) + ((value >> (e - sub_bits)) - (1 << sub_bits))


def hist_line(name: str, t_ns: int, values: list[int], sub_bits: int) -> Line:
    counts: dict[int, int] = {}
    for v in values:
        i = hist_index(v, sub_bits)
        counts[i] = counts.get(i, 0) + 1
    return {
        "type": "hist",
        "t_ns": t_ns,
        "name": name,
        "unit": "ns",
        "sub_bits": sub_bits,
        "n": len(values),
        "sum": sum(values),
        "max": max(values, default=0),
        "counts": sorted([i, n] for i, n in counts.items()),
    }


def spec(arm: str, seed: int, repeat: int, **changes: Any) -> Line:
    out: Line = {
        "schema": 2,
        "workload": "memcached",
        "workload_hash": "aa11",
        "arm": arm,
        "label": arm,
        "mem_bytes": X,
        "buffer_bytes": 0,
        "extra_bytes": 0,
        "overhead_bytes": 0,
        "vcpus": 1,
        "order": 9,
        "delay_ms": 2000,
        "capacity": 32,
        "ack_base_ns": 200 * MS,
        "ack_per_chunk_ns": 0,
        "clock": "virtual",
        "accel": "tcg",
        "seed": seed,
        "repeat": repeat,
        "kernel": "c0ffee01",
        "qemu": "c0ffee02",
        "rootfs": "c0ffee03",
        "tools": "c0ffee04",
        "device": {"free-page-reporting": "on"} if arm != "none" else {},
        "params": {"rate": "400", "duration": "60"},
    }
    return out | ARMS.get(arm, {}) | changes


def definition(arm: str) -> Line | None:
    """The arm as the runner copies it into a record; None for an arm that has no file."""
    path = DEFINITIONS / f"{arm}.json"
    return json.loads(path.read_text()) | {"name": arm} if path.is_file() else None


def asked(arm: str) -> dict[str, str]:
    """The kernel parameters that the arm's file expects to read back, as the guest says them."""
    expect = (definition(arm) or {}).get("expect", {}).get("parameters", {})
    return {name: value for name, value in expect.items() if not value.startswith("$")}


def loss_lines(t_ns: int, lines: list[Line]) -> list[Line]:
    """One for each probe, with nothing lost of what is in the lines."""
    counts = {p: sum(x["type"] == "event" and x["kind"] == p for x in lines) for p in PROBES}
    return [
        {"type": "loss", "t_ns": t_ns, "probe": p, "seen": n, "recorded": n, "dropped": {}} for p, n in counts.items()
    ]


def run_line(cell: str, s: Line) -> Line:
    reporting = s["arm"] != "none"
    buffer = s["buffer_bytes"] // PAGE
    return {
        "type": "run",
        "schema": 2,
        "cell": cell,
        "experiment": "memcached",
        "spec": s,
        "arm": definition(s["arm"]),
        "host": {
            "release": "6.1.0-40-amd64",
            "cpu": "Example CPU @ 2.00GHz",
            "nr_cpus": 2,
            "qemu_version": "10.0.2",
            "qemu_cmd": "qemu-system-x86_64 -m 512M",
            "revision": "0123456789ab",
            "governor": "unknown",
            "microcode": "0x1",
        },
        "guests": [
            {
                "release": "6.12.0-hint",
                "cmdline": "console=ttyS0 panic=-1",
                "mem_total_kib": 400 * 1024 + s["extra_bytes"] // 1024 * (buffer == 0),
                "min_free_kib": 22_528,
                "features": hex(1 << 32 | reporting << 5 | bool(buffer) << 20),
                "order": s["order"],
                "delay_ms": s["delay_ms"],
                "capacity": s["capacity"],
                "swap_kib": 0,
                "buffer_wanted_pages": buffer,
                "buffer_held_pages": buffer,
                "zones": [{"node": 0, "zone": "DMA32", "managed_pages": 120_000, **MARKS}],
                "parameters": {"swap_back": "N"} | asked(s["arm"]),
            }
        ],
        "clock": {"mode": s["clock"], "host_minus_guest_ns": 0},
    }


def zone_state(free: int, held: int, uncompensated: int, buffer: int, reserve: int = 0) -> Line:
    nr_free = [0] * 11
    nr_free[0] = max(free, 0) % 512
    nr_free[9] = max(free, 0) // 512
    return {
        "node": 0,
        "zone": 1,
        "free_pages": free,
        **MARKS,
        "boost_pages": 0,
        "cma_pages": 0,
        "isolated_pageblocks": 0,
        "reserve_pages": reserve,
        "highatomic_pages": 0,
        "held_pages": held,
        "uncompensated_pages": uncompensated,
        "buffer_pages": buffer,
        "held_by_order": [[9, held // 512]] if held else [],
        "nr_free_by_order": nr_free,
    }


class Toy:
    """One run, in steps of 10 ms."""

    def __init__(self, s: Line, rounds: int = 24) -> None:
        self.s = s
        self.rounds = rounds
        self.schedule = random.Random(s["seed"] * 1000 + s["repeat"])
        self.noise = random.Random(f"{s['label']}-{s['seed']}-{s['repeat']}")
        self.lines: list[Line] = []
        self.t = START
        self.compensated = s["buffer_bytes"] > 0
        self.free = pages(400 + (s["extra_bytes"] - s["buffer_bytes"]) / MIB - 240)
        self.unreported = self.free
        self.backed = s["mem_bytes"] // PAGE
        self.held = self.held_ns = self.uncompensated_ns = 0
        self.buffer = 0  # change of the level since the tracer attached
        self.exchanges = 0
        self.out: tuple[int, int] | None = None  # start, pages
        self.next_pass = START + 2 * NS
        self.hinted = self.batches = self.kills = self.stalls = 0
        self.stalled = False
        self.largest = self.sent = 0
        self.latency: list[int] = []
        self.service: list[int] = []

    def emit(self, line_type: str, /, **fields: Any) -> None:
        self.lines.append({"type": line_type, "t_ns": self.t, **fields})

    @property
    def uncompensated(self) -> int:
        return 0 if self.compensated else self.held

    def hint(self) -> None:
        if self.out and self.t >= self.out[0] + self.s["ack_base_ns"] + 100_000:
            start, n = self.out
            self.emit(
                "event",
                kind="batch",
                cpu=0,
                pid=40,
                comm="kworker/0:1",
                start_ns=start,
                sent_ns=start + 50_000,
                ack_ns=self.t - 30_000,
                done_ns=self.t,
                nr_chunks=n // 512,
                nr_pages=n,
                min_order=9,
                max_order=9,
                err=0,
                exchange=self.compensated,
            )
            self.held -= n
            if self.compensated:
                self.buffer += n
            else:
                self.free += n
            self.backed -= n
            self.hinted += n * PAGE
            self.out = None
            if self.unreported < 512:
                self.next_pass = self.t + 2 * NS
        if self.s["arm"] == "none" or self.out or self.t < self.next_pass:
            return
        limit = 0 if self.compensated else MARKS["low_pages"] + 32 * 512
        n = min(32 * 512, self.unreported // 512 * 512, self.free // 512 * 512)
        if n < 512 or self.free <= limit:
            self.next_pass = self.t + 2 * NS
            return
        self.out = (self.t, n)
        self.sent += n * PAGE
        self.largest = max(self.largest, n * PAGE)
        self.batches += 1
        self.unreported -= n
        self.held += n
        if self.compensated:
            self.exchanges += n // 512
            self.buffer -= n
        else:
            self.free -= n

    def sample(self) -> None:
        zone = {
            "node": 0,
            "zone": 1,
            "free_pages": self.free,
            "held_pages": self.held,
            "uncompensated_pages": self.uncompensated,
            "buffer_pages": self.buffer,
        }
        self.emit(
            "sample",
            src="guest",
            zones=[zone],
            uncompensated_page_ns=self.uncompensated_ns,
            held_page_ns=self.held_ns,
            exchanges=self.exchanges,
            exchange_free_delta_pages=0,
            vmstat={
                "pswpin": 0,
                "pswpout": 0,
                "zswpin": 0,
                "zswpout": 0,
                "oom_kill": self.kills,
                "allocstall": self.stalls,
                "compact_stall": 0,
                "pgfault": 0,
                "pgmajfault": 0,
            },
        )
        self.emit(
            "sample",
            src="host",
            host_ns=self.t + 7,
            rss_bytes=self.backed * PAGE,
            huge_bytes=0,
            swap_bytes=0,
            process_rss_bytes=self.backed * PAGE + 40 * MIB,
            device=self.device(),
        )

    def load(self, stalled: bool, away: bool) -> None:
        if away:
            self.emit("sample", src="load", n=0, errors=100, p50_us=0, p99_us=0, max_us=0)
            return
        values = [int(250_000 * self.noise.lognormvariate(0, 0.25)) for _ in range(100)]
        if stalled:
            values[:30] = [v + i * 900_000 for i, v in enumerate(values[:30])]
        self.latency += values
        self.service += [min(v, 2_000_000) for v in values]
        values.sort()
        self.emit(
            "sample",
            src="load",
            n=100,
            errors=0,
            p50_us=values[50] / 1e3,
            p99_us=values[98] / 1e3,
            max_us=values[-1] / 1e3,
        )

    def shortage(self, kind: str, **fields: Any) -> None:
        zone = zone_state(self.free, self.held, self.uncompensated, self.buffer)
        self.emit(
            "event",
            kind=kind,
            cpu=0,
            pid=321,
            comm="wave",
            gfp=GFP_USER_PAGE,
            order=0,
            highest_zoneidx=3,
            zones=[zone],
            held_pages=self.held,
            uncompensated_pages=self.uncompensated,
            batch_age_ns=self.t - self.out[0] if self.out else 0,
            **(REQUEST | fields),
        )

    def tick(self, stalled: bool = False, away: bool = False) -> None:
        self.t += STEP
        self.held_ns += self.held * STEP
        self.uncompensated_ns += self.uncompensated * STEP
        self.hint()
        self.stalled |= stalled
        if self.t % (100 * MS) == 0:
            self.sample()
        if self.t % (250 * MS) == 0:
            self.load(self.stalled, away)
            self.stalled = False

    def wave(self, index: int) -> None:
        goal = pages(self.schedule.uniform(112, 132))
        rest = int(self.schedule.uniform(1.2, 1.8) * NS)
        self.emit("phase", name="round", edge="begin", index=index)
        taken, stalled, killed = 0, False, False
        while taken < goal:
            step = min(pages(4), goal - taken)
            if self.free - step < MARKS["min_pages"]:
                self.free = MARKS["min_pages"] - self.noise.randrange(0, 60)
                if not stalled:
                    self.stalls += 1
                    self.shortage("direct_reclaim", duration_ns=31 * MS, nr_reclaimed_pages=12)
                    stalled = True
                self.tick(stalled=True)
                self.shortage(
                    "oom_kill",
                    victim_pid=321 + index,
                    victim_comm="wave",
                    victim_rss_pages=taken,
                    victim_oom_score_adj=0,
                    memcg=False,
                    sysrq=False,
                    culprit_pid=321 + index,
                    culprit_comm="wave",
                )
                self.kills += 1
                killed = True
                break
            self.free -= step
            taken += step
            self.backed = max(self.backed, pages(240) + taken + self.held)
            self.tick()
        end = self.t + 300 * MS
        while not killed and self.t < end:
            self.tick(stalled=stalled)
        self.free += taken
        self.unreported = min(self.free, self.unreported + taken)
        self.backed = min(self.s["mem_bytes"] // PAGE + self.s["extra_bytes"] // PAGE, self.backed + taken)
        if killed:
            self.emit(
                "event", kind="proc_exit", name="wave", pid=321 + index, status=0, signal=9, round=index
            )
        self.emit("phase", name="round", edge="end", index=index)
        end = self.t + rest
        while self.t < end:
            self.tick(away=killed and self.t < end - rest + 120 * MS)

    def run(self, cell: str) -> list[Line]:
        self.emit("tracer", edge="begin")
        self.sample()
        self.emit("phase", name="setup", edge="begin")
        for _ in range(20):
            self.tick()
        self.emit("phase", name="setup", edge="end")
        self.emit("phase", name="measure", edge="begin")
        for i in range(self.rounds):
            self.wave(i)
        self.emit("phase", name="measure", edge="end")
        while self.out:
            self.tick()
        self.sample()
        self.lines.append(hist_line("request_latency", self.t, self.latency, 7))
        self.lines.append(hist_line("request_service", self.t, self.service, 7))
        self.lines += loss_lines(self.t, self.lines)
        self.emit("tracer", edge="end")
        return [run_line(cell, self.s), *self.lines, self.end()]

    def device(self) -> Line:
        skipped = {k: 0 for k in ("inhibited", "poison", "over_limit", "unaligned", "not_ram", "past_end", "failed")}
        return {
            "virtual_ns": self.t,
            "batches": self.batches,
            "chunks": self.sent // (2 * MIB),
            "bytes_received": self.sent,
            "bytes_discarded": self.hinted,
            "bytes_skipped": skipped,
            "discard_ns": 0,
            "stopped_ns": 0,
            "stopped_max_ns": 0,
            "bytes_out": 0,
            "bytes_out_max": self.largest,
            "violations": 0,
            "buffer_pages": self.s["buffer_bytes"] // PAGE,
            "guest_features": "0x0",
        }

    def end(self) -> Line:
        ledger = {
            "guest_hinted_bytes": self.hinted,
            "device_received_bytes": self.hinted,
            "device_discarded_bytes": self.hinted,
            "device_skipped_bytes": 0,
            "from_ns": START,
            "to_ns": self.t,
            "ok": True,
            "detail": None,
        }
        return {
            "type": "end",
            "status": "done",
            "failure": None,
            "failure_detail": None,
            "wall_s": 61.5,
            "nr_lines": len(self.lines),
            "nr_bad_lines": 0,
            "guests": [{"device": self.device(), "ledger": ledger, "loss": {"seen": 0, "recorded": 0, "dropped": 0}}],
            "artefacts": [],
        }


def write_cell(root: Path, s: Line, lines: list[Line] | None = None, rounds: int = 24) -> Path:
    """A cell folder as the runner leaves it; without lines, those of the toy."""
    digest = hashlib.sha256(json.dumps(s).encode()).hexdigest()
    folder = root / f"{s['label']}-s{s['seed']}-r{s['repeat']}-{digest[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cell.json").write_text(json.dumps(s))
    lines = Toy(s, rounds).run(folder.name) if lines is None else lines
    (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_experiment(root: Path, repeats: int = 3, rounds: int = 24) -> None:
    for repeat in range(1, repeats + 1):
        for arm in ARMS:
            write_cell(root, spec(arm, 1, repeat), rounds=rounds)


if __name__ == "__main__":
    write_experiment(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
