# SPDX-License-Identifier: GPL-2.0-or-later
"""The watermark test and the verdicts, with boundary values."""

from __future__ import annotations

import dataclasses

import pytest

from analysis.judge import gfp as g
from analysis.judge.judge import (
    ATTRIBUTABLE,
    FALLBACK,
    GENUINE,
    MEMCG,
    OWN,
    SYSRQ,
    SYSTEM,
    UNDETERMINED,
    judge_event,
    judge_zones,
)
from analysis.judge.watermark import lowered_mark
from analysis.record.model import Shortage, ZoneState


def zone(**changes) -> ZoneState:
    """A zone with min 1000, low 1250, high 1500 and nothing special; single free pages fill up the lists."""
    base = ZoneState(
        boost_pages=0,
        node=0,
        zone=1,
        free_pages=900,
        min_pages=1000,
        low_pages=1250,
        high_pages=1500,
        reserve_pages=0,
        highatomic_pages=0,
        held_pages=0,
        uncompensated_pages=0,
        buffer_pages=0,
        held_by_order=(),
        nr_free_by_order=(0,) * 11,
        cma_pages=0,
        isolated_pageblocks=0,
    )
    z = dataclasses.replace(base, **changes)
    listed = sum(n << o for o, n in enumerate(z.nr_free_by_order))
    single = z.nr_free_by_order[0] + max(z.free_pages - listed, 0)
    return dataclasses.replace(z, nr_free_by_order=(single, *z.nr_free_by_order[1:]))


def held(pages: int, order: int = 9, **changes) -> ZoneState:
    """A zone with uncompensated chunks of one order."""
    return zone(
        held_pages=pages,
        uncompensated_pages=pages,
        held_by_order=((order, pages >> order),) if pages else (),
        **changes,
    )


def verdict(zones, gfp=g.GFP_KERNEL, order=0, highest=3, mark="min") -> str:
    flags = g.alloc_flags(gfp, order) if mark == "min" else g.AllocFlags()
    return judge_zones([z for z in zones if z.zone <= highest], order, flags, mark).kind


@pytest.mark.parametrize(
    ("gfp", "mark", "want"),
    [
        (g.GFP_KERNEL, 1000, 1000),
        (g.GFP_NOWAIT, 1000, 1000),  # cannot block, but no __GFP_HIGH: the full mark
        (g.HIGH | g.GFP_KERNEL, 1000, 500),
        (g.GFP_ATOMIC, 1000, 375),  # 1000 - 500, then - 125
        (g.GFP_ATOMIC, 1001, 376),  # integer division: 1001 - 500 = 501, - 125
        (g.GFP_ATOMIC, 3, 2),
        (g.GFP_ATOMIC | g.NOMEMALLOC, 1000, 500),
        (g.GFP_KERNEL | g.MEMALLOC, 1000, 0),
        (g.GFP_KERNEL | g.MEMALLOC | g.NOMEMALLOC, 1000, 1000),
    ],
)
def test_mark_with_reserves(gfp, mark, want):
    assert lowered_mark(mark, g.alloc_flags(gfp, 0)) == want


@pytest.mark.parametrize(
    ("free", "pages", "want"),
    [
        (1000, 512, ATTRIBUTABLE),  # equal to the mark is not above it
        (1001, 512, UNDETERMINED),  # one above: no shortage when sampled
        (488, 512, GENUINE),  # 488 + 512 = 1000: still not above
        (489, 512, ATTRIBUTABLE),
        (489, 0, GENUINE),
        (-5, 1024, ATTRIBUTABLE),
        (-24, 1024, GENUINE),
    ],
)
def test_order_0_boundary(free, pages, want):
    assert verdict([held(pages, free_pages=free)]) == want


def test_lowmem_reserve_counts():
    assert verdict([held(512, free_pages=900, reserve_pages=412)]) == GENUINE
    assert verdict([held(512, free_pages=900, reserve_pages=411)]) == ATTRIBUTABLE


def test_highatomic_reserve_is_not_usable_without_right():
    z = held(512, free_pages=900, highatomic_pages=412)
    assert verdict([z]) == GENUINE
    assert verdict([dataclasses.replace(z, highatomic_pages=411)]) == ATTRIBUTABLE
    # GFP_ATOMIC may use it, and has half the mark and a quarter of the rest less: nothing was short
    assert verdict([z], g.GFP_ATOMIC) == UNDETERMINED


