# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver of the guests' tests, without a guest."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "vm"))

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
