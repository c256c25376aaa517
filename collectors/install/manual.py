#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Man page and bash completion of a program, from what its --help=table prints.

usage: manual.py man TABLE TEXT CHANGELOG   roff on standard output
       manual.py bash TABLE                 completion on standard output

TABLE is that output in a file; TEXT the page with what no table holds, in which these words
stand for the rest: @VERSION@ and @DATE@ (of the newest entry of CHANGELOG), @WHAT@, @SYNOPSIS@,
@COMMANDS@, @OPTIONS@ and @SECTION TITLE@.
"""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path


@dataclass
class Option:
    letter: str
    name: str
    arg: str
    what: str

    @property
    def spellings(self) -> list[str]:
        return [*([self.letter] if self.letter else []), f"--{self.name}"]


@dataclass
class Group:
    title: str
    note: str
    commands: list[str]
    options: list[Option] = field(default_factory=list)


@dataclass
class Program:
    name: str = ""
    arguments: str = ""
    what: str = ""
    groups: list[Group] = field(default_factory=list)
    commands: list[tuple[str, str, str]] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)

    def options_of(self, command: str = "") -> list[Option]:
        return [o for g in self.groups if not command or not g.commands or command in g.commands for o in g.options]


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def read_table(path: Path) -> Program:
    program = Program()
    for nr, line in enumerate(path.read_text().splitlines(), 1):
        kind, *rest = [unescaped(x) for x in line.split("\t")]
        try:
            if kind == "program":
                program.name, program.arguments, program.what = rest
            elif kind == "group":
                title, note, commands = rest
                program.groups.append(Group(title, note, commands.split()))
            elif kind == "command":
                name, arguments, what = rest
                program.commands.append((name, arguments, what))
            elif kind == "option":
                program.groups[-1].options.append(Option(*rest))
            elif kind == "section":
                title, lines = rest
                program.sections[title] = lines
            else:
                raise ValueError(f"no such kind: {kind}")
        except (ValueError, TypeError, IndexError) as err:
            raise ValueError(f"{path}:{nr}: {err}") from None
    return program


# ---------------------------------------------------------------- man page

def roff(text: str) -> str:
    """Text that is printed as it stands, wherever in a line it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


def bold(text: str) -> str:
    return f"\\fB{roff(text)}\\fR" if text else ""


def italic(text: str) -> str:
    return f"\\fI{roff(text)}\\fR" if text else ""


def man_options(groups: list[Group]) -> str:
    out = []
    for group in groups:
        if not group.options:
            continue
        out.append(f".SS {roff(group.title)}")
        if group.note:
            out.append(roff(group.note[0].upper() + group.note[1:]) + ".")
        for o in group.options:
            head = ", ".join(bold(x) for x in o.spellings)
            out += [".TP", f"{head} {italic(o.arg)}".rstrip(), roff(o.what[0].upper() + o.what[1:]) + "."]
    return "\n".join(out)


def man_commands(program: Program) -> str:
    out = []
    for name, arguments, what in program.commands:
        out += [".TP", f"{bold(name)} {italic(arguments)}".rstrip(), roff(what[0].upper() + what[1:]) + "."]
    return "\n".join(out)


def man_section(lines: str) -> str:
    """Lines that are indented stand as they are."""
    if lines.startswith(" "):
        return f".nf\n{roff(lines.rstrip())}\n.fi"
    return roff(lines.rstrip())


def wrapped(page: str) -> str:
    """Text lines of at most 78 columns; requests, and what stands as it is, stay."""
    out, literal = [], False
    for line in page.splitlines():
        literal = line == ".nf" or literal and line != ".fi"
        if literal or line.startswith(".") or len(line) <= 78:
            out.append(line)
            continue
        lines = textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False)
        out += [f"\\&{x}" if x.startswith((".", "'")) else x for x in lines]
    return "\n".join(out) + "\n"


def newest(changelog: Path) -> tuple[str, str]:
    """Version and date (YYYY-MM-DD) of the first entry of a Debian changelog."""
    text = changelog.read_text()
    version = re.search(r"^\S+ \(([^)]+)\)", text, re.M)
    date = re.search(r"^ -- .*>  (.*)$", text, re.M)
    if not version or not date:
        raise ValueError(f"{changelog}: no entry of a Debian changelog")
    return version[1], parsedate_to_datetime(date[1]).date().isoformat()


