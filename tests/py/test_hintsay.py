# SPDX-License-Identifier: GPL-2.0-or-later
"""hintsay log: lines of a log become short lines of the guest stream."""

from __future__ import annotations

import base64
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


def artefact(name: str, text: bytes) -> tuple[int, str, list[dict]]:
    """Exit status, what it complained of, the lines."""
    with tempfile.NamedTemporaryFile() as stream:
        done = subprocess.run(["sh", "-c", f"exec {HINTSAY} artefact {name} 3>{stream.name}"], input=text,
                              capture_output=True)  # fmt: skip
        return done.returncode, done.stderr.decode(), [json.loads(x) for x in stream.read().splitlines()]


def test_an_artefact_comes_in_pieces() -> None:
    text = "".join(f"kworker/0:1-10 [000] {i}: \t\"p\u00e4ge\u20ac\"\n" for i in range(3000))
    status, _, lines = artefact("trace", text.encode())
    assert status == 0 and len(lines) > 5
    assert {(x["type"], x["name"]) for x in lines} == {("artefact", "trace")}
    assert "".join(x["text"] for x in lines) == text
    assert artefact("nothing", b"")[::2] == (0, [])


def test_the_worst_piece_is_still_a_line() -> None:
    status, _, lines = artefact("bytes", b"\x01\x00" * 20_000)
    assert status == 0 and "".join(x["text"] for x in lines) == "\x01?" * 20_000


def test_an_artefact_is_cut_at_what_a_record_may_have() -> None:
    status, err, lines = artefact("big", b"x" * ((64 << 20) + 1))
    assert status == 1 and "cut at 64 MiB" in err
    assert sum(len(x["text"]) for x in lines) == 64 << 20


def test_what_is_no_text_is_handed_out_as_it_is() -> None:
    raw = bytes(range(256)) * 100
    for data in (raw, raw[:-1], raw[:-2], raw[:7500], raw[:7501], b""):
        status, _, lines = artefact("perf.data base64", data)
        assert status == 0 and all(x["base64"] for x in lines)
        assert b"".join(base64.b64decode(x["text"], validate=True) for x in lines) == data
    assert artefact("perf.data hex", b"x")[::2] == (2, [])


def test_what_is_no_text_is_not_cut() -> None:
    status, err, lines = artefact("big base64", b"\xff" * ((64 << 20) + 1))
    assert status == 1 and "cut at 64 MiB" in err and lines


def test_an_artefact_has_a_plain_name() -> None:
    for name in ("..", ".x", "-x", "a/b", "''"):
        assert artefact(name, b"x")[::2] == (2, []), name
