# SPDX-License-Identifier: GPL-2.0-or-later
"""Profiles: what perf script printed becomes stacks, a flame graph, tables, and a page linked from the report."""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from make_records import Toy, spec, write_cell

from analysis.__main__ import main
from analysis.profile.flame import LEAST_WIDTH, WIDTH, flame_svg, place, tree
from analysis.profile.fold import IRQS_OFF, Folded, fold, folded_text, functions, hint_part, hottest, settle
from analysis.profile.profiles import differences, load_profiles
from analysis.profile.script import USER, Sample, parse, read_script
from analysis.record.fields import BadRecord

RECORDED = Path(__file__).with_name("perf")


def parsed(text: str):
    return parse(text.splitlines(keepends=True), Path("perf.script"))


def sample(*frames: str, comm: str = "kworker/0:1", n: int = 1) -> Sample:
    return Sample(comm, 1, 5, 10_000, n, frames)


def head(t_us: float, what: str = "10000", cpu: int = 0) -> str:
    """A line of perf script at so many microseconds."""
    return f"t 7 [{cpu:03}] {t_us / 1e6:.9f}: {what} \n"


ONE = """\
kworker/0:0-eve       8 [000]     3.170869053:      10000
	ffffffff812abcd5 page_reporting_process.isra.0.cold
	ffffffff81079ace process_one_work

"""


def test_a_sample_is_read():
    script = parsed(ONE + "a b  c    9 [001]  12.000000001:      10000 \n\n")
    assert script.samples == (
        Sample("kworker/0:0-eve", 8, 3_170_869_053, 10_000, 1, ("process_one_work", "page_reporting_process")),
        Sample("a b  c", 9, 12_000_000_001, 10_000, 1, (USER,)),
    )
    assert script.nr_lost == 0


def test_user_space_is_one_frame():
    text = "wave  9 [000] 1.000000000:  10000 \n\t    7f1234567890 main\n\t    7f1234567899 [unknown]\n\n"
    assert parsed(text).samples[0].frames == (USER,)


SWITCH = "PERF_RECORD_SWITCH_CPU_WIDE IN prev pid/tid: 8/8"


@pytest.mark.parametrize(
    ("lines", "n"),
    [
        ((head(100), head(110)), [1, 1]),
        # Interrupts were off for 316 us: their 31 periods, whatever came of the last.
        ((head(100), head(416)), [1, 31]),
        # The task was away, or the event was: not since the last sample, but since the switch.
        ((head(100), head(400, SWITCH), head(403)), [1, 1]),
        ((head(100), head(400, SWITCH), head(436)), [1, 3]),
        ((head(100), head(405, cpu=1), head(110)), [1, 1, 1]),
    ],
)
def test_a_sample_that_waited_stands_for_the_time_it_waited(lines, n):
    assert [s.n for s in parsed("".join(lines)).samples] == n


def test_what_perf_lost_is_counted():
    lost = "wave 9 [000] 1.000000000: PERF_RECORD_LOST lost 17\n"
    assert parsed(lost + ONE + lost).nr_lost == 34


@pytest.mark.parametrize("text", ["\tffffffff81079ace process_one_work\n", "no sample\n", ONE.replace("fff", "xyz")])
def test_what_is_no_sample_is_refused(text):
    with pytest.raises(BadRecord, match=r"perf\.script"):
        parsed(text)


def test_a_cut_file_is_refused(tmp_path):
    whole = gzip.compress(ONE.encode() * 500)
    for name, data in (("cut", whole[:-9]), ("plain", ONE.encode()), ("empty", b"")):
        path = tmp_path / name
        path.write_bytes(data)
        if data:
            with pytest.raises(BadRecord, match="gzip"):
                read_script(path)
        else:
            assert read_script(path).samples == ()


def test_the_hint_path_begins_at_its_first_function():
    worker = ("ret_from_fork_asm", "kthread", "process_one_work")
    assert hint_part((*worker, "page_reporting_process", "virtqueue_kick")) == (
        "page_reporting_process",
        "virtqueue_kick",
    )
    assert hint_part((*worker, "vmstat_update")) == ()
    # Who asks for a flush waits; what frees a page and hints at once is in it.
    assert hint_part(("page_reporting_flush_set", "schedule")) == ()
    assert hint_part(("free_unref_folios", "__page_reporting_after_free", "x"))[0] == "__page_reporting_after_free"


