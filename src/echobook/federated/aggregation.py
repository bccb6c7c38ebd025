"""How the server weighs the devices of a round.

With chosen devices S, n_k examples and inclusion probabilities pi_k:

    equally               a_k = 1 / |S|
    by samples            a_k = n_k / sum over S of n                       (FedAvg)
    inverse inclusion     a_k in proportion to n_k / pi_k                   (importance-corrected)

Over many rounds device k counts about pi_k a_k. Uniform selection by samples and selection by activity with
equal weights both give n_k: each example counts once. Selection by activity *and* weights by samples give
n_k^2: activity counts twice. Dividing by pi_k brings any selection back to n_k.

Not normalised, n_k / (N pi_k) is the estimator of Horvitz and Thompson (1952), unbiased for the update
that all devices together would give; normalised to sum to one it is their ratio estimator, with a bias
that shrinks with m and far less spread. A round uses the normalised form: a step then never grows with the
luck of the draw.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int


@runtime_checkable
class Aggregation(Protocol):
    """Weights of the chosen devices, summing to one."""

    needs_inclusion: ClassVar[bool]

    def __call__(
        self, counts: Int[np.ndarray, " M"], inclusion: Float[np.ndarray, " M"] | None
    ) -> Float[np.ndarray, " M"]:
        """``counts``: examples of the chosen; ``inclusion``: their probabilities, where they are needed."""


@dataclass(frozen=True)
class Equally:
    """a_k = 1 / |S|."""

    needs_inclusion: ClassVar[bool] = False

    def __call__(
        self, counts: Int[np.ndarray, " M"], inclusion: Float[np.ndarray, " M"] | None
    ) -> Float[np.ndarray, " M"]:
        """The same weight for each."""
        return np.full(len(counts), 1 / len(counts))


@dataclass(frozen=True)
class BySamples:
    """a_k in proportion to n_k: FedAvg's weighted average."""

    needs_inclusion: ClassVar[bool] = False

    def __call__(
        self, counts: Int[np.ndarray, " M"], inclusion: Float[np.ndarray, " M"] | None
    ) -> Float[np.ndarray, " M"]:
        """Shares of the examples of the round."""
        return counts / counts.sum()


@dataclass(frozen=True)
class ByInverseInclusion:
    """a_k in proportion to n_k / pi_k: any selection is brought back to counting each example once."""

    needs_inclusion: ClassVar[bool] = True

    def __call__(
        self, counts: Int[np.ndarray, " M"], inclusion: Float[np.ndarray, " M"] | None
    ) -> Float[np.ndarray, " M"]:
        """Normalised. Raises ValueError without inclusion probabilities, or when one is not above 0."""
        if inclusion is None:
            raise ValueError("importance correction needs inclusion probabilities; this selection has none")
        raw = horvitz_thompson(counts, inclusion, total=1)
        return raw / raw.sum()


def horvitz_thompson(
    counts: Int[np.ndarray, " M"], inclusion: Float[np.ndarray, " M"], *, total: int
) -> Float[np.ndarray, " M"]:
    """n_k / (total pi_k): weights whose sum is one on average only. ``total``: examples of the whole
    fleet.
    """
    if not (inclusion > 0).all():
        raise ValueError(f"inclusion: expected probabilities above 0, got {inclusion.min()}")
    return counts / (total * inclusion)


def check_weights(weights: Float[np.ndarray, " M"], m: int) -> None:
    """Raise ValueError unless there are m weights, none negative, that sum to one to 1e-9."""
    if weights.shape != (m,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"aggregation: expected {m} weights, finite and not negative, got {weights}")
    if abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"aggregation: expected weights that sum to 1, got {weights.sum():.6g}")
