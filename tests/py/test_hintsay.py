# SPDX-License-Identifier: GPL-2.0-or-later
"""hintsay log: lines of a log become short lines of the guest stream."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

HINTSAY = Path(__file__).parents[2] / "build/guest/hintsay"


def say(text: bytes) -> list[bytes]:
    """The raw lines for a log that says text."""
    with tempfile.NamedTemporaryFile() as stream:
        subprocess.run(["sh", "-c", f"exec {HINTSAY} log test 3>{stream.name}"], input=text, check=True)
        return stream.read().splitlines(keepends=True)


def texts(text: bytes) -> list[str]:
    return [json.loads(line)["text"] for line in say(text)]


def test_lines_stay_lines() -> None:
    assert texts(b"one\n\ntwo\r\nthree") == ["one", "", "two", "three"]


def test_a_long_line_comes_in_pieces_of_one_small_write() -> None:
    line = b"x" * 1000
    assert "".join(texts(line + b"\n" + b"end\n")) == "x" * 1000 + "end"
    assert max(map(len, say(line))) <= 512


def test_escapes_stay_below_a_page() -> None:
    assert max(map(len, say(b"\x01" * 5000))) < 4096


def test_a_character_is_not_cut() -> None:
    for shift in range(4):
        for character in ("ä", "€", "🐧"):
            line = "x" * shift + character * 700
            pieces = texts(line.encode())
            assert "".join(pieces) == line and len(pieces) > 1


def test_what_is_no_text_does_not_hold_it_up() -> None:
    assert len(texts(b"\xf0" * 800)) == 3
    assert texts(b"a\x00b\n") == ["a?b"]
