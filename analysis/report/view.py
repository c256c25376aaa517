# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sections of the report share: the analysis, and how each arm looks and is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from analysis.compare.analyse import Analysis
from analysis.compare.stats import CellStats
from analysis.record.model import MIB, Arm, Spec
from analysis.report import text
from analysis.report.style import ArmStyle, arm_styles

Arms = dict[str, tuple[CellStats, ...]]

# Said where an arm first stands; the arm's own line comes from its definition.
ROLES = {"baseline": "baseline", "rival": "what exists", "cure": "the proposal", "control": "control"}


@dataclass(frozen=True)
class View:
    a: Analysis

    @cached_property
    def focus(self) -> tuple[str, ...]:
        """The labels that are shown beside each other: one group of comparable cells.

        Of those with most arms that with most kills.
        """

        def kills(labels: tuple[str, ...]) -> tuple[int, int]:
            groups = [g for label in labels if (g := self.a.arms.get(label))]
            return len(groups), sum(len(c.kills) for g in groups for c in g)

        return max((g.labels for g in self.a.groups), key=kills, default=tuple(self.a.arms))

    @cached_property
    def focus_title(self) -> str:
        """What the labels in focus have in common, where something is varied."""
        titles = [g.title for g in self.a.groups if g.labels == self.focus]
        return titles[0] if len(self.a.groups) > 1 and titles else ""

    @cached_property
    def arms(self) -> Arms:
        """The labels in focus that have a counted run, in the order of the page."""
        return {label: self.a.arms[label] for label in self.focus if self.a.arms.get(label)}

    @cached_property
    def drawn(self) -> Arms:
        """The same by the names the figures use."""
        return {self.name(label): cells for label, cells in self.arms.items()}

    @cached_property
    def drawn_look(self) -> dict[str, ArmStyle]:
        return {self.name(label): self.look[label] for label in self.arms}

    @cached_property
    def arm_look(self) -> dict[str, ArmStyle]:
        """Style by name of arm."""
        names = dict.fromkeys(self.arm_of(label) for label in self.a.arms)
        rows = []
        for name in names:
            arm = self.a.definitions.get(name)
            rows.append((name, name, (arm.colour.light, arm.colour.dark) if arm else None))
        return arm_styles(rows)

    @cached_property
    def look(self) -> dict[str, ArmStyle]:
        """Style by label: that of its arm, since what is drawn together has one label per arm."""
        return {label: self.arm_look[self.arm_of(label)] for label in self.a.arms}

    def spec(self, label: str) -> Spec:
        return next(s.record.spec for s in self.a.accepted if s.label == label)

    def arm_of(self, label: str) -> str:
        return self.spec(label).arm

    def name(self, label: str) -> str:
        """A label as it is called where only those in focus stand."""
        return self.arm_of(label) if self.focus_title else label

    def definition(self, label: str) -> Arm | None:
        return self.a.definitions.get(self.arm_of(label))

    def role_of(self, arm: str) -> str:
        known = self.a.definitions.get(arm)
        return ROLES.get(known.role, known.role) if known else ""

    def columns(self, labels: tuple[str, ...]) -> list[tuple[str, str, str]]:
        """Of a table of arms: name, colour, runs."""
        return [
            (self.name(label), self.look[label].css, text.count(len(self.a.arms[label]), "run"))
            for label in labels
        ]

    @cached_property
    def buffer_bytes(self) -> int:
        return max((c.record.spec.buffer_bytes for c in self.a.accepted), default=0)


def ack(spec: Spec) -> str:
    """The modelled answer of the host."""
    out = text.duration(spec.ack_base_ns)
    return f"{out} + {text.duration(spec.ack_per_chunk_ns)} per chunk" if spec.ack_per_chunk_ns else out


def host_model(spec: Spec) -> str:
    """Who decides when the host answers: on the virtual clock, and with a delay set, a model does."""
    if not spec.ack_base_ns and not spec.ack_per_chunk_ns:
        out = "host answers at once" if spec.clock == "virtual" else "host answers when it is done"
    else:
        out = f"modelled host: answers after {ack(spec)}"
    if spec.checkpoint_period_ns:
        window, period = text.duration(spec.checkpoint_window_ns), text.duration(spec.checkpoint_period_ns)
        out += f", not at all for {window} in every {period} (modelled checkpoint)"
    if spec.stuck_after:
        out += f", and nothing after {spec.stuck_after} batches (modelled dead device)"
    return out


def extra_mib(spec: Spec) -> float:
    return (spec.extra_bytes + spec.overhead_bytes) / MIB
