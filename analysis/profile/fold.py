# SPDX-License-Identifier: GPL-2.0-or-later
"""From samples to stacks with weights, and to functions with what they took.

A sample that waited for interrupts to come on was taken where that happened.  Its time is a box of its own on
the function that turned them on, "page_reporting_process [irqs off]"; where that is a function for just that, such
as _raw_spin_unlock_irq(), on its caller.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analysis.profile.script import Sample

Stack = tuple[str, ...]

IRQS_OFF = " [irqs off]"

# Where the hint path begins, whichever arm it is of. Who writes a parameter, such as flush, only waits for it.
_HINT = re.compile(
    r"(?:__)?page_reporting_\w+(?<!_set)(?<!_get)|virtballoon_(?:free_page_report|report\w*|hint\w*|take_hint\w*)"
    r"|report_free_page_func|virtio_balloon_(?:report_free_page|hints_\w+)"
)
# An interrupt in the middle of it is not of it.
_INTERRUPT = re.compile(r"(?:asm_)?(?:sysvec_\w+|common_interrupt|exc_\w+)|handle_softirqs|__do_softirq|irq_exit_rcu")
# __cond_resched() stands right behind the place: QEMU takes an interrupt at the end of a block of code.
_IRQS_ON = re.compile(
    r"__cond_resched|_raw_(?:spin|read|write)_unlock_irq(?:restore)?|_raw_spin_rq_unlock_irq|finish_task_switch"
    r"|local_irq_enable|raw_irqentry_exit_cond_resched|irqentry_exit"
)


def settle(frames: Stack, n: int) -> Stack:
    """The stack of a sample that stands for n periods, with the time interrupts were off as a box of its own."""
    if len(frames) > 1 and _IRQS_ON.fullmatch(frames[-1]):
        return (*frames[:-1], frames[-2] + IRQS_OFF)
    return (*frames, frames[-1] + IRQS_OFF) if n > 1 else frames


def hint_part(frames: Stack) -> Stack:
    """The part of the stack from the hint path's first function on; empty where it is not in it.

    An interrupt on top of it is something else, unless that itself hints.
    """
    first = 0
    for i, name in enumerate(frames):
        if _INTERRUPT.fullmatch(name):
            first = i + 1
    for i in range(first, len(frames)):
        if _HINT.fullmatch(frames[i]):
            return frames[i:]
    return ()


@dataclass
class Folded:
    """Periods by stack. Of each function, squares has the sum of the squares of its own samples' periods:
    the square of their standard error, as samples come at random."""

    stacks: Counter[Stack] = field(default_factory=Counter)
    squares: Counter[str] = field(default_factory=Counter)
    nr_samples: int = 0

    @property
    def n(self) -> int:
        return self.stacks.total()

    @property
    def error(self) -> float:
        """Standard error of n."""
        return math.sqrt(self.squares.total())

    def add(self, stack: Stack, n: int = 1) -> None:
        self.stacks[stack] += n
        self.squares[stack[-1]] += n * n
        self.nr_samples += 1

    def update(self, other: Folded) -> None:
        self.stacks.update(other.stacks)
        self.squares.update(other.squares)
        self.nr_samples += other.nr_samples


def fold(samples: Iterable[Sample]) -> tuple[Folded, Folded]:
    """(hint path, everything), the latter below the name of the task."""
    hint, whole = Folded(), Folded()
    for s in samples:
        stack = settle(s.frames, s.n)
        if part := hint_part(stack):
            hint.add(part, s.n)
        whole.add((_task(s.comm), *stack), s.n)
    return hint, whole


def _task(comm: str) -> str:
    """Workers have a number each, and a word on what they do at the moment."""
    return re.sub(r"^kworker/.*", "kworker", comm)


@dataclass(frozen=True)
class Function:
    name: str
    own: int  # periods in it
    total: int  # and in what it called
    error: float  # standard error of own, from the number of samples


def functions(folded: Folded) -> dict[str, Function]:
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, n in folded.stacks.items():
        own[stack[-1]] += n
        for name in set(stack):
            total[name] += n
    return {
        name: Function(name, own[name], total[name], math.sqrt(folded.squares[name])) for name in total
    }


def hottest(folded: Folded, most: int = 10) -> list[Function]:
    """By what is their own; of those with as much the first by name."""
    found = [f for f in functions(folded).values() if f.own]
    return sorted(found, key=lambda f: (-f.own, f.name))[:most]


def folded_text(folded: Folded) -> Sequence[str]:
    """Lines as other flame graph tools take them: frames with ; between, and a count."""
    return [f"{';'.join(stack)} {n}" for stack, n in sorted(folded.stacks.items())]
