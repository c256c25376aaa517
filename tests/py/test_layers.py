# SPDX-License-Identifier: GPL-2.0-or-later
"""Includes and imports point one way: a folder uses what stands before it, never what stands after."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

# Each with what it may use, in the words of docs/architecture.md. A folder may use itself.
C_LAYERS = {
    "bpf": [],
    "collectors/common": [],
    "collectors/trace": ["bpf", "collectors/common"],
    "collectors/guest": ["collectors/common"],
    "collectors/run/util": ["collectors/common"],
    "collectors/run/plan": ["collectors/run/util"],
    "collectors/run/record": ["collectors/run/plan"],
    "collectors/run/vm": ["collectors/run/record"],
    "collectors/run/jobs": ["collectors/run/vm"],
    "collectors/run": ["collectors/run/jobs"],
    "workloads": ["collectors/common"],
}
PYTHON_LAYERS = {
    "analysis/record": [],
    "analysis/judge": ["analysis/record"],
    "analysis/compare": ["analysis/judge"],
    "analysis/report": ["analysis/compare"],
    "analysis/bench": ["analysis/report"],
    "analysis/profile": ["analysis/report"],
    "analysis/thread": ["analysis/report"],
    "analysis": ["analysis/bench", "analysis/profile", "analysis/thread"],
}
# Made by the build.
GENERATED = re.compile(r"vmlinux\.h|gen/.*")


def closed(layers: dict[str, list[str]]) -> dict[str, set[str]]:
    """All that each may use, what its own may use included; refuses a circle."""
    done: dict[str, set[str]] = {}

    def visit(name: str, above: tuple[str, ...]) -> set[str]:
        if name in above:
            raise ValueError(f"a circle: {' -> '.join([*above, name])}")
        if name not in done:
            done[name] = {name}.union(*(visit(x, (*above, name)) for x in layers[name]))
        return done[name]

    for name in layers:
        visit(name, ())
    return done


def layer_of(path: str, layers: dict[str, list[str]]) -> str | None:
    """The layer a file belongs to: that of the longest name that fits."""
    # Two files at the top of collectors/run are what all below it share; the others join them.
    if re.fullmatch(r"collectors/run/(util|json)\.[ch]", path):
        return "collectors/run/util"
    fits = [x for x in layers if path.startswith(x + "/")]
    return max(fits, key=len) if fits else None


def c_uses(path: Path, top: Path) -> Iterator[tuple[int, str]]:
    """What a C file includes of ours: line, path from the top."""
    for nr, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r'\s*#\s*include\s+"([^"]+)"', line):
            name = found[1]
            for folder in (path.parent, top / "collectors", top / "bpf"):
                if (folder / name).is_file():
                    yield nr, str((folder / name).resolve().relative_to(top))
                    break
            else:
                if not GENERATED.fullmatch(name):
                    raise FileNotFoundError(f"{path}:{nr}: {name}")


def python_uses(path: Path, top: Path) -> Iterator[tuple[int, str]]:
    """The modules of ours that a Python file imports, wherever in it."""
    for nr, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r"\s*(?:from|import)\s+(analysis(?:\.\w+)*)(?:\s+import\s+\(?\s*(\w+))?", line):
            for name in (f"{found[1]}.{found[2]}", found[1]):
                module = top / name.replace(".", "/")
                if module.with_suffix(".py").is_file() or module.is_dir():
                    yield nr, f"{name.replace('.', '/')}{'/' if module.is_dir() else '.py'}"
                    break


def wrong_ways(top: Path, layers: dict[str, list[str]], ends: tuple[str, ...], uses) -> list[str]:
    may = closed(layers)
    wrong = []
    for path in sorted(p for folder in {x.split("/")[0] for x in layers} for p in (top / folder).rglob("*")):
        name = str(path.relative_to(top))
        layer = layer_of(name, layers)
        if path.suffix not in ends or not layer:
            continue
        for nr, used in uses(path, top):
            target = layer_of(used, layers)
            if target and target not in may[layer]:
                wrong.append(f"{name}:{nr}: {layer} uses {used}")
    return wrong


def test_includes_point_one_way() -> None:
    assert wrong_ways(TOP, C_LAYERS, (".c", ".h"), c_uses) == []


def test_imports_point_one_way() -> None:
    assert wrong_ways(TOP, PYTHON_LAYERS, (".py",), python_uses) == []


def test_a_workload_uses_no_other() -> None:
    for path in sorted((TOP / "workloads").rglob("*.[ch]")):
        own = "/".join(path.relative_to(TOP).parts[:2])
        for nr, used in c_uses(path, TOP):
            assert used.startswith(("collectors/common/", own + "/")), f"{path}:{nr}: {used}"


def test_the_page_names_what_there_is() -> None:
    page = (TOP / "docs/architecture.md").read_text()
    named = set(re.findall(r"`((?:analysis|arms|bpf|collectors|docs|images|kernel-patches|tests)/[\w./-]+)`", page))
    assert named and not [x for x in named if "NAME" not in x and not (TOP / x).exists()]


def test_a_use_the_wrong_way_is_found(tmp_path: Path) -> None:
    for name, text in (("collectors/common/a.h", '#include "run/vm/vm.h"\n'),
                       ("collectors/run/vm/vm.h", '#include "common/a.h"\n'),
                       ("collectors/run/util.h", '#include "run/plan/plan.h"\n'),
                       ("collectors/run/plan/plan.h", '#include "run/util.h"\n'),
                       ("collectors/run/main.c", '#include "run/vm/vm.h"\n'),
                       ("analysis/record/load.py", "def f():\n    from analysis.judge import gfp\n"),
                       ("analysis/judge/gfp.py", "import analysis.record.load\n")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert wrong_ways(tmp_path, C_LAYERS, (".c", ".h"), c_uses) == [
        "collectors/common/a.h:1: collectors/common uses collectors/run/vm/vm.h",
        "collectors/run/util.h:1: collectors/run/util uses collectors/run/plan/plan.h"]
    assert wrong_ways(tmp_path, PYTHON_LAYERS, (".py",), python_uses) == [
        "analysis/record/load.py:2: analysis/record uses analysis/judge/gfp.py"]


def test_a_circle_of_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="a -> b -> a"):
        closed({"a": ["b"], "b": ["a"]})
