"""What the model is compared with: rules, models of the 77 features, pairwise models, and other masks.

Letters: B batch, L messages, D utterance features, F pair features.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from echobook.papers.masked_hierarchical_transformer.batches import Batch
from echobook.papers.masked_hierarchical_transformer.features import core, mentions
from echobook.papers.masked_hierarchical_transformer.material import Conversation
from echobook.papers.masked_hierarchical_transformer.model import Draw

LOOK_BACK = 10


@dataclass(frozen=True)
class Recent:
    """Temporal mask: the ``last`` messages before a candidate, whoever they answer."""

    last: int
    target_reads: bool = False

    def __call__(self, steps: Int[np.ndarray, "N N"], draw: Draw) -> Bool[np.ndarray, "N N"]:
        back = np.subtract.outer(np.arange(len(steps)), np.arange(len(steps)))
        return (back > 0) & (back <= self.last)


@dataclass(frozen=True)
class Everything:
    """No mask: everybody reads everybody, the target included."""

    target_reads: bool = True

    def __call__(self, steps: Int[np.ndarray, "N N"], draw: Draw) -> Bool[np.ndarray, "N N"]:
        return np.ones(steps.shape, dtype=bool)


@dataclass(frozen=True)
class RandomEqual:
    """As many earlier messages as a candidate has ancestors, drawn at random."""

    target_reads: bool = False

    def __call__(self, steps: Int[np.ndarray, "N N"], draw: Draw) -> Bool[np.ndarray, "N N"]:
        count = len(steps)
        drawn = np.where(np.tri(count, k=-1, dtype=bool), draw().random((count, count)), 2.0)
        rank = drawn.argsort(axis=1).argsort(axis=1)
        return rank < (steps > 0).sum(axis=1, keepdims=True)


def first_message(conversation: Conversation) -> list[int]:
    """Every target answers the first message."""
    return [conversation.starts[place] for place in range(len(conversation.targets))]


def previous_message(conversation: Conversation) -> list[int]:
    """Every target answers the message before it."""
    return [target - 1 for target in conversation.targets]


def address_rule(conversation: Conversation) -> list[int]:
    """The last message of the person that a target mentions; else the last one, of ten, by its own speaker or
    by somebody who mentions that speaker; else it is a start.

    Raises:
        ValueError: a conversation without speakers.
    """
    if not conversation.speakers:
        raise ValueError(f"{conversation.name}: the address rule needs speakers, and none are known")
    speakers = [core(name) for name in conversation.speakers]
    names = frozenset(name for name in speakers if len(name) > 2)
    said = [mentions(text, names) for text in conversation.texts]
    return [_addressed(speakers, said, target) for target in conversation.targets]


def _addressed(speakers: Sequence[str], said: Sequence[set[str]], target: int) -> int:
    for earlier in range(target - 1, -1, -1):
        if speakers[earlier] != speakers[target] and speakers[earlier] in said[target]:
            return earlier
    for earlier in range(target - 1, max(-1, target - 1 - LOOK_BACK), -1):
        if speakers[earlier] == speakers[target] or speakers[target] in said[earlier]:
            return earlier
    return target


class FeatureScorer(nn.Module):
    """Pair features alone: linear, or through hidden layers with softsign (Kummerfeld's feed-forward
    model).
    """

    def __init__(self, features: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        sizes = [features, *hidden]
        layers: list[nn.Module] = []
        for inner, outer in itertools.pairwise(sizes):
            layers += [nn.Linear(inner, outer), nn.Softsign()]
        self.score = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, batch: Batch) -> Float[Tensor, "B L"]:
        return self.score(batch.features).squeeze(-1).float()


class PairScorer(nn.Module):
    """Each candidate with the target: [V; U; |V - U|; V * U] of candidate V and target U, one hidden layer.

    Args:
        context: also the mean of what a candidate reads (its parents, under a mask of depth 1).
    """

    def __init__(
        self, features: int, *, pair_features: int = 0, hidden: int = 256, context: bool = False
    ) -> None:
        super().__init__()
        self.norm_in, self.context, self.pair_features = nn.LayerNorm(features), context, pair_features
        parts = (6 if context else 4) * features + pair_features
        self.score = nn.Sequential(nn.Linear(parts, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, batch: Batch) -> Float[Tensor, "B L"]:
        vectors = self.norm_in(batch.vectors)
        target = vectors[:, -1:].expand_as(vectors)
        parts = [vectors, target, (vectors - target).abs(), vectors * target]
        if self.context:
            above = self.read(vectors, batch.mask)
            parts += [above, above * target]
        if self.pair_features:
            parts.append(batch.features.to(vectors.dtype))
        return self.score(torch.cat(parts, dim=-1)).squeeze(-1).float()

    def read(self, vectors: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L L"]) -> Float[Tensor, "B L D"]:
        """Mean of the other candidates that each row reads; zero where it reads none."""
        others = mask & ~torch.eye(mask.shape[1], dtype=torch.bool)
        others[:, :, -1] = False
        weights = others.to(vectors.dtype)
        return weights @ vectors / weights.sum(-1, keepdim=True).clamp(min=1)
