"""Off-policy estimates: by hand, over every log that can happen, their intervals, and refusals."""

import itertools

import numpy as np
import pytest

from echobook.metrics.off_policy import doubly_robust, ips, snips, weights_of

APART = np.arange(2)


def test_by_hand() -> None:
    """Weights of two and one, rewards of one and nothing."""
    weight = weights_of(np.array([0.5, 0.5]), np.array([0.25, 0.5]))
    assert weight.tolist() == [2.0, 1.0]
    reward = np.array([1.0, 0.0])
    assert ips(reward, weight, APART).value == 1.0
    assert snips(reward, weight, APART).value == pytest.approx(2 / 3)
    assert ips(reward, weight, APART).effective == pytest.approx(9 / 5)
    chosen, policy = np.array([0.5, 0.5]), np.array([0.6, 0.4])
    assert doubly_robust(reward, weight, APART, chosen=chosen, policy=policy).value == pytest.approx(0.75)


def test_a_constant_reward_is_exact_when_self_normalised() -> None:
    weight = np.random.default_rng(0).random(30)
    found = snips(np.full(30, 0.3), weight, np.arange(30))
    assert found.value == pytest.approx(0.3)
    assert found.high - found.low == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_unbiased_over_every_log(seed: int) -> None:
    """The mean over all logs of three choices, each with its probability, is the new policy's value."""
    rng = np.random.default_rng(seed)
    logged, target, reward, guess = (
        rng.dirichlet(np.ones(3)),
        rng.dirichlet(np.ones(3)),
        rng.random(3),
        rng.random(3),
    )
    means = {"ips": 0.0, "robust": 0.0}
    for log in itertools.product(range(3), repeat=3):
        rows = np.array(log)
        weight, chance = weights_of(target[rows], logged[rows]), logged[rows].prod()
        means["ips"] += chance * ips(reward[rows], weight, np.arange(3)).value
        value = np.full(3, target @ guess)
        found = doubly_robust(reward[rows], weight, np.arange(3), chosen=guess[rows], policy=value)
        means["robust"] += chance * found.value
    assert means["ips"] == pytest.approx(target @ reward)
    assert means["robust"] == pytest.approx(target @ reward)


def test_a_perfect_model_has_no_error() -> None:
    rng = np.random.default_rng(1)
    reward, weight = rng.random(20), rng.random(20)
    policy = np.full(20, 0.4)
    found = doubly_robust(reward, weight, np.arange(20), chosen=reward, policy=policy)
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4, 0.4))


def test_rows_of_one_customer_widen_the_interval() -> None:
    """Every row ten times over says nothing new: same interval by customers, a third of it by rows."""
    rng = np.random.default_rng(2)
    reward, weight = rng.random(50), rng.random(50)
    many = np.repeat(np.arange(50), 10)
    once = ips(reward, weight, np.arange(50))
    again = ips(reward[many], weight[many], many)
    rows = ips(reward[many], weight[many], np.arange(500))
    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    assert rows.high - rows.low < 0.4 * (once.high - once.low)


def test_self_normalised_does_not_care_for_the_scale_of_weights() -> None:
    rng = np.random.default_rng(4)
    reward, weight = rng.random(40), rng.random(40)
    one, other = (snips(reward, weight * scale, np.arange(40)) for scale in (1.0, 3.0))
    assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high))


def test_intervals_cover() -> None:
    rng, covered = np.random.default_rng(3), 0
    logged, target, mean = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.5, 0.8])
    for _ in range(200):
        choice = rng.choice(3, 400, p=logged)
        reward = (rng.random(400) < mean[choice]).astype(float)
        found = snips(reward, weights_of(target[choice], logged[choice]), np.arange(400))
        covered += found.covers(float(target @ mean))
    assert 180 <= covered <= 198  # 95 % of 200, four standard errors


@pytest.mark.parametrize(
    ("target", "logged", "message"),
    [
        ([0.5, 1.5], [0.5, 0.5], "target: row 1: 1.5"),
        ([0.5, 0.5], [0.5, 0.0], "logged: row 1: 0.0"),
        ([0.5, np.nan], [0.5, 0.5], "target: row 1: nan"),
    ],
)
def test_probabilities_that_cannot_be_used(target: list[float], logged: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights_of(np.array(target), np.array(logged))


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="never chooses what was logged"):
        snips(np.ones(2), np.zeros(2), APART)
    with pytest.raises(ValueError, match="groups: expected at least 2, got 1"):
        ips(np.ones(2), np.ones(2), np.zeros(2, dtype=int))