def test_boost_counts_except_for_order_0_high():
    assert verdict([held(512, free_pages=900, boost_pages=412)]) == GENUINE
    assert verdict([held(512, free_pages=900, boost_pages=411)]) == ATTRIBUTABLE
    assert verdict([held(512, free_pages=300, boost_pages=10_000)], g.GFP_ATOMIC) == ATTRIBUTABLE
    assert verdict([held(512, free_pages=300, boost_pages=10_000)], g.GFP_ATOMIC, order=1) == GENUINE


def test_other_marks_use_no_reserves():
    assert verdict([held(512, free_pages=1250)], mark="low") == ATTRIBUTABLE
    assert verdict([held(512, free_pages=1251)], mark="low") == UNDETERMINED
    assert verdict([held(512, free_pages=988)], g.GFP_ATOMIC, mark="high") == GENUINE
    assert verdict([held(512, free_pages=989)], g.GFP_ATOMIC, mark="high") == ATTRIBUTABLE


def test_no_watermarks_needs_a_page():
    gfp = g.GFP_KERNEL | g.MEMALLOC
    assert verdict([held(512, free_pages=0)], gfp) == ATTRIBUTABLE
    assert verdict([held(0, free_pages=0)], gfp) == GENUINE
    assert verdict([held(512, free_pages=1)], gfp) == UNDETERMINED


def test_compensated_chunks_do_not_count():
    z = dataclasses.replace(held(4096), uncompensated_pages=0, buffer_pages=0)
    assert verdict([z]) == GENUINE


ORDERS_NONE = (0,) * 11


def blocks(order: int, n: int = 1) -> tuple[int, ...]:
    return tuple(n if o == order else 0 for o in range(11))


@pytest.mark.parametrize(
    ("z", "order", "want"),
    [
        # enough pages, no block, a held chunk is large enough
        (held(2048, free_pages=5000, nr_free_by_order=ORDERS_NONE), 9, ATTRIBUTABLE),
        # the held chunk is one order too small: only merging could help
        (held(2048, free_pages=5000, nr_free_by_order=ORDERS_NONE), 10, UNDETERMINED),
        (held(2048, 10, free_pages=5000, nr_free_by_order=ORDERS_NONE), 10, ATTRIBUTABLE),
        # nothing held and no block: fragmentation, not hinting
        (held(0, free_pages=5000, nr_free_by_order=ORDERS_NONE), 9, GENUINE),
        # a free block was there all the time
        (held(2048, free_pages=5000, nr_free_by_order=blocks(9)), 9, UNDETERMINED),
        (held(2048, free_pages=5000, nr_free_by_order=blocks(10)), 9, UNDETERMINED),
        (held(2048, free_pages=5000, nr_free_by_order=blocks(8)), 9, ATTRIBUTABLE),
        # order 3 takes 7 pages from the count: 1007 - 7 = 1000 fails, 1008 does not
        (held(0, free_pages=1007, nr_free_by_order=blocks(3)), 3, GENUINE),
        (held(0, free_pages=1008, nr_free_by_order=blocks(3)), 3, UNDETERMINED),
        # block there, count short, held chunks fill the count
        (held(512, free_pages=900, nr_free_by_order=blocks(3)), 3, ATTRIBUTABLE),
        # no block of order 3 and too few pages even with the held ones
        (held(512, free_pages=100, nr_free_by_order=ORDERS_NONE), 3, GENUINE),
    ],
)
def test_higher_orders(z, order, want):
    assert verdict([z], order=order) == want


def test_blocks_that_may_all_be_highatomic():
    z = held(0, free_pages=5000, nr_free_by_order=blocks(3, 4), highatomic_pages=32)
    assert verdict([z], order=3) == UNDETERMINED
    z = dataclasses.replace(z, free_pages=900)
    assert verdict([z], order=3) == GENUINE  # the count fails, whatever the block
    one_more = held(0, free_pages=5000, nr_free_by_order=blocks(3, 5), highatomic_pages=32)
    assert "shortage was over" in judge_zones([one_more], 3, g.alloc_flags(g.GFP_KERNEL, 3), "min").reason


