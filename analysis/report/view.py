# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sections of the report share: the analysis, and how each arm looks and is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from analysis.compare.analyse import Analysis
from analysis.compare.stats import NS, CellStats
from analysis.record.model import MIB, Spec
from analysis.report import text
from analysis.report.style import ArmStyle, arm_styles

Arms = dict[str, tuple[CellStats, ...]]

# Said where an arm first stands; the arm's own line comes from its definition.
ROLES = {
    "baseline": "baseline",
    "rival": "what exists",
    "cure": "the proposal",
    "control": "control",
}


@dataclass(frozen=True)
class View:
    a: Analysis

    @cached_property
    def arms(self) -> Arms:
        """Arms with a counted run, in the order of the page."""
        return {label: cells for label, cells in self.a.arms.items() if cells}

    @cached_property
    def look(self) -> dict[str, ArmStyle]:
        rows = []
        for label in self.a.arms:
            arm = self.definition(label)
            colours = (arm.colour.light, arm.colour.dark) if arm and arm.colour else None
            rows.append((label, self.spec(label).arm, colours))
        return arm_styles(rows)

    def spec(self, label: str) -> Spec:
        return next(s.record.spec for s in self.a.accepted if s.label == label)

    def definition(self, label: str):
        """The definition of the label's arm in its record; None in old records."""
        return next((getattr(s.record, "arm", None) for s in self.a.accepted if s.label == label), None)

    def role(self, label: str) -> str:
        arm = self.definition(label)
        return ROLES.get(arm.role, arm.role) if arm else ""

    def description(self, label: str) -> str:
        arm = self.definition(label)
        return arm.description if arm else ""

    @cached_property
    def columns(self) -> list[tuple[str, str, str]]:
        """Of a table of arms: label, colour, runs."""
        return [
            (label, self.look[label].css, f"{len(group)} {'run' if len(group) == 1 else 'runs'}")
            for label, group in self.a.arms.items()
        ]

    @cached_property
    def buffer_bytes(self) -> int:
        return max((c.record.spec.buffer_bytes for c in self.a.accepted), default=0)


def seconds(cell: CellStats) -> float:
    """Length of the measured phase."""
    return sum(b - a for a, b in cell.windows) / NS


def ack(spec: Spec) -> str:
    """The modelled answer of the host."""
    out = text.duration(spec.ack_base_ns)
    return f"{out} + {text.duration(spec.ack_per_chunk_ns)} per chunk" if spec.ack_per_chunk_ns else out


def host_model(spec: Spec) -> str:
    """Who decides when the host answers: on the virtual clock, and with a delay set, a model does."""
    if not spec.ack_base_ns and not spec.ack_per_chunk_ns:
        return "host answers at once" if spec.clock == "virtual" else "host answers when it is done"
    return f"modelled host: answers after {ack(spec)}"


def extra_mib(spec: Spec) -> float:
    return (spec.extra_bytes + spec.overhead_bytes) / MIB
