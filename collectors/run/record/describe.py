# SPDX-License-Identifier: GPL-2.0-or-later
"""record.json as Python: what a line of a record, or of the guest stream, may hold.

Read by gen.py, which makes the C tables and the JSON Schema, and by analysis/record, whose reader and
dataclasses come from it.  docs/record.md says how to read the description.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("record.json")


@dataclass(frozen=True)
class Value:
    """A kind of value: what it is made of and its bounds."""

    name: str
    is_a: str  # bool, int, number, text, hex, words, map, list, pairs, object, objects
    low: int = 0
    high: int = 0  # of the number, of the length in bytes, or of the number of entries
    chars: str = ""  # of a text, as inside [] of a regular expression; "": any
    first: str = ""  # of a text: the first character; of pairs: the first of each
    words: tuple[str, ...] = ()
    of: str = ""
    null: bool = False  # of objects: an entry may be null
    floor: int | None = None  # what is below it is read as this
    unknown: Any = None  # this is read as None
    says: str = ""


@dataclass(frozen=True)
class Field:
    name: str
    value: Value
    need: int = 0  # required in a record of this schema and later; 0: optional
    since: int = 1  # in a closed object: allowed from this schema on
    until: int = 1 << 30  # and up to this one
    unless: str = ""  # not required where this flag of the same object is set
    null: bool = False
    default: Any = None  # what is read when it is absent; None: unknown
    says: str = ""

    def needed(self, schema: int) -> bool:
        return bool(self.need) and self.need <= schema and self.allowed(schema)

    def allowed(self, schema: int) -> bool:
        return self.since <= schema <= self.until


@dataclass(frozen=True)
class Shape:
    """An object, or a line of one kind."""

    name: str
    fields: tuple[Field, ...]
    closed: bool = False  # fields that are not here are refused
    says: str = ""
    type: str = ""  # of a line
    by: str = ""  # the field that says which kind of the type: kind, src, or ""
    kind: str = ""
    from_guest: bool = False
    in_record: bool = True  # else only in the guest stream


@dataclass(frozen=True)
class Description:
    schema: int
    bounds: Mapping[str, int]
    values: Mapping[str, Value]
    objects: Mapping[str, Shape]
    lines: tuple[Shape, ...] = field(default=())

    def line(self, line_type: str, kind: str = "") -> Shape:
        return next(s for s in self.lines if (s.type, s.kind) == (line_type, kind))


def _value(name: str, d: Mapping[str, Any]) -> Value:
    d = {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()}
    return Value(name, d.pop("as"), **d)


class _Reader:
    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.values = {name: _value(name, d) for name, d in raw["values"].items()}

    def fields(self, entries: list[Any]) -> tuple[Field, ...]:
        """Groups are put in; a later field takes the place of an earlier one of its name."""
        found: dict[str, Field] = {}
        for entry in entries:
            if isinstance(entry, str):
                found |= {f.name: f for f in self.fields(self.raw["groups"][entry])}
                continue
            d = dict(entry)
            name, value = d.pop("name"), self.values[d.pop("is")]
            found[name] = Field(name, value, **d)
        return tuple(found.values())

    def objects(self) -> dict[str, Shape]:
        return {
            name: Shape(name, self.fields(d["fields"]), d.get("closed", False), d.get("says", ""))
            for name, d in self.raw["objects"].items()
        }

    def lines(self, name: str, d: Mapping[str, Any]) -> list[Shape]:
        def shape(kind: str, by: str, entries: list[Any], own: Mapping[str, Any]) -> Shape:
            return Shape(
                name=kind or name,
                fields=self.fields(entries),
                closed=d.get("closed", False),
                says=own.get("says", ""),
                type=name,
                by=by,
                kind=kind,
                from_guest=own.get("from", d["from"]) == "guest",
                in_record=d.get("only") != "stream",
            )

        if "like" in d:
            return [shape("", "", self.raw["objects"][d["like"]]["fields"], d)]
        if "by" not in d:
            return [shape("", "", d["fields"], d)]
        return [
            shape(kind, d["by"], d["fields"] + own["fields"], own) for kind, own in d["kinds"].items()
        ]


def load(path: Path = PATH) -> Description:
    raw = json.loads(path.read_text(encoding="utf-8"))
    reader = _Reader(raw)
    return Description(
        raw["schema"],
        raw["bounds"],
        reader.values,
        reader.objects(),
        tuple(shape for name, d in raw["lines"].items() for shape in reader.lines(name, d)),
    )


def pattern(value: Value) -> re.Pattern[str] | None:
    """The regular expression of a text with limited characters; None: any text."""
    if value.is_a == "hex":
        return re.compile(rf"(0[xX])?[0-9a-fA-F]{{1,{value.high - 2}}}")
    if not value.chars:
        return None
    first = f"[{value.first}]" if value.first else ""
    taken = 1 if first else 0
    return re.compile(f"{first}[{value.chars}]{{{max(value.low - taken, 0)},{value.high - taken}}}")