def test_partly_compensated_chunks():
    """Which chunks the buffer made good is not recorded: sure only when the small ones cannot be H."""
    z = zone(
        free_pages=5000,
        nr_free_by_order=ORDERS_NONE,
        held_pages=1024 + 512,
        uncompensated_pages=512,
        held_by_order=((9, 1), (10, 1)),
    )
    assert verdict([z], order=10) == UNDETERMINED
    assert verdict([dataclasses.replace(z, uncompensated_pages=513)], order=10) == ATTRIBUTABLE


def test_torn_sample_is_a_band():
    """held_by_order says 1024, held_pages 512: H is between 0 and 1024."""
    z = zone(free_pages=900, held_pages=512, uncompensated_pages=512, held_by_order=((9, 2),))
    assert verdict([z]) == UNDETERMINED
    assert verdict([dataclasses.replace(z, free_pages=-24)]) == GENUINE
    sure = zone(free_pages=900, held_pages=2048, uncompensated_pages=2048, held_by_order=((9, 5),))
    assert verdict([sure]) == ATTRIBUTABLE


def test_only_eligible_zones():
    dma, normal = held(512, zone=0), held(0, zone=2)
    assert verdict([dma, normal]) == ATTRIBUTABLE
    assert verdict([normal]) == GENUINE
    assert verdict([dma, held(4096, zone=3)], highest=2) == ATTRIBUTABLE
    assert verdict([held(0, zone=0), held(4096, zone=3)], highest=2) == GENUINE
    assert judge_event(shortage(zones=())).verdict.kind == UNDETERMINED
    assert judge_event(shortage(zones=(held(512, zone=3),), highest_zoneidx=2)).verdict.kind == UNDETERMINED


def test_one_zone_with_memory_is_no_shortage():
    assert verdict([held(512), zone(zone=2, free_pages=9999)]) == UNDETERMINED


def test_thisnode_with_two_nodes():
    zones = (held(512, node=0), held(0, node=1))
    event = shortage(gfp=g.GFP_KERNEL | g.THISNODE, zones=zones)
    assert judge_event(event).verdict.kind == UNDETERMINED
    assert judge_event(dataclasses.replace(event, zones=zones[:1])).verdict.kind == ATTRIBUTABLE


def shortage(kind="oom_kill", **changes) -> Shortage:
    base = Shortage(
        kind=kind,
        t_ns=0,
        pid=1,
        comm="x",
        gfp=g.GFP_HIGHUSER_MOVABLE,
        order=0,
        highest_zoneidx=3,
        zones=(held(512),),
        held_pages=512,
        uncompensated_pages=512,
        constraint="none",
        pf_memalloc=False,
        oom_victim=False,
        memcg=False,
        sysrq=False,
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("event", "klass", "level"),
    [
        (shortage(), SYSTEM, "F1"),
        (shortage(memcg=True), MEMCG, "F1"),
        (shortage(sysrq=True), SYSRQ, "F1"),
        (shortage(own=True), OWN, "F1"),
        (shortage("alloc_fail", gfp=g.GFP_NOWAIT, own=True), OWN, "F2"),
        (shortage("alloc_fail", memcg=True), MEMCG, "F2"),
        (shortage("alloc_fail", gfp=g.GFP_ATOMIC), SYSTEM, "F2"),
        (shortage("alloc_fail", gfp=g.GFP_NOWAIT), FALLBACK, "F3"),
        (shortage("alloc_fail", gfp=g.GFP_TRANSHUGE, order=9), FALLBACK, "F3"),
        (shortage("alloc_fail", gfp=g.GFP_KERNEL, order=3), SYSTEM, "F2"),
        (shortage("alloc_fail", gfp=g.GFP_KERNEL, order=4), FALLBACK, "F3"),
        (shortage("direct_reclaim"), SYSTEM, "F4"),
        (shortage("compaction_stall"), SYSTEM, "F4"),
        (shortage("kswapd_wake", gfp=None), SYSTEM, "F5"),
    ],
)
def test_class_and_level(event, klass, level):
    judged = judge_event(event)
    assert (judged.klass, judged.level) == (klass, level)


def test_kswapd_is_judged_at_low_in_its_node():
    z = held(512, free_pages=1250)
    wake = shortage("kswapd_wake", gfp=None, node=1, zones=(z, dataclasses.replace(z, node=1)))
    judged = judge_event(wake)
    assert judged.verdict.kind == ATTRIBUTABLE
    assert [v.zone.node for v in judged.verdict.zones] == [1]
    assert judge_event(dataclasses.replace(wake, zones=())).verdict.kind == UNDETERMINED


