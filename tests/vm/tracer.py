# SPDX-License-Identifier: GPL-2.0-or-later
"""hinttrace in a test guest: every exchange watched, and what that shows."""

from __future__ import annotations

import json

from guestvm import PARAM, Guest

# The probes that conservation is judged by: none of them may miss anything.
JUDGED = ("exchange", "isolate", "putback", "buffer")

LARGEST_CHUNK = 1024  # pages


def start(guest: Guest) -> int:
    """Attach while nothing is under way; how many exchanges there were before."""
    guest.sh(f"echo 60000 >{PARAM}/page_reporting_delay_ms")
    guest.flush()
    before = guest.number("exchanges")
    # Only what is judged is kept: the file is in the guest's memory.
    guest.sh("cd /run; rm -f ready trace.status\n"
             "{ hinttrace -j --interval 500 --ready /run/ready 2>/run/trace.err; echo $? >/run/trace.status; } | "
             "grep --line-buffered -E '\"(exchange_violation|sample|loss)\"' >/run/trace &\n"
             "tries=0; while [ ! -s /run/ready ] && [ $tries -lt 900 ]; do "
             "sleep 0.1; tries=$((tries + 1)); done; [ -s /run/ready ]")
    # A pass already put off keeps its delay: have it now.
    guest.sh(f"echo 10 >{PARAM}/page_reporting_delay_ms")
    guest.flush()
    return before


def counterexample(guest: Guest) -> str:
    """The first exchange that changed the free pages of its zone, if there was one."""
    return guest.sh("grep -m1 exchange_violation /run/trace || :").strip()


def stop(guest: Guest) -> list[dict]:
    """Let the guest come to rest and end the tracer; what it wrote."""
    guest.sh(f"echo 60000 >{PARAM}/page_reporting_delay_ms")
    guest.flush()
    guest.sh("kill -TERM $(cat /run/ready); tries=0; "
             "while [ ! -s /run/trace.status ] && [ $tries -lt 300 ]; do "
             "sleep 0.1; tries=$((tries + 1)); done; "
             "[ \"$(cat /run/trace.status)\" = 0 ] || { cat /run/trace.err >&2; exit 1; }; sleep 0.2")
    return [json.loads(line) for line in guest.sh("cat /run/trace").splitlines()]


def free_pages(guest: Guest) -> dict[str, tuple[int, int]]:
    """By zone: NR_FREE_PAGES with what every CPU has counted, pages on the free lists."""
    out = guest.sh("echo 1 >/proc/sys/vm/stat_refresh; cat /proc/buddyinfo; grep -E '^Node|pages free' /proc/zoneinfo")
    lists: dict[str, int] = {}
    both: dict[str, tuple[int, int]] = {}
    zone = ""
    for line in out.splitlines():
        word = line.split()
        if word[0] == "Node":
            zone = f"{word[1]} {word[3]}"
            if len(word) > 4:
                lists[zone] = sum(int(nr) << order for order, nr in enumerate(word[4:]))
        elif zone in lists:
            both[zone] = int(word[2]), lists[zone]
    return both


def miscounted(guest: Guest) -> str:
    """What is wrong in the count of free pages of a guest at rest; empty when nothing is."""
    both: dict[str, tuple[int, int]] = {}
    for _ in range(30):
        both = free_pages(guest)
        if both and all(counted == there for counted, there in both.values()):
            return ""
    return f"counted as free, and on the free lists: {both}"


def conserved(lines: list[dict], exchanges: int) -> str:
    """What is wrong in the tracer's lines, with an example; empty when nothing is.

    exchanges: as many as the kernel counted since start()."""
    wrong = []
    samples = [x for x in lines if x["type"] == "sample"]
    if not samples:
        return "the tracer left no sample"
    last = samples[-1]
    for x in lines:
        if x.get("kind") == "exchange_violation":
            wrong.append(f"an exchange changed the free pages: {x}")
            break
    if last["exchange_free_delta_pages"]:
        wrong.append(f"all exchanges together changed the free pages by {last['exchange_free_delta_pages']}")
    if last["exchanges"] != exchanges:
        wrong.append(f"the tracer saw {last['exchanges']} of {exchanges} exchanges")
    if last["uncompensated_page_ns"]:
        wrong.append("pages were held without a replacement")
    lacked: dict[tuple[int, int], int] = {}
    for sample in samples:
        now = {(z["node"], z["zone"]): z["buffer_pages"] + z["held_pages"] for z in sample["zones"]}
        # Another CPU may be between the two events of an exchange: a chunk is then
        # held and not yet replaced. What is lost is still lost in the next sample.
        for zone, pages in now.items():
            if pages and (pages == lacked.get(zone) or abs(pages) > LARGEST_CHUNK or sample is last):
                wrong.append(f"what zone {zone} holds and what its buffer lacks differ by {pages} pages: {sample}")
                break
        lacked = now
    if any(z["held_pages"] for z in last["zones"]):
        wrong.append(f"something is held at rest: {last['zones']}")
    missed = {x["probe"]: x["dropped"] for x in lines
              if x["type"] == "loss" and x["dropped"] and x["probe"] in JUDGED}
    if missed:
        wrong.append(f"the tracer missed events: {missed}")
    return "; ".join(wrong)
