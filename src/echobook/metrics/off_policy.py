"""What would another policy have earned? Estimates from a log whose choices have known probabilities.

With reward r_i, logged probability b_i of what was chosen, the new policy's probability p_i of the same
choice, and weights w_i = p_i / b_i:

    IPS   mean of w r                      unbiased, wide
    SNIPS sum of w r / sum of w            slightly biased, narrower, exact for a constant reward
    DR    mean of q_i + w_i (r_i - q(x_i, chosen))     q_i: a model's value of the new policy at x_i

Rows of one customer depend on each other, so intervals take customers as units: the estimate is linearised,
its terms are summed by customer, and their spread gives the standard error. Axes: N rows, G customers.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

NORMAL_95 = 1.959964


@dataclass(frozen=True)
class OffPolicy:
    """An estimate with its 95 % interval.

    Attributes:
        value, low, high: estimate and interval.
        effective: effective number of rows, (sum w)^2 / sum w^2.
    """

    value: float
    low: float
    high: float
    effective: float

    def covers(self, truth: float) -> bool:
        """Whether the interval holds a value."""
        return self.low <= truth <= self.high


def weights_of(target: Float[np.ndarray, " N"], logged: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Importance weights.

    Raises:
        ValueError: a probability outside [0, 1], or a logged one of 0; the row is named.
    """
    for name, values, least in (("target", target, 0.0), ("logged", logged, np.nextafter(0, 1))):
        bad = ~((values >= least) & (values <= 1 + 1e-9))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{name}: row {row}: {values[row]} is no probability that can be used here")
    return target / logged


def ips(
    reward: Float[np.ndarray, " N"], weight: Float[np.ndarray, " N"], groups: Int[np.ndarray, " N"]
) -> OffPolicy:
    """Mean weighted reward; rows of a group belong together."""
    value = float((weight * reward).mean())
    return _with_interval(value, weight * reward - value, weight, groups)


def snips(
    reward: Float[np.ndarray, " N"], weight: Float[np.ndarray, " N"], groups: Int[np.ndarray, " N"]
) -> OffPolicy:
    """Self-normalised estimate.

    Raises ValueError when all weights are zero.
    """
    total = float(weight.sum())
    if not total > 0:
        raise ValueError("weight: the new policy never chooses what was logged")
    value = float(weight @ reward) / total
    return _with_interval(value, weight * (reward - value) * len(weight) / total, weight, groups)


def doubly_robust(
    reward: Float[np.ndarray, " N"],
    weight: Float[np.ndarray, " N"],
    groups: Int[np.ndarray, " N"],
    *,
    chosen: Float[np.ndarray, " N"],
    policy: Float[np.ndarray, " N"],
) -> OffPolicy:
    """A model's value, put right by the weighted error of the model on what was chosen.

    Args:
        chosen: the model's expected reward of the logged choice.
        policy: the model's expected reward of the new policy at the same row.
    """
    terms = policy + weight * (reward - chosen)
    value = float(terms.mean())
    return _with_interval(value, terms - value, weight, groups)


def _with_interval(
    value: float,
    influence: Float[np.ndarray, " N"],
    weight: Float[np.ndarray, " N"],
    groups: Int[np.ndarray, " N"],
) -> OffPolicy:
    _, number = np.unique(groups, return_inverse=True)
    summed = np.bincount(number, weights=influence)
    count = len(summed)
    if count < 2:
        raise ValueError(f"groups: expected at least 2, got {count}")
    error = float(np.sqrt((summed**2).sum() * count / (count - 1)) / len(influence))
    effective = float(weight.sum() ** 2 / max(float((weight**2).sum()), 1e-300))
    return OffPolicy(value, value - NORMAL_95 * error, value + NORMAL_95 * error, effective)
