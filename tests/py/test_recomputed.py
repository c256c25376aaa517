# SPDX-License-Identifier: GPL-2.0-or-later
"""summary.json against a second computation that shares nothing with analysis/ (second_account.py).

tests/vm/run.sh does the same with real runs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from make_records import write_experiment

from analysis.compare.analyse import analyse
from analysis.compare.summary import summary
from analysis.record.load import load_results

HERE = Path(__file__).resolve().parent


def account(root: Path) -> tuple[int, str]:
    (root / "summary.json").write_text(json.dumps(summary(analyse(load_results(root)))))
    return again(root)


def again(root: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, HERE / "second_account.py", root], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def compared(text: str) -> int:
    found = re.search(r"^(\d+) numbers compared", text, re.M)
    return int(found[1]) if found else 0


def test_golden_records(tmp_path):
    shutil.copytree(HERE / "golden", tmp_path / "golden")
    status, text = account(tmp_path / "golden")
    assert status == 0, text
    assert compared(text) > 600


def test_a_toy_experiment(tmp_path):
    write_experiment(tmp_path, repeats=2, rounds=8)
    status, text = account(tmp_path)
    assert status == 0, text
    assert compared(text) > 900


def test_a_wrong_number_is_found(tmp_path):
    write_experiment(tmp_path, repeats=2, rounds=8)
    account(tmp_path)
    wrong = json.loads((tmp_path / "summary.json").read_text())
    wrong["arms"]["reporting"]["exposure_mib_s"]["median"] *= 1.001
    (tmp_path / "summary.json").write_text(json.dumps(wrong))
    status, text = again(tmp_path)
    assert status == 1
    assert "reporting: exposure_mib_s.median" in text
