# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of the objects of a record, made from its description (collectors/run/record/record.json).

Records come from a guest that is not trusted, so every value is checked for type and bounds before
anything is computed from it.  A bad one raises BadRecord, which names file, line and field.

A record may hold a million stalls, so a reader is one function of straight-line code, put together here
from the description as dataclasses does it for __init__: a value as it should be costs one comparison,
and only one that is absent, odd or bad goes through _Checker.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from sys import intern
from typing import Any

from analysis.record import model
from analysis.record.fields import BadRecord, clean_text, parse_object
from analysis.record.model import DESCRIPTION, default
from collectors.run.record import describe

# Where an object was found: file, line, and the names of what it is in, each with its dot.
Place = tuple[Path, int, str]
Read = Callable[[Mapping[str, Any], Place], Any]

_ABSENT = object()

MAX_ZONES_SEEN = 1 << 16
MAX_SEEN = 1024  # texts that a checker remembers, and their length


def bad(place: Place, name: str, problem: str) -> BadRecord:
    path, line, prefix = place
    return BadRecord(path, line, prefix + clean_text(name, 64), problem)


def _one_of(words: tuple[str, ...]) -> str:
    return " or ".join(words) if len(words) < 3 else "one of " + ", ".join(words)


class _Checker:
    """Checks values of one kind; the long way, which knows what to complain of."""

    def __init__(self, value: describe.Value, schema: int) -> None:
        self.value = value
        self.pattern = describe.pattern(value)
        self.seen: dict[str, str] = {}
        self.is_plain = value.is_a == "int" and value.floor is None and value.unknown is None
        values = DESCRIPTION.values
        if value.is_a in ("map", "list", "pairs"):
            self.of = _Checker(values[value.of], schema)
        if value.is_a == "pairs":
            self.first = _Checker(values[value.first], schema)
        if value.is_a in ("object", "objects"):
            self.read = object_reader(value.of, schema)
        ways = {"bool": "flag", "int": "integer", "hex": "hexadecimal", "words": "word"}
        self.check: Callable[[Any, Place, str], Any] = getattr(self, ways.get(value.is_a, value.is_a))

    def integer(self, v: Any, place: Place, name: str) -> int | None:
        value = self.value
        if type(v) is not int:
            raise bad(place, name, "expected an integer")
        if not value.low <= v <= value.high:
            raise bad(place, name, f"{clean_text(str(v), 24)} is outside {value.low}..{value.high}")
        if v == value.unknown:
            return None
        return v if value.floor is None else max(v, value.floor)

    def number(self, v: Any, place: Place, name: str) -> float:
        if type(v) not in (int, float):
            raise bad(place, name, "expected a number")
        if not math.isfinite(v) or not self.value.low <= v <= self.value.high:
            raise bad(place, name, f"outside {self.value.low:g}..{self.value.high:g}")
        return float(v)

    def text(self, v: Any, place: Place, name: str) -> str:
        value = self.value
        if type(v) is not str:
            raise bad(place, name, "expected a string")
        if v in self.seen:
            return self.seen[v]
        if len(v) > value.high or not value.low <= len(v.encode(errors="replace")) <= value.high:
            raise bad(place, name, f"expected {value.low} to {value.high} bytes")
        if self.pattern and not self.pattern.fullmatch(v):
            raise bad(place, name, f"expected letters of {value.chars}")
        clean = intern(clean_text(v))
        if len(self.seen) < MAX_SEEN and len(v) <= MAX_SEEN:
            self.seen[v] = clean
        return clean

    def hexadecimal(self, v: Any, place: Place, name: str) -> int:
        if type(v) is int and v >= 0:
            return v  # as in the first records
        if type(v) is not str or not self.pattern or not self.pattern.fullmatch(v):
            raise bad(place, name, "expected a hexadecimal string")
        return int(v, 16)

    def word(self, v: Any, place: Place, name: str) -> str | None:
        if type(v) is not str or v not in self.value.words:
            raise bad(place, name, f"expected {_one_of(self.value.words)}")
        return None if v == self.value.unknown else intern(v)

    def map(self, v: Any, place: Place, name: str) -> dict[str, Any]:
        if type(v) is not dict:
            raise bad(place, name, "expected an object")
        if len(v) > self.value.high:
            raise bad(place, name, f"{len(v)} entries, at most {self.value.high} allowed")
        return {intern(clean_text(k, 64)): self.of.check(x, place, f"{name}.{k}") for k, x in v.items()}

    def entries(self, v: Any, place: Place, name: str) -> list[Any]:
        if type(v) is not list:
            raise bad(place, name, "expected a list")
        if len(v) > self.value.high:
            raise bad(place, name, f"{len(v)} entries, at most {self.value.high} allowed")
        return v

    def list(self, v: Any, place: Place, name: str) -> tuple[Any, ...] | None:
        of, v = self.of, self.entries(v, place, name)
        # All plain integers within bounds, as mostly: there is nothing to change.
        plain = v and of.is_plain and set(map(type, v)) == {int}
        if not plain or min(v) < of.value.low or max(v) > of.value.high:
            v = [of.check(x, place, f"{name}[{i}]") for i, x in enumerate(v)]
        return None if tuple(v) == self.value.unknown else tuple(v)

    def pairs(self, v: Any, place: Place, name: str) -> tuple[tuple[int, int], ...]:
        last = -1
        out = []
        for i, pair in enumerate(self.entries(v, place, name)):
            where = f"{name}[{i}]"
            if type(pair) is not list or len(pair) != 2:
                raise bad(place, where, "expected a pair")
            first = self.first.check(pair[0], place, where)
            if first <= last:
                raise bad(place, where, "indexes must ascend")
            last = first
            out.append((first, self.of.check(pair[1], place, where)))
        return tuple(out)

    def object(self, v: Any, place: Place, name: str) -> Any:
        if type(v) is not dict:
            raise bad(place, name, "expected an object")
        path, line, prefix = place
        return self.read(v, (path, line, f"{prefix}{name}."))

    def objects(self, v: Any, place: Place, name: str) -> tuple[Any, ...]:
        if type(v) is tuple:
            return v  # by ZoneReader, which has checked them
        return tuple(
            None if x is None and self.value.null else self.object(x, place, f"{name}[{i}]")
            for i, x in enumerate(self.entries(v, place, name))
        )

    def flag(self, v: Any, place: Place, name: str) -> bool:
        if type(v) is not bool:
            raise bad(place, name, "expected true or false")
        return v


