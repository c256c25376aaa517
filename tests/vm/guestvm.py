# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that a test drives: boot it, run shell scripts in it, talk QMP to it.

The guest's process 1 is agent.init, reached over the second serial port. The
console goes to a file, in which the kernel must have printed no splat.

Environment: KERNEL, QEMU, ROOTFS, GUEST (folders; default: those under build/),
KEEP (folder in which consoles stay), TEST_ACCEL (tcg or kvm, default tcg),
ROOM_MIB (memory more for each guest: what a debug kernel takes for itself),
APPEND (to the command line of each guest's kernel).
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tap import Tap

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
KERNEL = Path(os.environ.get("KERNEL", BUILD / "kernel"))
QEMU = Path(os.environ.get("QEMU", BUILD / "qemu"))
ROOTFS = Path(os.environ.get("ROOTFS", BUILD / "rootfs"))
GUEST = Path(os.environ.get("GUEST", BUILD / "guest"))
HINTRUN = BUILD / "bin/hintrun"
SOAK = BUILD / "workloads/soak/soak"
ACCEL = os.environ.get("TEST_ACCEL", "tcg")
ROOM_MIB = int(os.environ.get("ROOM_MIB", "0"))
APPEND = os.environ.get("APPEND", "")

MIB = 1 << 20
SYSFS = "/sys/kernel/mm/page_reporting"
PARAM = "/sys/module/page_reporting/parameters"
DRIVER = "/sys/bus/virtio/drivers/virtio_balloon"

# TCG with CPUs in threads of their own: one looks up a section of memory while the
# map of memory changes, as when a BAR is placed. Not ours, and rare.
TCG_RACE = "iotlb_to_section: Assertion"


class GuestError(Exception):
    """The guest did not do what every guest must: boot, answer, stay alive."""


def require(*paths: Path) -> None:
    """Skip the whole file where something it needs was not built."""
    for path in (HINTRUN, *paths):
        if not path.exists():
            print(f"1..0 # SKIP {path} is not there; run make first")
            sys.exit(0)


def splats(text: str) -> list[str]:
    """The lines in which the kernel complains. A genuine shortage of memory is none."""
    return subprocess.run([HINTRUN, "console"], input=text, stdout=subprocess.PIPE, text=True,
                          check=False).stdout.splitlines()


class Scratch:
    """A folder for one test program; KEEP=DIR keeps the consoles."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="hint-vm."))
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)
        self.keep = Path(os.environ["KEEP"]) if "KEEP" in os.environ else self.dir
        self.keep.mkdir(parents=True, exist_ok=True)
        self._payload: Path | None = None

    def payload(self, extra: dict[str, Path] | None = None) -> Path:
        """The tar that the guest unpacks: agent, soak, tracer and extra files."""
        if self._payload and not extra:
            return self._payload
        folder = Path(tempfile.mkdtemp(dir=self.dir))
        files = {"init": TOP / "tests/vm/agent.init", **(extra or {})}
        for tool in (SOAK, GUEST / "hinttrace", GUEST / "hintsay"):
            files[tool.name] = tool
        for obj in ("hint", "swap", "allocfail", "sample"):
            files[f"bpf/{obj}.bpf.o"] = GUEST / f"bpf/{obj}.bpf.o"
        for name, source in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        tar = folder.with_suffix(".tar")
        subprocess.run(["tar", "-C", folder, "-cf", tar, "."], check=True)
        pad(tar)
        if not extra:
            self._payload = tar
        return tar

    def disk(self, name: str, mib: int) -> list[str]:
        """QEMU's options for an empty disk: /dev/vda in the guest if it is the first."""
        path = self.dir / f"{name}.disk"
        with path.open("wb") as file:
            file.truncate(mib * MIB)
        return ["-blockdev", f"driver=file,node-name={name},filename={path},cache.no-flush=on",
                "-device", f"virtio-blk-pci,drive={name}"]


def pad(path: Path) -> None:
    """An NVDIMM is a multiple of 2 MiB."""
    size = path.stat().st_size
    os.truncate(path, -(-size // (2 * MIB)) * 2 * MIB)


class Guest:
    """A running guest. Use as a context manager. `mem` is in MiB: "512M"; `cpu`
    adds features to the emulated CPU: "+pdpe1gb"; `kernel` are options of
    `hintrun boot` for another kernel than ours, `qemu` a folder with another
    QEMU, `extra` options of QEMU itself."""

    def __init__(self, scratch: Scratch, name: str, mem: str, balloon: str = "", *,
                 cmdline: str = "", smp: int = 1, icount: bool = False, cpu: str = "",
                 extra: list[str] | None = None, payload: Path | None = None,
                 qemu: Path = QEMU, kernel: list[str] | None = None) -> None:
        self.name = name
        self.console_path = scratch.keep / f"{name}.console"
        self.log_path = scratch.keep / f"{name}.qemu"
        self.command = [
            str(HINTRUN), "boot", "--qemu", str(qemu), "--accel", ACCEL,
            "--clock", "virtual" if icount else "real", "--threads", "single" if icount else "multi",
            "--vcpus", str(smp), "--mem", f"{int(mem[:-1]) + ROOM_MIB}M", "--balloon", balloon,
            "--console", str(self.console_path), *(["--cpu", cpu] if cpu else []),
            *(["--max-file", "64G"] if extra else []),  # it may have a disk
            *(kernel or ["--kernel", str(KERNEL), "--rootfs", str(ROOTFS), "--append", f"{cmdline} {APPEND}".strip(),
                         "--payload", str(payload or scratch.payload())]),
            "--", *(extra or [])]
        self._start()
        atexit.register(self.kill)

    def _start(self) -> None:
        self.agent, agent_far = socket.socketpair()
        self.qmp_sock, qmp_far = socket.socketpair()
        self._agent_buf = b""
        self._qmp_buf = b""
        self.console_path.unlink(missing_ok=True)
        at = self.command.index("--")
        fds = (agent_far.fileno(), qmp_far.fileno())
        with self.log_path.open("wb") as log:
            self.proc = subprocess.Popen(
                [*self.command[:at], "--agent-fd", str(fds[0]), "--qmp-fd", str(fds[1]), *self.command[at:]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds)
        agent_far.close()
        qmp_far.close()

    def _boot(self) -> None:
        """Until the agent answers; once more when QEMU fell over itself."""
        try:
            self._until(b"@@READY\n", 180, "boot")
        except GuestError:
            if TCG_RACE not in self.log_path.read_text(errors="replace"):
                raise
            print(f"# {self.name}: QEMU died of its own assertion ({TCG_RACE}) at boot; started again")
            self.kill()
            self._start()
            self._until(b"@@READY\n", 180, "boot")

    def __enter__(self) -> Guest:
        try:
            self._boot()
            self._qmp_line()
            self.qmp("qmp_capabilities")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def console(self) -> str:
        return self.console_path.read_text(errors="replace") if self.console_path.exists() else ""

    def splats(self) -> list[str]:
        return splats(self.console())

    def _fail(self, what: str) -> GuestError:
        tail = "\n".join(self.console().splitlines()[-25:])
        log = self.log_path.read_text(errors="replace")[-2000:]
        return GuestError(f"{self.name}: {what}\n{tail}\n{log}")

    def _until(self, mark: bytes, timeout: float, what: str) -> bytes:
        end = time.monotonic() + timeout
        while mark not in self._agent_buf:
            left = end - time.monotonic()
            if left <= 0:
                raise self._fail(f"no answer within {timeout:.0f} s to: {what}")
            self.agent.settimeout(left)
            try:
                data = self.agent.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise self._fail(f"the guest died in: {what}")
            self._agent_buf += data
        head, self._agent_buf = self._agent_buf.split(mark, 1)
        return head

    def start(self, script: str) -> None:
        """Begin a script; `result` waits for its end."""
        self._what = script.strip()[:200]
        self.agent.settimeout(60)
        self.agent.sendall(script.strip("\n").encode() + b"\n@@RUN\n")

    def result(self, timeout: float = 300) -> tuple[int, str]:
        """Exit status and output of what was started."""
        output = self._until(b"@@DONE ", timeout, self._what)
        status = self._until(b"\n", 60, self._what)
        return int(status), output.decode(errors="replace")

    def run(self, script: str, timeout: float = 300) -> tuple[int, str]:
        self.start(script)
        return self.result(timeout)

    def sh(self, script: str, timeout: float = 300) -> str:
        """Output of a script that must end with status 0."""
        status, output = self.run(script, timeout)
        if status:
            raise self._fail(f"status {status} of: {script}\n{output}")
        return output

    def number(self, name: str) -> int:
        return int(self.sh(f"cat {SYSFS}/{name}"))

    def numbers(self) -> dict[str, int]:
        """All counters of the buffer."""
        lines = self.sh(f"cd {SYSFS} && grep . *").split()
        return {key: int(value) for key, value in (x.split(":") for x in lines)}

    def has(self, option: str) -> bool:
        """Is CONFIG_option=y in the kernel's configuration?"""
        return not self.run(f"zcat /proc/config.gz | grep -qx CONFIG_{option}=y")[0]

    def flush(self) -> None:
        """Report all there is; -EAGAIN while something keeps freeing is fine."""
        self.run(f"echo 1 >{PARAM}/flush 2>/dev/null")

    def _qmp_line(self) -> dict:
        self.qmp_sock.settimeout(60)
        while b"\n" not in self._qmp_buf:
            data = self.qmp_sock.recv(65536)
            if not data:
                raise self._fail("QMP was closed")
            self._qmp_buf += data
        line, self._qmp_buf = self._qmp_buf.split(b"\n", 1)
        return json.loads(line)

    def qmp(self, command: str, /, **arguments: object) -> object:
        """Result of a command; GuestError with QEMU's words when it refuses."""
        request = json.dumps({"execute": command, "arguments": arguments})
        self.qmp_sock.sendall(request.encode() + b"\n")
        while True:
            answer = self._qmp_line()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise GuestError(f"{self.name}: {command}: {answer['error']['desc']}")

    def balloon(self, prop: str, value: object = None) -> object:
        """Read a property of the balloon device, or set it."""
        where = {"path": "/machine/peripheral/balloon0", "property": prop}
        if value is None:
            return self.qmp("qom-get", **where)
        return self.qmp("qom-set", **where, value=value)

    def device(self) -> dict:
        """Counters of the device."""
        return self.balloon("hint-stats")  # type: ignore[return-value]


def reportable_mib(guest: Guest) -> int:
    """Free blocks of order 9 and 10, but in ZONE_DMA, and the buffer."""
    free = int(guest.sh("awk '$4 != \"DMA\" { n += 2 * $(NF - 1) + 4 * $NF } END { print n }' /proc/buddyinfo"))
    return free + guest.number("buffer_held_pages") // 256


def accounting(guest: Guest) -> dict[str, int]:
    """What must add up: memory managed and buffer held, in pages."""
    # The worker may be filling the buffer: again until that stands still.
    out = guest.sh(f"""
tries=0
while tries=$((tries + 1)) && [ $tries -le 50 ]; do
	held=$(cat {SYSFS}/buffer_held_pages)
	sums=$(awk '/^MemTotal/ {{ print "total_kib", $2 }} /managed/ {{ n += $2 }}
		END {{ print "managed", n }}' /proc/meminfo /proc/zoneinfo)
	[ $held = $(cat {SYSFS}/buffer_held_pages) ] && break
done
echo "$sums"
echo held $held""")
    pairs = dict(line.split() for line in out.splitlines())
    return {key: int(value) for key, value in pairs.items()}


SOAK_LINE = re.compile(r"soak: (\d+) MiB verified, (\d+) mismatches, (\d+) requests refused, "
                       r"(\d+) of (\d+) processes failed(?:; (\d+) MiB were read back)?")


def soak_start(guest: Guest, mib: int, duration: str, procs: int = 8, seed: int = 1,
               options: str = "") -> None:
    """Run soak in the background of the guest."""
    guest.sh(f"rm -f /run/soak.status; ( soak --bytes {mib}M --procs {procs} --seed {seed} "
             f"--duration {duration} {options}; echo $? >/run/soak.status ) >/run/soak.out 2>&1 &")


def soak_result(guest: Guest, timeout: float = 600) -> dict[str, int]:
    """Wait for soak; status and its totals. Raises when it left none."""
    out = guest.sh("tries=0; while [ ! -s /run/soak.status ] && [ $tries -lt %d ]; do "
                   "sleep 0.2; tries=$((tries + 1)); done; cat /run/soak.status /run/soak.out"
                   % int(timeout * 5), timeout + 60)
    match = SOAK_LINE.search(out)
    if not match:
        raise GuestError(f"{guest.name}: soak came to no end: {out}")
    return {"status": int(out.split()[0]), "verified_mib": int(match[1]),
            "mismatches": int(match[2]), "refused": int(match[3]), "failed": int(match[4]),
            "reread_mib": int(match[6] or 0), "output": out}  # type: ignore[dict-item]


def main_of(*checks: Callable[[Tap, Scratch], None]) -> int:
    """Run a test program's functions; a guest that fails is a failed test, and the next one runs."""
    tap = Tap()
    scratch = Scratch()
    for check in checks:
        try:
            check(tap, scratch)
        except GuestError as err:
            tap.ok(False, f"{check.__name__}: the guest does what every guest must", err)
    return tap.finish()
