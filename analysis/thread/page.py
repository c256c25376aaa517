# SPDX-License-Identifier: GPL-2.0-or-later
"""thread.html: every sentence with its verdict and the numbers behind it, and the runs they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis.compare.analyse import Analysis
from analysis.report import text
from analysis.report.page import Section, Top, render_page
from analysis.report.report import notices
from analysis.report.sections import again, arms, environment, trust
from analysis.report.view import View
from analysis.thread.thread import VERDICTS, Thread
from analysis.thread.world import BORNE_OUT, CONTRADICTED, UNDECIDED

BADGES = {BORNE_OUT: "supported", CONTRADICTED: "refuted", UNDECIDED: "undecided"}

WORDS = {
    "Borne out, contradicted": "as far as these runs go: one workload, one modelled host, one small guest.",
    "Not decided": "the data is not there, or does not suffice; the reason stands with it.",
    "Round": "one cycle of the workload, with the same schedule in every arm.",
    "Attributable": "a kill whose request would have passed the kernel's watermark test with the memory that was out.",
    "p": "of Fisher's exact test, two-sided; below 0.05 two shares are taken to differ.",
    "95 %": "the exact (Clopper-Pearson) interval of a share; rounds are taken as independent.",
}

INDEX = """
<p class="lead">{{ note }} A verdict is about what was tested, which stands below with its numbers.</p>
<div class="scroll" tabindex="0" role="group" aria-label="table of verdicts"><table class="claims reflow verdicts">
<thead><tr><th scope="col">sentence</th><th scope="col">who</th><th scope="col">verdict</th></tr></thead>
<tbody>
{% for s, f in found %}
<tr><td><a href="#{{ s.id }}">{{ s.said }}</a></td><td>{{ s.who }}</td><td><span class="badge {{ badges[f.verdict] }}">{{ f.verdict }}</span></td></tr>
{% endfor %}
</tbody></table></div>
"""

SENTENCES = """
{% for s, f in found %}
<article class="said {{ badges[f.verdict] }}-edge" id="{{ s.id }}">
<h3><span class="badge {{ badges[f.verdict] }}">{{ f.verdict }}</span> {{ s.said }}</h3>
<p class="by">{{ s.who }}, {{ s.date }}, {{ s.where }}</p>
<dl class="env"><dt>tested</dt><dd>{{ s.tested }}</dd><dt>found</dt><dd>{{ f.reason }}</dd>{% if f.where %}<dt>at</dt><dd>{{ f.where }}</dd>{% endif %}</dl>
{% if f.table and f.table.rows %}
<div class="scroll" tabindex="0" role="group" aria-label="numbers of this sentence"><table class="numbers">
<thead><tr>{% for h in f.table.head %}<th scope="col"{% if not loop.first %} class="n"{% endif %}>{{ h }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in f.table.rows %}
<tr>{% if row|length == 1 %}<th class="group" scope="rowgroup" colspan="{{ f.table.head|length }}"><span>{{ row[0] }}</span></th>{% else %}{% for c in row %}{% if loop.first %}<th scope="row">{{ c }}</th>{% else %}<td class="n">{{ c }}</td>{% endif %}{% endfor %}{% endif %}</tr>
{% endfor %}</tbody></table></div>
{% endif %}
</article>
{% endfor %}
"""


@dataclass(frozen=True)
class Subject:
    thread: Thread
    view: View


def _of_view(section: Section) -> Section:
    """A section of the report, on this page."""
    return replace(section, build=lambda subject: section.build(subject.view))


def _found(subject: Subject) -> Mapping[str, Any]:
    return {"found": subject.thread.found, "badges": BADGES, "note": subject.thread.note}


SECTIONS = (
    Section("verdicts", "Verdicts", _found, INDEX),
    Section("sentences", "Sentence by sentence", _found, SENTENCES, "The thread, sentence by sentence"),
    *(_of_view(m.SECTION) for m in (arms, trust, environment, again)),
)


def render_thread(a: Analysis, thread: Thread) -> str:
    view = View(a)
    eyebrow = [thread.title, "29 March to 4 April 2019"]
    if a.accepted:
        spec = a.accepted[0].record.spec
        runs = sum(map(len, a.arms.values()))
        eyebrow += [spec.workload, f"{text.size(spec.mem_bytes)} guest", f"{spec.clock} clock, {spec.accel}"]
        eyebrow.append(text.count(runs, "run"))
        repeats = sorted({len(cells) for cells in a.arms.values()})
        eyebrow.append(f"{repeats[0]} to {repeats[-1]} boots per arm" if len(repeats) > 1 else
                       f"{text.count(repeats[0], 'boot')} per arm and setting")
    top = Top(
        title="The thread, sentence by sentence",
        eyebrow=eyebrow,
        tone="mixed" if any(thread.count(v) for v in VERDICTS[:2]) else "unknown",
        sentence=thread.sentence,
        details=("All numbers are of the runs in this folder; the report beside this page has the rest of them.",),
        notices=notices(a),
        words=list(WORDS.items()),
    )
    footer = "Every verdict with its numbers is in thread.json beside this page, every other number in summary.json."
    return render_page(top, SECTIONS, Subject(thread, view), view.arm_look, footer)
