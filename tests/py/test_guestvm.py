# SPDX-License-Identifier: GPL-2.0-or-later
"""What the driver of the guests' tests takes for a splat.

The golden lines of the runner's console (tests/unit/test_run_console.c) hold for
it too: there are two lists of patterns, and one verdict.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "vm"))

from guestvm import soak_result, splats  # noqa: E402

CASE = re.compile(r'\{ VERDICT_(\w+), "((?:[^"\\]|\\.)*)" \}')
RUNNERS = [(verdict != "NONE", line.replace('\\"', '"')) for verdict, line in
           CASE.findall((TESTS / "unit/test_run_console.c").read_text())]

SPLATS = (
    "[   30.0] BUG: Bad page state in process kworker/0:1  pfn:1f000",
    "[   30.0] BUG: Bad page map in process soak  pte:80000000 pmd:1234067",
    "[   30.0] BUG: Bad rss-counter state mm:00000000a type:MM_ANONPAGES val:1",
    "[   30.0] page dumped because: VM_BUG_ON_PAGE(page_ref_count(page) != 0)",
    "[   30.0] page dumped because: nonzero mapcount",
    "[   30.0] bad page state in the buffer",
    "[   30.0] WARNING: possible irq lock inversion dependency detected",
    "[   30.0] WARNING: inconsistent lock state",
    "[   30.0] WARNING: held lock freed!",
    "[   30.0] WARNING: bad unlock balance detected!",
    "[   30.0] [ BUG: Invalid wait context ]",
    "[   30.0] INFO: possible circular locking dependency detected",
    "[   30.0] INFO: trying to register non-static key.",
    "[   30.0] DEBUG_LOCKS_WARN_ON(lock->magic != lock)",
    "[   30.0] BUG: scheduling while atomic: kworker/1:2/77/0x00000002",
    "[   30.0] INFO: task kworker/u4:1:30 blocked for more than 120 seconds.",
    "[   30.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[   30.0] rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... }",
    "[   30.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [soak:90]",
    "[   30.0] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "[   30.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 40s!",
    "[   30.0] BUG: KASAN: use-after-free in page_reporting_process+0x1/0x2",
    "[   30.0] BUG: KFENCE: memory corruption in kfree+0x1/0x2",
    "[   30.0] BUG: unable to handle page fault for address: ffff888000000000",
    "[   30.0] Unable to handle kernel paging request at virtual address",
    "[   30.0] Oops: Oops: 0002 [#1] PREEMPT SMP KASAN NOPTI",
    "[   30.0] Oops[#1]:",
    "[   30.0] kernel BUG at mm/page_reporting.c:700!",
    "[   30.0] list_del corruption. prev->next should be ffffea0000, but was dead000000000122",
    "[   30.0] refcount_t: saturated; leaking memory.",
    "[   30.0] pagealloc: memory corruption",
    "[   30.0] irq 11: nobody cared (try booting with the \"irqpoll\" option)",
    "[   30.0] Kernel panic - not syncing: Fatal exception",
)

# Printed in the life of a sound guest: suspended, memory plugged and gone.
QUIET = (
    "[   10.0] PM: suspend entry (deep)",
    "[   10.0] Freezing user space processes completed (elapsed 0.001 seconds)",
    "[   10.0] PM: suspend debug: Waiting for 1 second(s).",
    "[   10.0] Offlined Pages 32768",
    "[   10.0] migrating pfn 28800 failed ret:1",
    "[   10.0] page dumped because: migration failure",
    "[   10.0] page dumped because: isolation failed",
    "[   10.0] page dumped because: unmovable page",
    "[   10.0] memory offlining [mem 0x20000000-0x27ffffff] failed due to unmovable page",
    "[   10.0] virtio_mem virtio4: requested size: 0x10000000",
    "[   10.0] Hinting buffer of 4294967295 pages is more than half of memory, using 84000",
    "[   10.0] HugeTLB: registered 1.00 GiB page size, pre-allocated 0 pages",
    "[   10.0] alloc_contig_range: [100000, 140000) PFNs busy",
    "[   10.0] rcu: Hierarchical RCU implementation.",
    "[   10.0] rcu: RCU restricting CPUs from NR_CPUS=64 to nr_cpu_ids=2.",
)


def test_the_runners_cases_were_found() -> None:
    assert sum(wanted for wanted, _ in RUNNERS) > 15
    assert sum(not wanted for wanted, _ in RUNNERS) > 10


@pytest.mark.parametrize(("wanted", "line"), [
    *RUNNERS, *((True, line) for line in SPLATS), *((False, line) for line in QUIET)])
def test_splat(wanted: bool, line: str) -> None:
    assert splats(f"before\n{line}\nafter\n") == ([line] if wanted else [])


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
