"""Which devices take part in a round.

    by activity      without replacement, one after the other, in proportion to n_k^exponent of those left
                     (exponent 0: uniform; 1: in proportion to the number of examples)
    most active      always the m devices with the most examples
    power of choice  of d candidates the m with the highest loss of the present model (Cho et al. 2022)

Drawing one after the other makes the *inclusion* probabilities other than proportional: a device that holds
half of all examples cannot be drawn twice. :mod:`echobook.federated.inclusion` computes what they are.

The draw: every device gets an exponential waiting time of rate p_k; the m that ring first are chosen. That
has the same distribution as drawing one after the other, in one vectorised step. Axes: C clients, M chosen.
Time O(C).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from echobook.federated.inclusion import inclusion_probabilities

LossOf = Callable[[Int[np.ndarray, " K"]], Float[np.ndarray, " K"]]


@runtime_checkable
class Selection(Protocol):
    """What a round needs of a selection rule."""

    def choose(
        self, counts: Int[np.ndarray, " C"], *, m: int, rng: np.random.Generator, loss_of: LossOf
    ) -> Int[np.ndarray, " M"]:
        """m different devices, in increasing order. ``loss_of``: mean loss of the present model on
        devices.
        """

    def inclusion(self, counts: Int[np.ndarray, " C"], *, m: int) -> Float[np.ndarray, " C"]:
        """Probability that each device takes part in a round."""

    def queried(self, *, m: int) -> int:
        """Devices that receive the model in a round only to be asked for their loss."""


def check_number(m: int, clients: int) -> None:
    """Raise ValueError unless m devices can be chosen among ``clients``."""
    if not 1 <= m <= clients:
        raise ValueError(f"m: expected between 1 and the {clients} devices of the fleet, got {m}")


def draw(weights: Float[np.ndarray, " C"], m: int, rng: np.random.Generator) -> Int[np.ndarray, " M"]:
    """m different devices, drawn one after the other in proportion to ``weights`` (> 0), in increasing
    order.
    """
    check_number(m, len(weights))
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"weights: expected all finite and above 0, got {weights[~(weights > 0)][:1]}")
    rings = rng.standard_exponential(len(weights)) / weights
    return np.sort(np.argpartition(rings, m - 1)[:m])


@dataclass(frozen=True)
class ByActivity:
    """p_k in proportion to n_k^exponent: the paper's rule with 1, uniform with 0."""

    exponent: float = 1.0

    def choose(
        self,
        counts: Int[np.ndarray, " C"],
        *,
        m: int,
        rng: np.random.Generator,
        loss_of: LossOf | None = None,
    ) -> Int[np.ndarray, " M"]:
        """See :class:`Selection`; the loss is not asked for."""
        return draw(counts.astype(np.float64) ** self.exponent, m, rng)

    def inclusion(
        self,
        counts: Int[np.ndarray, " C"],
        *,
        m: int,
    ) -> Float[np.ndarray, " C"]:
        """Exact, see :func:`echobook.federated.inclusion.inclusion_probabilities`."""
        return inclusion_probabilities(counts.astype(np.float64) ** self.exponent, m)

    def queried(self, *, m: int) -> int:
        """Nobody."""
        return 0


@dataclass(frozen=True)
class MostActive:
    """The m devices with the most examples, the same in every round; of equal ones the first."""

    def choose(
        self,
        counts: Int[np.ndarray, " C"],
        *,
        m: int,
        rng: np.random.Generator,
        loss_of: LossOf | None = None,
    ) -> Int[np.ndarray, " M"]:
        """See :class:`Selection`; nothing is drawn."""
        check_number(m, len(counts))
        return np.sort(np.argsort(-counts, kind="stable")[:m])

    def inclusion(self, counts: Int[np.ndarray, " C"], *, m: int) -> Float[np.ndarray, " C"]:
        """One or zero."""
        chosen = self.choose(counts, m=m, rng=np.random.default_rng(0))
        return np.isin(np.arange(len(counts)), chosen).astype(np.float64)

    def queried(self, *, m: int) -> int:
        """Nobody."""
        return 0


@dataclass(frozen=True)
class PowerOfChoice:
    """Of ``factor`` * m candidates, drawn in proportion to n_k^exponent, the m with the highest mean loss."""

    factor: int = 2
    exponent: float = 0.0

    def choose(
        self, counts: Int[np.ndarray, " C"], *, m: int, rng: np.random.Generator, loss_of: LossOf
    ) -> Int[np.ndarray, " M"]:
        """See :class:`Selection`; of equal losses the device with the lower number."""
        check_number(m, len(counts))
        wanted = min(self.factor * m, len(counts))
        candidates = draw(counts.astype(np.float64) ** self.exponent, wanted, rng)
        order = np.argsort(-loss_of(candidates), kind="stable")
        return np.sort(candidates[order[:m]])

    def inclusion(self, counts: Int[np.ndarray, " C"], *, m: int) -> Float[np.ndarray, " C"]:
        """Unknown before the losses are: refused."""
        raise ValueError("power of choice: who takes part depends on the losses, so no probability is known")

    def queried(self, *, m: int) -> int:
        """All candidates: the chosen ones among them have the model already."""
        return (self.factor - 1) * m