class _FieldChecker:
    """What is done about a value that is not plainly well: absent, null, odd or bad."""

    def __init__(self, field: describe.Field, schema: int) -> None:
        self.field = field
        self.check = _Checker(field.value, schema).check
        self.needed = field.needed(schema)
        self.default = default(field)

    def __call__(self, v: Any, o: Mapping[str, Any], place: Place) -> Any:
        f = self.field
        if v is _ABSENT:
            if self.needed and not (f.unless and o.get(f.unless) is True):
                raise bad(place, f.name, "missing")
            return self.default
        if v is None and f.null:
            return self.default
        return self.check(v, place, f.name)


def _odd(f: describe.Field) -> str:
    """The condition, in Python, under which value v needs a longer look; "" for always."""
    v = f.value
    if v.is_a == "bool":
        return "v is not True and v is not False"
    if v.is_a == "words" and v.unknown is None:
        return f"type(v) is not str or v not in {v.words!r}"
    if v.is_a == "int" and v.floor is None and v.unknown is None:
        return f"type(v) is not int or not {v.low} <= v <= {v.high}"
    if v.is_a == "int":
        # What is below the floor, or means "unknown", is odd, not bad.
        floor = v.floor if v.floor is not None else (v.unknown or 0) + 1
        return f"type(v) is not int or not {floor} <= v <= {v.high}"
    return ""


