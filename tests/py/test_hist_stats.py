# SPDX-License-Identifier: GPL-2.0-or-later
"""Histograms, medians with intervals, integrals, incidents."""

from __future__ import annotations

import random

import pytest
from make_records import hist_index, hist_line

from analysis.record import hist
from analysis.record.model import Hist
from analysis.compare.metrics import median_interval, summarise
from analysis.compare.stats import growth


def build(values: list[int], sub_bits: int = 7) -> Hist:
    line = hist_line("x", 0, values, sub_bits)
    return Hist("x", "ns", sub_bits, line["n"], line["sum"], line["max"], tuple(map(tuple, line["counts"])))


@pytest.mark.parametrize("sub_bits", [0, 1, 5, 7])
def test_buckets_tile_the_integers(sub_bits):
    for i in range(0, 40 << sub_bits, 3):
        low, high = hist.lower(i, sub_bits), hist.upper(i, sub_bits)
        assert hist.index(low, sub_bits) == hist.index(high, sub_bits) == i
        assert hist.lower(i + 1, sub_bits) == high + 1
        assert high - low <= low / (1 << sub_bits)
        assert hist_index(low, sub_bits) == i


def test_largest_value_has_a_bucket():
    assert hist.upper(hist.index(2**64 - 1, 7), 7) == 2**64 - 1


def test_quantile_is_within_a_bucket_of_the_exact_one():
    rng = random.Random(1)
    values = sorted(int(rng.lognormvariate(12, 1)) for _ in range(20_000))
    h = build(values)
    for q in (0.5, 0.9, 0.99, 0.999):
        exact = values[int(q * len(values) + 0.999999) - 1]
        got = hist.quantile(h, q)
        assert got is not None and exact <= got <= exact * (1 + 2**-7) + 1
    assert hist.quantile(h, 0.9999) is None


@pytest.mark.parametrize(
    ("q", "n"), [(0.5, 20), (0.9, 100), (0.99, 1000), (0.999, 10_000), (0.9999, 100_000)]
)
def test_n_too_small(q, n):
    assert hist.quantile(build([5] * (n - 1)), q) is None
    assert hist.quantile(build([5] * n), q) == 5


def test_merge_and_ccdf():
    both = hist.merge([build([1, 2, 3]), build([3, 4])])
    assert both is not None and both.n == 5 and dict(both.counts) == {1: 1, 2: 1, 3: 2, 4: 1}
    x, y = hist.ccdf(both)
    assert list(x) == [1, 2, 3, 4]
    assert list(y) == pytest.approx([0.8, 0.6, 0.2, 0.0])
    assert hist.merge([build([1]), build([1], sub_bits=5)]) is None
    assert hist.merge([]) is None


def test_median_interval_coverage():
    """n = 6: [x1, x6] covers with 1 - 2/64; n = 5 reaches 0.9375 only. n = 20: the textbook (6th, 15th)."""
    assert median_interval(5) is None
    assert median_interval(6) == (0, 5)
    assert median_interval(8) == (0, 7)
    assert median_interval(9) == (1, 7)
    assert median_interval(20) == (5, 14)
    assert median_interval(0) is None


def test_summarise_says_what_its_interval_is():
    assert summarise([], "x").why == "no data"
    one = summarise([3], "x")
    assert (one.n, one.median, one.interval) == (1, 3, "single")
    three = summarise([3, 1, 2], "x")
    assert (three.total, three.median, three.lo, three.hi, three.interval) == (6, 2, 1, 3, "min..max")
    assert summarise(range(9), "x").interval == "95 % of the median"


def test_growth_interpolates_between_samples():
    class S:
        def __init__(self, t, v):
            self.t_ns, self.v = t, v

    samples = [S(0, 0), S(100, 10), S(200, 110)]
    assert growth(samples, lambda s: s.v, [(0, 200)]) == 110
    assert growth(samples, lambda s: s.v, [(50, 150)]) == 55
    assert growth(samples, lambda s: s.v, [(50, 100), (150, 999)]) == 55
    assert growth(samples[:1], lambda s: s.v, [(0, 1)]) is None
