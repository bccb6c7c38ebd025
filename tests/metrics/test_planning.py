"""Planning: decisions by hand, power against closed forms, monotone in what helps, out of reach, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from echobook.metrics.planning import (
    Scenario,
    check_smallest_effect,
    decide,
    power,
    seeds_needed,
    simulated_intervals,
)

SEEDS = Scenario(spread=1.0, design="seeds", effect=1.0, bound=0)
CROSSED = Scenario(spread=0.02, item_error=0.016, design="crossed", effect=0.02, bound=0)
NOISE = 4 * 0.5 / math.sqrt(20_000)  # four standard deviations of a share of 20,000 at its worst


# literals


def test_decisions_by_hand():
    low = np.array([0.1, -0.1, 0.1, -0.1, 0.0, 0.5])
    high = np.array([0.9, 0.4, 0.4, 0.9, 0.5, 0.6])
    holds, fails = decide(low, high, bound=0, smallest_effect=0.5)
    assert holds.tolist() == [True, False, True, False, False, True]
    assert fails.tolist() == [False, True, True, False, False, False]
    mirrored = decide(-high, -low, bound=0, smallest_effect=-0.5, direction="below")
    assert mirrored[0].tolist() == holds.tolist()
    assert mirrored[1].tolist() == fails.tolist()
    alone = decide(low, high, bound=0.5)  # no worse than: the bound is also the smallest effect
    assert alone[0].tolist() == [False] * 6
    assert alone[1].tolist() == [False, True, True, False, False, False]


def test_equivalence_by_hand():
    low, high = np.array([-0.1, -0.2, 0.2, -0.9, 0.3, -0.9]), np.array([0.1, 0.1, 0.3, -0.3, 0.4, -0.2])
    holds, fails = decide(low, high, bound=(-0.2, 0.2), direction="within")
    assert holds.tolist() == [True, False, False, False, False, False]
    assert fails.tolist() == [False, False, False, True, True, False]


def test_variances_of_the_designs_by_hand():
    mixed = replace(CROSSED, item_error=2.0, shared=0.25)
    assert (mixed.common, mixed.own) == (1.0, 3.0)
    assert (replace(mixed, design="nested").common, replace(mixed, design="nested").own) == (0.0, 4.0)
    assert (replace(mixed, design="seeds").common, replace(mixed, design="seeds").own) == (0.0, 0.0)


def test_what_a_plan_leaves_out():
    assert (SEEDS.item_error, SEEDS.units, SEEDS.shared, SEEDS.level) == (0.0, 200, 1.0, 0.95)
    assert replace(SEEDS, design="crossed").common == 0.0


def test_gaps_by_hand():
    assert replace(SEEDS, effect=0.5, bound=0.2).gap == pytest.approx(0.3)
    assert replace(SEEDS, effect=-0.5, bound=-0.2, direction="below").gap == pytest.approx(0.3)
    assert replace(SEEDS, effect=0.1, bound=(-0.5, 0.2), direction="within").gap == pytest.approx(0.1)
    assert replace(SEEDS, effect=-0.4, bound=(-0.5, 0.2), direction="within").gap == pytest.approx(0.1)


# oracles


@pytest.mark.parametrize(("seeds", "effect"), [(2, 3.0), (3, 1.0), (5, 1.0), (10, 0.8)])
def test_power_of_seeds_is_the_noncentral_t(seeds, effect):
    # holds: mean / (s / sqrt(S)) > t(.975), whose law is noncentral t
    exact = stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, effect * math.sqrt(seeds))
    assert power(replace(SEEDS, effect=effect), seeds).holds == pytest.approx(exact, abs=NOISE)
    below = replace(SEEDS, effect=-effect, direction="below")
    assert power(below, seeds).holds == pytest.approx(exact, abs=NOISE)


def test_power_over_shared_items_alone_is_the_noncentral_t():
    plan = Scenario(spread=0.0, item_error=0.5, design="crossed", effect=1.2, bound=0, units=12)
    exact = stats.nct.sf(stats.t.ppf(0.975, 11), 11, 1.2 / 0.5)
    for seeds in (2, 20):
        assert power(plan, seeds).holds == pytest.approx(exact, abs=NOISE)


def test_power_of_equivalence_with_many_seeds_is_normal():
    # 100 seeds, standard error .1: inside (-.3, .3) by 1.98 errors at both ends
    plan = replace(SEEDS, effect=0.0, bound=(-0.3, 0.3), direction="within")
    t = stats.t.ppf(0.975, 99)
    assert power(plan, 100).holds == pytest.approx(2 * stats.norm.cdf(3 - t) - 1, abs=0.02)


def test_seeds_needed_is_the_first_with_enough_power():
    answer = seeds_needed(replace(SEEDS, effect=0.8))
    exact = [stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, 0.8 * math.sqrt(n)) >= 0.8 for n in range(2, 60)]
    assert abs(answer.seeds - (2 + exact.index(True))) <= 1  # Monte Carlo error of the power near .8
    assert answer.power == power(replace(SEEDS, effect=0.8), answer.seeds).holds >= 0.8
    assert power(replace(SEEDS, effect=0.8), answer.seeds - 1).holds < 0.8
    assert answer.reason == f"{answer.seeds} seeds are enough"


def test_two_seeds_are_the_least():
    assert seeds_needed(replace(SEEDS, effect=1e6)).seeds == 2


# properties


def test_rates_add_up_and_mirror():
    for effect in (-0.5, 0.0, 0.3, 2.0):
        plan = replace(SEEDS, effect=effect, bound=0, smallest_effect=0.6)
        rates = power(plan, 6)
        assert rates.holds + rates.smaller + rates.fails + rates.undecided == pytest.approx(1, abs=1e-12)
        mirrored = power(replace(plan, effect=-effect, smallest_effect=-0.6, direction="below"), 6)
        for name in ("holds", "smaller", "fails", "undecided"):
            assert getattr(mirrored, name) == pytest.approx(getattr(rates, name), abs=2 * NOISE)


def test_a_real_effect_too_small_to_matter_holds_smaller():
    plan = replace(SEEDS, effect=0.3, smallest_effect=1.0)
    assert power(plan, 150).smaller > 0.9
    assert power(replace(plan, effect=0.0), 150).fails > 0.9


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.sampled_from(["crossed", "nested", "seeds"]), st.floats(0, 1))
def test_what_helps_helps(seeds, design, shared):
    plan = Scenario(spread=0.5, item_error=0.3, design=design, effect=0.6, bound=0, shared=shared, units=40)
    least = power(plan, seeds).holds - 2 * NOISE
    assert power(plan, 2 * seeds).holds >= least
    assert power(replace(plan, effect=0.9), seeds).holds >= least
    assert power(replace(plan, spread=0.2), seeds).holds >= least
    assert power(replace(plan, item_error=0.1), seeds).holds >= least
    assert power(replace(plan, level=0.8), seeds).holds >= least
    assert power(replace(plan, units=400), seeds).holds >= least
    assert power(replace(plan, shared=0.0), seeds).holds >= least


def test_same_seed_same_bits():
    assert power(CROSSED, 5, seed=3) == power(CROSSED, 5, seed=3)
    assert power(CROSSED, 5, seed=3) != power(CROSSED, 5, seed=4)
    low, high = simulated_intervals(CROSSED, 5, trials=7)
    assert low.shape == high.shape == (7,)


# out of reach


def test_items_that_all_share_put_a_plan_out_of_reach():
    answer = seeds_needed(CROSSED)
    assert answer.seeds is None
    assert answer.power == power(CROSSED, 200).holds
    assert "no number of seeds: all share the items, whose standard error of 0.016 stays" in answer.reason
    # (1.96 + .84) * .016 = .0448 is the effect that could be shown: (.0448 / .02)^2 = 5.0 times as many items
    assert "at least 5.0 times as many items" in answer.reason
    assert f"the power is {answer.power:.2f} with 200 seeds, short of 0.8" in answer.reason
    assert 10 < seeds_needed(replace(CROSSED, design="nested")).seeds < 20


def test_fewer_seeds_allowed_than_it_takes():
    few = seeds_needed(replace(SEEDS, effect=0.2), most=20)
    assert few.seeds is None
    assert few.reason.startswith("more than 20 seeds: the power is 0.1")
    # crossed, but the items would do: .02 is 5 of their standard errors
    near = seeds_needed(replace(CROSSED, item_error=0.004), most=5)
    assert near.seeds is None
    assert near.reason.startswith("more than 5 seeds")


@pytest.mark.parametrize("effect", [0.0, -0.1])
def test_an_effect_at_the_bound_cannot_be_shown(effect):
    answer = seeds_needed(replace(SEEDS, effect=effect))
    assert answer.seeds is None
    assert "not beyond the bound" in answer.reason
    assert answer.power == power(replace(SEEDS, effect=effect), 200).holds <= 0.03


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: replace(SEEDS, spread=-0.1), "spread: expected a finite number of at least 0, found -0.1"),
        (lambda: replace(SEEDS, item_error=math.nan), "item_error: expected a finite"),
        (lambda: replace(SEEDS, shared=1.1), "shared: expected between 0 and 1, found 1.1"),
        (lambda: replace(SEEDS, shared=-0.1), "shared: expected between 0 and 1, found -0.1"),
        (lambda: replace(SEEDS, level=1.0), "level: expected between 0 and 1, found 1.0"),
        (lambda: replace(SEEDS, units=1), "units: expected at least 2, found 1"),
        (lambda: replace(SEEDS, smallest_effect=-0.1), "on the wrong side of the bound 0"),
        (lambda: replace(SEEDS, smallest_effect=0.1, direction="below"), "wrong side of the bound 0"),
        (lambda: replace(SEEDS, direction="within"), "a pair for direction within"),
        (
            lambda: replace(SEEDS, bound=(-1.0, 1.0), direction="within", smallest_effect=0.5),
            "smallest_effect: not allowed for direction within",
        ),
        (lambda: power(SEEDS, 1), "seeds: expected at least 2, found 1"),
        (lambda: seeds_needed(SEEDS, target=1.0), "target between 0 and 1"),
        (lambda: seeds_needed(SEEDS, target=0.0), "target between 0 and 1"),
        (lambda: seeds_needed(SEEDS, most=1), "most at least 2, found 0.8 and 1"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_smallest_effect_at_the_bound_means_no_worse_than():
    check_smallest_effect(-0.5, -0.5, "above")
    check_smallest_effect(-0.5, -0.5, "below")