def make_reader(shape: describe.Shape, schema: int, into: Any) -> Read:
    """A function that checks a JSON object of this shape and puts it into a class of model.py.

    Fields of the class that the shape does not have get their default; without a class (None) the
    result is a dict of what is there.
    """
    fields = {f.name: f for f in shape.fields if f.allowed(schema) or not shape.closed}
    space: dict[str, Any] = {"into": into, "new": tuple.__new__, "ABSENT": _ABSENT, "refuse": _refuse_unknown}
    body = ["def read(o, place):", " get = o.get"]
    if shape.closed:
        space["allowed"] = frozenset(fields).union(("type", shape.by) if shape.type else ())
        body.append(" if not o.keys() <= allowed: refuse(o, allowed, place)")
    values = {"kind": repr(shape.kind), "line": "place[1]"}
    for i, f in enumerate(fields.values()):
        checker = space[f"check{i}"] = _FieldChecker(f, schema)
        space[f"default{i}"] = checker.default
        body.append(f" v = get({f.name!r}, ABSENT)")
        odd, look = _odd(f), f"v = check{i}(v, o, place)"
        if checker.needed:
            body.append(f" if {odd}: {look}" if odd else f" {look}")
        else:
            body.append(f" if v is ABSENT: v = default{i}")
            body.append(f" elif {odd}: {look}" if odd else f" else: {look}")
        body.append(f" a{i} = v")
        values[f.name] = f"a{i}"
    if into is None:
        pairs = ", ".join(f"({name!r}, {values[name]})" for name in fields)
        body.append(f" return {{name: v for name, v in ({pairs},) if v is not None}}")
    else:
        for name in into._fields:
            space[f"absent_{name}"] = into._field_defaults.get(name)
        given = ", ".join(values.get(name, f"absent_{name}") for name in into._fields)
        body.append(f" return new(into, ({given},))")
    exec("\n".join(body), space)  # the text is made of names and numbers of the description only
    return space["read"]


def _refuse_unknown(o: Mapping[str, Any], allowed: frozenset[str], place: Place) -> None:
    for name in o:
        if name not in allowed:
            raise bad(place, name, "unknown field")


@functools.cache
def object_reader(name: str, schema: int) -> Read:
    """The reader of an object inside a line."""
    return make_reader(DESCRIPTION.objects[name], schema, model.OBJECTS.get(name))


@functools.cache
def line_reader(line_type: str, kind: str, schema: int, into: Any) -> Read:
    """The reader of a line."""
    return make_reader(DESCRIPTION.line(line_type, kind), schema, into)


class ZoneReader:
    """Parses lines of events, of which the zones are the most.

    Those of the kinds in `unread` are passed over: only a verdict needs them. Of the others a zone that was
    seen with the same text before is not read again: from one event to the next most have not changed.
    """

    NAME, MARK = b'"zones"', b'"zones":['

    def __init__(self, schema: int, unread: tuple[str, ...] = ()) -> None:
        self.read = object_reader("zone", schema)
        self.unread = unread
        self.seen: dict[bytes, Any] = {}

    def parse(self, data: bytes, path: Path, line: int) -> dict[str, Any]:
        before, _, rest = data.partition(self.MARK)
        zones, end, after = rest.partition(b"}]")
        # A zone has no object in it, so the first }] ends the list. What does not look like that,
        # or has the mark elsewhere than at the top, is parsed as any other line.
        if not end or zones[:1] != b"{" or b'"event"' not in before or self.NAME in after or self.NAME in before:
            return parse_object(data, path, line)
        try:
            found = parse_object(before + b'"zones":0' + after, path, line)
            if found.get("zones") != 0 or found.get("type") != "event":
                return parse_object(data, path, line)
            if found.get("kind") in self.unread:
                found["zones"] = ()
                return found
            parts = zones[1:].split(b"},{")
            found["zones"] = tuple([self._zone(text, (path, line, f"zones[{i}].")) for i, text in enumerate(parts)])
        except BadRecord:
            return parse_object(data, path, line)  # complains of the line as it stands, or the reader does
        return found

    def _zone(self, text: bytes, place: Place) -> Any:
        zone = self.seen.get(text)
        if zone is None:
            zone = self.read(parse_object(b"{" + text + b"}", place[0], place[1]), place)
            if len(self.seen) >= MAX_ZONES_SEEN:
                self.seen.clear()
            self.seen[text] = zone
        return zone
