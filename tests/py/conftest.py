# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes `analysis` and the test data importable from any working directory."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from checkout import checkout  # noqa: E402,F401
from runner_bench import bench  # noqa: E402,F401