@pytest.mark.parametrize(
    "changes",
    [{"gfp": None}, {"zones_missing": True}, {"constraint": "cpuset"}, {"constraint": "memory_policy"}],
)
def test_what_the_record_lacks_is_undetermined(changes):
    verdict_ = judge_event(shortage(**changes)).verdict
    assert verdict_.kind == UNDETERMINED
    assert verdict_.reason


def test_kill_is_also_judged_at_the_high_mark():
    judged = judge_event(shortage(zones=(held(512, free_pages=900),)))
    assert judged.verdict.kind == ATTRIBUTABLE
    assert judged.at_high is not None and judged.at_high.kind == GENUINE  # 1412 < 1500
    assert judge_event(shortage("alloc_fail")).at_high is None


@pytest.mark.parametrize(
    ("gfp", "want"),
    [
        (g.GFP_KERNEL, "GFP_KERNEL"),
        (0x140DCA, "GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP"),
        (g.GFP_ATOMIC, "GFP_ATOMIC"),
        (g.GFP_NOWAIT, "GFP_NOWAIT"),
        (g.GFP_TRANSHUGE, "GFP_TRANSHUGE"),
        (0, "0x0"),
        (1 << 24 | g.GFP_KERNEL, "GFP_KERNEL|0x1000000"),
    ],
)
def test_gfp_names(gfp, want):
    assert g.decode(gfp) == want


@pytest.mark.parametrize(
    ("gfp", "want"),
    [
        (g.GFP_KERNEL, 2),
        (g.DMA, 0),
        (g.DMA32, 1),
        (g.GFP_HIGHUSER, 2),
        (g.GFP_HIGHUSER_MOVABLE, 3),
        (g.MOVABLE, 2),
    ],
)
def test_highest_zone(gfp, want):
    assert g.highest_zone(gfp) == want


def test_cma_pages_serve_movable_requests_only():
    z = held(512, free_pages=1400, cma_pages=1000)
    assert judge_event(shortage(zones=(z,))).verdict.kind == UNDETERMINED  # 1400 > 1000: movable
    assert judge_event(shortage(gfp=g.GFP_KERNEL, zones=(z,))).verdict.kind == GENUINE  # 912 with H
    one = held(1024, free_pages=1400, cma_pages=1000)
    assert judge_event(shortage(gfp=g.GFP_KERNEL, zones=(one,))).verdict.kind == ATTRIBUTABLE  # 1424


def test_blocks_of_cma_do_not_serve_an_unmovable_request():
    z = held(0, free_pages=5000, nr_free_by_order=blocks(3, 4), cma_pages=32)
    assert verdict([z], order=3) == UNDETERMINED
    assert "shortage was over" in judge_zones([z], 3, g.AllocFlags(cma=True), "min").reason


def test_unknown_boost_can_only_undo():
    z = held(512, free_pages=900, boost_pages=None)
    judged = judge_event(shortage(zones=(z,))).verdict
    assert (judged.kind, judged.reason) == (UNDETERMINED, "the watermark boost is not in the record")
    assert judge_event(shortage(zones=(held(0, free_pages=900, boost_pages=None),))).verdict.kind == GENUINE


@pytest.mark.parametrize(
    ("free", "pf_memalloc", "oom_victim", "want"),
    [
        (0, True, False, ATTRIBUTABLE),  # no watermark: any page would have done
        (1, True, False, UNDETERMINED),
        (0, False, False, GENUINE),
        (400, False, True, ATTRIBUTABLE),  # half of min
        (501, False, True, UNDETERMINED),
        (0, None, False, UNDETERMINED),
        (400, False, None, UNDETERMINED),  # attributable only if it was a victim
        (600, False, None, UNDETERMINED),
        (-600, None, None, GENUINE),
    ],
)
def test_rights_of_the_task(free, pf_memalloc, oom_victim, want):
    """Of a failed allocation; a kill never has them."""
    event = shortage(
        "alloc_fail",
        gfp=g.GFP_KERNEL,
        zones=(held(512, free_pages=free),),
        pf_memalloc=pf_memalloc,
        oom_victim=oom_victim,
    )
    assert judge_event(event).verdict.kind == want


def test_rights_of_a_task_may_not_hold_in_an_interrupt():
    event = shortage("alloc_fail", gfp=g.GFP_ATOMIC, zones=(held(256, 8, free_pages=0),), pf_memalloc=True)
    assert judge_event(event).verdict.kind == UNDETERMINED  # 256 > 0, but not > 375


