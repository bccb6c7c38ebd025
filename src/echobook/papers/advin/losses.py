"""Losses that make same-intent utterances neighbours: objects that a chapter passes to `train_projection`.

Each is called as loss(e, y) with projected vectors of length one and class numbers, and returns a scalar.
Distances are Euclidean, d in [0, 2]. Letters: B batch, D features.

    pairwise margin  mean over pairs of  t [d - m+]_+^2 + (1 - t) [m- - d]_+^2,   t = 1 for the same class;
                     of the pairs of different classes only the closest `hard_share` take part
    triplet          mean over anchors of [margin + farthest same-class d - closest other-class d]_+
    cross-entropy    softmax over the training classes, with weights of its own

With m+ = 0 the first is the contrastive loss. A margin m+ > 0 lets utterances of one intent differ.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional


def pairwise_distances(vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B B"]:
    """Return Euclidean distances with a gradient that is finite at distance zero."""
    squares = vectors.square().sum(1)
    squared = squares[:, None] + squares[None] - 2 * vectors @ vectors.T  # (B, B)
    return squared.clamp_min(1e-12).sqrt()


def same_class(labels: Int[Tensor, " B"]) -> Bool[Tensor, "B B"]:
    """Return whether two positions carry the same class."""
    return labels[:, None] == labels[None]


class PairwiseMarginLoss(nn.Module):
    """Mean over pairs of t [d - m+]_+^2 + (1 - t) [m- - d]_+^2, hard negatives."""

    def __init__(
        self,
        inner: float = 0.3,
        outer: float = 1.0,
        hard_share: float = 0.25,
    ) -> None:
        super().__init__()
        if not 0 <= inner < outer <= 2:
            expected = "expected 0 <= inner < outer <= 2"
            raise ValueError(f"inner, outer: {expected}, found {inner}, {outer}")
        if not 0 < hard_share <= 1:
            raise ValueError(f"hard_share: expected in (0, 1], found {hard_share}")
        self.inner, self.outer, self.hard_share = inner, outer, hard_share

    def forward(
        self,
        vectors: Float[Tensor, "B D"],
        labels: Int[Tensor, " B"],
    ) -> Float[Tensor, ""]:
        """Return the loss of one batch."""
        upper = torch.ones(len(labels), len(labels), dtype=torch.bool).triu(1)
        distances = pairwise_distances(vectors)[upper]  # (pairs,)
        same = same_class(labels)[upper]
        pull = (distances[same] - self.inner).clamp_min(0).square()
        negative = distances[~same]
        hard = max(1, int(self.hard_share * len(negative))) if len(negative) else 0
        closest = negative.topk(hard, largest=False).values
        push = (self.outer - closest).clamp_min(0).square()
        return (pull.sum() + push.sum()) / max(1, len(pull) + len(push))


class TripletLoss(nn.Module):
    """Batch-hard triplets: mean over anchors of [margin + farthest positive - closest negative]_+."""

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, vectors: Float[Tensor, "B D"], labels: Int[Tensor, " B"]) -> Float[Tensor, ""]:
        """Return the loss of one batch."""
        distances, same = pairwise_distances(vectors), same_class(labels)
        positive = distances.masked_fill(~same, 0).amax(1)
        negative = distances.masked_fill(same, 2.0).amin(1)
        return (self.margin + positive - negative).clamp_min(0).mean()


class CrossEntropyLoss(nn.Module):
    """Softmax over the training classes; the features before it are what is clustered."""

    def __init__(self, features: int, classes: int, *, scale: float = 10.0) -> None:
        super().__init__()
        self.output = nn.Linear(features, classes)
        self.scale = scale

    def forward(self, vectors: Float[Tensor, "B D"], labels: Int[Tensor, " B"]) -> Float[Tensor, ""]:
        """Return the loss of one batch."""
        return functional.cross_entropy(self.scale * self.output(vectors), labels)
