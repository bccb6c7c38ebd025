"""Epsilon: published and measured anchors, monotone, composition, sensitivity, refusals."""

import math

import pytest

from echobook.privacy.accounting import SENSITIVITY, Phase, epsilon, multiplier_for
from echobook.privacy.taps import PrivacyError


@pytest.mark.parametrize(
    ("sigma", "q", "steps", "delta", "rdp", "prv"),
    [
        (1.0, 0.01, 1000, 1e-5, 2.1014, 1.8384),
        (1.5, 0.04, 2250, 1e-5, 7.3291, 6.7774),  # Opacus' own tests
    ],
)
def test_anchors(sigma: float, q: float, steps: int, delta: float, rdp: float, prv: float) -> None:
    run = [Phase(sigma, q, steps)]
    assert epsilon(run, delta=delta) == pytest.approx(rdp, abs=1e-3)
    assert epsilon(run, delta=delta, accountant="prv") == pytest.approx(prv, abs=1e-2)  # its own error bound


def test_micro_batches_count_half_the_noise() -> None:
    """An anchor of another library (dp-accounting): sigma 1.1 counted as .55 gives 7.06, counted as it is
    .965.
    """
    run = [Phase(1.1, 64 / 13084, 2040)]
    assert epsilon(run, delta=1e-4, sensitivity=SENSITIVITY["means"]) == pytest.approx(7.06, abs=0.03)
    assert epsilon(run, delta=1e-4) == pytest.approx(0.965, abs=0.01)
    assert epsilon([Phase(0.55, 64 / 13084, 2040)], delta=1e-4) == pytest.approx(
        epsilon(run, delta=1e-4, sensitivity=2.0)
    )


def test_phases_compose_and_their_order_does_not_matter() -> None:
    falling = [Phase(0.9**e, 64 / 13084, 204) for e in range(10)]
    assert epsilon(falling, delta=1e-4) == pytest.approx(12.90, abs=0.05)  # dp-accounting
    assert epsilon(falling[::-1], delta=1e-4) == pytest.approx(epsilon(falling, delta=1e-4))
    split = [Phase(1.0, 0.01, 400), Phase(1.0, 0.01, 600)]
    assert epsilon(split, delta=1e-5) == pytest.approx(epsilon([Phase(1.0, 0.01, 1000)], delta=1e-5))


def test_more_noise_less_epsilon_more_steps_more() -> None:
    base = epsilon([Phase(1.0, 0.05, 100)], delta=1e-5)
    assert epsilon([Phase(1.2, 0.05, 100)], delta=1e-5) < base < epsilon([Phase(1.0, 0.05, 150)], delta=1e-5)
    assert epsilon([Phase(1.0, 0.04, 100)], delta=1e-5) < base
    assert epsilon([Phase(1.0, 0.05, 100)], delta=1e-6) > base


def test_the_whole_data_set_in_each_step_is_the_plain_gaussian_mechanism() -> None:
    """One step, q = 1, sigma: RDP a / (2 sigma^2), converted at its best order: a closed form up to the
    orders.
    """
    sigma, delta = 5.0, 1e-5
    orders = [1 + x / 100 for x in range(1, 20_000)]
    direct = min(
        a / (2 * sigma**2) + math.log((a - 1) / a) - (math.log(delta) + math.log(a)) / (a - 1) for a in orders
    )
    assert epsilon([Phase(sigma, 1.0, 1)], delta=delta) == pytest.approx(direct, abs=2e-3)


def test_no_noise_no_guarantee() -> None:
    assert epsilon([Phase(1.0, 0.1, 10), Phase(0.0, 0.1, 1)], delta=1e-5) == math.inf


@pytest.mark.parametrize("decay", [(), (1.0, 0.8, 0.64)])
def test_the_multiplier_for_a_budget_spends_it(decay: tuple[float, ...]) -> None:
    found = multiplier_for(8.0, rate=0.05, steps=120, delta=1e-4, sensitivity=2.0, decay=decay)
    factors = decay or (1.0,)

    def spent(sigma: float) -> float:
        run = [Phase(sigma * f, 0.05, 120 // len(factors)) for f in factors]
        return epsilon(run, delta=1e-4, sensitivity=2.0)

    assert spent(found) <= 8.0 < spent(found / 1.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Phase(1.0, 1.2, 10), "sampling rate in"),
        (lambda: Phase(-1.0, 0.1, 10), "multiplier >= 0"),
        (lambda: Phase(1.0, 0.1, 0), "steps >= 1"),
        (lambda: epsilon([], delta=1e-5), "expected at least one"),
        (lambda: epsilon([Phase(1.0, 0.1, 1)], delta=0.0), "a probability in"),
        (lambda: epsilon([Phase(1.0, 0.1, 1)], delta=0.01, population=100), "below 1 / N = 0.01"),
        (lambda: epsilon([Phase(1.0, 0.1, 1)], delta=1e-5, sensitivity=0.0), "sensitivity"),
        (lambda: multiplier_for(math.inf, rate=0.1, steps=1, delta=1e-5), "finite epsilon above 0"),
        (
            lambda: multiplier_for(1.0, rate=0.1, steps=5, delta=1e-5, decay=(1.0, 0.5)),
            "multiple of 2 epochs",
        ),
    ],
)
def test_refusals(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PrivacyError, match=words):
        call()
