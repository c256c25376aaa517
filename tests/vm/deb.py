#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hinttrace's Debian package in a plain Debian 12: its own kernel (6.1), its own initramfs, its
own systemd. Installed with dpkg, started by its unit, a kill provoked and judged, purged; no file
may be left.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import compat
import guestvm
from guestvm import BUILD, Guest, Scratch, Tap

PACKAGE = BUILD / "deb/hinttrace.deb"
CAP_BPF = 1 << 39

# What the kernel kills in it is no reason to end it.
AGENT = """[Unit]
Description=runs the scripts of a test
DefaultDependencies=no
After=basic.target
[Service]
ExecStart=/bin/sh -c 'mkdir -p /run/hint; tar -C /run/hint -xf /dev/vdb; exec sh /run/hint/init'
OOMScoreAdjust=-1000
OOMPolicy=continue
"""

# Every name below /, but for what is no file system of a disk.
LIST = r"find / -xdev -printf '%p %y %l\n' | sort"

# Each ends by itself, and shows why when it fails.
WAIT = """
wait_for() { # SECONDS COMMAND: until it ends well
	tries=0
	until sh -c "$2" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt $(($1 * 5)) ] || return 1
		sleep 0.2
	done
}
"""


def make_tar(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def disk_of(scratch: Scratch, tar: Path) -> Path:
    """The root as a file system: what Debian unpacked, and the agent."""
    agent = make_tar(scratch.dir / "agent.tar", {"etc/systemd/system/agent.service": AGENT.encode()},
                     {"etc/systemd/system/multi-user.target.wants/agent.service": "../agent.service"})
    disk = scratch.dir / "root.ext2"
    # 860 MiB, of which the system takes 360.
    subprocess.run(["genext2fs", "-B", "4096", "-b", "220000", "-N", "30000", "-a", tar, "-a", agent, disk],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return disk


def boot(scratch: Scratch, name: str, append: str = "") -> Guest:
    folder = compat.fetched("debian12")
    payload = make_tar(scratch.dir / "payload.tar", {
        "init": (guestvm.TOP / "tests/vm/agent.init").read_bytes(), "hinttrace.deb": PACKAGE.read_bytes()})
    extra = []
    for nr, path in enumerate((disk_of(scratch, folder / "root.tar"), payload)):
        extra += ["-blockdev", f"driver=file,node-name=disk{nr},filename={path},cache.no-flush=on",
                  "-device", f"virtio-blk-pci,drive=disk{nr}"]
    kernel = ["--kernel", str(next(folder.glob("boot/vmlinuz-*"))),
              "--initrd", str(next(folder.glob("boot/initrd.img-*"))), "--root-on", "none",
              "--append", f"root=/dev/vda rw swiotlb=noforce {append}".strip()]
    # A host that takes its time, so that memory can be out.
    return Guest(scratch, name, "512M", "free-page-reporting=on,x-report-ack-base-ns=200000000",
                 smp=2, kernel=kernel, extra=extra)


def started(guest: Guest) -> dict[str, str]:
    """The service runs and says so: what the kernel says of its process."""
    guest.sh(WAIT + "systemctl start hinttrace && wait_for 90 'journalctl -u hinttrace | grep -q \"tracing; Ctrl-C\"'"
             " || { systemctl status hinttrace; journalctl -u hinttrace | tail -n 30; exit 1; }", 180)
    status = guest.sh("pid=$(systemctl show -p MainPID --value hinttrace); cat /proc/$pid/status; "
                      "echo \"oom_score_adj: $(cat /proc/$pid/oom_score_adj)\"")
    return {key: value.strip() for key, value in (line.split(":", 1) for line in status.splitlines())}


def check_install(tap: Tap, guest: Guest) -> None:
    tap.note(guest.sh("cat /etc/debian_version; uname -r; systemctl --version | head -n 1").replace("\n", ", "))
    status, out = guest.run("dpkg -i /run/hint/hinttrace.deb && dpkg --verify hinttrace")
    tap.is_(status, 0, f"dpkg installs it, and every file is whole: {out.splitlines()[-1:]}")
    state = guest.run("systemctl is-enabled hinttrace; systemctl is-active hinttrace")[1].split()
    tap.is_(state, ["disabled", "inactive"], "nothing is enabled or started by that")
    tap.ok("Usage: hinttrace" in guest.sh("hinttrace --help"), "the program runs")


def check_rights(tap: Tap, guest: Guest) -> None:
    status = started(guest)
    tap.ok(True, "the service starts")
    tap.is_(int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapInh"], 16) |
            int(status["CapAmb"], 16), CAP_BPF, "of its capabilities CAP_BPF is left, and nothing else")
    tap.ok(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and "0" not in status["Uid"].split(),
           "a user of its own, a filter of system calls, no way to more",
           {key: status[key] for key in ("Uid", "NoNewPrivs", "Seccomp")})
    tap.ok(status["oom_score_adj"] == "-1000" and int(status["VmLck"].split()[0]) > 1000,
           "its memory is locked, and the OOM killer does not take it", status["VmLck"])
    probes = guest.sh("journalctl -u hinttrace -o cat | grep -E 'cannot attach|(fentry|fexit|raw_tp)/(virtballoon"
                      "|out_of_memory|oom_kill|try_to|mm_page_alloc)' || :")
    tap.is_(probes, "", "the balloon's functions, though in a module, and those of the allocator are attached")


def check_kill(tap: Tap, guest: Guest) -> None:
    # Blocks come and go, so that there is something to report; then a unit takes more than there is.
    guest.sh(WAIT + "dd if=/dev/zero of=/dev/null bs=128M count=2 2>/dev/null; sleep 3\n"
             "systemd-run -q --unit=db -p OOMScoreAdjust=1000 tail /dev/zero\n"
             "wait_for 60 'journalctl -u hinttrace -o cat | grep -q \"^What would have prevented\"'"
             " || { journalctl -n 40; exit 1; }", 180)
    screen = guest.sh("journalctl -u hinttrace -o cat | sed -n '/^==== incident/,$p'")
    tap.note(screen)
    tap.is_(len(re.findall(r"^==== incident 1 at .*: 1 killed ====$", screen, re.M)), 1, "one screen for one kill")
    tap.ok(re.search(r"^What died     tail\[\d+\], \d+\.\d MiB resident, oom_score_adj 1000", screen, re.M) is not None
           and re.search(r"^  whose       uid 0, started .* in cgroup db\.service$", screen, re.M) is not None,
           "it says who died, and of which unit")
    tap.ok(re.search(r"^  This kill was (not )?caused by memory on its way to the host, because .*[.)]$", screen, re.M)
           is not None, "and whether that was hinting's doing")
    zones = re.findall(r"^  zone (.*): .* short$", screen, re.M)
    tap.ok(bool(zones) and set(zones) <= {"DMA of node 0", "DMA32 of node 0"}, "by zones that this guest has", zones)
    guest.sh(WAIT + "wait_for 30 'grep -q \"^hinttrace_kills_total.*db.service.* 1\" /run/hinttrace/hinttrace.prom'"
             " || { cat /run/hinttrace/*; exit 1; }", 90)
    metrics = guest.sh("setpriv --reuid nobody --clear-groups cat /run/hinttrace/hinttrace.prom")
    tap.note("\n".join(x for x in metrics.splitlines() if "kills" in x))
    tap.ok(re.search(r'^hinttrace_kills_total\{verdict="(genuine|attributable|undetermined)",cgroup="db\.service"\} 1$',
                     metrics, re.M) is not None and metrics.endswith("# EOF\n"),
           "the counters have it, and any user can read them", metrics)
    held = re.search(r"^hinttrace_hold_seconds_count (\d+)$", metrics, re.M)
    tap.ok(held is not None and int(held[1]) > 0, "batches were timed", metrics)


def check_upgrade(tap: Tap, guest: Guest) -> None:
    pid = guest.sh("systemctl show -p MainPID --value hinttrace")
    guest.sh("dpkg -i /run/hint/hinttrace.deb")
    after = started(guest)
    tap.ok(after["Pid"] != pid.strip(), "a tracer that runs is restarted by an upgrade", (pid, after["Pid"]))
    out = guest.sh("systemctl stop hinttrace; systemctl show -p Result -p ExecMainStatus hinttrace; ls -d /run/hinttrace || :")
    tap.is_(sorted(x for x in out.splitlines() if "=" in x), ["ExecMainStatus=0", "Result=success"],
            "it ends with status 0 when it is stopped")
    tap.is_("/run/hinttrace" in out.split("\n"), False, "and its counters go with it")


def check_purge(tap: Tap, guest: Guest, before: list[str]) -> None:
    guest.sh("systemctl enable --now hinttrace 2>/dev/null; echo '# mine' >>/etc/default/hinttrace")
    started(guest)
    guest.sh("dpkg --remove hinttrace")
    out = guest.run("systemctl is-active hinttrace; ls /etc/default/hinttrace")[1].split()
    tap.is_(out, ["inactive", "/etc/default/hinttrace"], "removal stops it and keeps what the administrator set")
    guest.sh("dpkg --purge hinttrace")
    after = guest.sh(LIST).splitlines()
    tap.ok(bool(before) and after == before, f"purged, there is no file more and none less than before ({len(before)})",
           "\n".join(sorted(set(after) ^ set(before))))
    tap.is_(guest.run("dpkg -s hinttrace 2>&1 | head -n 1; getent passwd hinttrace; ls /run/hinttrace 2>/dev/null")[1]
            .strip(), "dpkg-query: package 'hinttrace' is not installed and no information is available",
            "nor a user, nor anything in /run")


# A name that fills a line of its own, turns a terminal red, and ends a quoted string; and one that
# is no UTF-8. The task keeps it, so it takes the memory itself.
HOSTILE_COMM, HOSTILE_CGROUP = "\n\x1b[31m\"\\", "e\x1b[31m\"\\\udcff.service"
HOSTILE_TASK = r"""
evil=$(printf '/sys/fs/cgroup/e\033[31m"\\\377.service')
mkdir "$evil"
hinttrace --metrics /tmp/hint.prom --ready /tmp/text.ready >/tmp/text 2>&1 &
text=$!
hinttrace -j --ready /tmp/json.ready >/tmp/json 2>/dev/null &
json=$!
wait_for 90 '[ -s /tmp/text.ready ] && [ -s /tmp/json.ready ]' || exit 1
EVIL=$evil sh -c 'echo 1000 >/proc/self/oom_score_adj; echo $$ >"$EVIL/cgroup.procs"
	printf "\n\033[31m\"\\\\" >/proc/$$/comm
	a=0123456789abcdef; while :; do a=$a$a; done' 2>/dev/null
sleep 5
kill $text $json
wait $text $json
rmdir "$evil"
"""


def check_names(tap: Tap, guest: Guest) -> None:
    guest.sh(WAIT + HOSTILE_TASK, 240)
    shown_comm, shown_cgroup = '\\x0a\\x1b[31m"\\\\', 'e\\x1b[31m"\\\\\\xff.service'
    text = guest.sh("cat /tmp/text")
    tap.ok(f"What died     {shown_comm}[" in text and f" in cgroup {shown_cgroup}\n" in text and "\x1b" not in text
           and "\ufffd" not in text, "text: what a task calls itself is escaped, and its cgroup, too", text[-3000:])
    # Byte by byte: what the guest sends is decoded on its way.
    tap.is_(guest.sh("LC_ALL=C tr -d '\\n -~' </tmp/text | od -c | head -n 3; LC_ALL=C tr -d '\\n -~' </tmp/hint.prom | od -c")
            .split(), ["0000000", "0000000"], "... no byte that a terminal obeys, nor in the counters")
    label = shown_cgroup.replace("\\", "\\\\").replace('"', '\\"')
    metrics = guest.sh("cat /tmp/hint.prom")
    tap.ok(re.search(r"^hinttrace_kills_total\{verdict=\"\w+\",cgroup=\"" + re.escape(label) + r"\"\} 1$", metrics, re.M)
           is not None, "OpenMetrics: the same, escaped once more as a label", metrics)
    kills = [json.loads(x) for x in guest.sh("grep '\"oom_kill\"' /tmp/json").splitlines() if '"event"' in x]
    tap.is_([(x["victim_comm"], x["victim_cgroup"]) for x in kills],
            [(HOSTILE_COMM, HOSTILE_CGROUP.replace("\udcff", "\ufffd"))], "JSON: the name itself; what is no UTF-8 is marked")
    guest.sh("rm /tmp/text* /tmp/json* /tmp/hint.prom*")


def refused(tap: Tap, guest: Guest, script: str, cause: str, name: str) -> None:
    status, out = guest.run(f"{script} >/tmp/refused 2>&1; status=$?; cat /tmp/refused; rm /tmp/refused; exit $status")
    said = [x for x in out.splitlines() if x.startswith("hinttrace: ")]
    tap.ok(status == 69 and len(said) == 1 and re.search(cause, said[0]) is not None, name, out[-1500:])


def check_refusals(tap: Tap, guest: Guest) -> None:
    refused(tap, guest, "unshare -m sh -c 'mount -t tmpfs none /sys/kernel/btf && exec hinttrace -d 1'",
            r"this kernel has no type information \(/sys/kernel/btf/vmlinux\).*CONFIG_DEBUG_INFO_BTF=y",
            "a kernel without BTF: that is said, and status 69")
    few = "+bpf,+perfmon"
    refused(tap, guest, f"setpriv --reuid 12345 --clear-groups --inh-caps=-all,{few} --ambient-caps=-all,{few} "
            "hinttrace --unprotected -d 1", r"this process lacks CAP_SYSLOG CAP_SYS_ADMIN ",
            "a process that may not: what it lacks is named")


def check_lockdown(tap: Tap, guest: Guest) -> None:
    """The last of all: a lockdown is for good."""
    guest.sh("dpkg -x /run/hint/hinttrace.deb /opt/x && echo confidentiality >/sys/kernel/security/lockdown")
    refused(tap, guest, "/opt/x/usr/sbin/hinttrace -d 1", r"locked down \(confidentiality, .*lockdown=integrity",
            "a kernel that is locked down: in one line, before any log of the verifier")


def test(tap: Tap, scratch: Scratch) -> None:
    try:
        guest = boot(scratch, "debian12")
    except compat.Missing as err:
        tap.skip("the package in Debian 12", str(err).replace("\n", " "))
        return
    with guest:
        # Its timers and its first boot make files, too.
        guest.sh(WAIT + "wait_for 120 'systemctl is-system-running | grep -qE \"running|degraded\"'; "
                 "systemctl stop '*.timer'; dpkg --configure -a", 180)
        before = guest.sh(LIST).splitlines()
        check_install(tap, guest)
        check_rights(tap, guest)
        check_kill(tap, guest)
        check_upgrade(tap, guest)
        check_names(tap, guest)
        check_refusals(tap, guest)
        check_purge(tap, guest, before)
        check_lockdown(tap, guest)
        tap.is_(guest.splats(), [], "no splat")


if __name__ == "__main__":
    guestvm.require(PACKAGE, guestvm.QEMU / "qemu-system-x86_64")
    sys.exit(guestvm.main_of(test))
