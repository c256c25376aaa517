# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver of the guests' tests, without a guest."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "vm"))

import guestvm  # noqa: E402
from guestvm import soak_result  # noqa: E402


class Shell:
    """Stands in for a guest: its scripts run here, with a folder as /run."""

    name = "shell"

    def __init__(self, run: Path) -> None:
        self.run_dir = run

    def sh(self, script: str, _timeout: float = 0) -> str:
        return subprocess.run(["sh", "-c", script.replace("/run/", f"{self.run_dir}/")], check=True,
                              stdout=subprocess.PIPE, text=True, timeout=60).stdout


def test_soak_result_waits_for_what_is_in_the_file(tmp_path: Path) -> None:
    """The shell of a busy guest has made the file long before it writes into it."""
    (tmp_path / "soak.status").touch()
    (tmp_path / "soak.out").write_text("soak: 7 MiB verified, 0 mismatches, 1 requests refused, "
                                       "0 of 8 processes failed; 2 MiB were read back\n")
    threading.Timer(0.5, (tmp_path / "soak.status").write_text, ("0\n",)).start()
    result = soak_result(Shell(tmp_path), 10)  # type: ignore[arg-type]
    assert (result["status"], result["verified_mib"], result["reread_mib"]) == (0, 7, 2)


# Plays `hintrun boot`: the words of a QEMU that dies as often as NAME.deaths says, then a guest.
BOOT = """#!/usr/bin/env python3
import os, sys
from pathlib import Path
deaths = Path(__file__).with_suffix(".deaths")
left = int(deaths.read_text())
deaths.write_text(str(left - 1))
if left > 0:
    sys.exit("qemu: %s `section_index' failed." % Path(__file__).with_suffix(".words").read_text())
agent, qmp = (int(sys.argv[sys.argv.index(f"--{name}-fd") + 1]) for name in ("agent", "qmp"))
os.write(agent, b"@@READY\\n")
os.write(qmp, b'{"QMP": {}}\\n{"return": {}}\\n')
os.read(agent, 1)
"""


@pytest.mark.parametrize(("deaths", "words", "boots"), [
    (0, "", True),
    (1, guestvm.TCG_RACE, True),
    (2, guestvm.TCG_RACE, False),
    (1, "another: Assertion", False),
])
def test_a_guest_boots_once_more_after_one_known_fault_of_qemu(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int, words: str, boots: bool) -> None:
    boot = tmp_path / "boot"
    boot.write_text(BOOT)
    boot.chmod(0o755)
    boot.with_suffix(".deaths").write_text(str(deaths))
    boot.with_suffix(".words").write_text(words)
    monkeypatch.setattr(guestvm, "HINTRUN", boot)
    scratch = SimpleNamespace(keep=tmp_path, payload=lambda: tmp_path)
    guest = guestvm.Guest(scratch, "toy", "64M")  # type: ignore[arg-type]
    if boots:
        with guest:
            pass
    else:
        with pytest.raises(guestvm.GuestError, match="died in: boot"):
            guest.__enter__()


@pytest.mark.parametrize("path", sorted((TESTS / "vm").glob("*.py")), ids=lambda p: p.name)
def test_what_a_test_takes_from_another_is_there(path: Path) -> None:
    """Also in the tests that a machine without their kernel skips, and so never runs."""
    text = path.read_text()
    for module in re.findall(r"^import (\w+)$", text, re.MULTILINE):
        if (TESTS / "vm" / f"{module}.py").exists():
            for name in re.findall(rf"(?<![\w.]){module}\.(\w+)", text):
                assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
