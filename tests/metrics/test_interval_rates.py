"""How often intervals are right: coverage, and false decisions at the bound and at the smallest effect.

Normal seeds and items over a grid of designs by sufficient statistics (`simulated_intervals`, 20,000 runs a
cell); scores of items, normal and skew, through the intervals themselves for a few cells of it. The full
table, beside the bootstraps that these intervals replace, is made by `bench/interval_coverage.py`.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from echobook.metrics.confidence import holm_p_values
from echobook.metrics.intervals import (
    crossed_interval,
    nested_interval,
    seed_confidence,
    seed_interval,
)
from echobook.metrics.planning import Scenario, power, simulated_intervals
from echobook.metrics.statistics import hierarchical_bootstrap, holm

SOURCES = [(0.02, 0.016), (0.02, 0.004), (0.004, 0.02), (0.0, 0.016)]  # seed spread, item error
DESIGNS = [("crossed", 1.0), ("crossed", 0.5), ("nested", 1.0), ("seeds", 1.0)]
TRIALS = 20_000


def noise(rate, trials=TRIALS):
    """Four standard deviations of a share: a true rate is beyond it once in 16,000 cells."""
    return 4 * math.sqrt(rate * (1 - rate) / trials)


def cells():
    for spread, item_error in SOURCES:
        for design, shared in DESIGNS:
            if design != "seeds" or spread > 0:
                for seeds in (2, 3, 5, 10, 20):
                    plan = Scenario(
                        spread=spread,
                        item_error=item_error,
                        design=design,
                        shared=shared,
                        effect=0.0,
                        bound=0.0,
                        units=60,
                    )
                    yield pytest.param(plan, seeds, id=f"{design}-{shared}-{spread}-{item_error}-{seeds}")


@pytest.mark.parametrize(("plan", "seeds"), list(cells()))
def test_intervals_cover_at_least_as_often_as_they_say(plan, seeds):
    low, high = simulated_intervals(plan, seeds, trials=TRIALS)
    # .95 and up: exact where seeds or items are all there is, wider where both matter and seeds are few
    assert np.mean((low <= 0) & (high >= 0)) >= 0.95 - noise(0.95)
    assert np.mean(low > 0) <= 0.025 + noise(0.025)
    assert np.mean(high < 0) <= 0.025 + noise(0.025)
    if seeds >= 10:  # and not much wider than needed
        assert np.mean((low <= 0) & (high >= 0)) <= 0.975


@pytest.mark.parametrize(("plan", "seeds"), list(cells()))
def test_false_decisions_stay_at_their_rate(plan, seeds):
    at_bound = power(replace(plan, smallest_effect=0.02), seeds, trials=TRIALS)
    assert at_bound.holds + at_bound.smaller <= 0.025 + noise(0.025)
    at_smallest = power(replace(plan, effect=0.02, smallest_effect=0.02), seeds, trials=TRIALS)
    assert at_smallest.fails + at_smallest.smaller <= 0.025 + noise(0.025)
    no_worse = power(replace(plan, effect=-0.03, bound=-0.03, smallest_effect=-0.03), seeds, trials=TRIALS)
    assert no_worse.holds <= 0.025 + noise(0.025)
    assert no_worse.fails <= 0.025 + noise(0.025)
    equal = replace(plan, effect=0.03, bound=(-0.03, 0.03), direction="within")
    assert power(equal, seeds, trials=TRIALS).holds <= 0.025 + noise(0.025)
    assert power(equal, seeds, trials=TRIALS).fails <= 0.025 + noise(0.025)


# scores of items


def normal_tables(rng, seeds, spread, item_error, shared, units=40):
    """Seeds' tables of w s and w with weights 1; item_error is the standard error of one seed's mean."""
    common = math.sqrt(shared * units) * item_error * rng.normal(size=units)
    own = math.sqrt((1 - shared) * units) * item_error * rng.normal(size=(seeds, units))
    scores = spread * rng.normal(size=(seeds, 1)) + common + own
    return [np.stack([row, np.ones(units)], axis=1) for row in scores]


def skew_tables(rng, seeds, units):
    """Scores with an exponential part that all seeds share; the mean is 1."""
    scores = rng.exponential(size=units) + 0.05 * rng.normal(size=(seeds, 1))
    return [np.stack([row, np.ones(units)], axis=1) for row in scores]


def mean(sums):
    return sums[:, 0] / sums[:, 1]


def misses(intervals, truth):
    low, high = np.array([(found.low, found.high) for found in intervals]).T
    return float(np.mean(low > truth)), float(np.mean(high < truth))


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize(("spread", "item_error", "shared"), [(0.02, 0.016, 0.5), (0.02, 0.004, 1.0)])
def test_item_scores_give_the_same_coverage(seeds, spread, item_error, shared):
    rng = np.random.default_rng([seeds, round(1e4 * item_error)])
    tables = [normal_tables(rng, seeds, spread, item_error, shared) for _ in range(1200)]
    found = 1 - sum(misses([crossed_interval(one, mean) for one in tables], 0.0))
    plan = Scenario(
        spread=spread,
        item_error=item_error,
        design="crossed",
        shared=shared,
        effect=0.0,
        bound=0.0,
        units=40,
    )
    low, high = simulated_intervals(plan, seeds)
    expected = float(np.mean((low <= 0) & (high >= 0)))
    assert found == pytest.approx(expected, abs=noise(0.95, 1200))
    assert found >= 0.95 - noise(0.95, 1200)


def test_own_items_cover_and_the_percentile_bootstrap_does_not():
    rng = np.random.default_rng(1)
    tables = [normal_tables(rng, 3, 0.02, 0.004, 0.0) for _ in range(600)]
    ours = [nested_interval(one, mean) for one in tables]
    assert sum(misses(ours, 0.0)) <= 0.05 + noise(0.05, 600)
    theirs = [
        hierarchical_bootstrap([table[:, 0] for table in one], seed=k, resamples=300)
        for k, one in enumerate(tables)
    ]
    assert sum(misses(theirs, 0.0)) > 0.15  # .79 to .90 coverage with three seeds: why these intervals exist


def test_seeds_that_share_items_are_not_seeds_with_items_of_their_own():
    rng = np.random.default_rng(2)
    tables = [normal_tables(rng, 10, 0.005, 0.02, 1.0) for _ in range(400)]
    assert sum(misses([crossed_interval(one, mean) for one in tables], 0.0)) <= 0.05 + noise(0.05, 400)
    assert sum(misses([nested_interval(one, mean) for one in tables], 0.0)) > 0.4


@pytest.mark.parametrize("units", [50, 200])
def test_both_ends_are_right_for_skew_items(units):
    rng = np.random.default_rng(units)
    tables = [skew_tables(rng, 10, units) for _ in range(1500)]
    below, above = misses([crossed_interval(one, mean) for one in tables], 1.0)
    # theory of the correction leaves an error of order 1/units on each side
    assert below <= 0.025 + 0.25 / units + noise(0.025, 1500)
    assert above <= 0.025 + 0.25 / units + noise(0.025, 1500)
    assert abs(above - below) < 0.02  # t alone: .01 and .045 at 50 units


@pytest.mark.parametrize(("aggregate", "seeds"), [("mean", 5), ("median", 3), ("median", 5), ("median", 8)])
def test_seed_intervals_cover(aggregate, seeds):
    rng = np.random.default_rng(seeds)
    found = [seed_interval(rng.normal(size=seeds), 0.95, aggregate) for _ in range(3000)]
    assert sum(misses(found, 0.0)) <= 0.05 + noise(0.05, 3000)


@pytest.mark.parametrize("seeds", [6, 9, 20])
def test_median_intervals_cover_whatever_the_law(seeds):
    rng = np.random.default_rng(seeds)
    found = [seed_interval(rng.exponential(size=seeds) ** 2, 0.95, "median") for _ in range(2000)]
    missed = sum(misses(found, math.log(2) ** 2))
    assert missed == pytest.approx(0.05, abs=0.01 + noise(0.05, 2000))  # interpolation is good to about .01


def test_holm_holds_the_rate_of_any_false_finding():
    # two-sided p values of one side: of a null test one in forty is below .05, of four one family in ten
    values = np.random.default_rng(3).normal(size=(3000, 4, 6))
    p = np.minimum(2 * stats.ttest_1samp(values, 0.0, axis=2, alternative="greater").pvalue, 1.0)
    corrected = np.array([holm(row) for row in p])
    for row, expected in zip(values[:20], corrected, strict=False):
        tests = [seed_confidence(one) for one in row]
        np.testing.assert_allclose(holm_p_values(tests, [0.0] * 4, ["above"] * 4), expected, rtol=1e-6)
    assert float(np.mean(corrected.min(axis=1) < 0.05)) <= 0.025 + noise(0.025, 3000)
    assert float(np.mean(p.min(axis=1) < 0.05)) > 0.07
