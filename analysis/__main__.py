# SPDX-License-Identifier: GPL-2.0-or-later
"""Command line: python3 -m analysis report RESULTS_DIR | judge RECORD | bench RESULTS_DIR
| profile RESULTS_DIR | thread RESULTS_DIR"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.compare.analyse import Analysis

EXIT_OK = 0
EXIT_INCOMPLETE = 1
EXIT_USAGE = 2

EPILOG = """\
examples:
  python3 -m analysis report results/memcached
  python3 -m analysis report results/memcached --out /tmp/report.html --allow-loss
  python3 -m analysis judge results/memcached/CELL/record.jsonl | jq .verdict
  hinttrace -j >trace.jsonl; python3 -m analysis judge trace.jsonl
  python3 -m analysis bench results/bench
  python3 -m analysis profile results/profile
  python3 -m analysis thread results/thread

exit status:
  0  done
  1  report written, but no run could be counted or a record could not be read
  2  wrong usage, no such file, or (judge) a bad record: file:line: field: what is wrong
"""


def write_file(path: Path, content: str) -> None:
    """Write under a temporary name in the same folder, then rename: a reader never sees half a file."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_products(numbers: Path, content: dict[str, Any], page: Path, html: str) -> None:
    write_file(numbers, json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_file(page, html)


def write_thread(results: Path, a: Analysis) -> None:
    from analysis.thread.page import render_thread
    from analysis.thread.thread import judge_thread, thread_json, thread_terminal

    found = judge_thread(a)
    page = results / "thread.html"
    write_products(results / "thread.json", thread_json(found), page, render_thread(a, found))
    print(f"{thread_terminal(found)}\n\n{page.resolve()}")


def thread(results: Path, allow_loss: bool) -> int:
    """The page about the thread alone, of the runs of any experiment."""
    from analysis.compare.analyse import analyse
    from analysis.record.load import load_results

    a = analyse(load_results(results), allow_loss)
    write_thread(results, a)
    return EXIT_OK if any(a.arms.values()) else EXIT_INCOMPLETE


def report(results: Path, out: Path, allow_loss: bool) -> int:
    # Imported here so that --help and judge work without matplotlib and jinja2.
    from analysis.compare.analyse import analyse
    from analysis.compare.summary import summary
    from analysis.record.load import load_results
    from analysis.report.report import render
    from analysis.report.text import terminal
    from analysis.thread.thread import is_thread

    a = analyse(load_results(results), allow_loss)
    write_products(results / "summary.json", summary(a), out, render(a))
    print(f"{terminal(a)}\n\n{out.resolve()}")
    if is_thread(a):
        print()
        write_thread(results, a)
    unreadable = [c for c in a.cells if c.why.startswith("unreadable record")]
    for c in unreadable:
        print(f"analysis: {c.why}", file=sys.stderr)
    return EXIT_INCOMPLETE if unreadable or not any(a.arms.values()) else EXIT_OK


def judge(path: Path) -> int:
    from analysis.judge import gfp
    from analysis.judge.judge import judge_event
    from analysis.judge.watermark import arithmetic
    from analysis.record.load import load_events

    events = load_events(path)
    if not events.traced:
        print(f"analysis: {path}: a run without a tracer: there is nothing to judge", file=sys.stderr)
        return EXIT_OK
    if events.cut:
        print(
            f"analysis: {path}: the tracer's last line is not there: what came later is not judged",
            file=sys.stderr,
        )
    for event in events.found:
        j = judge_event(event)
        line = {
            "t_ns": event.t_ns,
            "kind": event.kind,
            "level": j.level,
            "class": j.klass,
            "verdict": j.verdict.kind,
            "reason": j.verdict.reason,
            "at_high_mark": j.at_high.kind if j.at_high else None,
            "order": event.order,
            "gfp": gfp.decode(event.gfp) if event.gfp is not None else None,
            "held_pages": event.held_pages,
            "uncompensated_pages": event.uncompensated_pages,
            "zones": [arithmetic(v) for v in j.verdict.zones],
        }
        print(json.dumps(line))
    return EXIT_OK


def bench(results: Path) -> int:
    from analysis.bench.bench import analyse_bench
    from analysis.bench.boots import load_bench
    from analysis.bench.page import bench_json, render_bench
    from analysis.bench.terminal import bench_terminal

    b = analyse_bench(load_bench(results))
    write_products(results / "bench.json", bench_json(b), results / "bench.html", render_bench(b))
    print(f"{bench_terminal(b)}\n\n{(results / 'bench.html').resolve()}")
    return EXIT_INCOMPLETE if b.failed else EXIT_OK


def profile(results: Path) -> int:
    from analysis.profile.page import profile_terminal, render_profile
    from analysis.profile.profiles import load_profiles, profile_json

    p = load_profiles(results)
    write_products(results / "profile.json", profile_json(p), results / "profile.html", render_profile(p))
    print(f"{profile_terminal(p)}\n\n{(results / 'profile.html').resolve()}")
    return EXIT_INCOMPLETE if p.problems else EXIT_OK


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m analysis",
        description="Turn run records (docs/record.md) into a report, or judge the events of one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("report", help="write report.html and summary.json for a results folder")
    p.add_argument("results", type=Path, metavar="RESULTS_DIR")
    p.add_argument("--out", type=Path, help="the HTML file (default: RESULTS_DIR/report.html)")
    p.add_argument("--allow-loss", action="store_true", help="count runs in which the tracer lost events")
    p = commands.add_parser("judge", help="verdict on every event of a record or of `hinttrace -j`, as JSON lines")
    p.add_argument("record", type=Path, metavar="RECORD")
    p = commands.add_parser("bench", help="write bench.html and bench.json for the folder of bench/run.sh")
    p.add_argument("results", type=Path, metavar="RESULTS_DIR")
    p = commands.add_parser("profile", help="write profile.html and profile.json for a folder of `make profile`")
    p.add_argument("results", type=Path, metavar="RESULTS_DIR")
    p = commands.add_parser("thread", help="write thread.html and thread.json: the mails of 2019, sentence by sentence")
    p.add_argument("results", type=Path, metavar="RESULTS_DIR")
    p.add_argument("--allow-loss", action="store_true", help="count runs in which the tracer lost events")
    args = parser.parse_args(argv)
    from analysis.record.fields import BadRecord

    try:
        if args.command == "judge":
            return judge(args.record)
        if not args.results.is_dir():
            raise NotADirectoryError(
                20, "not a folder; give the folder that holds the cell folders", str(args.results)
            )
        if args.command == "bench":
            return bench(args.results)
        if args.command == "profile":
            return profile(args.results)
        if args.command == "thread":
            return thread(args.results, args.allow_loss)
        return report(args.results, args.out or args.results / "report.html", args.allow_loss)
    except BadRecord as e:
        print(f"analysis: {e}", file=sys.stderr)
    except BrokenPipeError:
        # The reader of judge went away: nothing left to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as e:
        print(f"analysis: {e.filename or args.command}: {e.strerror}", file=sys.stderr)
    except ModuleNotFoundError as e:
        print(
            (
                f"analysis: {sys.executable} has no module {e.name}; use the distribution's python3 with"
                " python3-numpy, python3-matplotlib and python3-jinja2"
            ),
            file=sys.stderr,
        )
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
