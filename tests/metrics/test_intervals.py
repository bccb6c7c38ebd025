"""Intervals over seeds and items: worked examples, oracles (analysis of variance, bootstraps), refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from echobook.metrics.intervals import (
    crossed_components,
    crossed_interval,
    nested_components,
    nested_interval,
    seed_confidence,
    seed_interval,
)
from echobook.metrics.statistics import sum_by_group


def mean(sums):
    """Weighted mean of columns w s and w."""
    return sums[:, 0] / sums[:, 1]


def relative_change(sums):
    """(new - old) / |old| of columns w new, w, w old, w."""
    new, old = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
    return (new - old) / np.abs(old)


def with_ones(scores):
    """Columns of unweighted scores."""
    return np.stack([np.asarray(scores, float), np.ones(len(scores))], axis=1)


# literals


def test_two_seeds_two_items_by_hand():
    # scores 0, 2 and 2, 8: theta 1 and 5, M = 8, A = 4. Leave-one-out means are the other score; deviations
    # (-1, 1) and (-3, 3), times sqrt(1/2): variances 1 and 9, covariance 3 = c; W = 5 - 3 = 2, I = 2 / 2 + 3.
    found = crossed_components([with_ones([0, 2]), with_ones([2, 8])], mean)
    assert found.estimates.tolist() == [1.0, 5.0]
    assert (found.own, found.shared, found.skew) == pytest.approx((2.0, 3.0, 0.0), rel=1e-12, abs=1e-12)
    parts = found.confidence()
    assert (parts.estimate, parts.between, parts.items) == pytest.approx((3.0, 4.0, 4.0), rel=1e-12)
    assert (parts.seed_degrees, parts.item_degrees) == (1.0, 1.0)
    # spread beyond item noise sqrt(8 - 2); items give sqrt(5) to one seed, three fifths of it shared
    assert found.spread == pytest.approx(math.sqrt(6), rel=1e-12)
    assert found.item_error == pytest.approx(math.sqrt(5), rel=1e-12)
    assert found.shared_part == pytest.approx(0.6, rel=1e-12)
    # t(1; .975) = 12.706205
    half = 12.706205 * math.sqrt(4 + 3)
    interval = crossed_interval([with_ones([0, 2]), with_ones([2, 8])], mean)
    assert (interval.low, interval.high) == pytest.approx((3 - half, 3 + half), rel=1e-6)


def test_the_same_scores_as_own_items_by_hand():
    # c = 0, W = (1 + 9) / 2; A = 4 beats I = 5 / 2 at equal t(1), and 2 (2 - 1) degrees make I smaller still
    found = nested_components([with_ones([0, 2]), with_ones([2, 8])], mean)
    assert (found.own, found.shared, found.skew) == pytest.approx((5.0, 0.0, 0.0), rel=1e-12)
    assert found.item_degrees == 2.0
    assert found.shared_part == 0.0
    interval = nested_interval([with_ones([0, 2]), with_ones([2, 8])], mean)
    assert interval.high - 3 == pytest.approx(12.706205 * 2, rel=1e-6)


def test_seeds_that_agree_leave_the_items_error():
    # two seeds of equal mean 1: M = 0, so I = (1 + 9) / 2 / 2 with t(2; .975) = 4.302653
    found = nested_components([with_ones([0, 2]), with_ones([-2, 4])], mean)
    assert found.spread == 0.0
    interval = found.confidence().interval()
    assert interval.high - 1 == pytest.approx(4.302653 * math.sqrt(2.5), rel=1e-6)


def test_one_skew_seed_by_hand():
    # scores 0, 0, 3: means without one are 1.5, 1.5, 0, deviations -.5, -.5, 1, times sqrt(2/3): variance
    # 1, which is s^2 / n; third moment .75 (2/3)^1.5
    for components in (crossed_components, nested_components):
        found = components([with_ones([0, 0, 3])], mean)
        assert (found.own, found.shared, found.item_degrees) == pytest.approx((0.0, 1.0, 2.0), abs=1e-12)
        assert found.skew == pytest.approx(0.75 * (2 / 3) ** 1.5, rel=1e-12)
        assert (found.spread, found.shared_part, found.confidence().between) == (0.0, 1.0, 0.0)
    # kappa = .408248; t(2; .975) = 4.302653: below, y = 4.234612, 3 (2.728767^(1/3) - 1) / kappa = 2.920322;
    # above, y = -4.370694 and the series gives 4.370694 + 2.599567 + 2.576908 = 9.547169
    interval = crossed_interval([with_ones([0, 0, 3])], mean)
    assert interval.low == pytest.approx(1 - 2.920322, rel=1e-5)
    assert interval.high == pytest.approx(1 + 9.547169, rel=1e-5)


def test_constant_scores_have_no_width():
    same = [with_ones(np.full(5, 0.25))] * 3
    for interval in (crossed_interval(same, mean), nested_interval(same, mean)):
        assert (interval.low, interval.high, interval.standard_error) == (0.25, 0.25, 0.0)
    assert crossed_components(same, mean).shared_part == 1.0


def test_seeds_that_agree_leave_no_width_where_nothing_else_varies():
    for aggregate in ("mean", "median"):
        found = seed_interval([0.5, 0.5, 0.5], 0.95, aggregate)
        assert (found.low, found.high, found.standard_error) == (0.5, 0.5, 0.0)
    # one seed more or less tilted: t over seeds is symmetric
    found = seed_confidence([0.0, 0.0, 3.0]).interval()
    assert found.high - 1.0 == pytest.approx(1.0 - found.low, rel=1e-12)


def test_median_of_six_seeds_by_hand():
    # six seeds: the outermost order statistics hold the median with 1 - 2/64 = .96875, the next with
    # 1 - 14/64 = .78125
    assert (seed_interval([6, 5, 4, 3, 2, 1], 0.96875, "median").low) == 1.0
    inner = seed_interval([6, 5, 4, 3, 2, 1], 0.78125, "median")
    assert (inner.estimate, inner.low, inner.high) == (3.5, 2.0, 5.0)
    # .95: share (.96875 - .95) / .1875 = .1, weight 5 * .1 / (1 + 4 * .1) = 5/14
    between = seed_interval([6, 5, 4, 3, 2, 1], 0.95, "median")
    assert (between.low, between.high) == pytest.approx((1 + 5 / 14, 6 - 5 / 14), rel=1e-12)


def test_median_of_three_seeds_by_hand():
    # s = 1, t(2; .975) = 4.302653, sqrt(pi / 2 / 3) = .723601
    found = seed_interval([1.0, 2.0, 3.0], 0.95, "median")
    assert found.high - 2.0 == pytest.approx(4.302653 * 0.723601, rel=1e-6)
    assert 2.0 - found.low == pytest.approx(4.302653 * 0.723601, rel=1e-6)


# oracles


def test_seed_interval_matches_scipy():
    values = np.random.default_rng(0).normal(0.4, 1, 7)
    expected = stats.ttest_1samp(values, 0.1).confidence_interval(0.9)
    found = seed_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(7), rel=1e-12)


def test_median_ends_are_binomial():
    # between the k-th and the (n - k + 1)-th of n values lies the median with probability 1 - 2 P(X < k)
    values = np.sort(np.random.default_rng(1).normal(size=15))
    for k in range(1, 7):
        level = 1 - 2 * stats.binom.cdf(k - 1, 15, 0.5)
        found = seed_interval(values, level, "median")
        assert (found.low, found.high) == pytest.approx((values[k - 1], values[15 - k]), abs=1e-9)


def test_crossed_variances_are_the_two_way_analysis_of_variance():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 30)) + rng.normal(size=30) + rng.normal(size=(4, 1))
    seeds, items = scores.mean(1), scores.mean(0)
    left = scores - seeds[:, None] - items + scores.mean()
    between, across, both = 30 * seeds.var(ddof=1), 4 * items.var(ddof=1), (left**2).sum() / (3 * 29)
    found = crossed_components([with_ones(row) for row in scores], mean)
    assert found.own == pytest.approx(both / 30, rel=1e-9)
    assert found.shared == pytest.approx((across - both) / 120, rel=1e-9)
    assert found.spread == pytest.approx(math.sqrt((between - both) / 30), rel=1e-9)
    third = (((items - items.mean()) / 30) ** 3).sum() * (30 / 29) ** 1.5
    assert found.skew == pytest.approx(third, rel=1e-9)


def test_items_that_contradict_each_other_share_nothing():
    # opposite scores: the covariance is negative, so c = 0 and W is the whole variance of one seed
    found = crossed_components([with_ones([0, 2, 4]), with_ones([4, 2, 0])], mean)
    assert found.shared == 0.0
    assert found.own == pytest.approx(4 / 3, rel=1e-12)


def test_nested_interval_is_students_t_over_seeds():
    rng = np.random.default_rng(2)
    tables = [with_ones(rng.normal(k, 0.1, size)) for k, size in enumerate((20, 35, 50, 10))]
    values = [table[:, 0].mean() for table in tables]
    expected, found = seed_interval(values), nested_interval(tables, mean)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("statistic", [mean, relative_change])
def test_crossed_interval_matches_a_bootstrap_loop_where_seeds_and_items_are_many(statistic):
    rng = np.random.default_rng(3)
    words = rng.integers(5, 30, 120)
    old = rng.poisson(0.2 * words * rng.gamma(4, 0.25, 120))
    rates = 0.7 * np.exp(0.2 * rng.normal(size=30))
    tables = []
    for rate in rates:
        kept = rng.binomial(old, min(rate, 1.0))
        tables.append(np.stack([kept, words, old, words], axis=1).astype(float))
    draws = []
    joined = np.stack(tables)
    for _ in range(4000):
        items, seeds = rng.integers(120, size=120), rng.integers(30, size=30)
        draws.append(statistic(joined[:, items].sum(axis=1)[seeds]).mean())
    found = crossed_interval(tables, statistic)
    # the loop's percentiles are short by sqrt(29/30) and t(29) / z = 1.04, and are quantiles of 4,000 draws
    width = found.high - found.low
    expected = tuple(np.quantile(draws, [0.025, 0.975]))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.06 * width)


def test_skew_items_agree_with_scipys_corrected_bootstrap():
    scores = np.random.default_rng(4).exponential(size=60)
    found = crossed_interval([with_ones(scores)], mean)
    theirs = stats.bootstrap((scores,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0))
    expected = theirs.confidence_interval
    # their arms, long above and short below, within a tenth; t(59) alone gives equal ones
    assert found.high - scores.mean() == pytest.approx(expected.high - scores.mean(), rel=0.1)
    assert scores.mean() - found.low == pytest.approx(scores.mean() - expected.low, rel=0.1)
    assert (found.high - scores.mean()) > 1.15 * (scores.mean() - found.low)


# properties


def some_tables(seed, seeds=4, units=25):
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 9, units)
    shared = rng.normal(size=units)
    rows = [weights * (shared + rng.normal(size=units) + rng.normal()) for _ in range(seeds)]
    return [np.stack([row, weights], axis=1).astype(float) for row in rows]


@pytest.mark.parametrize("make", [crossed_interval, nested_interval])
def test_order_shift_and_sign_do_what_they_should(make):
    tables = some_tables(5)
    found = make(tables, mean)
    order = np.random.default_rng(6).permutation(25)
    shuffled = make([table[order] for table in tables[::-1]], mean)
    assert (shuffled.low, shuffled.high) == pytest.approx((found.low, found.high), rel=1e-9)
    moved = make(tables, lambda sums: mean(sums) + 3)
    assert (moved.low, moved.high) == pytest.approx((found.low + 3, found.high + 3), rel=1e-9)
    turned = make(tables, lambda sums: -2 * mean(sums))
    assert (turned.low, turned.high) == pytest.approx((-2 * found.high, -2 * found.low), rel=1e-9)


def test_scales_of_weights_do_not_matter_and_clusters_do():
    tables = some_tables(7, units=40)
    once = crossed_interval(tables, mean)
    scaled = crossed_interval([5 * table for table in tables], mean)
    assert (scaled.low, scaled.high) == pytest.approx((once.low, once.high), rel=1e-9)
    # the same scores three times over, in clusters, are worth no more than once
    clusters = np.repeat(np.arange(40), 3)
    summed = [sum_by_group(np.repeat(table, 3, axis=0), clusters) for table in tables]
    again = crossed_interval(summed, mean)
    assert (again.low, again.high) == pytest.approx((once.low, once.high), rel=1e-9)
    loose = crossed_interval([np.repeat(table, 3, axis=0) for table in tables], mean)
    assert loose.high - loose.low < again.high - again.low


def test_intervals_need_no_luck():
    assert crossed_interval(some_tables(8), mean) == crossed_interval(some_tables(8), mean)


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crossed_interval([], mean), "one for each seed, found none"),
        (lambda: nested_interval([], mean), "one for each seed, found none"),
        (lambda: crossed_interval([np.ones((1, 2))], mean), r"tables\[0\]: expected at least 2 units"),
        (lambda: crossed_interval([np.ones(2)], mean), "at least 2 units in rows, found shape"),
        (
            lambda: crossed_interval([np.ones((2, 2)), np.ones((3, 2))], mean),
            r"tables\[1\]: expected the shape",
        ),
        (
            lambda: crossed_interval([np.ones((2, 2)), np.ones((2, 4))], mean),
            r"tables\[1\]: expected the shape",
        ),
        (
            lambda: nested_interval([np.ones((2, 2)), np.ones((3, 4))], mean),
            r"tables\[1\]: expected the shape",
        ),
        (lambda: nested_interval([np.full((2, 2), math.nan)], mean), "finite sums, found nan"),
        (lambda: nested_interval([np.ones((2, 2))], mean, level=1.0), "level: expected between 0 and 1"),
        (lambda: crossed_interval([np.ones((2, 2))], mean, level=0.0), "level: expected between 0 and 1"),
        (lambda: crossed_interval([np.zeros((2, 2))], mean), "finite value in every seed, found nan"),
        (
            lambda: crossed_interval([np.array([[1.0, 1.0], [0.0, 0.0]])], mean),
            "finite value without any one unit, found nan",
        ),
        (lambda: crossed_interval([np.ones((2, 2))], lambda s: s), "expected 1 values, one a row"),
        (lambda: seed_interval([1.0]), "at least 2 seeds"),
        (lambda: seed_confidence([1.0]), "at least 2 seeds, found shape"),
        (lambda: seed_interval([1.0, math.inf]), "finite values, found inf"),
        (lambda: seed_interval([1.0, 2.0], 0.95, "min"), "mean or median, found min"),
        (lambda: seed_interval([1.0, 2.0], 1.0, "median"), "level: expected between 0 and 1"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_seeds_of_unequal_size_are_welcome_where_items_are_their_own():
    found = nested_interval([np.ones((2, 2)), np.ones((3, 2))], mean)
    assert (found.low, found.high) == (1.0, 1.0)
