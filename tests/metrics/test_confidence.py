"""Confidence distributions: worked examples, scipy and statsmodels as oracles, properties, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from echobook.metrics.confidence import (
    LEAST_P,
    Confidence,
    check_level,
    holm_p_values,
    unskewed,
)
from echobook.metrics.intervals import seed_confidence

SIZES = st.floats(0.01, 10)
ANY = st.builds(
    lambda estimate, between, shared, own, seeds, units, skew: Confidence(
        estimate, between, seeds - 1.0, shared, shared + own, units - 1.0, skew
    ),
    st.floats(-5, 5),
    SIZES,
    SIZES,
    SIZES,
    st.integers(2, 30),
    st.integers(2, 500),
    st.floats(-20, 20),
)


# literals


def test_half_widths_add_in_quadrature_by_hand():
    # two seeds: t(1; .975) = 12.706205, A = 4; three units: t(2; .975) = 4.302653, c = 9; I = 10
    parts = Confidence(1.0, between=4.0, seed_degrees=1.0, shared=9.0, items=10.0, item_degrees=2.0)
    half = math.sqrt(12.706205**2 * 4 + 4.302653**2 * 9)
    found = parts.interval()
    assert parts.half_width(0.025) == pytest.approx(half, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half), rel=1e-6)
    assert (found.estimate, found.level, found.standard_error) == (1.0, 0.95, math.sqrt(13.0))


def test_items_alone_are_the_least_width():
    # seeds that agree: A = 0; I = 4 with t(9; .95) = 1.833113
    parts = Confidence(0.0, between=0.0, seed_degrees=2.0, items=4.0, item_degrees=9.0)
    assert parts.standard_error == 2.0
    assert parts.half_width(0.05) == pytest.approx(2 * 1.833113, rel=1e-6)


def test_unskewed_by_hand():
    # kappa = 6, x = 13/6: y = 7/6, the cube root of 8 is 2: 3 (2 - 1) / 6
    assert unskewed(13 / 6, 6.0) == pytest.approx(0.5, rel=1e-12)
    # kappa = .6, x = -2.9: y = -3: -3 - .2 * 9 + (5 / 27) .36 (-27) = -6.6
    assert unskewed(-2.9, 0.6) == pytest.approx(-6.6, rel=1e-12)
    assert unskewed(2.9, -0.6) == pytest.approx(6.6, rel=1e-12)
    assert unskewed(1.5, 0.0) == 1.5
    assert unskewed(1.5, 6e-7) == pytest.approx(1.5 - 1e-7, abs=1e-13)


def test_the_two_branches_of_unskewed_meet():
    # value, slope and curvature agree at y = 0; the third derivatives differ only by the cut of the series
    for kappa in (-0.8, 0.3, 2.0):
        near = [unskewed(kappa / 6 + step, kappa) for step in (-2e-3, -1e-3, 0.0, 1e-3, 2e-3)]
        assert near[2] == pytest.approx(0.0, abs=1e-12)
        slopes = np.diff(near) / 1e-3
        np.testing.assert_allclose(np.diff(slopes) / 1e-3, -2 * kappa / 3, rtol=0.02)


def test_right_skew_moves_both_ends_to_the_right():
    plain = Confidence(0.0, shared=1.0, items=1.0, item_degrees=50.0).interval()
    moved = Confidence(0.0, shared=1.0, items=1.0, item_degrees=50.0, skew=0.3).interval()
    assert moved.low > plain.low
    assert moved.high > plain.high
    # in units of (standard error)^3: four times the variance and eight times the skew only double both ends
    doubled = Confidence(0.0, shared=4.0, items=4.0, item_degrees=50.0, skew=2.4).interval()
    assert (doubled.low, doubled.high) == pytest.approx((2 * moved.low, 2 * moved.high), rel=1e-12)


def test_without_spread_a_point_decides():
    point = Confidence(0.25)
    assert (point.interval().low, point.interval().high) == (0.25, 0.25)
    assert point.p_value(0.2, "above") == LEAST_P
    assert point.p_value(0.25, "above") == 1.0
    assert point.p_value(0.25, "below") == 1.0
    assert point.p_value(0.3, "below") == LEAST_P
    assert point.p_value((0.2, 0.3), "within") == LEAST_P


def test_p_values_end_where_numbers_do():
    sure = Confidence(1.0, between=1e-8, seed_degrees=30.0)
    assert sure.p_value(0.0, "above") == LEAST_P
    assert sure.p_value(2.0, "below") == LEAST_P
    assert sure.p_value(2.0, "above") == 1.0
    assert sure.p_value(1.0, "above") == 1.0


# oracles


@pytest.mark.parametrize("direction", ["above", "below"])
def test_p_value_of_seeds_matches_scipy(direction):
    values = np.random.default_rng(0).normal(size=7)
    bound = values.mean() + (-0.3 if direction == "above" else 0.3)
    found = seed_confidence(values).p_value(bound, direction)
    assert found == pytest.approx(stats.ttest_1samp(values, bound).pvalue, rel=1e-7)
    other = "below" if direction == "above" else "above"
    assert seed_confidence(values).p_value(bound, other) == 1.0


def test_equivalence_matches_two_one_sided_tests():
    rng = np.random.default_rng(1)
    for n in (3, 5, 20):
        values = rng.normal(0.1, 1, n)
        theirs = DescrStatsW(values).ttost_mean(-1.5, 1.5)[0]  # one-sided; ours is on the two-sided scale
        ours = seed_confidence(values).p_value((-1.5, 1.5), "within")
        assert ours == pytest.approx(2 * theirs, rel=1e-7)


def test_holm_matches_statsmodels():
    rng = np.random.default_rng(2)
    tests = [seed_confidence(rng.normal(0.5, 1, 6)) for _ in range(4)]
    bounds, directions = [0.0, 0.1, (-1.0, 2.0), 1.0], ["above", "above", "within", "below"]
    raw = [test.p_value(*pair) for test, *pair in zip(tests, bounds, directions, strict=True)]
    expected = multipletests(raw, method="holm")[1]
    np.testing.assert_allclose(holm_p_values(tests, bounds, directions), expected, rtol=1e-12)


@pytest.mark.parametrize(("right", "slack"), [(84, 0.05), (92, 0.05), (96, 0.1), (98, 0.1)])
def test_few_errors_agree_with_the_exact_binomial_interval(right, slack):
    # one seed, 100 answers: variance p (1 - p) / 99, third moment (1 - 2 p) p (1 - p) / 99^2 up to 1 / n.
    # slack: of the exact lower arm; Clopper and Pearson's interval is itself a little wide
    p = right / 100
    variance, skew = p * (1 - p) / 99, p * (1 - p) * (1 - 2 * p) / 99**2
    ours = Confidence(p, shared=variance, items=variance, item_degrees=99.0, skew=skew).interval()
    exact = stats.binomtest(right, 100).proportion_ci(method="exact")
    assert p - ours.low == pytest.approx(p - exact.low, rel=slack)
    assert ours.high - p == pytest.approx(exact.high - p, rel=0.3)  # the short arm: a hundredth or two
    symmetric = 1.984 * math.sqrt(variance)
    assert abs(ours.low - exact.low) < abs(p - symmetric - exact.low)
    assert abs(ours.high - exact.high) < abs(p + symmetric - exact.high)


# properties


@settings(max_examples=200, deadline=None)
@given(st.floats(-30, 30), st.floats(0.001, 5), st.floats(-3, 3))
def test_unskewed_grows(value, step, kappa):
    assert unskewed(value, kappa) < unskewed(value + step, kappa)


@settings(max_examples=100, deadline=None)
@given(ANY, st.floats(0.5, 0.999), st.sampled_from(["above", "below"]))
def test_an_interval_touches_the_bound_at_its_p_value(parts, level, direction):
    found = parts.interval(level)
    bound = found.low if direction == "above" else found.high
    assert parts.p_value(bound, direction) == pytest.approx(1 - level, rel=1e-6)
    away = 1e-3 * (found.high - found.low) * (1 if direction == "above" else -1)
    assert parts.p_value(bound - away, direction) < 1 - level < parts.p_value(bound + away, direction)


@settings(max_examples=100, deadline=None)
@given(ANY, st.floats(0.5, 0.98))
def test_higher_levels_hold_lower_ones(parts, level):
    inner, outer = parts.interval(level), parts.interval(level + 0.01)
    assert outer.low < inner.low < inner.high < outer.high


@settings(max_examples=100, deadline=None)
@given(ANY)
def test_negated_scores_mirror_the_interval(parts):
    mirrored = Confidence(
        -parts.estimate,
        parts.between,
        parts.seed_degrees,
        parts.shared,
        parts.items,
        parts.item_degrees,
        -parts.skew,
    )
    assert mirrored.interval().low == pytest.approx(-parts.interval().high, rel=1e-9)
    assert mirrored.p_value(0.5, "below") == pytest.approx(parts.p_value(-0.5, "above"), rel=1e-6)


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Confidence(0.0).p_value(0.0, "within"), "a pair for direction within, found 0.0"),
        (lambda: Confidence(0.0).p_value((0.0, 1.0), "above"), "one number for direction above"),
        (lambda: Confidence(0.0).p_value((1.0, 0.0), "within"), "lower one first"),
        (lambda: Confidence(0.0).p_value((1.0, 1.0), "within"), "lower one first"),
        (lambda: Confidence(0.0).interval(1.0), "level: expected between 0 and 1, found 1.0"),
        (lambda: check_level(0.0), "level: expected between 0 and 1, found 0.0"),
        (lambda: holm_p_values([Confidence(0.0)], [0.0], []), "shorter"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
