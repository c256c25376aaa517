# SPDX-License-Identifier: GPL-2.0-or-later
"""The sentences with their verdicts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.compare.analyse import Analysis
from analysis.thread import host_rules, rules
from analysis.thread.world import BORNE_OUT, CONTRADICTED, UNDECIDED, Finding, World

SENTENCES = Path(__file__).with_name("sentences.json")
EXPERIMENT = "thread"
VERDICTS = (BORNE_OUT, CONTRADICTED, UNDECIDED)

Rule = Callable[[World, Mapping[str, Any]], Finding]

RULES: Mapping[str, Rule] = {
    r.__name__: r
    for r in (
        rules.creates,
        rules.spares,
        rules.spares_not,
        rules.least_spares,
        rules.depends,
        rules.blocks_needlessly,
        rules.outstanding,
        rules.along,
        rules.keeps_constant,
        host_rules.costs_nothing,
        host_rules.told_at_start,
        host_rules.bounded,
        host_rules.exceeds,
        host_rules.part_of_guest,
        host_rules.host_gains,
        host_rules.costs_time,
        host_rules.same_for_guest,
        host_rules.same_for_host,
    )
}


@dataclass(frozen=True)
class Sentence:
    id: str
    who: str
    date: str
    where: str
    said: str
    tested: str
    rule: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Thread:
    title: str
    note: str
    found: tuple[tuple[Sentence, Finding], ...]

    def count(self, verdict: str) -> int:
        return Counter(f.verdict for _, f in self.found)[verdict]

    @property
    def sentence(self) -> str:
        return (
            f"Of {len(self.found)} sentences of the thread these runs bear out {self.count(BORNE_OUT)} and contradict"
            f" {self.count(CONTRADICTED)}; {self.count(UNDECIDED)} they do not decide."
        )


def load_sentences(path: Path = SENTENCES) -> tuple[str, str, tuple[Sentence, ...]]:
    """Title, note, sentences."""
    content = json.loads(path.read_text(encoding="utf-8"))
    own = ("id", "who", "date", "where", "said", "tested", "rule")
    sentences = tuple(
        Sentence(*(s[k] for k in own), {k: v for k, v in s.items() if k not in own}) for s in content["sentences"]
    )
    return content["thread"], content["note"], sentences


def judge_thread(a: Analysis) -> Thread:
    world = World(a)
    title, note, sentences = load_sentences()
    return Thread(title, note, tuple((s, RULES[s.rule](world, s.args)) for s in sentences))


def is_thread(a: Analysis) -> bool:
    """Whether these are runs of the experiment that was made for it."""
    return any(c.record and c.record.experiment == EXPERIMENT for c in a.cells)


def thread_json(thread: Thread) -> dict[str, Any]:
    return {
        "schema": 1,
        "thread": thread.title,
        "verdicts": {v: thread.count(v) for v in VERDICTS},
        "sentences": [asdict(s) | asdict(f) | {"at": f.where, "where": s.where} for s, f in thread.found],
    }


def thread_terminal(thread: Thread) -> str:
    lines = [thread.sentence, ""]
    lines += [f"  {f.verdict:13} {s.said}" for s, f in thread.found]
    return "\n".join(lines)
