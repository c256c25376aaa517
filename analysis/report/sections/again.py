# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that repeats the run: as recorded, or, for records without it, from the specs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.record.fields import clean_text
from analysis.record.model import Spec
from analysis.report.page import Section
from analysis.report.view import View

WORKLOADS = Path(__file__).resolve().parents[3] / "workloads"
SIZES = ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
TIMES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us"), (1, "ns"))

TEMPLATE = """
{% for line in commands %}
<pre>{{ line }}</pre>
{% endfor %}
{% if note %}<p class="small">{{ note }}</p>{% endif %}
"""


def _unit(value: int, units: Sequence[tuple[int, str]]) -> str:
    """The value in the largest unit it is a whole number of."""
    for unit, name in units:
        if value and value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


def _ack(spec: Spec) -> str:
    base = _unit(spec.ack_base_ns, TIMES)
    return f"{base}+{_unit(spec.ack_per_chunk_ns, TIMES)}" if spec.ack_per_chunk_ns else base


def _host(spec: Spec) -> list[tuple[str, str]]:
    """What else the host was modelled to do; nothing in most runs."""
    out = []
    if spec.checkpoint_period_ns:
        period, window = _unit(spec.checkpoint_period_ns, TIMES), _unit(spec.checkpoint_window_ns, TIMES)
        out.append(("checkpoint", f"{period}/{window}"))
    if spec.stuck_after:
        out.append(("stuck-after", str(spec.stuck_after)))
    return out


def is_own(workload: str) -> bool:
    """Not one of the toolkit's: the record has its name, not where it lies."""
    return not (WORKLOADS / workload / "run").is_file()


def options(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Options of `hintrun run` that plan these cells; what takes several values is given once for each."""

    def values(get) -> list[str]:
        return list(dict.fromkeys(get(s) for s in specs))

    first = specs[0]
    params = dict(first.raw.get("params") or {})
    quick = params.pop("quick", "") == "1"
    out = [
        ("workload", f"/path/to/{first.workload}" if is_own(first.workload) else first.workload),
        ("arms", " ".join(values(lambda s: s.arm))),
        ("repeats", str(len({s.repeat for s in specs}))),
        ("mem", _unit(first.mem_bytes, SIZES)),
    ]
    sizes = values(lambda s: _unit(s.buffer_bytes or s.extra_bytes, SIZES))
    if sized := [size for size in sizes if size != "0"]:
        out.append(("buffer", sized[0]))
    hinting = [s for s in specs if s.raw.get("device")] or list(specs)
    out += [
        ("ack-delay", _ack(hinting[0])),
        *_host(hinting[0]),
        ("clock", first.clock),
        ("accel", first.accel),
        ("seed", str(min(s.seed for s in specs))),
        ("vcpus", str(first.vcpus)),
        ("order", str(hinting[0].order)),
        ("delay-ms", str(hinting[0].delay_ms)),
    ]
    # Parameters are the one thing here that the loader hands on as it found it.
    out += [("param", clean_text(f"{k}={v}")) for k, v in sorted(params.items())]
    return [*out, ("quick", "")] if quick else out


def reconstructed(specs: Sequence[Spec]) -> str:
    words = ["build/bin/hintrun", "run"]
    for name, value in options(specs):
        words += [f"--{name}", value] if value else [f"--{name}"]
    return shlex.join(words)


def build(view: View) -> dict[str, Any] | None:
    records = [c.record for c in view.a.accepted]
    if not records:
        return None
    recorded = [r.command for r in records if r.command]
    if recorded:
        return {"commands": list(dict.fromkeys(recorded)), "note": ""}
    specs = [r.spec for r in records]
    note = "Put together from the specifications of the runs; build/bin/hintrun is made by `make collectors`."
    if is_own(specs[0].workload):
        note += f" The record does not say where the workload {specs[0].workload} lies."
    return {"commands": [reconstructed(specs)], "note": note}


SECTION = Section("again", "Run again", build, TEMPLATE)
