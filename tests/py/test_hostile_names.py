# SPDX-License-Identifier: GPL-2.0-or-later
"""A task may call itself what it likes: no byte of that reaches a terminal as it is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HINTTRACE = TOP / "build/guest/hinttrace"
CASE = TOP / "tests/py/cases/schema2/O4-h512.jsonl"

# prctl(PR_SET_NAME) takes 15 bytes.
NAMES = {
    "a line of its own": ("\n\x1b[31m\"\\", '\\x0a\\x1b[31m"\\\\'),
    "an eight-bit CSI": ("\u009b31m", "\\xc2\\x9b31m"),
    "what was no UTF-8": ("x\ufffd", "x\\xef\\xbf\\xbd"),
    "right to left": ("\u202eabc", "\\xe2\\x80\\xaeabc"),
    "a screen": ("==== incident 9", "==== incident 9"),
    "a backslash and an x": ("\\x0a", "\\\\x0a"),
}


@pytest.mark.parametrize("name", NAMES)
def test_screen(tmp_path: Path, name: str) -> None:
    raw, shown = NAMES[name]
    lines = []
    for text in CASE.read_text().splitlines():
        line = json.loads(text)
        if line.get("kind") == "oom_kill":
            line |= {"victim_comm": raw, "comm": raw, "victim_cgroup": raw}
            line |= {"culprit_comm": raw, "culprit_pid": 7} if "culprit_comm" in line else {}
        lines.append(json.dumps(line))
    record = tmp_path / "record.jsonl"
    record.write_text("\n".join(lines) + "\n")
    out = subprocess.run([HINTTRACE, "--replay", record], capture_output=True, check=True).stdout
    assert not re.search(rb"[^\n -~]", out)
    text = out.decode()
    assert f"What died     {shown}[101]" in text
    assert f"Who asked     {shown}[7]" in text
    assert text.count("\n==== incident") == 1
    judged = subprocess.run([HINTTRACE, "--replay", record, "-j"], capture_output=True, check=True).stdout
    assert [json.loads(x)["kind"] for x in judged.splitlines()] == ["oom_kill"]
