# SPDX-License-Identifier: GPL-2.0-or-later
"""hinttrace on Debian's cloud kernel, which is built for more nodes and CPUs
and has no page_reporting tracepoints: it falls back, and samples all the same.
"""

from __future__ import annotations

import json
import sys

import compat
import guestvm
from guestvm import GUEST, SOAK, Guest, Scratch, Tap

OBJECTS = ("hint", "swap", "allocfail", "sample")

# Memory comes and goes in large blocks, so there is something to report; then
# one process takes more than there is.
SCRIPT = """
/trace/hinttrace -j --ready /run/ready >/run/out 2>/run/err &
tracer=$!
until [ -s /run/ready ] || ! kill -0 $tracer; do sleep 0.1; done
for i in 1 2; do
	dd if=/dev/zero of=/dev/null bs=128M count=2 2>/dev/null
	sleep 2.5
done
sh -c 'echo 1000 >/proc/self/oom_score_adj; exec tail /dev/zero' >/dev/null 2>&1
kill -TERM $tracer
wait $tracer
echo "exit status $?"
cat /run/err /run/out
"""


def kernel_with_tracer(scratch: Scratch) -> list[str]:
    """Debian's kernel and its initramfs, and the tracer in a second one behind that."""
    options = compat.debian_kernel(scratch)
    files = {name: (0o40755, b"") for name in ("trace", "trace/bpf")}
    files["trace/hinttrace"] = (0o100755, (GUEST / "hinttrace").read_bytes())
    for name in OBJECTS:
        path = f"bpf/{name}.bpf.o"
        files[f"trace/{path}"] = (0o100644, (GUEST / path).read_bytes())
    with (scratch.dir / "initrd").open("ab") as initrd:
        initrd.write(compat.cpio(files))
    return options


def check(tap: Tap, output: str) -> None:
    lines = output.splitlines()
    tap.ok("exit status 0" in lines, "the tracer ends with 0", "\n".join(lines[:10]))
    records = [json.loads(line) for line in lines if line.startswith("{")]
    states = [x["text"].split()[1:3] for x in records
              if x["type"] == "log" and x["text"].startswith("probe ")]
    failed = [name for name, state in states if state == "failed"]
    tap.ok(bool(states) and not failed, "every probe that has a place is attached", failed)
    tap.ok(["sample_guest", "attached"] in states, "samples are taken in the kernel", states)
    events = [x for x in records if x["type"] == "event"]
    batches = [x for x in events if x["kind"] == "batch"]
    tap.ok(bool(batches) and all(x["err"] == 0 and x["nr_pages"] for x in batches),
           "the functions it falls back to show batches", batches[:1])
    kills = [x for x in events if x["kind"] == "oom_kill"]
    tap.ok([x["victim_comm"] for x in kills] == ["tail"] and bool(kills[0]["zones"]),
           "a kill is seen, with the zones", kills)
    samples = [x for x in records if x["type"] == "sample"]
    first, last = samples[0], samples[-1]
    tap.ok(len(samples) > 20 and last["vmstat"]["oom_kill"] - first["vmstat"]["oom_kill"] == 1,
           "the samples count one kill", (len(samples), first["vmstat"], last["vmstat"]))
    tap.ok(max(sum(z["held_pages"] for z in x["zones"]) for x in samples) > 0
           and sum(z["held_pages"] for z in last["zones"]) == 0,
           "memory was held, and is not at the end", last["zones"])
    lost = [x for x in records if x["type"] == "loss" and x["dropped"]]
    tap.is_(lost, [], "nothing was lost")


def test(tap: Tap, scratch: Scratch) -> None:
    try:
        kernel = kernel_with_tracer(scratch)
    except compat.Missing as err:
        tap.skip("hinttrace on Debian's kernel", str(err).replace("\n", " "))
        return
    # A host that takes its time: a sample meets memory that is held.
    with Guest(scratch, "trace-debian", "512M",
               "free-page-reporting=on,x-report-ack-base-ns=200000000", smp=2, kernel=kernel) as guest:
        check(tap, guest.sh(SCRIPT))
        tap.is_(guest.splats(), [], "no splat")


if __name__ == "__main__":
    guestvm.require(*(GUEST / f"bpf/{name}.bpf.o" for name in OBJECTS), GUEST / "hinttrace",
                    SOAK, guestvm.QEMU / "qemu-system-x86_64", guestvm.ROOTFS / "root.erofs")
    sys.exit(guestvm.main_of(test))
