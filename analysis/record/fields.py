# SPDX-License-Identifier: GPL-2.0-or-later
"""Checked access to one JSON object of a record.

Records come from a guest that is not trusted, so every value is checked for type and range before
anything is computed from it.  A bad one raises BadRecord, which names file, line and field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_U64 = 2**64 - 1
MAX_U32 = 2**32 - 1
MAX_LINE_BYTES = 1 << 20  # the run line holds a QEMU command line, a hist line thousands of pairs
MAX_FILE_BYTES = 1 << 30
MAX_LINES = 4_000_000
MAX_TEXT = 4096


class BadRecord(ValueError):
    """A record that cannot be used; str() is 'file:line: field: what is wrong'."""

    def __init__(self, path: Path, line: int, field: str, problem: str) -> None:
        place = f"{path}:{line}: " if line else f"{path}: "
        super().__init__(f"{place}{field}: {problem}" if field else f"{place}{problem}")


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Text from a guest without control characters and of bounded length."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "\N{HORIZONTAL ELLIPSIS}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


# Made once: json.loads() with an argument makes one a line.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)

_scan = _DECODER.scan_once


def parse_object(data: bytes, path: Path, line: int) -> dict[str, Any]:
    """One JSON object; NaN, infinities, deep nesting and anything else than an object are refused."""
    try:
        text = data.decode("utf-8")
        # Without blanks around it, as the runner writes a line; what decode() does beside this costs a third more.
        value, end = _scan(text, 0) if text[:1] == "{" else (None, 0)
        if text[end:] != "\n":
            value = _DECODER.decode(text)
    except UnicodeDecodeError as e:
        raise BadRecord(path, line, "", f"not UTF-8 at byte {e.start}") from None
    except RecursionError:
        raise BadRecord(path, line, "", "nested too deeply") from None
    except ValueError as e:
        raise BadRecord(path, line, "", f"not JSON: {clean_text(str(e), 200)}") from None
    if type(value) is not dict:
        raise BadRecord(path, line, "", "expected a JSON object")
    return value


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes) of every line, bounded in length and number."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadRecord(path, 0, "", f"larger than {MAX_FILE_BYTES} bytes")
    with path.open("rb") as f:
        for number in range(1, MAX_LINES + 2):
            data = f.readline(MAX_LINE_BYTES + 1)
            if not data:
                return
            if number > MAX_LINES:
                raise BadRecord(path, number, "", f"more than {MAX_LINES} lines")
            if len(data) > MAX_LINE_BYTES:
                raise BadRecord(path, number, "", f"line longer than {MAX_LINE_BYTES} bytes")
            yield number, data


class Fields:
    """A JSON object together with the place it came from."""

    def __init__(self, values: Mapping[str, Any], path: Path, line: int, prefix: str = "") -> None:
        self.values = values
        self.path = path
        self.line = line
        self.prefix = prefix

    def bad(self, name: str, problem: str) -> BadRecord:
        return BadRecord(self.path, self.line, self.prefix + clean_text(name, 64), problem)

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def only(self, allowed: frozenset[str]) -> None:
        """Refuse fields that are not in the format."""
        for name in self.values:
            if name not in allowed:
                raise self.bad(name, "unknown field")

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise self.bad(name, "missing")
        return self.values[name]

    def integer(self, name: str, low: int = 0, high: int = MAX_U64, default: int | None = None) -> int:
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.bad(name, "expected an integer")
        if not low <= value <= high:
            raise self.bad(name, f"{clean_text(str(value), 24)} is outside {low}..{high}")
        return value

    def number(self, name: str, low: float = 0.0, high: float = 1e18, default: float | None = None) -> float:
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.bad(name, "expected a number")
        if not math.isfinite(value) or not low <= value <= high:
            raise self.bad(name, f"outside {low:g}..{high:g}")
        return float(value)

    def text(self, name: str, limit: int = MAX_TEXT, default: str | None = None) -> str:
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if not isinstance(value, str):
            raise self.bad(name, "expected a string")
        return clean_text(value, limit)

    def flag(self, name: str, default: bool | None = None) -> bool:
        if default is not None and not self.has(name):
            return default
        value = self._get(name)
        if not isinstance(value, bool):
            raise self.bad(name, "expected true or false")
        return value

    def child(self, name: str) -> Fields:
        value = self._get(name)
        if not isinstance(value, dict):
            raise self.bad(name, "expected an object")
        return Fields(value, self.path, self.line, f"{self.prefix}{name}.")

    def items(self, name: str, limit: int) -> list[Any]:
        value = self._get(name)
        if not isinstance(value, list):
            raise self.bad(name, "expected a list")
        if len(value) > limit:
            raise self.bad(name, f"{len(value)} entries, at most {limit} allowed")
        return value

    def children(self, name: str, limit: int) -> list[Fields]:
        out = []
        for i, value in enumerate(self.items(name, limit)):
            if not isinstance(value, dict):
                raise self.bad(f"{name}[{i}]", "expected an object")
            out.append(Fields(value, self.path, self.line, f"{self.prefix}{name}[{i}]."))
        return out

    def pairs(self, name: str, limit: int, high: int = MAX_U64) -> tuple[tuple[int, int], ...]:
        """[[index, count], ...] with ascending indexes."""
        out: list[tuple[int, int]] = []
        for i, value in enumerate(self.items(name, limit)):
            ok = isinstance(value, list) and len(value) == 2
            if not ok or any(
                isinstance(v, bool) or not isinstance(v, int) or not 0 <= v <= high for v in value
            ):
                raise self.bad(f"{name}[{i}]", f"expected a pair of integers in 0..{high}")
            if out and value[0] <= out[-1][0]:
                raise self.bad(f"{name}[{i}]", "indexes must ascend")
            out.append((value[0], value[1]))
        return tuple(out)