def test_an_interrupt_is_not_of_the_path_it_met():
    path = ("process_one_work", "page_reporting_process")
    assert hint_part((*path, "asm_sysvec_apic_timer_interrupt", "sysvec_apic_timer_interrupt", "ktime_get")) == ()
    assert hint_part((*path, "asm_common_interrupt", "virtballoon_reports_done")) == ("virtballoon_reports_done",)


def test_time_without_interrupts_is_the_caller_s():
    for leaf in ("_raw_spin_unlock_irqrestore", "__cond_resched"):
        assert settle(("a", "b", leaf), 1) == settle(("a", "b", leaf), 9) == ("a", "b", "b" + IRQS_OFF)
    assert settle(("a", "b"), 1) == ("a", "b")
    assert settle(("a", "b"), 2) == ("a", "b", "b" + IRQS_OFF)
    assert settle(("_raw_spin_unlock_irq",), 1) == ("_raw_spin_unlock_irq",)


def test_recursion_counts_once():
    hint, whole = fold([sample("page_reporting_send", "f", "f"), sample("page_reporting_send", "f")])
    f = functions(hint)
    assert (f["f"].own, f["f"].total, f["f"].error) == (2, 2, 2**0.5)
    assert (f["page_reporting_send"].own, f["page_reporting_send"].total) == (0, 2)
    assert [x.name for x in hottest(hint)] == ["f"]
    assert (whole.n, whole.nr_samples) == (2, 2) and all(stack[0] == "kworker" for stack in whole.stacks)


def test_the_error_is_that_of_few_samples_that_stand_for_much():
    hint, _ = fold([sample("page_reporting_send", n=3), sample("page_reporting_send", n=4)])
    f = functions(hint)["page_reporting_send" + IRQS_OFF]
    assert (f.own, f.total, f.error, hint.n, hint.nr_samples) == (7, 7, 5.0, 7, 2)


def test_the_recorded_samples():
    """Counted by splitting the text, not by what is tested."""
    text = (RECORDED / "reporting.script").read_text().partition("\n")[2]
    paragraphs = [[x for x in p.split("\n") if x and "SWITCH" not in x] for p in text.split("\n\n")]
    paragraphs = [p for p in paragraphs if p]
    hinting = [p for p in paragraphs if any(" page_reporting_process" in x for x in p)]
    script = parsed(text)
    hint, whole = fold(script.samples)
    assert len(script.samples) == len(paragraphs) == whole.nr_samples > len(hinting) == hint.nr_samples > 30
    waited = sum(s.n for s in script.samples if s.frames[-1] == "page_reporting_process" and s.n > 1)
    assert functions(hint)["page_reporting_process" + IRQS_OFF].own == waited == hottest(hint)[0].own > 100
    assert sum(int(line.rsplit(" ", 1)[1]) for line in folded_text(hint)) == hint.n > hint.nr_samples


def test_boxes_lie_on_their_parents():
    hint, _ = fold(parsed((RECORDED / "buffer.script").read_text()).samples)
    boxes = list(place(tree(hint)))
    assert boxes[0].width == WIDTH and boxes[0].n == hint.n
    for depth in range(1, max(b.depth for b in boxes) + 1):
        below = [b for b in boxes if b.depth == depth - 1]
        level = sorted((b for b in boxes if b.depth == depth), key=lambda b: b.x)
        for left, right in zip(level, level[1:]):
            assert left.x + left.width <= right.x + 1e-6
        for b in level:
            assert any(p.x <= b.x + 1e-6 and b.x + b.width <= p.x + p.width + 1e-6 for p in below)
            assert b.width >= LEAST_WIDTH


def test_the_flame_graph_is_a_picture_with_tooltips():
    hostile = 'a<script>"&'
    folded = Folded()
    folded.add(("f", hostile), 3)
    folded.add(("g",))
    svg = flame_svg(folded, "x", "t<", "d&", "var(--arm-0)", 10_000)
    root = ET.fromstring(svg)
    texts = [e.text for e in root.iter() if e.tag == "title"]
    assert f"{hostile}: 30 of 40 \N{MICRO SIGN}s, 75.0 %" in texts
    assert "all: 40 of 40 \N{MICRO SIGN}s, 100.0 %" in texts
    assert not [e for e in root.iter() if e.tag not in ("svg", "g", "title", "desc", "rect", "text")]
    assert "#" not in svg  # no colour but the page's
    assert flame_svg(Folded(), "x", "t", "d", "c", 1)


