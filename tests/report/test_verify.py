"""Verifying a new run against the recorded ones."""

import numpy as np
import pytest
from scipy import stats

from echobook.report.errors import ResultsError
from echobook.report.verify import allowed, verify


def recorded(make, *values):
    return [make({"a": value}, seed=seed) for seed, value in enumerate(values)]


def test_ranges_by_hand():
    # 1, 2, 3: s = 1; known seed: t(2; 0.975) / sqrt 3 around its own value; new seed: t(2; 0.995) sqrt(4/3)
    low, high = allowed([1.0, 2.0, 3.0], 3.0)
    assert (3.0 - low, high - 3.0) == (
        pytest.approx(4.302653 / 3**0.5, rel=1e-6),
        pytest.approx(4.302653 / 3**0.5, rel=1e-6),
    )
    low, high = allowed([1.0, 2.0, 3.0], None)
    assert (low, high) == (
        pytest.approx(2 - 9.924843 * (4 / 3) ** 0.5, rel=1e-6),
        pytest.approx(2 + 9.924843 * (4 / 3) ** 0.5, rel=1e-6),
    )
    assert allowed([2.0], 2.0, relative=0.1) == (pytest.approx(1.8), pytest.approx(2.2))


def test_new_seed_range_has_its_stated_coverage():
    # a fresh normal value lies in the 99 % prediction interval of five in 99 % of trials (four deviations)
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        *old, new = rng.normal(size=6)
        low, high = allowed(old, None)
        hits += low <= new <= high
    assert abs(hits / 1000 - 0.99) <= 4 * (0.99 * 0.01 / 1000) ** 0.5
    assert stats.binomtest(hits, 1000, 0.99).pvalue > 1e-4


def test_same_run_is_identical(make):
    found = verify(make({"a": 1.0}), recorded(make, 1.0))
    assert found.within
    assert (
        found.report()
        == "small-talk, seed 0: within tolerance; 1 of 1 figures inside, 1 equal to the last bit"
    )


def test_outside_is_said_with_figures(make):
    found = verify(make({"a": 1.1}), recorded(make, 1.0))
    assert not found.within
    assert "outside tolerance; 0 of 1 figures inside" in found.report()
    assert "a: 1.100000 is outside [0.999999, 1.000001]" in found.report()


def test_spread_over_seeds_gives_room(make):
    old = recorded(make, 1.0, 1.2, 0.8)
    assert verify(make({"a": 1.1}), old).within
    assert verify(make({"a": 1.1}, seed=9), old).within
    assert not verify(make({"a": 9.0}, seed=9), old).within


def test_missing_figures_fail_and_new_ones_do_not(make):
    old = [make({"a": 1.0, "b": 2.0})]
    less, more = verify(make({"a": 1.0}), old), verify(make({"a": 1.0, "b": 2.0, "c": 3.0}), old)
    assert not less.within
    assert "b: recorded, but not in this run" in less.report()
    assert more.within
    assert "c: new, nothing recorded to compare with" in more.report()


def test_measured_times_are_not_compared(make):
    old = [make({"a": 1.0, "speed": 5.0}, timing=("speed",))]
    assert verify(make({"a": 1.0, "speed": 50.0}, timing=("speed",)), old).within


def test_a_figure_is_not_excused_by_calling_it_a_time_in_one_run_only(make):
    old = [make({"a": 1.0})]
    assert not verify(make({"a": 50.0}, timing=("a",)), old).within
    old = [make({"a": 1.0}, timing=("a",))]
    assert not verify(make({"a": 50.0}), old).within


def test_names_are_listed_in_order(make):
    names = ["alpha", "beta", "delta", "eta", "gamma", "zeta"]
    old, new = [make(dict.fromkeys(names, 1.0))], make({f"new-{name}": 1.0 for name in names})
    found = verify(new, old)
    assert found.missing == tuple(names)
    assert found.unknown == tuple(f"new-{name}" for name in names)
    assert [check.metric for check in verify(old[0], old).checks] == names


def test_only_the_figures_outside_are_shown(make):
    old = [make({"a": 1.0, "b": 2.0, "c": 3.0})]
    lines = verify(make({"a": 1.0, "b": 2.5, "c": 3.0000001, "d": 1.0}, seed=0), old).report().split("\n")
    assert lines == [
        "small-talk, seed 0: outside tolerance; 2 of 3 figures inside, 1 equal to the last bit",
        "  b: 2.500000 is outside [1.999998, 2.000002]",
        "  d: new, nothing recorded to compare with",
    ]


def test_the_seed_run_again_is_compared_with_its_own_record(make):
    # recorded 1, 1.2, 0.8: s = 0.2, half width t(2; 0.975) 0.2 / sqrt 3 = 0.4968 around the seed's own 0.8
    old = recorded(make, 1.0, 1.2, 0.8)
    [check] = verify(make({"a": 1.0}, seed=2), old).checks
    assert (check.low, check.high) == (pytest.approx(0.3031724, rel=1e-6), pytest.approx(1.2968276, rel=1e-6))
    assert not check.identical  # 1.0 is the record of seed 0
    assert verify(make({"a": 0.8}, seed=2), old).checks[0].identical
    assert not verify(make({"a": 1.3}, seed=2), old).within
    assert verify(make({"a": 1.3}, seed=1), old).within


@pytest.mark.parametrize("seed", [0, 5])
def test_the_ends_of_the_range_are_inside(make, seed):
    old = recorded(make, 1.0, 1.5)
    [check] = verify(make({"a": 1.0}, seed=seed), old).checks
    for value, inside in (
        (check.low, True),
        (check.high, True),
        (np.nextafter(check.low, -np.inf), False),
        (np.nextafter(check.high, np.inf), False),
    ):
        assert verify(make({"a": float(value)}, seed=seed), old).within == inside


def test_equal_seeds_leave_only_the_relative_slack(make):
    for seed in (0, 7):
        [check] = verify(make({"a": -4.0}, seed=seed), recorded(make, -4.0, -4.0)).checks
        assert (check.low, check.high) == (-4.000004, -3.999996)
    assert allowed([0.0], 0.0) == (0.0, 0.0)
    assert verify(make({"a": 4.3}), recorded(make, 4.0), relative=0.1).within


def test_refusals(make):
    with pytest.raises(ResultsError, match="nothing is recorded for profile public"):
        verify(make(), [])
    with pytest.raises(ResultsError, match="profile: expected 'public', found 'default'"):
        verify(make(profile="default"), recorded(make, 1.0))
    with pytest.raises(ResultsError, match="slug: expected 'small-talk', found 'advin'"):
        verify(make(slug="advin"), recorded(make, 1.0))
