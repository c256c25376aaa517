# SPDX-License-Identifier: GPL-2.0-or-later
"""Every incident with its first kills, each judged; and how often the paired run confirms the judgement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from analysis.compare.pairs import kill_rounds
from analysis.compare.stats import NS, CellStats, Incident
from analysis.judge import gfp as gfpbits
from analysis.judge.judge import ATTRIBUTABLE, GENUINE, Judged
from analysis.judge.watermark import zone_title
from analysis.record.model import PAGE_BYTES
from analysis.report import text
from analysis.report.page import Section
from analysis.report.view import View

MAX_INCIDENTS = 200  # on the page; all kills are in summary.json
UNFOLDED = 20  # incidents before the fold
MAX_KILLS = 3  # of an incident, in full

TEMPLATE = """
<p class="lead">The kernel's own watermark test of the request that led to the kill, in every zone it may use: with the free pages F, and with F plus the chunks hinting held without compensation. <em>Attributable</em>: fails with F, passes with the held chunks. <em>Genuine</em>: fails either way. The test reads usable pages &gt; watermark + reserve, and for a higher order a large enough block. Kills of one shortage are one <em>incident</em>.</p>
{% macro incident(i) %}
<details class="kill"{% if i.open %} open{% endif %} style="--arm: {{ i.css }}">
<summary><span>{% for kind, n in i.verdicts %}<span class="badge {{ kind }}">{{ kind }}{% if n > 1 %} × {{ n }}{% endif %}</span>{% endfor %}</span><span class="arm">{{ i.label }} #{{ i.repeat }}</span><span class="dim round">{{ i.round }}</span><span class="dim when">{{ i.at }}</span><span class="who">{{ i.victims }}</span><span class="end">{{ i.held }}</span></summary>
<div class="body">
{% for k in i.kills %}
{% if i.total > 1 %}<h4>{{ k.victim }}, {{ k.at }}</h4>{% endif %}
{% if k.reason %}<p>{{ k.reason }}.</p>{% endif %}
<dl class="facts">
<div class="wide"><dt>request</dt><dd class="mono">{{ k.request }}</dd></div>
<div><dt>asked by</dt><dd>{{ k.culprit }}</dd></div>
<div><dt>short of, in the best zone</dt><dd>{{ k.shortest }}</dd></div>
<div><dt>held without compensation</dt><dd>{{ k.held }}</dd></div>
<div><dt>age of the batch that was out</dt><dd>{{ k.age }}</dd></div>
{% if k.avoided %}<div><dt>paired run</dt><dd>{{ k.avoided }}</dd></div>{% endif %}
</dl>
{% if k.sums %}
<div class="sums" tabindex="0" role="group" aria-label="watermark test"><table>
<thead><tr><th scope="col">with</th><th scope="col">test</th><th scope="col" class="n">free</th><th scope="col" class="n">− unusable</th><th scope="col" class="n">= usable</th><th scope="col"></th><th scope="col">mark + reserve</th><th scope="col">block</th><th scope="col">zone</th></tr></thead>
<tbody>{% for z in k.sums %}<tr><td>{{ z.pages }}</td><td><b>{{ z.result }}</b></td><td class="n">{{ z.free }}</td><td class="n">{{ z.unusable }}</td><td class="n">{{ z.usable }}</td><td>{{ z.relation }}</td><td>{{ z.need }}</td><td>{{ z.block }}</td><td>{{ z.zone }}</td></tr>{% endfor %}</tbody>
</table></div>
{% endif %}
{% if k.robust %}<p class="small">{{ k.robust }}</p>{% endif %}
{% endfor %}
{% if i.total > i.kills|length %}<p class="small">{{ i.total - i.kills|length }} more kills of this incident are in summary.json.</p>{% endif %}
</div>
</details>
{% endmacro %}
<div class="kills">
<div class="kills-head" aria-hidden="true"><span>verdict</span><span>arm</span><span>round</span><span>time</span><span>victim</span><span class="end">held</span></div>
{% for i in incidents[:unfolded] %}{{ incident(i) }}{% endfor %}
</div>
{% if incidents|length > unfolded %}
<details class="fold"><summary>{{ incidents|length - unfolded }} more incidents</summary>
<div class="kills">
{% for i in incidents[unfolded:] %}{{ incident(i) }}{% endfor %}
</div>
</details>
{% endif %}
<p class="small">{{ total }}{% if left_out %}; {{ left_out }} incidents are only in summary.json{% endif %}.</p>
{% if pairs %}
<h3>Attributable and avoided</h3>
<p class="lead">Attributable is about the instant; avoided is about the outcome: in the run of the other arm with the same seed and repeat, no process was killed in that round. They <em>agree</em> when an attributable kill is avoided or a genuine one is not, and <em>disagree</em> otherwise: then either the memory would have been taken by something else, or the two runs had drifted apart by that round.</p>
{{ page.plain(["kills in", "against", "pairs of runs", "kills", "avoided", "agree", "disagree", "undetermined"], pairs, (2, 3, 4, 5, 6, 7), "table of pairs") }}
{% endif %}
"""


@dataclass(frozen=True)
class SumRow:
    """One watermark test written out."""

    zone: str
    pages: str
    free: str
    unusable: str
    usable: str
    relation: str
    need: str
    block: str
    result: str


@dataclass(frozen=True)
class KillView:
    at: str
    reason: str
    robust: str
    victim: str
    culprit: str
    request: str
    held: str
    age: str
    shortest: str
    sums: tuple[SumRow, ...]
    avoided: str


@dataclass(frozen=True)
class IncidentView:
    label: str
    css: str
    repeat: int
    round: str
    at: str
    verdicts: tuple[tuple[str, int], ...]
    victims: str
    held: str
    total: int
    kills: tuple[KillView, ...]
    open: bool


def _sum_rows(kill: Judged) -> tuple[SumRow, ...]:
    rows = []
    for v in kill.verdict.zones:
        held = v.with_held.free - v.without.free
        band = f", band of {v.band_pages}" if v.band_pages else ""
        for name, c in (("F", v.without), (f"F + {text.whole(held)} held{band}", v.with_held)):
            rows.append(
                SumRow(
                    zone=zone_title(v.zone) if c is v.without else "",
                    pages=name,
                    free=text.whole(c.free),
                    unusable=text.whole(c.unusable),
                    usable=text.whole(c.usable),
                    relation=">" if c.usable > c.need else "\N{LESS-THAN OR EQUAL TO}",
                    need=f"{text.whole(c.mark)} + {text.whole(c.reserve)}",
                    block=(
                        ""
                        if kill.event.order == 0
                        else {True: "yes", False: "no", None: "undecided"}[c.block]
                    ),
                    result={True: "passes", False: "fails", None: "undecided"}[c.passes],
                )
            )
    return tuple(rows)


def _shortfall(kill: Judged) -> str:
    zones = kill.verdict.zones
    if not zones:
        return text.NONE
    least = min(v.without.shortfall for v in zones)
    return text.size(least * PAGE_BYTES)


def _robust(kill: Judged) -> str:
    if kill.at_high is None or not kill.verdict.zones:
        return ""
    meaning = {
        ATTRIBUTABLE: "passes with the held memory too, so the last attempt would have succeeded",
        GENUINE: "fails even with the held memory",
    }.get(kill.at_high.kind, "is not decided by this sample")
    return f"At the high watermark, the mark of the last attempt before a kill, the test {meaning}."


def _at(cell: CellStats, kill: Judged) -> str:
    return f"{(kill.event.t_ns - cell.windows[0][0]) / NS:.3f} s"


def _victim(kill: Judged) -> str:
    e = kill.event
    return f"{e.victim_comm or '?'} ({text.size_of_pages(e.victim_rss_pages)})"


def _kill_view(cell: CellStats, kill: Judged, avoided: str) -> KillView:
    e = kill.event
    return KillView(
        at=_at(cell, kill),
        reason=kill.verdict.reason,
        robust=_robust(kill),
        victim=_victim(kill),
        culprit=e.comm or "?",
        request=f"order {'?' if e.order is None else e.order}, {gfpbits.decode(e.gfp) if e.gfp is not None else 'gfp unknown'}",
        held=text.size_of_pages(e.uncompensated_pages),
        age=text.duration(e.batch_age_ns) if e.batch_age_ns else text.NONE,
        shortest=_shortfall(kill),
        sums=_sum_rows(kill),
        avoided=avoided,
    )


def _span(rounds: list[int | None]) -> str:
    known = sorted({r for r in rounds if r is not None})
    if not known:
        return text.NONE
    return str(known[0]) if len(known) == 1 else f"{known[0]}\N{EN DASH}{known[-1]}"


def incident_views(view: View) -> tuple[list[IncidentView], int, int]:
    """The incidents the page shows, of each its first kills; how many incidents and kills there are."""
    views: list[IncidentView] = []
    nr_incidents = nr_kills = 0
    opened: set[tuple[str, str]] = set()
    for label, cells in view.a.arms.items():
        reference = view.a.references[label]
        others = {c.pair_key: c for c in view.a.arms[reference]} if reference else {}
        for cell in cells:
            nr_incidents += len(cell.incidents)
            nr_kills += len(cell.kills)
            round_of = dict(zip(map(id, cell.kills), cell.round_of_kill, strict=True))
            other = others.get(cell.pair_key)
            theirs = kill_rounds(other) if other else frozenset()
            for incident in cell.incidents[: MAX_INCIDENTS - len(views)]:
                views.append(
                    _incident_view(view, label, cell, incident, round_of, theirs, reference if other else "")
                )
                key = (label, views[-1].verdicts[0][0])
                if key not in opened and len(views) <= UNFOLDED:
                    opened.add(key)
                    views[-1] = replace(views[-1], open=True)
    return views, nr_incidents, nr_kills


def _incident_view(
    view: View,
    label: str,
    cell: CellStats,
    incident: Incident,
    round_of: dict[int, int | None],
    theirs: frozenset[int],
    reference: str | None,
) -> IncidentView:
    kills = incident.kills
    shown = []
    for kill in kills[:MAX_KILLS]:
        r = round_of.get(id(kill))
        avoided = ""
        if reference and r is not None:
            avoided = f"{'also killed' if r in theirs else 'avoided'} in {reference}, same round"
        shown.append(_kill_view(cell, kill, avoided))
    names = Counter(k.event.victim_comm or "?" for k in kills)
    held = [k.event.uncompensated_pages for k in kills]
    return IncidentView(
        label=label,
        css=view.look[label].css,
        repeat=cell.record.spec.repeat,
        round=_span([round_of.get(id(k)) for k in kills]),
        at=_at(cell, kills[0]),
        verdicts=tuple(sorted(Counter(k.verdict.kind for k in kills).items())),
        victims=(
            shown[0].victim
            if len(kills) == 1
            else f"{text.whole(len(kills))} kills: {', '.join(name for name, _ in names.most_common(3))}"
        ),
        held=text.size_of_pages(None if None in held else max(held)),
        total=len(kills),
        kills=tuple(shown),
        open=False,
    )


def build(view: View) -> dict[str, Any] | None:
    incidents, nr_incidents, nr_kills = incident_views(view)
    if not nr_kills:
        return None
    return {
        "incidents": incidents,
        "unfolded": UNFOLDED,
        "left_out": nr_incidents - len(incidents),
        "total": f"{text.count(nr_kills, 'kill')} in {text.count(nr_incidents, 'incident')}",
        "pairs": [
            (p.a, p.b, p.nr_cells, p.kills, p.avoided, p.agree, p.disagree, p.undecided + p.unplaced)
            for p in view.a.pairings
            if p.kills
        ],
    }


SECTION = Section("kills", "Kills", build, TEMPLATE, heading="Kills, each judged")