def profiled(root: Path, arm: str, script: str | bytes, **changes) -> Path:
    """A cell of the toy, with what perf handed out."""
    s = spec(arm, 1, 1, **changes)
    s["params"] = s["params"] | {"profile": "all"}
    lines = Toy(s, 12).run("cell")
    data = gzip.compress(script.encode()) if isinstance(script, str) else script
    names = ("perf.data", "perf.script.gz")
    lines[-1]["artefacts"] = [{"name": n, "bytes": len(data), "sha256": "ab" * 32} for n in names]
    folder = write_cell(root, s, lines)
    lines[0]["cell"] = folder.name
    write_cell(root, s, lines)
    (folder / "artefacts").mkdir()
    for name in names:
        (folder / "artefacts" / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("profiles")
    for arm in ("reporting", "buffer"):
        profiled(root, arm, (RECORDED / f"{arm}.script").read_text())
    write_cell(root, spec("none", 1, 1), rounds=12)
    return root


def test_samples_outside_the_measured_part_do_not_count(results):
    inside = {a.label: a.whole.nr_samples for a in load_profiles(results).arms}
    for arm, n in inside.items():
        samples = parsed((RECORDED / f"{arm}.script").read_text()).samples
        assert n == sum(x.t_ns >= 3_200_000_000 for x in samples) < len(samples)


def test_the_page(results, capsys):
    assert main(["profile", str(results)]) == 0
    said = capsys.readouterr().out
    page = (results / "profile.html").read_text()
    numbers = json.loads((results / "profile.json").read_text())
    assert "page_reporting_process" in said and "from reporting to buffer" in said
    assert page.count("<figure>") == 4 and "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert set(numbers["arms"]) == {"reporting", "buffer"}
    for arm in numbers["arms"].values():
        assert sum(f["own_ns"] for f in arm["hint"]) == arm["hint_ns"] > 10_000 * arm["samples_hint"] > 0
        assert sum(f["own_ns"] for f in arm["whole"]) == arm["whole_ns"] >= arm["hint_ns"]
        assert all((results / path).is_file() for path in arm["perf_data"])


def test_the_report_links_it(results):
    main(["report", str(results)])
    page = (results / "report.html").read_text()
    assert '<a href="profile.html">' in page and "2 of 3 runs" in page


def test_a_difference_has_its_sign_and_noise(results):
    a, b = load_profiles(results).arms
    found, unit = differences(a, b)
    assert unit == "instructions per GiB hinted" and len(found) == 10
    by_name = {d.name: d for d in found}
    assert by_name["page_reporting_exchange_zone"].first == 0 < by_name["page_reporting_exchange_zone"].change
    assert all(d.noise > 0 for d in found)
    assert [abs(d.change) for d in found] == sorted((abs(d.change) for d in found), reverse=True)
    same, _ = differences(a, a)
    assert all(d.change == 0 and d.is_noise for d in same)


def test_a_broken_profile_is_a_problem_not_the_end(results, tmp_path, capsys):
    profiled(tmp_path, "reporting", (RECORDED / "reporting.script").read_text())
    profiled(tmp_path, "buffer", b"no gzip")
    assert main(["profile", str(tmp_path)]) == 1
    assert "problem: buffer-s1-r1" in capsys.readouterr().out
    assert "not a whole gzip file" in (tmp_path / "profile.html").read_text()


def test_lost_samples_and_mixed_periods_are_problems(tmp_path, capsys):
    text = (RECORDED / "reporting.script").read_text()
    profiled(tmp_path, "reporting", "perf 1 [000] 3.500000000: PERF_RECORD_LOST lost 5\n" + text)
    profiled(tmp_path, "buffer", text.replace(":      10000", ":      20000", 30))
    assert main(["profile", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "problem: reporting: perf lost 5 samples" in said and "different periods" in said


def test_a_recording_that_broke_off_is_a_problem(tmp_path):
    folder = profiled(tmp_path, "reporting", (RECORDED / "reporting.script").read_text())
    lines = (folder / "record.jsonl").read_text().splitlines()
    said = {"type": "log", "t_ns": 4_000_000_000, "src": "perf", "text": "[ perf record: perf size limit reached ]"}
    (folder / "record.jsonl").write_text("\n".join([*lines[:-1], json.dumps(said), lines[-1]]) + "\n")
    assert "size limit reached" in load_profiles(tmp_path).problems[0]


def test_no_sample_is_a_problem(tmp_path):
    profiled(tmp_path, "reporting", "")
    assert load_profiles(tmp_path).problems == ("reporting: not one sample in the measured part",)


def test_a_folder_without_a_profile_is_refused(tmp_path, capsys):
    write_cell(tmp_path, spec("none", 1, 1), rounds=2)
    assert main(["profile", str(tmp_path)]) == 2
    assert "no finished cell with a profile" in capsys.readouterr().err
