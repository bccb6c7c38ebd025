"""Error rates of verification: by hand, against loops and two public definitions, properties, refusals."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from echobook.metrics.verification import ErrorCurve, Trials, equal_error, min_dcf


def draw(seed: int, *, n: int = 200, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    genuine = rng.random(n) < 0.3
    genuine[:2] = True, False
    scores = rng.normal(size=n) + 1.2 * genuine
    return (np.round(scores, 1) if ties else scores), genuine


def by_root_search(scores: np.ndarray, genuine: np.ndarray) -> float:
    """A public definition: the root of 1 - x = TPR(x) on the line through the ROC curve's points."""
    far, hit, _ = roc_curve(genuine, scores, drop_intermediate=False)
    return float(brentq(lambda x: 1.0 - x - float(interp1d(far, hit)(x)), 0.0, 1.0, xtol=1e-14))


def by_nearest_point(scores: np.ndarray, genuine: np.ndarray) -> float:
    """Another one: the larger rate at the threshold where the two are closest, counted in a loop."""
    rates = [slow_rates(scores, genuine, t) for t in [*sorted(set(scores)), np.inf]]
    return max(min(rates, key=lambda pair: abs(pair[0] - pair[1])))


def slow_rates(scores: np.ndarray, genuine: np.ndarray, threshold: float) -> tuple[float, float]:
    refused = sum(s < threshold for s, g in zip(scores, genuine, strict=True) if g)
    accepted = sum(s >= threshold for s, g in zip(scores, genuine, strict=True) if not g)
    return refused / int(genuine.sum()), accepted / int((~genuine).sum())


def test_four_trials_by_hand() -> None:
    trials = Trials(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    curve = trials.curve()
    assert curve.thresholds.tolist() == [0.1, 0.35, 0.4, 0.8, np.inf]
    assert curve.frr.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.far.tolist() == [1, 0.5, 0.5, 0, 0]
    found = equal_error(curve)
    assert (found.rate, found.threshold) == (0.5, 0.4)
    assert curve.at(0.36) == (0.5, 0.5)
    assert curve.at(0.35) == (0.0, 0.5)
    # prior .5, costs 1: half of FRR + FAR is least at .35 and .8, over .5
    assert min_dcf(curve, prior=0.5) == 0.5


def test_linear_interpolation_by_hand() -> None:
    """Three genuine trials, two impostors: from (0, 1/2) to (1/3, 0) the line meets the diagonal at 1/5."""
    curve = ErrorCurve(np.array([1.0, 2.0, np.inf]), np.array([0.0, 1 / 3, 1]), np.array([0.5, 0.0, 0]))
    found = equal_error(curve)
    assert found.rate == pytest.approx(0.2, abs=1e-15)
    assert found.threshold == pytest.approx(1.6, abs=1e-15)
    assert equal_error(curve, "max").rate == pytest.approx(1 / 3)
    assert equal_error(curve, "average").rate == pytest.approx(1 / 6)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_equals_two_public_definitions(seed: int, ties: bool) -> None:
    scores, genuine = draw(seed, ties=ties)
    curve = Trials(scores, genuine).curve()
    # the root search stops within 1e-14 of the place where it changes sign
    assert equal_error(curve).rate == pytest.approx(by_root_search(scores, genuine), abs=1e-12)
    assert equal_error(curve, "max").rate == pytest.approx(by_nearest_point(scores, genuine), abs=1e-15)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_min_dcf_equals_a_loop_and_the_roc(seed: int, ties: bool) -> None:
    scores, genuine = draw(seed, ties=ties)
    curve = Trials(scores, genuine).curve()
    for prior, miss, alarm in ((0.01, 1.0, 1.0), (0.05, 1.0, 1.0), (0.3, 10.0, 1.0)):
        least = min(prior * miss, (1 - prior) * alarm)
        rates = [slow_rates(scores, genuine, t) for t in [*scores, np.inf]]
        slow = min(prior * miss * r + (1 - prior) * alarm * a for r, a in rates) / least
        far, hit, _ = roc_curve(genuine, scores, drop_intermediate=False)
        public = (prior * miss * (1 - hit) + (1 - prior) * alarm * far).min() / least
        found = min_dcf(curve, prior=prior, c_miss=miss, c_fa=alarm)
        assert found == pytest.approx(slow, abs=1e-12)
        assert found == pytest.approx(public, abs=1e-12)
        assert found <= 1


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_repetitions(seed: int) -> None:
    scores, genuine = draw(seed, ties=True)
    counts = np.random.default_rng(seed + 100).integers(0, 4, len(scores))
    counts[:2] = 1
    weighted = Trials(scores, genuine).curve(counts)
    repeated = Trials(np.repeat(scores, counts), np.repeat(genuine, counts)).curve()
    assert equal_error(weighted).rate == pytest.approx(equal_error(repeated).rate, abs=1e-12)
    assert min_dcf(weighted) == pytest.approx(min_dcf(repeated), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_properties(seed: int) -> None:
    scores, genuine = draw(seed)
    rate = equal_error(Trials(scores, genuine).curve()).rate
    shuffled = np.random.default_rng(seed).permutation(len(scores))
    assert equal_error(Trials(scores[shuffled], genuine[shuffled]).curve()).rate == rate
    assert equal_error(Trials(np.exp(scores), genuine).curve()).rate == pytest.approx(rate, abs=1e-12)
    assert equal_error(Trials(-scores, ~genuine).curve()).rate == pytest.approx(rate, abs=1e-12)
    assert 0 <= rate <= 1


def test_the_threshold_gives_rates_around_the_equal_one() -> None:
    scores, genuine = draw(3)
    curve = Trials(scores, genuine).curve()
    found = equal_error(curve)
    step = 1 / min(genuine.sum(), (~genuine).sum())
    assert all(abs(rate - found.rate) <= step for rate in curve.at(found.threshold))


def test_perfect_and_reversed_scores() -> None:
    genuine = np.array([True, True, False, False])
    apart = np.array([3.0, 2.0, 1.0, 0.0])
    assert equal_error(Trials(apart, genuine).curve()).rate == 0
    assert min_dcf(Trials(apart, genuine).curve()) == 0
    assert equal_error(Trials(-apart, genuine).curve()).rate == 1
    assert min_dcf(Trials(-apart, genuine).curve()) == 1


def test_refusals() -> None:
    genuine = np.array([True, False, False])
    with pytest.raises(ValueError, match="score 1 is nan"):
        Trials(np.array([1.0, np.nan, 0.0]), genuine)
    with pytest.raises(ValueError, match="constant scores part nobody"):
        Trials(np.ones(3), genuine)
    with pytest.raises(ValueError, match="none of 3 is impostor"):
        Trials(np.arange(3.0), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="none of 3 is genuine"):
        Trials(np.arange(3.0), np.zeros(3, dtype=bool))
    with pytest.raises(ValueError, match="as many scores as labels"):
        Trials(np.arange(2.0), genuine)
    trials = Trials(np.arange(3.0), genuine)
    with pytest.raises(ValueError, match="genuine trials weigh 0"):
        trials.curve(np.array([0.0, 1, 1]))
    with pytest.raises(ValueError, match="none negative"):
        trials.curve(np.array([1.0, -1, 1]))
    with pytest.raises(ValueError, match="expected linear, average or max"):
        equal_error(trials.curve(), "median")
    with pytest.raises(ValueError, match="prior"):
        min_dcf(trials.curve(), prior=1.0)