def man(program: Program, text: str, changelog: Path) -> str:
    version, date = newest(changelog)
    words = {
        "@VERSION@": version, "@DATE@": date, "@WHAT@": roff(program.what),
        "@SYNOPSIS@": f"{bold(program.name)}\n{italic(program.arguments)}",
        "@COMMANDS@": man_commands(program), "@OPTIONS@": man_options(program.groups),
    }
    words |= {f"@SECTION {title}@": man_section(lines) for title, lines in program.sections.items()}

    def put(match: re.Match[str]) -> str:
        if match[0] not in words:
            raise ValueError(f"the text of {program.name} wants {match[0]}, which its --help does not have")
        return words[match[0]]

    return wrapped(re.sub(r"@[A-Z]+( [A-Za-z ]+)?@", put, text))


# ---------------------------------------------------------------- completion

FILES = re.compile(r"\b(FILE|PATH)\b")
FOLDERS = re.compile(r"\bDIR\b")
WORDS = re.compile(r"[a-z0-9]+(\|[a-z0-9]+)+")


def case_of(options: list[Option], wanted: str) -> str:
    return "|".join(sorted({x for o in options for x in o.spellings if action(o) == wanted}))


def action(o: Option) -> str:
    """What stands behind an option: nothing, a file, a folder, one of some words, or anything."""
    if not o.arg:
        return ""
    if WORDS.fullmatch(o.arg):
        return f'mapfile -t COMPREPLY < <(compgen -W "{o.arg.replace("|", " ")}" -- "$cur")'
    if FILES.search(o.arg):
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
    if FOLDERS.search(o.arg):
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")'
    return ":"


def bash(program: Program) -> str:
    name = program.name
    everything = program.options_of()
    out = [
        f"# bash completion for {name}: made from {name} --help=table",
        "# SPDX-License-Identifier: GPL-2.0-or-later",
        f"_{name}()",
        "{",
        '\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev="" words',
        "\tCOMPREPLY=()",
        "\t((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}",
        "\t# --name=value comes in three words",
        '\tif [[ $cur == = ]]; then',
        '\t\tcur=""',
        '\telif [[ $prev == = ]] && ((COMP_CWORD > 1)); then',
        "\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}",
        "\tfi",
        "\tcase $prev in",
    ]
    for wanted in dict.fromkeys(action(o) for o in everything):
        if wanted:
            out += [f"\t{case_of(everything, wanted)})", f"\t\t{wanted}", "\t\treturn", "\t\t;;"]
    out.append("\tesac")
    if program.commands:
        names = " ".join(x for x, *_ in program.commands)
        out += ["\tif ((COMP_CWORD == 1)); then",
                f'\t\tmapfile -t COMPREPLY < <(compgen -W "{names} --help" -- "$cur")', "\t\treturn", "\tfi",
                "\tcase ${COMP_WORDS[1]} in"]
        for command, arguments, _ in program.commands:
            takes = FILES.search(arguments) or arguments.endswith(".json")
            words = " ".join(x for o in program.options_of(command) for x in o.spellings)
            if takes:
                out += [f"\t{command})", '\t\tif [[ $cur != -* ]]; then',
                        '\t\t\tcompopt -o filenames', '\t\t\tmapfile -t COMPREPLY < <(compgen -f -- "$cur")',
                        "\t\t\treturn", "\t\tfi", f'\t\twords="{words} --help"', "\t\t;;"]
            else:
                out += [f"\t{command})", f'\t\twords="{words} --help"', "\t\t;;"]
        out += ["\tesac"]
    else:
        out.append(f'\twords="{" ".join(x for o in everything for x in o.spellings)}"')
    out += ['\tmapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")', "}",
            f"complete -F _{name} {name}", ""]
    return "\n".join(out)


def main(args: list[str]) -> int:
    try:
        if len(args) == 4 and args[0] == "man":
            sys.stdout.write(man(read_table(Path(args[1])), Path(args[2]).read_text(), Path(args[3])))
        elif len(args) == 2 and args[0] == "bash":
            sys.stdout.write(bash(read_table(Path(args[1]))))
        else:
            print(__doc__.strip(), file=sys.stderr)
            return 2
    except (OSError, ValueError) as err:
        print(f"manual.py: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
