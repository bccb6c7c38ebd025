"""What reweighting is compared with: no weights, the loss as weight, known groups, and two controls.

A weigher sees the similarities of a batch and hands out weights; `refresh` gives it embeddings of all
training utterances now and then. Axes: N speakers of a batch, D embedding, U utterances, C cells (true
groups).
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echobook.papers.adversarial_reweighting.method import (
    Batch,
    Combine,
    PairWeights,
    Reweighting,
    even_weights,
    normalised,
    per_query,
    softmax_losses,
)


@runtime_checkable
class Weigher(Protocol):
    """Who decides the weights of a batch."""

    def refresh(self, embeddings: Float[np.ndarray, "U D"]) -> None: ...

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights: ...


class Even:
    """The baseline: every pair counts once."""

    def refresh(self, embeddings: Float[np.ndarray, "U D"]) -> None:
        """Nothing to refresh."""

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """Weights of 1."""
        return even_weights(len(s))


class ByLoss(Even):
    """A rival without an adversary: a query weighs in proportion to its own loss (as in focal weighting)."""

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """Half of 1 and half of loss over mean loss: at least one half, as the adversary's weights are."""
        losses = softmax_losses(s.detach(), torch.ones_like(s))
        weight = (1 + losses / losses.mean().clamp_min(1e-9)) / 2
        return per_query(weight, weight)


class KnownGroups(Even):
    """The ceiling, which the paper may not use: group DRO (Sagawa et al. 2020) on the speakers' true groups.

    The weight of group c is multiplied by exp(rate * its mean loss) after each batch.
    """

    def __init__(self, cells: int, *, rate: float = 0.05) -> None:
        self.logits, self.rate = torch.zeros(cells), rate

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """A query weighs as its group does, mean 1 in the batch."""
        losses = softmax_losses(s.detach(), torch.ones_like(s))
        cell = torch.from_numpy(batch.cell)
        for c in cell.unique().tolist():
            self.logits[c] += self.rate * losses[cell == c].mean()
        weight = self.logits.softmax(0)[cell]
        weight = weight / weight.mean()
        return per_query(weight, weight)


class Shuffled(Reweighting):
    """The control that must fail: the adversary's own weights, dealt to other samples of the batch."""

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """As the method, but after the step queries and supports change places at random."""
        self.ascend(s, batch)
        with torch.no_grad():
            weights = self.weights(batch)
            order = torch.from_numpy(np.random.default_rng((self.seed, self._count())).permutation(len(s)))
            return PairWeights(weights.positive[order], weights.negative[order][:, order])

    def _count(self) -> int:
        """Steps that the adversary has made."""
        state = self.optimiser.state[self.adversary.linear.bias]
        return int(state["step"])


class Leaky(Reweighting):
    """The other control: the learner's gradient runs through the weights into the encoder."""

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """Weights that the learner can lower by moving its embeddings."""
        self.ascend(s, batch)
        return self.weights(batch, leak=True)


class MeanTwo(Reweighting):
    """ARL's own scale: weights with mean 2, which double the loss of genuine pairs."""

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """Positive weights twice as large."""
        found = super().step(s, batch)
        return PairWeights(2 * found.positive, found.negative)


def joined_by(join: str, part: str = "both") -> Combine:
    """How the two samples' weights make the weight of a pair: sum, product or max; and of which pairs.

    `part`: both, positives (impostor pairs weigh 1) or negatives (genuine pairs weigh 1). Raises ValueError
    for another word.
    """
    joins: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "sum": torch.add,
        "product": torch.mul,
        "max": torch.maximum,
    }
    if join not in joins or part not in ("both", "positives", "negatives"):
        raise ValueError(f"expected sum, product or max and both, positives or negatives; got {join}, {part}")

    def combine(query: Float[Tensor, "N"], support: Float[Tensor, "N"]) -> PairWeights:
        positive, negative = normalised(joins[join](query[:, None], support[None, :]))
        return PairWeights(
            torch.ones_like(positive) if part == "negatives" else positive,
            torch.ones_like(negative) if part == "positives" else negative,
        )

    return combine
