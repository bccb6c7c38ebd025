"""What a run of noisy steps is worth: (epsilon, delta) from noise multipliers, sampling rate and sensitivity.

The accountants are Opacus': Renyi differential privacy of the Poisson-subsampled Gaussian mechanism, and
the numerical composition of privacy loss random variables (PRV). Both take noise relative to a sensitivity
of one, so noise sigma C with sensitivity s C counts as multiplier sigma / s: clipped examples have s = 1,
clipped means of micro-batches s = 2 (adding one example moves one clipped mean from anywhere to anywhere in
a ball of radius C). Noise that changes between epochs is composed phase by phase. Adjacency is adding or
removing one example."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from opacus.accountants import PRVAccountant, RDPAccountant

from echobook.privacy.taps import PrivacyError

SENSITIVITY = {"examples": 1.0, "means": 2.0}
Accountant = Literal["rdp", "prv"]
UNBOUNDED = math.inf


@dataclass(frozen=True)
class Phase:
    """Steps with the same noise: multiplier sigma (noise over clipping bound), sampling rate q, number of
    steps.
    """

    multiplier: float
    rate: float
    steps: int

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise PrivacyError(f"rate: expected a sampling rate in (0, 1], found {self.rate}")
        if self.multiplier < 0 or self.steps < 1:
            raise PrivacyError(
                f"expected a multiplier >= 0 and steps >= 1, found {self.multiplier} and {self.steps}"
            )


def check_delta(delta: float, population: int | None) -> None:
    """Refuse a delta outside (0, 1), or not below 1 / N: it would let one person's data be published."""
    if not 0 < delta < 1:
        raise PrivacyError(f"delta: expected a probability in (0, 1), found {delta}")
    if population is not None and delta >= 1 / population:
        raise PrivacyError(
            f"delta: expected below 1 / N = {1 / population:.3g}, found {delta}; take 1 / (2 N) or less"
        )


def epsilon(
    phases: Sequence[Phase],
    *,
    delta: float,
    sensitivity: float = 1.0,
    accountant: Accountant = "rdp",
    population: int | None = None,
) -> float:
    """Epsilon of all phases together at `delta`; infinity when any phase has no noise.

    Args:
        phases: in the order of training (the order does not matter to the result).
        delta: allowed failure probability.
        sensitivity: most that one example moves the sum, in clipping bounds (:data:`SENSITIVITY`).
        accountant: ``rdp`` (an upper bound) or ``prv`` (tighter, within .01 in epsilon).
        population: N, if given, to check delta against.

    Raises:
        PrivacyError: no phases, a delta outside (0, 1) or not below 1 / N, a sensitivity of 0 or less.
    """
    check_delta(delta, population)
    if not phases:
        raise PrivacyError("phases: expected at least one")
    if not sensitivity > 0:
        raise PrivacyError(f"sensitivity: expected above 0, found {sensitivity}")
    if any(phase.multiplier == 0 for phase in phases):
        return UNBOUNDED
    history = [(phase.multiplier / sensitivity, phase.rate, phase.steps) for phase in phases]
    if accountant == "rdp":
        return _rdp(history, delta)
    counted = PRVAccountant()
    counted.history = history
    with np.errstate(divide="ignore"):  # Opacus takes logarithms of zero tails and then drops them
        return float(counted.get_epsilon(delta, eps_error=0.01))


# Renyi orders: Opacus' own, and some close to 1, where the huge epsilons of small noise have their optimum.
ORDERS = [float(1 + order) for order in np.geomspace(1e-5, 0.08, 12)] + RDPAccountant.DEFAULT_ALPHAS
# For the search of a multiplier: few orders give a slightly larger epsilon, so the search is safe.
SEARCH = [float(1 + order) for order in np.geomspace(1e-4, 40, 24)]


def _rdp(history: list[tuple[float, float, int]], delta: float, orders: Sequence[float] = ORDERS) -> float:
    counted = RDPAccountant()
    counted.history = history
    return float(counted.get_epsilon(delta, alphas=list(orders)))


def multiplier_for(
    target: float,
    *,
    rate: float,
    steps: int,
    delta: float,
    sensitivity: float = 1.0,
    decay: Sequence[float] = (),
) -> float:
    """Smallest noise multiplier whose RDP epsilon is at most `target`; errs on the side of more noise, by a
    few percent.

    Args: target: epsilon asked for. rate, steps, delta, sensitivity: as in :func:`epsilon`; `steps` are
        those of all epochs. decay: factors gamma^e of the epochs, the first usually 1; steps are shared out
        equally. Empty: constant.

    Raises:
        PrivacyError: a target of 0 or less or not finite: noise 0 gives no finite epsilon.
    """
    if not (target > 0 and math.isfinite(target)):
        raise PrivacyError(f"target: expected a finite epsilon above 0, found {target}")
    check_delta(delta, None)
    factors = list(decay) or [1.0]
    if steps % len(factors):
        raise PrivacyError(f"steps: expected a multiple of {len(factors)} epochs, found {steps}")

    def spent(multiplier: float) -> float:
        noise = multiplier / sensitivity
        return _rdp([(noise * factor, rate, steps // len(factors)) for factor in factors], delta, SEARCH)

    low, high = 1e-2, 1.0
    while spent(high) > target:
        low, high = high, 2 * high
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if spent(middle) <= target else (middle, high)
    return high
