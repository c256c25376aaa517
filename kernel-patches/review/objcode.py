#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare the code of two x86-64 object files function by function.

usage: kernel-patches/review/objcode.py BASE.o OTHER.o

Two functions are the same when they have the same instructions and these refer
to the same things: where code, data and strings lie does not count, so a
function is not reported because another one before it grew. Prints a line for
each function that is not the same, sorted by name, separated by tabs:

  differs|gone|new  NAME  INSNS_BASE  BYTES_BASE  INSNS_OTHER  BYTES_OTHER

and a last line "functions  N" with the number of functions compared. Exit
status: 0 compared, whatever the outcome, 1 objdump failed, 2 wrong usage.

example: kernel-patches/review/objcode.py base/page_alloc.o patched/page_alloc.o
"""

from __future__ import annotations

import bisect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADER = re.compile(r"^([0-9a-f]+) <(.+)>:$")
INSN = re.compile(r"^ *([0-9a-f]+):\t(.*)$")
RELOC = re.compile(r"^\s+([0-9a-f]+): (R_X86_64_\w+)\s+(.+)$")
SYMBOL = re.compile(r"^([0-9a-f]{16}) .{7} (\S+)\t([0-9a-f]{16}) (?:\.hidden )?(.+)$")
TARGET = re.compile(r"\b[0-9a-f]+ (<[^>]+>)")
# Static variables of functions carry a number that counts declarations.
NUMBERED = re.compile(r"\.\d+$")
# So do names that have to be unique; objdump takes one for the nearest symbol of a call.
UNIQUE = re.compile(r"(__UNIQUE_ID_\w*?)\d+\b")


@dataclass
class Function:
    code: list[str] = field(default_factory=list)
    nr_insns: int = 0
    nr_bytes: int = 0


def objdump(*args: str) -> list[str]:
    return subprocess.run(["objdump", *args], check=True, capture_output=True,
                          text=True, errors="replace").stdout.splitlines()


class Object:
    """The functions of an object file, in a form that can be compared."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.symbols: dict[str, list[tuple[int, int, str]]] = {}
        self.sizes: dict[tuple[str, str], int] = {}
        self.labels: dict[str, tuple[str, int]] = {}
        self.contents: dict[str, bytes] = {}
        for line in objdump("-t", path):
            match = SYMBOL.match(line)
            if match and match[2] != match[4]:
                value, size = int(match[1], 16), int(match[3], 16)
                self.symbols.setdefault(match[2], []).append((value, size, match[4]))
                self.sizes[match[2], match[4]] = size
                self.labels[match[4]] = match[2], value
        for symbols in self.symbols.values():
            symbols.sort()
        self.functions = dict(self._functions())

    def _content(self, section: str) -> bytes:
        if section not in self.contents:
            text = "".join(line[1:].split("  ")[0].partition(" ")[2]
                           for line in objdump("-s", "-j", section, self.path)
                           if re.match(r" [0-9a-f]+ ", line))
            self.contents[section] = bytes.fromhex(text)
        return self.contents[section]

    def _place(self, section: str, offset: int) -> str:
        """What lies at an offset of a section."""
        if section.startswith(".rodata.str"):
            return repr(self._content(section)[offset:].split(b"\0")[0])
        if match := re.match(r"\.rodata\.cst(\d+)$", section):
            return self._content(section)[offset:offset + int(match[1])].hex()
        symbols = self.symbols.get(section, [])
        nr = bisect.bisect_right(symbols, (offset, sys.maxsize, ""))
        if nr:
            value, size, name = symbols[nr - 1]
            if offset < value + max(size, 1):
                return f"{NUMBERED.sub('', name)}+{offset - value:#x}"
        # The jump table of a switch has no name.
        return section

    def _reference(self, reloc: tuple[int, str, str], end: int) -> str:
        """What an instruction that ends at `end` refers to."""
        address, kind, target = reloc
        match = re.match(r"^(\..+?)(?:([+-])0x([0-9a-f]+))?$", target)
        if not match:
            return f"{kind} {target}"
        offset = int(match[3] or "0", 16) * (-1 if match[2] == "-" else 1)
        if "PC" in kind or "PLT" in kind:
            offset += end - address
        section, start = self.labels.get(match[1], (match[1], 0))
        return f"{kind} {self._place(section, start + offset)}"

    def _section(self, section: str, lines: list[str]) -> Iterator[tuple[str, Function]]:
        # Instructions as (address, text, relocations), by function.
        found: list[tuple[str, int, list[tuple[int, str, list]]]] = []
        for line in lines:
            if match := HEADER.match(line):
                found.append((match[2], int(match[1], 16), []))
            elif match := RELOC.match(line):
                found[-1][2][-1][2].append((int(match[1], 16), match[2], match[3]))
            elif (match := INSN.match(line)) and found:
                found[-1][2].append((int(match[1], 16), match[2], []))
        for nr, (name, start, insns) in enumerate(found):
            size = self.sizes.get((section, name), 0)
            last = found[nr + 1][1] if nr + 1 < len(found) else start + sys.maxsize
            stop = start + size if size else last
            function = Function()
            for pos, (address, text, relocs) in enumerate(insns):
                if address >= stop:     # alignment
                    break
                after = insns[pos + 1][0] if pos + 1 < len(insns) else stop
                end = min(after, stop)
                text = UNIQUE.sub(r"\1N", TARGET.sub(r"\1", re.sub(r"\s+#.*", "", text)))
                function.code.append(" ".join(text.split()))
                function.code += [self._reference(reloc, end) for reloc in relocs]
                function.nr_insns += 1
                function.nr_bytes = (end if size or pos + 1 < len(insns) else address) - start
            yield name, function

    def _functions(self) -> Iterator[tuple[str, Function]]:
        section, lines = "", []
        for line in objdump("-dr", "--no-show-raw-insn", self.path):
            if line.startswith("Disassembly of section "):
                yield from self._section(section, lines)
                section, lines = line[len("Disassembly of section "):-1], []
            else:
                lines.append(line)
        yield from self._section(section, lines)


def compare(base: Object, other: Object) -> Iterator[str]:
    nothing = Function()
    names = sorted(base.functions.keys() | other.functions.keys())
    for name in names:
        old = base.functions.get(name, nothing)
        new = other.functions.get(name, nothing)
        if old.code == new.code:
            continue
        verdict = "new" if old is nothing else "gone" if new is nothing else "differs"
        yield "\t".join((verdict, name, *map(str, (old.nr_insns, old.nr_bytes,
                                                   new.nr_insns, new.nr_bytes))))
    yield f"functions\t{len(names)}"


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for line in compare(Object(sys.argv[1]), Object(sys.argv[2])):
            print(line)
    except subprocess.CalledProcessError as err:
        print(f"objcode.py: objdump failed: {err.stderr.strip()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
