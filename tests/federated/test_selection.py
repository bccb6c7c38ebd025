"""Selection, inclusion probabilities, aggregation: by hand, by enumeration, by simulation."""

import itertools

import numpy as np
import pytest

from echobook.federated.aggregation import (
    ByInverseInclusion,
    BySamples,
    Equally,
    check_weights,
    horvitz_thompson,
)
from echobook.federated.inclusion import inclusion_probabilities
from echobook.federated.selection import ByActivity, MostActive, PowerOfChoice, check_number, draw


def enumerated(weights, m):
    """Probability of every ordered draw one after the other, summed into sets."""
    found = {}
    for order in itertools.permutations(range(len(weights)), m):
        probability, left = 1.0, sum(weights)
        for k in order:
            probability *= weights[k] / left
            left -= weights[k]
        key = tuple(sorted(order))
        found[key] = found.get(key, 0.0) + probability
    return found


def inclusion_of(sets, clients):
    return np.array([sum(p for chosen, p in sets.items() if k in chosen) for k in range(clients)])


def test_two_of_three_by_hand():
    """Weights 2, 1, 1: the first is left out by drawing 1 and 2 or 2 and 1, 2 * 1/4 * 1/3 = 1/6."""
    np.testing.assert_allclose(
        inclusion_probabilities(np.array([2.0, 1, 1]), 2), [5 / 6, 7 / 12, 7 / 12], atol=1e-9
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("m", [1, 2, 4])
def test_inclusion_is_that_of_all_draws(seed, m):
    weights = np.exp(np.random.default_rng(seed).normal(0, 1.5, 6))
    expected = inclusion_of(enumerated(weights, m), 6)
    np.testing.assert_allclose(inclusion_probabilities(weights, m), expected, atol=1e-8)


def test_inclusion_sums_to_m_and_grows_with_the_weight():
    weights = np.sort(np.exp(np.random.default_rng(0).normal(0, 1.5, 300)))
    found = inclusion_probabilities(weights, 10)
    assert found.sum() == pytest.approx(10, abs=1e-6)
    assert (np.diff(found) >= -1e-12).all()
    assert found.max() < 1


@pytest.mark.parametrize(("m", "expected"), [(2, 0.5), (4, 1.0)])
def test_inclusion_of_equal_weights(m, expected):
    np.testing.assert_array_equal(inclusion_probabilities(np.full(4, 3.0), m), np.full(4, expected))


def test_all_of_them_is_certain():
    np.testing.assert_array_equal(inclusion_probabilities(np.array([9.0, 1, 1]), 3), np.ones(3))


def test_draws_have_these_probabilities():
    counts, rng = np.array([1, 2, 5, 20, 40]), np.random.default_rng(1)
    rule, drawn = ByActivity(1.0), np.zeros(5)
    for _ in range(20000):
        drawn[rule.choose(counts, m=2, rng=rng)] += 1
    expected = rule.inclusion(counts, m=2)
    errors = np.sqrt(expected * (1 - expected) / 20000)
    assert (np.abs(drawn / 20000 - expected) < 4 * errors).all()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_first_draw_is_in_proportion(exponent):
    counts, rng = np.array([1, 4, 16]), np.random.default_rng(2)
    rule = ByActivity(exponent)
    share = np.bincount([int(rule.choose(counts, m=1, rng=rng)[0]) for _ in range(9000)]) / 9000
    expected = counts**exponent / (counts**exponent).sum()
    np.testing.assert_allclose(share, expected, atol=0.02)  # three standard errors of a half
    np.testing.assert_allclose(rule.inclusion(counts, m=1), expected, atol=1e-8)


def test_chosen_devices_differ_and_are_in_order():
    for seed in range(50):
        chosen = draw(np.arange(1.0, 9.0), 5, np.random.default_rng(seed))
        assert (np.diff(chosen) > 0).all()
        assert len(chosen) == 5


def test_the_most_active_are_always_the_same():
    counts, rule = np.array([3, 9, 9, 1]), MostActive()
    assert rule.choose(counts, m=2, rng=np.random.default_rng(0)).tolist() == [1, 2]
    assert rule.choose(counts, m=1, rng=np.random.default_rng(0)).tolist() == [1]  # of equal ones the first
    assert rule.inclusion(counts, m=2).tolist() == [0, 1, 1, 0]
    assert rule.queried(m=2) == ByActivity().queried(m=2) == 0


def test_power_of_choice_by_hand():
    counts, losses = np.full(4, 5), np.array([0.1, 0.9, 0.5, 0.9])
    chosen = PowerOfChoice(factor=9).choose(
        counts, m=2, rng=np.random.default_rng(0), loss_of=lambda clients: losses[clients]
    )
    assert chosen.tolist() == [1, 3]
    assert PowerOfChoice(factor=3).queried(m=2) == 4


def test_aggregation_by_hand():
    counts, inclusion = np.array([1, 3]), np.array([0.1, 0.6])
    assert Equally()(counts, None).tolist() == [0.5, 0.5]
    assert BySamples()(counts, None).tolist() == [0.25, 0.75]
    np.testing.assert_allclose(ByInverseInclusion()(counts, inclusion), [10 / 15, 5 / 15])
    np.testing.assert_allclose(horvitz_thompson(counts, inclusion, total=20), [0.5, 0.25])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_importance_correction_is_unbiased(exponent):
    """Mean over all draws of the corrected update equals the update of all devices; others do not."""
    rng = np.random.default_rng(3)
    counts, updates, m = np.array([1, 2, 4, 9, 30]), rng.standard_normal((5, 7)), 2
    weights = counts.astype(float) ** exponent
    sets, pi = enumerated(weights, m), inclusion_probabilities(weights, m)
    target = counts / counts.sum() @ updates
    means = {"corrected": 0.0, "equal": 0.0, "ratio": 0.0}
    for chosen, probability in sets.items():
        part = list(chosen)
        corrected = horvitz_thompson(counts[part], pi[part], total=int(counts.sum()))
        means["corrected"] += probability * corrected @ updates[part]
        means["equal"] += probability * Equally()(counts[part], None) @ updates[part]
        means["ratio"] += probability * ByInverseInclusion()(counts[part], pi[part]) @ updates[part]
    np.testing.assert_allclose(means["corrected"], target, atol=1e-8)
    assert np.abs(means["equal"] - target).max() > 1e-2
    assert np.abs(means["ratio"] - target).max() > 1e-4  # normalising has a price


def test_activity_counted_once_or_twice():
    """pi_k a_k on average: in proportion to n for small m, n^2 when activity also sets the weight."""
    counts = np.array([1, 2, 3, 4, 5, 10])
    once, twice = np.zeros(6), np.zeros(6)
    for chosen, probability in enumerated(counts.astype(float), 1).items():
        part = list(chosen)
        once[part] += probability * Equally()(counts[part], None)
        twice[part] += probability * counts[part]
    np.testing.assert_allclose(once, counts / counts.sum())
    np.testing.assert_allclose(twice, counts**2 / counts.sum())


@pytest.mark.parametrize("m", [0, 5])
def test_numbers_out_of_range(m):
    for call in (
        lambda: check_number(m, 4),
        lambda: inclusion_probabilities(np.ones(4), m),
        lambda: draw(np.ones(4), m, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="m: expected between 1 and"):
            call()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_bad_weights_are_refused(bad):
    with pytest.raises(ValueError, match="weights: expected all finite and above 0"):
        inclusion_probabilities(np.array([1.0, bad]), 1)
    with pytest.raises(ValueError, match="weights: expected all finite and above 0"):
        draw(np.array([1.0, bad]), 1, np.random.default_rng(0))


def test_aggregation_refuses():
    with pytest.raises(ValueError, match="importance correction needs inclusion probabilities"):
        ByInverseInclusion()(np.array([1]), None)
    with pytest.raises(ValueError, match="expected probabilities above 0, got 0"):
        horvitz_thompson(np.array([1, 1]), np.array([0.0, 1.0]), total=2)
    with pytest.raises(ValueError, match="expected 2 weights"):
        check_weights(np.array([1.0]), 2)
    with pytest.raises(ValueError, match="finite and not negative"):
        check_weights(np.array([1.5, -0.5]), 2)
    check_weights(np.array([0.5, 0.5]), 2)
