"""Intervals over seeds and items: worked examples, oracles, simulated coverage, refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from echobook.metrics.intervals import (
    crossed_bootstrap,
    crossed_confidence,
    holm_p_values,
    nested_bootstrap,
    nested_confidence,
    seed_confidence,
    seed_interval,
)


def mean(sums):
    """Weighted mean of columns w s and w."""
    return sums[:, 0] / sums[:, 1]


def with_ones(scores):
    """Columns of unweighted scores."""
    return np.stack([np.asarray(scores, float), np.ones(len(scores))], axis=1)


# literals


def test_two_seeds_two_items_by_hand():
    # scores 0, 2 and 2, 8: theta 1 and 5, M = 8. Leave-one-out means are the other score; deviations from
    # their mean (1, -1) and (3, -3), times sqrt(1/2): variances 1 and 9, covariance 3 = c; W = 5 - 3 = 2.
    # V = 8 / 2 + 3 = 7, seeds' part 7 - (2 / 2 + 3) = 3; nu = 49 / (16 / 1 + 9 / 1) = 1.96.
    found = crossed_confidence([with_ones([0, 2]), with_ones([2, 8])], mean, seed=0)
    assert found.estimate == 3.0
    assert found.item_variance == pytest.approx(4.0, rel=1e-12)
    assert found.seed_variance == pytest.approx(3.0, rel=1e-12)
    assert found.degrees == pytest.approx(1.96, rel=1e-12)
    # the same scores as seeds' own items: c = 0, W = 5, V = 8 / 2, t with one degree of freedom
    apart = nested_confidence([with_ones([0, 2]), with_ones([2, 8])], mean, seed=0)
    assert (apart.seed_variance, apart.item_variance, apart.degrees) == pytest.approx(
        (1.5, 2.5, 1.0), rel=1e-12
    )


def test_seeds_that_agree_leave_the_items_error():
    # own items, two seeds of equal mean: M = 0, so W = (1 + 9) / 2 stands in
    found = nested_confidence([with_ones([0, 2]), with_ones([-2, 4])], mean, seed=0)
    assert (found.seed_variance, found.item_variance) == pytest.approx((0.0, 2.5), rel=1e-12)


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


def test_seed_interval_and_p_value_match_scipy():
    values = np.random.default_rng(0).normal(0.4, 1, 7)
    theirs = stats.ttest_1samp(values, 0.1)
    expected = theirs.confidence_interval(0.9)
    found = seed_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)
    direction = "above" if values.mean() > 0.1 else "below"
    assert seed_confidence(values).p_value(0.1, direction) == pytest.approx(theirs.pvalue, rel=1e-6)
    assert seed_confidence(values).p_value(0.1, "below" if direction == "above" else "above") == 1.0


def test_crossed_variance_is_the_two_way_analysis_of_variance():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 30)) + rng.normal(size=30)
    seeds, items = scores.mean(1), scores.mean(0)
    left = scores - seeds[:, None] - items + scores.mean()
    mean_square = [30 * seeds.var(ddof=1), 4 * items.var(ddof=1), (left**2).sum() / (3 * 29)]
    shared = max(mean_square[1] - mean_square[2], 0) / 120
    found = crossed_confidence([with_ones(row) for row in scores], mean, seed=0)
    own = max(mean_square[0] / 30, (mean_square[2]) / 30)
    assert found.standard_error**2 == pytest.approx(own / 4 + shared, rel=1e-9)


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crossed_bootstrap([], mean, seed=0), "one for each seed, found none"),
        (lambda: crossed_bootstrap([np.ones((1, 2))], mean, seed=0), "at least 2 units"),
        (lambda: crossed_bootstrap([np.ones((2, 2)), np.ones((3, 2))], mean, seed=0), r"tables\[1\]"),
        (lambda: nested_bootstrap([np.ones((2, 2)), np.ones((3, 4))], mean, seed=0), r"tables\[1\]"),
        (lambda: nested_bootstrap([np.full((2, 2), math.nan)], mean, seed=0), "finite sums, found nan"),
        (lambda: nested_bootstrap([np.ones((2, 2))], mean, seed=0, resamples=99), "at least 100, found 99"),
        (lambda: nested_bootstrap([np.ones((2, 2))], mean, seed=0, level=1.0), "level"),
        (lambda: crossed_bootstrap([np.zeros((2, 2))], mean, seed=0), "finite value in every seed"),
        (
            lambda: crossed_bootstrap([np.array([[1.0, 1.0], [0.0, 0.0]])], mean, seed=0),
            "without any one unit",
        ),
        (lambda: crossed_bootstrap([np.ones((2, 2))], lambda s: s, seed=0), "one a row"),
        (lambda: seed_interval([1.0]), "at least 2 seeds"),
        (lambda: seed_interval([1.0, math.inf]), "finite values, found inf"),
        (lambda: seed_interval([1.0, 2.0], 0.95, "min"), "mean or median, found min"),
        (lambda: seed_confidence([1.0, 2.0]).p_value(0.0, "within"), "a pair"),
        (lambda: seed_confidence([1.0, 2.0]).p_value((1.0, 0.0), "within"), "lower one first"),
        (lambda: holm_p_values([seed_confidence([1.0, 2.0])], [0.0], []), "shorter"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
