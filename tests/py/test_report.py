# SPDX-License-Identifier: GPL-2.0-or-later
"""The HTML: self-contained, nothing of a record unescaped, written whole or not at all; the command line."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from make_records import Toy, spec, write_cell, write_experiment

from analysis.__main__ import main, write_file
from analysis.compare.stats import cell_stats
from analysis.record.load import load_record, load_results
from analysis.report.figures import hold_and_ack
from analysis.report.style import RC, arm_styles, css_variables, to_svg
from analysis.report.timeline import zoom

HOSTILE = "</script><script>alert(1)</script><img src=x>\"'&{{ 7*7 }}\x1b[2J"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def parse(path: Path) -> list[tuple[str, dict[str, str | None]]]:
    tags = Tags()
    tags.feed(path.read_text())
    return tags.seen


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("toy")
    write_experiment(path, repeats=2, rounds=12)
    assert main(["report", str(path)]) == 0
    return path


def test_self_contained(toy):
    text = (toy / "report.html").read_text()
    tags = parse(toy / "report.html")
    assert not [
        t for t, _ in tags if t in ("script", "link", "iframe", "img", "object", "embed", "base", "form")
    ]
    for _, attrs in tags:
        assert not [k for k in attrs if k.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_links_lead_somewhere(toy):
    tags = parse(toy / "report.html")
    ids = [a["id"] for _, a in tags if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attrs in tags:
        for name in ("href", "xlink:href"):
            if attrs.get(name):
                assert attrs[name][1:] in ids


def test_figures_are_named_and_use_the_palette(toy):
    text = (toy / "report.html").read_text()
    figures = re.findall(r'<svg [^>]*role="img".*?</svg>', text, re.DOTALL)
    assert len(figures) == 6
    for svg in figures:
        assert 'role="img"' in svg and "<title" in svg and "<desc" in svg
        assert not re.search(r"(fill|stroke): ?#(0[1-5]|0a)", svg)
        assert "NaN" not in svg and "nan" not in re.sub(r"<text.*?</text>", "", svg, flags=re.DOTALL)


def hostile_record(arm: str) -> tuple[dict, list[dict]]:
    """Everywhere where the format allows any text; elsewhere the loader refuses it (test_record_fields)."""
    s = spec(arm, 1, 1, params={HOSTILE: HOSTILE})
    lines = Toy(s, rounds=8).run(HOSTILE)
    for key in set(lines[0]["host"]) - {"nr_cpus"}:
        lines[0]["host"][key] = HOSTILE
    lines[0]["guests"][0] |= {"release": HOSTILE, "cmdline": HOSTILE}
    for line in lines:
        if line.get("kind") == "oom_kill":
            line |= {"victim_comm": HOSTILE, "culprit_comm": HOSTILE}
    lines.insert(
        -1, {"type": "loss", "t_ns": 1, "probe": HOSTILE, "seen": 2, "recorded": 1, "dropped": {HOSTILE: 1}}
    )
    lines.insert(-1, {"type": "log", "t_ns": 1, "src": "work", "text": HOSTILE})
    return s, lines


def test_hostile_strings_stay_text(tmp_path, toy):
    for arm in ("none", "reporting", "buffer"):
        s, lines = hostile_record(arm)
        write_cell(tmp_path, s, lines)
    s, lines = hostile_record("none")
    s = {**s, "repeat": 2}
    lines[-1] |= {"status": "failed", "failure": "panic", "failure_detail": HOSTILE}
    lines[0]["spec"] = s
    write_cell(tmp_path, s, lines)
    bad = write_cell(tmp_path, spec("none", 1, 3), [])
    (bad / "record.jsonl").write_text(json.dumps({"type": HOSTILE}) + "\n")
    main(["report", str(tmp_path), "--allow-loss"])
    text = (tmp_path / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text and "<img" not in text and "\x1b" not in text
    assert "{{ 7*7 }}" in text
    extra = {t for t, _ in parse(tmp_path / "report.html")} - {t for t, _ in parse(toy / "report.html")}
    assert extra <= {"br", "small", "strong", "h4"}  # notices and reasons, which the toy does not have


def test_failed_and_unfinished_are_in_plain_sight(tmp_path, capsys):
    write_experiment(tmp_path, repeats=1, rounds=3)
    s = spec("none", 1, 2)
    lines = Toy(s, rounds=2).run("x")
    write_cell(
        tmp_path,
        s,
        [*lines[:-1], {**lines[-1], "status": "failed", "failure": "hang", "failure_detail": "silent"}],
    )
    (write_cell(tmp_path, spec("none", 1, 3), lines) / "record.jsonl").unlink()
    broken = write_cell(tmp_path, spec("none", 1, 4), lines[:-1])
    assert main(["report", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert f"{broken}/record.jsonl:{len(lines) - 1}: type: no end line" in err
    assert "cells: 4 finished, 2 failed, 1 unfinished" in out
    assert out.rstrip().endswith("report.html")
    text = (tmp_path / "report.html").read_text()
    head = text[: text.index("<main>")]
    for words in ("2 runs failed", "1 run unfinished", "hang: silent", "no end line"):
        assert words in head
    cells = json.loads((tmp_path / "summary.json").read_text())["cells"]
    assert (cells["finished"], cells["failed"], cells["unfinished"]) == (4, 2, 1)


def test_nothing_at_all(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "no finished run" in capsys.readouterr().out
    assert "There is no finished run to judge." in (tmp_path / "report.html").read_text()


def test_out_and_usage(tmp_path, toy, capsys):
    out = tmp_path / "deep.html"
    assert main(["report", str(toy), "--out", str(out)]) == 0
    assert out.read_text().startswith("<!doctype html>")
    assert main(["report", str(tmp_path / "missing")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert main(["judge", str(tmp_path / "missing")]) == 2
    for wrong in ([], ["odd"], ["report"]):
        with pytest.raises(SystemExit) as e:
            main(wrong)
        assert e.value.code == 2


def test_judge_writes_a_verdict_a_line(toy, capsys):
    record = next(toy.glob("reporting-s1-r1-*")) / "record.jsonl"
    assert main(["judge", str(record)]) == 0
    lines = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert len(lines) == sum('"zones"' in x and '"event"' in x for x in record.read_text().splitlines())
    kill = next(x for x in lines if x["kind"] == "oom_kill")
    assert (
        kill["level"] == "F1"
        and kill["gfp"].startswith("GFP_HIGHUSER_MOVABLE")
        and "fails" in kill["zones"][0]
    )


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_numbers_in_figures_are_not_cut():
    """Coordinates lose decimals, what people read does not: p99.999 is not p99.99, nor a tick of 0.002 zero."""
    with plt.rc_context(RC):
        fig, ax = plt.subplots()
        ax.plot([0.001, 0.002], [0.123456789, 0.2])
        ax.set_xticks([0.001, 0.002], ["0.001", "p99.999"])
        ax.set_title("#010101 url(#x) id=")
        svg = to_svg(fig, "x", "0.00001", "p99.9999")
    words = re.findall(r">([^<>]+)</", svg)
    for word in ("0.001", "p99.999", "0.00001", "p99.9999", "#010101 url(#x) id="):
        assert word in words
    assert not re.search(r"\d\.\d{3}", re.sub(r">[^<]*<", "><", svg))


def test_an_arm_looks_as_its_record_says_or_neutral():
    look = arm_styles(
        [
            ("a", "a", ("#112233", "#aabbcc")),
            ("b 64M", "b", ("#445566", "#ddeeff")),
            ("b 128M", "b", ("#445566", "#ddeeff")),
            ("old", "old", None),
            ("evil", "evil", ("red;}", "url(x)")),
        ]
    )
    assert (look["a"].light, look["a"].dark) == ("#112233", "#aabbcc")
    assert look["b 64M"].light == look["b 128M"].light and look["b 64M"].dash != look["b 128M"].dash
    assert len({s.css for s in look.values()}) == 5
    assert re.fullmatch(r"(--arm-\d+: #[0-9a-f]{6}; ?)+", css_variables(look, "light"))


def test_a_batch_that_never_came_back_is_drawn(tmp_path):
    """Beside the first attributable kill, and among the holds of the others."""
    write_experiment(tmp_path, repeats=1, rounds=8)
    (path,) = tmp_path.glob("reporting-s*/record.jsonl")
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    for batch in [x for x in lines if x.get("kind") == "batch"][-1:]:
        for name in ("ack_ns", "done_ns", "err"):
            del batch[name]
        batch["open"] = True
    cells = [
        dataclasses.replace(c, record=record_of(lines, tmp_path)) if c.folder == path.parent else c
        for c in load_results(tmp_path)
    ]
    arms = {c.record.spec.arm: (cell_stats(c),) for c in cells}
    look = arm_styles((a, a, None) for a in arms)
    assert any(b.open for b in arms["reporting"][0].record.batches)
    assert hold_and_ack(arms, look) is not None
    assert zoom(arms, look) is not None


def record_of(lines: list[dict], folder: Path):
    path = folder / "changed.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    return load_record(path)


def test_every_arm_has_its_own_row_of_holds(toy):
    """On common axes arms with the same host hid each other."""
    text = (toy / "report.html").read_text()
    svg = next(s for s in re.findall(r"<svg .*?</svg>", text, re.DOTALL) if 'id="hold-t"' in s)
    for arm in ("reporting", "reporting-xb", "buffer"):
        assert re.search(rf">{arm} \S+ \d+ batches<", svg)


def test_without_a_counted_run_no_link_leads_to_an_empty_section(tmp_path):
    main(["report", str(tmp_path)])
    tags = parse(tmp_path / "report.html")
    assert not [a for t, a in tags if t == "nav"] and not [t for t, _ in tags if t == "h2"]
    lines = Toy(spec("none", 1, 1), rounds=2).run("x")
    failed = {**lines[-1], "status": "failed", "failure": "hang", "failure_detail": "silent"}
    write_cell(tmp_path, spec("none", 1, 1), [*lines[:-1], failed])
    main(["report", str(tmp_path)])
    tags = parse(tmp_path / "report.html")
    assert [a["id"] for t, a in tags if t == "section"] == ["trust"]


SECTION = '''
from analysis.report.page import Section

SECTION = Section("toy", "Toy", lambda view: {"n": len(view.arms)}, "<p>{{ n }} toy arms, {{ '<b>' }}</p>")
'''


def test_a_section_is_two_places(tmp_path, toy):
    """One file and one line: in a copy of the toolkit nothing else is touched."""
    top = Path(__file__).resolve().parents[2]
    for part in ("analysis", "collectors/run/record"):
        shutil.copytree(top / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    sections = tmp_path / "analysis/report/sections"
    (sections / "toy.py").write_text(SECTION)
    names = (sections / "__init__.py").read_text()
    changed = names.replace('    "method",\n', '    "toy",\n    "method",\n')
    assert len(changed.splitlines()) == len(names.splitlines()) + 1
    (sections / "__init__.py").write_text(changed)
    out = tmp_path / "report.html"
    subprocess.run(
        [sys.executable, "-B", "-m", "analysis", "report", str(toy), "--out", str(out)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    page = out.read_text()
    assert '<section id="toy"' in page and '<a href="#toy">Toy</a>' in page
    assert "<p>4 toy arms, &lt;b&gt;</p>" in page


def test_the_command_in_run_again_plans_the_same_cells(tmp_path):
    """What differs from the defaults must be in it: QUICK, parameters, vCPUs, order, delay, an own workload."""
    odd = {
        "workload": "mine",
        "vcpus": 2,
        "order": 4,
        "delay_ms": 60_000,
        "ack_base_ns": 1_500_000,
        "ack_per_chunk_ns": 250,
        "mem_bytes": 1026 << 20,
        "params": {"quick": "1", "text": "it's a b"},
    }
    for arm in ("none", "buffer"):
        for repeat in (1, 2):
            write_cell(tmp_path, spec(arm, 7, repeat, **odd), rounds=2)
    main(["report", str(tmp_path)])
    line = re.search(r"<pre>(.*?)</pre>", (tmp_path / "report.html").read_text(), re.DOTALL)
    words = shlex.split(html.unescape(line[1]))
    assert words[:2] == ["build/bin/hintrun", "run"] and "--quick" in words
    words.remove("--quick")
    options = list(zip(words[2::2], words[3::2], strict=True))
    assert dict(options) == {
        "--workload": "/path/to/mine",
        "--arms": "none buffer",
        "--repeats": "2",
        "--mem": "1026M",
        "--buffer": "64M",
        "--ack-delay": "1500us+250ns",
        "--clock": "virtual",
        "--accel": "tcg",
        "--seed": "7",
        "--vcpus": "2",
        "--order": "4",
        "--delay-ms": "60000",
        "--param": "text=it's a b",
    }


def test_run_again_is_the_command_of_the_record(tmp_path):
    command = "make run WORKLOAD='/tmp/w x' ARMS='none reporting' QUICK=1 PARAM='rate=400' ACK_DELAY=5ms"
    for arm in ("none", "reporting"):
        s = spec(arm, 1, 1)
        lines = Toy(s, rounds=2).run("x")
        lines[0]["command"] = command
        write_cell(tmp_path, s, lines)
    main(["report", str(tmp_path)])
    shown = re.findall(r"<pre>(.*?)</pre>", (tmp_path / "report.html").read_text(), re.DOTALL)
    assert [html.unescape(x) for x in shown] == [command]
    assert "PARAM=rate=400" in shlex.split(html.unescape(shown[0]))
