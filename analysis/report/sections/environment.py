# SPDX-License-Identifier: GPL-2.0-or-later
"""Host and guest, as read back."""

from __future__ import annotations

from typing import Any

from analysis.record.fields import clean_text
from analysis.record.model import MIB, PAGE_BYTES, Guest
from analysis.report import text
from analysis.report.page import Section
from analysis.report.view import View, host_model

# Virtio 1.3, sections 5.5.3 (balloon) and 6 (reserved bits); 20 is the experimental bit of this proposal.
FEATURES = {
    0: "must-tell-host",
    1: "stats",
    2: "deflate-on-oom",
    3: "free-page-hint",
    4: "page-poison",
    5: "reporting",
    20: "hinting buffer, experimental",
    24: "notify-on-empty",
    27: "any-layout",
    28: "indirect descriptors",
    29: "event index",
    30: "unused",
    32: "version-1",
    33: "access-platform",
    34: "packed ring",
    35: "in-order",
    36: "order-platform",
    37: "SR-IOV",
    38: "notification-data",
    39: "notif-config-data",
    40: "ring-reset",
    41: "admin queue",
}

TEMPLATE = """
{% for title, rows in blocks %}
<h3>{{ title }}</h3>
{{ page.facts(rows) }}
{% endfor %}
"""

Rows = list[tuple[str, str]]


def feature_names(features: int) -> str:
    bits = [i for i in range(128) if features >> i & 1]
    return ", ".join(f"{i} ({FEATURES.get(i, 'not known')})" for i in bits) or "none"


def _host(view: View) -> Rows:
    r = view.a.accepted[0].record
    host = r.host
    return [
        ("kernel", host.get("release", "unknown")),
        ("CPU", f"{host.get('cpu', 'unknown')}, {host.get('nr_cpus', '?')} CPUs"),
        ("governor, microcode", f"{host.get('governor', 'unknown')}, {host.get('microcode', 'unknown')}"),
        ("QEMU", host.get("qemu_version", "unknown")),
        ("accelerator, clock", f"{r.spec.accel}, {r.spec.clock} clock"),
        ("answer to a batch", host_model(r.spec)),
        ("revision", host.get("revision", "unknown")),
    ]


def _guest(view: View) -> Rows:
    r = view.a.accepted[0].record
    spec = r.spec
    rows = [
        (
            "memory sold (X), buffer (B)",
            f"{text.size(spec.mem_bytes)}, {text.size(view.buffer_bytes) if view.buffer_bytes else 'none'}",
        ),
        ("vCPUs", str(spec.vcpus)),
        ("kernel hash", spec.kernel),
        ("QEMU hash", spec.qemu),
        ("root image hash", spec.rootfs),
        ("tools hash", spec.tools),
    ]
    if r.guest:
        rows = [("kernel", r.guest.release), *rows, ("command line", r.guest.cmdline)]
    params = spec.raw.get("params")
    if isinstance(params, dict) and params:
        words = ", ".join(f"{k}={v}" for k, v in sorted(params.items()))
        rows.append(("workload parameters", clean_text(words, 1000)))
    return rows


def _read_back(g: Guest) -> str:
    marks = " / ".join(
        str(sum(getattr(z, f"{m}_pages") for z in g.zones) * PAGE_BYTES // MIB)
        for m in ("min", "low", "high")
    )
    order, delay, capacity = ("?" if v is None else v for v in (g.order, g.delay_ms, g.capacity))
    return (
        f"bits {feature_names(g.features)}; order {order}, delay {delay} ms, capacity {capacity};"
        f" MemTotal {text.whole(g.mem_total_kib)} KiB, watermarks {marks} MiB (min / low / high)"
    )


def build(view: View) -> dict[str, Any] | None:
    if not view.a.accepted:
        return None
    arms = []
    for label, cells in view.arms.items():
        guest = next((c.record.guest for c in cells if c.record.guest), None)
        if guest:
            arms.append((label, _read_back(guest)))
    blocks = [("Host", _host(view)), ("Guest", _guest(view))]
    if arms:
        blocks.append(("Read back inside the guest, by arm", arms))
    return {"blocks": blocks}


SECTION = Section("environment", "Environment", build, TEMPLATE)