def test_nodes_of_a_request():
    near, far = held(512, node=0), zone(node=1)
    zones = (near, far)
    for allowed, want in (((0,), ATTRIBUTABLE), ((1,), GENUINE), ((0, 1), ATTRIBUTABLE), (None, UNDETERMINED)):
        event = shortage(zones=zones, constraint="memory_policy", allowed_nodes=allowed)
        assert judge_event(event).verdict.kind == want, allowed
    unknown = shortage(zones=zones, constraint=None)
    assert judge_event(unknown).verdict.kind == UNDETERMINED
    # the same whatever the nodes were
    assert judge_event(shortage(zones=(near, held(512, node=1)), constraint=None)).verdict.kind == ATTRIBUTABLE
    assert judge_event(shortage(zones=(zone(), far), constraint=None)).verdict.kind == GENUINE


@pytest.mark.parametrize(
    ("kind", "unknown", "said"),
    [
        ("oom_kill", "memcg", "whether the limit of a cgroup was short"),
        ("oom_kill", "sysrq", "asked for by sysrq"),
        ("oom_kill", "order", "the size of the request"),
        ("alloc_fail", "memcg", "whether the limit of a cgroup was short"),
        ("direct_reclaim", "order", "the size of the request"),
    ],
)
def test_what_the_record_does_not_say_is_undetermined(kind, unknown, said):
    """Never read as false, or 0: no accusation, and no acquittal, rests on a field that is not there."""
    for zones in ((held(512),), (zone(free_pages=0),)):
        got = judge_event(shortage(kind, zones=zones, gfp=g.GFP_KERNEL, **{unknown: None})).verdict
        assert (got.kind, said in got.reason) == (UNDETERMINED, True)


def test_a_stall_is_of_no_cgroup():
    """The tracer watches the reclaim of the system only: a stall has no such field."""
    for kind in ("direct_reclaim", "compaction_stall", "kswapd_wake"):
        event = shortage(kind, zones=(zone(free_pages=0),), memcg=None, sysrq=None)
        assert judge_event(event).verdict.kind == GENUINE


def test_a_task_in_reclaim_may_leave_its_nodes():
    near, far = zone(node=0, free_pages=0), held(512, node=1, free_pages=0)
    event = shortage(
        "alloc_fail", gfp=g.GFP_KERNEL, zones=(near, far), pf_memalloc=True, allowed_nodes=(0,), constraint="cpuset"
    )
    assert judge_event(event).verdict.kind == UNDETERMINED
    assert judge_event(dataclasses.replace(event, constraint="thisnode")).verdict.kind == GENUINE


def test_held_chunks_may_be_in_isolated_pageblocks():
    """Back on a list of an isolated pageblock a chunk serves nobody."""
    sure = held(512, free_pages=900, isolated_pageblocks=0)
    assert verdict([sure]) == ATTRIBUTABLE
    assert verdict([dataclasses.replace(sure, isolated_pageblocks=1)]) == UNDETERMINED
    # that pageblock is free throughout, so the chunk is not in it
    listed = (900, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)
    assert verdict([dataclasses.replace(sure, isolated_pageblocks=1, nr_free_by_order=listed)]) == ATTRIBUTABLE
    unknown = dataclasses.replace(sure, isolated_pageblocks=None)
    assert verdict([unknown]) == ATTRIBUTABLE
    assert verdict([dataclasses.replace(unknown, nr_free_by_order=listed)]) == UNDETERMINED


def test_a_chunk_taken_while_the_zone_was_read_is_not_counted_twice():
    """Still in F, already in H: the free lists, read later, are short of it."""
    listed = (388, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    z = dataclasses.replace(held(512, free_pages=900), nr_free_by_order=listed)
    assert verdict([z]) == UNDETERMINED
    assert verdict([dataclasses.replace(z, nr_free_by_order=(389, *listed[1:]))]) == ATTRIBUTABLE


def test_torn_counters_of_the_same_chunks():
    """More uncompensated than held: one of the two was read before a change."""
    z = zone(free_pages=900, held_pages=512, uncompensated_pages=1024, held_by_order=((9, 1),))
    assert verdict([z]) == ATTRIBUTABLE
    assert verdict([dataclasses.replace(z, free_pages=400)]) == UNDETERMINED
