"""The masked hierarchical transformer: candidates are read with their ancestors and with the target.

Each utterance is one vector V_i. Four transformer layers read the L vectors of a conversation, the target
last, with attention restricted by one mask M (row reads column), the same in all layers and heads:

    softmax(Q K' / sqrt(d) + log M)

- every row reads itself: M_ii = 1;
- every row reads the target: M_iL = 1;
- row i < L reads column j if j is an ancestor of i (parent, grandparent, ..., root);
- the target's row reads only itself: otherwise branches would leak into each other through it.

Output: a logit for each candidate, from its last state, and with hand-made features F from both. With one
parent, the logits of the candidates are ranked by a softmax; with several, or with self-links, each is a
binary decision, the target's own logit being that of a start.

The paper's sizes: 300 features, 1024 in the feed-forward part, 4 layers, 4 heads. Unread there, and decided
here: learned embeddings of the distance to the target; features join before the output, which then has one
hidden layer; pre-activation residuals and no dropout in the masked layers.

Letters: B batch, L messages, D utterance features, W width, H heads, F pair features. Time O(B L (W^2 + L
W))."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from echobook.papers.masked_hierarchical_transformer.batches import Batch

Steps = Int[np.ndarray, "N N"]  # up to each ancestor, 0 elsewhere
States = Float[Tensor, "B L W"]
Draw = Callable[[], np.random.Generator]  # a generator, made only where one is needed
FARTHEST = 64  # larger distances to the target share an embedding


@runtime_checkable
class Reading(Protocol):
    """Which candidates a candidate reads, besides itself and the target."""

    @property
    def target_reads(self) -> bool:
        """Whether the target's row reads everything; only controls do that."""
        ...

    def __call__(self, steps: Int[np.ndarray, "N N"], draw: Draw) -> Bool[np.ndarray, "N N"]:
        """Rows and columns: candidates; ``steps`` up to each ancestor, 0 elsewhere."""
        ...


@dataclass(frozen=True)
class Ancestors:
    """The paper's: all ancestors, or those of at most ``depth`` steps (0: none)."""

    depth: int | None = None
    target_reads: bool = False

    def __call__(self, steps: Steps, draw: Draw) -> Bool[np.ndarray, "N N"]:
        deepest = steps.max(initial=0) if self.depth is None else self.depth
        return (steps > 0) & (steps <= deepest)


def reading_mask(reading: Reading, steps: Steps, draw: Draw) -> np.ndarray:
    """The whole mask of N candidates and the target behind them, (N + 1, N + 1)."""
    count = len(steps)
    mask = np.eye(count + 1, dtype=bool)
    mask[:count, :count] |= reading(steps, draw)
    mask[:, count] = True
    mask[count, :count] = reading.target_reads
    return mask


class MaskedLayer(nn.Module):
    """One transformer layer whose attention sees only what the mask allows."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width: expected a multiple of {heads} heads, got {width}")
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "B L W"], mask: Bool[Tensor, "B L L"]) -> Float[Tensor, "B L W"]:
        x = x + self.attend(self.norm_attention(x), mask)
        return x + self.second(nn.functional.gelu(self.first(self.norm_feed(x))))

    def attend(self, x: States, mask: Bool[Tensor, "B L L"]) -> States:
        """Masked attention of all heads; every row must read something (its own column)."""
        size, length, width = x.shape
        shape = (size, length, 3, self.heads, width // self.heads)
        parts = self.query_key_value(x).view(shape)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, H, L, W / H) each
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        read = scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1) @ value
        return self.out(read.transpose(1, 2).reshape(size, length, width))


class MaskedTransformer(nn.Module):
    """Utterance vectors to states that know their ancestors and the target."""

    def __init__(self, features: int, *, width: int, heads: int, feed_forward: int, layers: int) -> None:
        super().__init__()
        self.norm_in, self.project = nn.LayerNorm(features), nn.Linear(features, width)
        self.distance = nn.Embedding(FARTHEST + 1, width)
        self.layers = nn.ModuleList(MaskedLayer(width, heads, feed_forward) for _ in range(layers))
        self.norm_out = nn.LayerNorm(width)
        nn.init.normal_(self.distance.weight, std=0.1)

    def forward(self, vectors: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L L"]) -> Float[Tensor, "B L W"]:
        away = torch.arange(vectors.shape[1] - 1, -1, -1).clamp(max=FARTHEST)
        x = self.project(self.norm_in(vectors)) + self.distance(away)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm_out(x)


class Responder(nn.Module):
    """The whole model above the utterance encoder: a logit for every message of a batch.

    Args:
        features: of an utterance vector.
        pair_features: hand-made features of a pair, 0 without.
    """

    def __init__(
        self,
        features: int,
        *,
        pair_features: int = 0,
        width: int = 300,
        heads: int = 4,
        feed_forward: int = 1024,
        layers: int = 4,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        sizes = {"width": width, "heads": heads, "feed_forward": feed_forward, "layers": layers}
        self.masked = MaskedTransformer(features, **sizes)
        self.output: nn.Module = nn.Linear(width, 1)
        if pair_features:
            inner = nn.Linear(width + pair_features, hidden)
            self.output = nn.Sequential(inner, nn.GELU(), nn.Linear(hidden, 1))
        self.pair_features = pair_features

    def forward(self, batch: Batch) -> Float[Tensor, "B L"]:
        states = self.masked(batch.vectors, batch.mask)
        if self.pair_features:
            states = torch.cat([states, batch.features.to(states.dtype)], dim=-1)
        return self.output(states).squeeze(-1).float()


def ranking_loss(logits: Float[Tensor, "B L"], batch: Batch) -> Float[Tensor, ""]:
    """Cross-entropy of a softmax over the candidates; several parents share the mass.

    The target itself is no candidate. Every row needs a true parent among them.
    """
    allowed = batch.real.clone()
    allowed[:, -1] = False
    scores = logits.masked_fill(~allowed, -1e9).log_softmax(-1)
    gold = batch.gold.float() * allowed
    return -(scores * gold / gold.sum(-1, keepdim=True).clamp(min=1)).sum(-1).mean()


def link_loss(logits: Float[Tensor, "B L"], batch: Batch) -> Float[Tensor, ""]:
    """Binary cross-entropy of every candidate and of the target itself, summed over a target's candidates."""
    loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.gold.float(), reduction="none")
    return (loss * batch.real).sum(-1).mean()
