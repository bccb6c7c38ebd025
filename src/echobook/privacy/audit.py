"""A lower bound on epsilon from attacks that were run: what the accountant says must lie above it.

A mechanism M is (epsilon, delta) private for the neighbouring inputs D and D' only if every test between
M(D) and M(D') has TPR <= e^epsilon FPR + delta, and the same for the negative rates (Kairouz et al. 2015).
So a test that was
run n times on each side bounds epsilon from below: with Clopper-Pearson limits, at confidence 1 - alpha,

    epsilon >= max( log((TPR_low - delta) / FPR_high), log((TNR_low - delta) / FNR_high) ).

The threshold of the test is chosen on one half of the runs and judged on the other (Jagielski et al. 2020).
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import beta

from echobook.privacy.taps import PrivacyError

Scores = Float[np.ndarray, "_"]  # lengths may differ between arguments


def proportion_limits(hits: int, trials: int, alpha: float) -> tuple[float, float]:
    """One-sided Clopper-Pearson limits of a proportion, each at confidence 1 - alpha."""
    if not 0 <= hits <= trials or trials < 1:
        raise PrivacyError(f"expected 0 <= hits <= trials, found {hits} of {trials}")
    low = 0.0 if hits == 0 else float(beta.ppf(alpha, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1 - alpha, hits + 1, trials - hits))
    return low, high


def _bound(inside: Scores, outside: Scores, threshold: float, delta: float, alpha: float) -> float:
    """Bound from one threshold: alpha is split over the two limits that it uses."""
    true, false = int((inside > threshold).sum()), int((outside > threshold).sum())
    true_low, _ = proportion_limits(true, len(inside), alpha / 2)
    _, false_high = proportion_limits(false, len(outside), alpha / 2)
    ratios = [(true_low - delta, false_high), (1 - false_high - delta, 1 - true_low)]
    return max(0.0, *(math.log(top / bottom) for top, bottom in ratios if top > 0 and bottom > 0))


def epsilon_lower_bound(inside: Scores, outside: Scores, *, delta: float, alpha: float = 0.05) -> float:
    """Lower confidence bound on epsilon from the outputs of a mechanism, reduced to one score a run.

    Args:
        inside: N scores of runs with the example, larger where the attack believes that it is there.
        outside: N scores of runs without it.
        delta: the delta of the guarantee.
        alpha: chance that the bound is too high.

    Raises:
        PrivacyError: fewer than 20 runs on a side, a NaN, or a delta or alpha outside (0, 1).
    """
    if min(len(inside), len(outside)) < 20:
        raise PrivacyError(f"expected at least 20 runs a side, found {len(inside)} and {len(outside)}")
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        raise PrivacyError("scores: expected finite numbers, found NaN or infinity")
    if not (0 <= delta < 1 and 0 < alpha < 1):
        raise PrivacyError(f"expected delta in [0, 1) and alpha in (0, 1), found {delta} and {alpha}")
    halves = [(scores[::2], scores[1::2]) for scores in (inside, outside)]
    (choose_in, judge_in), (choose_out, judge_out) = halves
    candidates = np.quantile(np.concatenate([choose_in, choose_out]), np.linspace(0.01, 0.99, 99))
    best = max(candidates, key=lambda cut: _bound(choose_in, choose_out, float(cut), delta, alpha))
    return _bound(judge_in, judge_out, float(best), delta, alpha)


def gaussian_scores(
    *, multiplier: float, shift: float, rate: float, steps: int, runs: int, seed: int
) -> tuple[Scores, Scores]:
    """Scores of the strongest test against T Poisson-subsampled Gaussian steps on a worst-case pair of
    inputs.

    In every step the example is drawn with probability `rate` and then moves the sum by `shift` (in
    clipping bounds: 1 for clipped examples; 2 for a clipped mean that it turns round); noise has standard
    deviation `multiplier`. The score is the log likelihood ratio of "there" against "not there" over all
    steps."""
    if multiplier <= 0 or not 0 < rate <= 1:
        raise PrivacyError(
            f"expected a multiplier above 0 and a rate in (0, 1], found {multiplier} and {rate}"
        )
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, multiplier, size=(2, runs, steps))
    drawn = rng.random((runs, steps)) < rate
    noise[0] += shift * drawn
    tilt = (shift * noise - shift**2 / 2) / multiplier**2
    scores = np.logaddexp(np.log1p(-rate) if rate < 1 else -np.inf, np.log(rate) + tilt).sum(axis=2)
    return scores[0], scores[1]
