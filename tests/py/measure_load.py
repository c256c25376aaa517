# SPDX-License-Identifier: GPL-2.0-or-later
"""What loading a large record takes, against parsing its lines as JSON and nothing else.

usage: python3 tests/py/measure_load.py [STALLS]     (default 100000)

Both are measured in one run, so the ratio depends little on the machine.  Nothing of the tests runs this.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
from make_records import START, Toy, run_line, spec, zone_state  # noqa: E402

from analysis.record.load import load_record  # noqa: E402


def write(path: Path, stalls: int) -> None:
    s = spec("reporting", 1, 1)
    end = {**Toy(s, rounds=0).run("x")[-1], "nr_lines": stalls}
    with path.open("w") as f:
        print(json.dumps(run_line("x", s)), file=f)
        for i in range(stalls):
            zones = [{**zone_state(300, 0, 0, 0), "zone": 0}, zone_state(5000 + i % 97, 512, 512, 0)]
            line = {
                "type": "event", "t_ns": START + i * 1000, "kind": "direct_reclaim", "cpu": 0, "pid": 321, "tid": 321,
                "comm": "wave", "duration_ns": 31_000_000 + i, "nr_reclaimed_pages": 12, "gfp": 0x140DCA, "order": 0,
                "highest_zoneidx": 3, "held_pages": 512, "uncompensated_pages": 512, "batch_age_ns": i, "zones": zones,
            }  # fmt: skip
            print(json.dumps(line, separators=(",", ":")), file=f)
        print(json.dumps(end), file=f)


def main() -> None:
    stalls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.jsonl"
        write(path, stalls)
        begin = time.process_time()
        with path.open("rb") as f:
            for data in f:
                json.loads(data)
        parsed = time.process_time()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        record = load_record(path)
        loaded = time.process_time()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n = sum(map(len, record.stalls.values()))
    print(
        f"{n} stalls: JSON alone {parsed - begin:.2f} s, load {loaded - parsed:.2f} s CPU, ratio"
        f" {(loaded - parsed) / (parsed - begin):.2f}; memory grew by {(after - before) / 1024:.0f} MiB"
        f" ({(after - before) * 1024 / max(n, 1):.0f} bytes a stall)"
    )


if __name__ == "__main__":
    main()
