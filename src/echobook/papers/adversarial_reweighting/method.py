"""Adversarial reweighting: who gets how much weight, decided by an adversary that sees no group label.

The learner (encoder and similarity) descends a weighted metric loss; a linear adversary ascends the same loss
with an optimiser of its own. Each treats what the other one made as a constant. For N speakers with a query
and a support each, similarities S[i, j], and the adversary's f in (0, 1) for each sample,

    q_i = (1 + f_i / max(mean f, 1e-4)) / 2          mean 1 (Lahoti et al. 2020 leave out the division by 2)
    softmax:  L = 1/N sum_i p_i [ -S_ii + log( exp S_ii + sum_{j != i} n_ij exp S_ij ) ]
    binary:   L = 1/2 mean_i p_i softplus(-S_ii) + 1/2 mean_{i != j} n_ij softplus(S_ij)

    APS   p_i = q_i, n = 1; f sees the embedding
    PL    the same; f also sees the k-means region of the utterance (a pseudo-label)
    PW    p_i and n_ij are q_i + q'_j, q of queries, q' of supports, each part divided by its mean

The loss of query i sums over its similarities to all supports of the batch: "accumulated". The paper's
equations were not read; this is our reading of its abstract and of ARL's code. Weights of positives and of
negatives have mean 1 separately, so that the adversary cannot make a step larger, nor move all weight to the
N - 1 times more numerous negatives.

Axes: N speakers of a batch, D embedding, K regions, U utterances.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from torch import Tensor, nn

LEAST_MEAN = 1e-4  # of f, as in ARL's code


class PairWeights(NamedTuple):
    """Weights of the N genuine pairs and of all impostor pairs (the diagonal is not used)."""

    positive: Float[Tensor, "N"]
    negative: Float[Tensor, "N N"]

    def detached(self) -> "PairWeights":
        """The same as constants."""
        return PairWeights(self.positive.detach(), self.negative.detach())


@dataclass(frozen=True)
class Batch:
    """What may be known of a batch. Only the oracle looks at `cell`, the true group of each speaker."""

    query: Float[Tensor, "N D"]
    support: Float[Tensor, "N D"]
    query_utterance: Int[np.ndarray, " N"]
    support_utterance: Int[np.ndarray, " N"]
    cell: Int[np.ndarray, " N"]


def even_weights(size: int) -> PairWeights:
    """All pairs count once: the unweighted loss."""
    return PairWeights(torch.ones(size), torch.ones(size, size))


def sample_weights(f: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Weights with mean 1 from the adversary's outputs, at least one half."""
    return (1 + f / f.mean().clamp_min(LEAST_MEAN)) / 2


def off_diagonal(table: Float[Tensor, "N N"]) -> Float[Tensor, "M"]:
    """Entries of impostor pairs."""
    return table[~torch.eye(len(table), dtype=torch.bool)]


def per_query(query: Float[Tensor, "N"], support: Float[Tensor, "N"]) -> PairWeights:
    """APS and PL: the loss of a query is weighted by the query's own weight."""
    return PairWeights(query, torch.ones(len(query), len(support)))


def pairwise(query: Float[Tensor, "N"], support: Float[Tensor, "N"]) -> PairWeights:
    """PW: a pair weighs the sum of its two samples' weights; each kind has mean 1."""
    return normalised(query[:, None] + support[None, :])


def normalised(pairs: Float[Tensor, "N N"]) -> PairWeights:
    """A table of pair weights with each of its two parts divided by its mean."""
    positive = pairs.diagonal()
    return PairWeights(positive / positive.mean(), pairs / off_diagonal(pairs).mean())


def softmax_losses(
    s: Float[Tensor, "N N"],
    negative: Float[Tensor, "N N"],
) -> Float[Tensor, "N"]:
    """Loss of each query against all supports, impostors weighted within the sum."""
    eye = torch.eye(len(s), dtype=torch.bool)
    logits = s + negative.log().masked_fill(eye, 0.0)
    return logits.logsumexp(dim=1) - s.diagonal()


def softmax_loss(s: Float[Tensor, "N N"], weights: PairWeights) -> Float[Tensor, ""]:
    """Weighted angular prototypical loss."""
    return (weights.positive * softmax_losses(s, weights.negative)).mean()


