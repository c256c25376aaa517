# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Python programs of the guest tests share: TAP, and waiting for something."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Tap:
    """Test Anything Protocol on standard output."""

    def __init__(self) -> None:
        self.nr = 0
        self.nr_failed = 0

    def ok(self, passed: bool, name: str, detail: object = "") -> bool:
        self.nr += 1
        print(f"{'ok' if passed else 'not ok'} {self.nr} - {name}")
        if not passed:
            self.nr_failed += 1
            for line in str(detail).splitlines():
                print(f"# {line}")
        sys.stdout.flush()
        return passed

    def is_(self, got: object, want: object, name: str) -> bool:
        return self.ok(got == want, name, f"got:  {got}\nwant: {want}")

    def skip(self, name: str, why: str) -> None:
        self.nr += 1
        print(f"ok {self.nr} - {name} # SKIP {why}", flush=True)

    def note(self, text: str) -> None:
        for line in text.splitlines():
            print(f"# {line}", flush=True)

    def finish(self) -> int:
        print(f"1..{self.nr}")
        return 1 if self.nr_failed else 0


def wait_until(done: Callable[[], bool], limit_s: float) -> bool:
    """Wait for it, at most so long; whether it came."""
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
