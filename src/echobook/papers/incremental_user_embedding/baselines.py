"""What the method is compared with: the same classifier with another view of the past.

Every class here is a `History` of `model`: profiles from queries, interactions and labels. All but
`NoHistory` and `Counts` read through the same attention; a learned empty token stands for no past.

    text           nothing                                              the paper's kind of baseline
    counts         how often each label was seen, in all of the history, or fading with age
    last           the last n + k interactions: as many tokens as state and block hold
    mean           the mean of all interactions: a static profile; learned once or kept up to date
    full           all interactions, encoded anew by an encoder of the same size
    ema, gru       the same blocks and slots, merged by moving averages or a GRU

Axes as in `model`; Z tokens that a query may read.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from echobook.papers.incremental_user_embedding.model import QueryAttention, upper_encoder


class NoHistory(nn.Module):
    """Text only."""

    def forward(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]:
        return torch.zeros_like(q)


def past_counts(y: Int[Tensor, "B S"], classes: int, *, fading: float = 1.0) -> Float[Tensor, "B S C1"]:
    """Occurrences of each label before each interaction, an occurrence k steps ago counting fading^(k-1)."""
    marks = F.one_hot(y, classes + 1).float()
    counts = torch.zeros_like(marks[:, 0])
    found = []
    for step in range(y.shape[1]):
        found.append(counts)
        counts = fading * counts + marks[:, step]
    return torch.stack(found, dim=1)


class Counts(nn.Module):
    """Counts of past labels: shares, logarithms of counts, and whether there is a past at all.

    With a ``fading`` below 1 an occurrence counts less the older it is.
    """

    def __init__(self, classes: int, width: int, *, fading: float = 1.0) -> None:
        super().__init__()
        self.classes, self.fading = classes, fading
        self.out = nn.Linear(2 * (classes + 1) + 1, width)

    def forward(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]:
        counts = past_counts(y, self.classes, fading=self.fading) * keep[:, None, None]
        total = counts.sum(dim=-1, keepdim=True)
        parts = [counts / total.clamp(min=1), torch.log1p(counts), (total > 0).float()]
        return self.out(torch.cat(parts, dim=-1))  # type: ignore[no-any-return]


class Reading(nn.Module):
    """A history that is read by attention, after a learned empty token."""

    def __init__(self, attention: QueryAttention, width: int) -> None:
        super().__init__()
        self.attention = attention
        self.empty = nn.Parameter(0.1 * torch.randn(width))

    def read(
        self,
        q: Float[Tensor, "G Q E"],
        tokens: Float[Tensor, "G Z E"],
        allowed: Bool[Tensor, "G1 Q Z"],
        age: Int[Tensor, "Q Z"],
    ) -> Float[Tensor, "G Q E"]:
        """Profiles from the allowed tokens and the empty one."""
        memory = torch.cat([self.empty.expand(len(tokens), 1, -1), tokens], dim=1)
        return self.attention(q, memory, F.pad(allowed, (1, 0), value=True), F.pad(age, (1, 0)))  # type: ignore[no-any-return]


class LastItems(Reading):
    """The last ``n`` interactions as they are, nothing of what was before."""

    def __init__(self, attention: QueryAttention, width: int, *, n: int) -> None:
        super().__init__(attention, width)
        self.n = n

    def forward(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]:
        users, steps = y.shape
        last = F.pad(h, (0, 0, self.n, 0))[:, :-1].unfold(1, self.n, 1).transpose(2, 3)  # (B, S, n, E)
        age = torch.arange(self.n, 0, -1)
        there = age[None] <= torch.arange(steps)[:, None]  # (S, n)
        allowed = (there[None] & keep[:, None, None]).flatten(0, 1)[:, None]  # (B S, 1, n)
        r = self.read(q.flatten(0, 1)[:, None], last.flatten(0, 1), allowed, age[None])
        return r[:, 0].unflatten(0, (users, steps))


class MeanOfAll(Reading):
    """The mean of all earlier interactions; with ``frozen_at`` only of the first so many of a user's."""

    def __init__(self, attention: QueryAttention, width: int) -> None:
        super().__init__(attention, width)
        self.frozen_at: Int[Tensor, " B"] | None = None

    def forward(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]:
        users, steps = y.shape
        counted = torch.ones(users, steps, 1)
        if self.frozen_at is not None:
            counted = (torch.arange(steps)[None] < self.frozen_at[:, None]).float()[..., None]
        before = F.pad((h * counted).cumsum(dim=1), (0, 0, 1, 0))[:, :-1]
        seen = F.pad(counted.cumsum(dim=1), (0, 0, 1, 0))[:, :-1]  # (B, S, 1)
        mean = (before / seen.clamp(min=1)).flatten(0, 1)[:, None]
        allowed = ((seen[..., 0] > 0) & keep[:, None]).flatten()[:, None, None]
        age = torch.zeros(1, 1, dtype=torch.long)
        r = self.read(q.flatten(0, 1)[:, None], mean, allowed, age)
        return r[:, 0].unflatten(0, (users, steps))


class FullHistory(Reading):
    """All earlier interactions, encoded anew for each answer: in training by one pass with a causal mask."""

    def __init__(
        self, attention: QueryAttention, width: int, *, layers: int = 2, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__(attention, width)
        self.encoder = upper_encoder(width, layers=layers, heads=heads, dropout=dropout)

    def forward(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]:
        place = torch.arange(y.shape[1])
        age = place[:, None] - place[None]  # (S, S)
        encoded = self.encoder(h, mask=age < 0, is_causal=True)
        allowed = (age > 0)[None] & keep[:, None, None]
        return self.read(q, encoded, allowed, age)


class MovingAverage(nn.Module):
    """EMA with a learned rate for each slot: A = lambda A + (1 - lambda) mean of the block."""

    def __init__(self, width: int, *, slots: int) -> None:
        super().__init__()
        self.start = nn.Parameter(0.1 * torch.randn(slots, width))
        self.rate = nn.Parameter(torch.linspace(-1.0, 2.0, slots))  # lambda from .27 to .88

    def forward(self, state: Float[Tensor, "B M E"], block: Float[Tensor, "B N E"]) -> Float[Tensor, "B M E"]:
        kept = torch.sigmoid(self.rate)[:, None]
        return kept * state + (1 - kept) * block.mean(dim=1, keepdim=True)


class Recurrent(nn.Module):
    """A GRU over the block's interactions; its hidden vector is the slots side by side."""

    def __init__(self, width: int, *, slots: int) -> None:
        super().__init__()
        self.start = nn.Parameter(0.1 * torch.randn(slots, width))
        self.cell = nn.GRU(width, slots * width, batch_first=True)

    def forward(self, state: Float[Tensor, "B M E"], block: Float[Tensor, "B N E"]) -> Float[Tensor, "B M E"]:
        _, last = self.cell(block, state.flatten(1)[None].contiguous())
        return last[0].view_as(state)  # type: ignore[no-any-return]