def binary_loss(s: Float[Tensor, "N N"], weights: PairWeights) -> Float[Tensor, ""]:
    """Weighted cross-entropy of 'one speaker or two?', genuine and impostor pairs averaged separately."""
    genuine = weights.positive * nn.functional.softplus(-s.diagonal())
    impostor = off_diagonal(weights.negative * nn.functional.softplus(s))
    return (genuine.mean() + impostor.mean()) / 2


Loss = Callable[[Tensor, PairWeights], Tensor]
Combine = Callable[[Tensor, Tensor], PairWeights]


class Adversary(nn.Module):
    """sigmoid(a z + c): linear on purpose, so that it finds regions and not single noisy utterances.

    It starts at zero, that is, with equal weights.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, z: Float[Tensor, "N Z"]) -> Float[Tensor, "N"]:
        """f of each sample, between 0 and 1."""
        return self.linear(z).squeeze(1).sigmoid()


@dataclass(frozen=True)
class Regions:
    """k-means regions of the embedding space: centroids, and the region of every training utterance."""

    centroids: Float[np.ndarray, "K D"]
    labels: Int[np.ndarray, " U"]


def find_regions(
    embeddings: Float[np.ndarray, "U D"],
    count: int,
    *,
    seed: int,
    before: Regions | None = None,
) -> Regions:
    """k-means; each new region takes the number of an old one, if there were any.

    Without that, every refresh would permute the numbers, and the adversary would have
    to learn them anew. The assignment has the least sum of distances between centroids.
    """
    wide = embeddings.astype(np.float64)
    fitted = KMeans(count, n_init=2, random_state=seed).fit(wide)
    centroids, labels = fitted.cluster_centers_, fitted.labels_.astype(np.int64)
    if before is None:
        return Regions(centroids, labels)
    apart = centroids[:, None] - before.centroids[None]  # (K, K, D)
    distances = np.linalg.norm(apart, axis=2)
    new, old = linear_sum_assignment(distances)
    number = np.empty(count, dtype=np.int64)
    number[new] = old
    ordered = np.empty_like(centroids)
    ordered[number] = centroids
    return Regions(ordered, number[labels])


class Reweighting:
    """The adversary's side of a step: ascend the loss, then hand out weights.

    `combine`: :func:`per_query` or :func:`pairwise`; `regions`: number of k-means regions that the adversary
    sees beside the embedding, 0 for none.
    """

    def __init__(
        self, combine: Combine, loss: Loss, *, size: int, regions: int, rate: float, seed: int = 0
    ) -> None:
        self.combine, self.loss, self.count, self.seed = combine, loss, regions, seed
        self.adversary = Adversary(size + regions)
        self.optimiser = torch.optim.Adam(self.adversary.parameters(), lr=rate)
        self.regions: Regions | None = None

    def refresh(self, embeddings: Float[np.ndarray, "U D"]) -> None:
        """Find the regions again, from embeddings of all training utterances in evaluation mode."""
        if self.count:
            self.regions = find_regions(embeddings, self.count, seed=self.seed, before=self.regions)

    def _inputs(self, embeddings: Float[Tensor, "N D"], utterance: Int[np.ndarray, " N"]) -> Tensor:
        if self.regions is None:
            return embeddings
        region = torch.from_numpy(self.regions.labels[utterance])
        return torch.cat([embeddings, nn.functional.one_hot(region, self.count).float()], dim=1)

    def weights(self, batch: Batch, *, leak: bool = False) -> PairWeights:
        """Weights as a function of the adversary; with `leak` as one of the embeddings as well."""
        query, support = (
            (batch.query, batch.support) if leak else (batch.query.detach(), batch.support.detach())
        )
        f = self.adversary(self._inputs(query, batch.query_utterance))
        g = self.adversary(self._inputs(support, batch.support_utterance))
        return self.combine(sample_weights(f), sample_weights(g))

    def ascend(self, s: Float[Tensor, "N N"], batch: Batch) -> None:
        """One step of the adversary up the loss; similarities are constants to it."""
        self.optimiser.zero_grad()
        (-self.loss(s.detach(), self.weights(batch))).backward()
        self.optimiser.step()

    def step(self, s: Float[Tensor, "N N"], batch: Batch) -> PairWeights:
        """Ascend, then the weights of this batch: constants to the learner."""
        self.ascend(s, batch)
        return self.weights(batch).detached()
