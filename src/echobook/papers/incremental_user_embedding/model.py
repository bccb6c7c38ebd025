"""Text classification with a user's accumulated state (after Lian et al., ICASSP 2022).

A user's interactions s = 1..S have texts with frozen features x_s and labels y_s. With W, E and P learned:

    h_s = W_x x_s + E[y_s]                                     interaction                           (1)
    [A~_t; H~_t] = Enc([A_{t-1} + s_A; H_t + s_H + P])         joint attention, both directions      (2)
    A_t = g * A~_t + (1 - g) * A_{t-1},  g = sigmoid(W_g [A~_t; A_{t-1}])                            (3)
    r = Attention(W_q x, [A_t; interactions since t])          what of the profile this text needs   (4)
    logits = MLP([q; r; q * r]),  q = W_q x                                                          (5)

H_t are N consecutive interactions, A_t the state after block t, A_0 learned. A state is made from whole
blocks only; interactions since then are read as they are. The label of the current text enters nothing:
(4) sees interactions before it. Gradients flow through ``truncation`` blocks, then the state is cut off.

The paper's equations were not read: (2) follows its abstract and outline, the rest is our specification.
Parts are passed in, so that a reader can replace one: ``Personal(Accumulated(IncrementalUpdate(...)))``.

Axes: B users, S interactions, D text features, E width, M slots of the state, N interactions of a block,
C classes (label C: a class without a name here). Time of an update O((M + N)^2 E + (M + N) E^2), of an answer
O((M + N) E); memory of a user O((M + N) E): none depends on S.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

AGES = 8  # ages 1, 2, 3-4, 5-8, ... above 64 share the last of these


class Interactions(nn.Module):
    """Equation 1; without ``labels`` the history is texts alone."""

    def __init__(self, features: int, classes: int, width: int, *, labels: bool = True) -> None:
        super().__init__()
        self.text = nn.Linear(features, width)
        self.label = nn.Embedding(classes + 1, width) if labels else None

    def forward(self, x: Float[Tensor, "B S D"], y: Int[Tensor, "B S"]) -> Float[Tensor, "B S E"]:
        h = self.text(x)
        return h if self.label is None else h + self.label(y)


class Gate(nn.Module):
    """Equation 3: how much of each feature is renewed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Linear(2 * width, width)

    def forward(self, new: Float[Tensor, "B M E"], old: Float[Tensor, "B M E"]) -> Float[Tensor, "B M E"]:
        g = torch.sigmoid(self.weight(torch.cat([new, old], dim=-1)))
        return g * new + (1 - g) * old


class NoGate(nn.Module):
    """The encoder's output is the state (ablation)."""

    def forward(self, new: Float[Tensor, "B M E"], old: Float[Tensor, "B M E"]) -> Float[Tensor, "B M E"]:
        return new


def one_way(slots: int, block: int) -> Bool[Tensor, "L L"]:
    """What may not attend: interactions do not see the state (ablation)."""
    mask = torch.zeros(slots + block, slots + block, dtype=torch.bool)
    mask[slots:, :slots] = True
    return mask


@runtime_checkable
class Update(Protocol):
    """What merges a block into the state; ``start`` is A_0 (M, E)."""

    start: nn.Parameter

    def __call__(
        self, state: Float[Tensor, "B M E"], block: Float[Tensor, "B N E"]
    ) -> Float[Tensor, "B M E"]: ...


class IncrementalUpdate(nn.Module):
    """Equations 2 and 3: the upper encoder reads state and block together."""

    def __init__(
        self,
        width: int,
        *,
        slots: int,
        block: int,
        layers: int = 2,
        heads: int = 4,
        gate: nn.Module | None = None,
        mask: Bool[Tensor, "L L"] | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.slots = slots
        self.start = nn.Parameter(0.1 * torch.randn(slots, width))
        self.of_state = nn.Parameter(torch.zeros(width))  # s_A
        self.of_block = nn.Parameter(0.02 * torch.randn(block, width))  # s_H + P
        self.encoder = upper_encoder(width, layers=layers, heads=heads, dropout=dropout)
        self.gate = gate or Gate(width)
        self.register_buffer("mask", mask)

    def forward(self, state: Float[Tensor, "B M E"], block: Float[Tensor, "B N E"]) -> Float[Tensor, "B M E"]:
        both = torch.cat([state + self.of_state, block + self.of_block], dim=1)  # (B, M + N, E)
        merged = self.encoder(both, mask=self.mask)[:, : self.slots]
        updated: Tensor = self.gate(merged, state)
        return updated


def upper_encoder(width: int, *, layers: int, heads: int, dropout: float) -> nn.TransformerEncoder:
    """Transformer encoder, normalised before each part and at the end, feed-forward of twice the width."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)


def age_bucket(age: Int[Tensor, "Q M"]) -> Int[Tensor, "Q M"]:
    """0 for no age (0 or below), then 1, 2, 3-4, 5-8, ... up to ``AGES``."""
    rounded = torch.ceil(torch.log2(age.clamp(min=1).double())).long() + 1
    return torch.where(age > 0, rounded.clamp(max=AGES), 0)


class QueryAttention(nn.Module):
    """Equation 4: several heads, with a learned bias by age of an interaction."""

    def __init__(self, width: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.age = nn.Parameter(torch.zeros(heads, AGES + 1))

    def forward(
        self,
        q: Float[Tensor, "G Q E"],
        memory: Float[Tensor, "G M E"],
        allowed: Bool[Tensor, "G1 Q M"],
        age: Int[Tensor, "Q M"],
    ) -> Float[Tensor, "G Q E"]:
        """Read ``memory`` where ``allowed`` (G1 is G, or 1 for the same in all); every query may read one."""
        key, value = self.key_value(self.norm(memory)).chunk(2, dim=-1)
        bias = self.age[:, age_bucket(age)]  # (heads, Q, M)
        mask = bias.masked_fill(~allowed[:, None], -math.inf)  # (G1, heads, Q, M)
        read = F.scaled_dot_product_attention(
            self._split(self.query(q)), self._split(key), self._split(value), attn_mask=mask
        )
        return self.out(read.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, z: Float[Tensor, "G L E"]) -> Float[Tensor, "G heads L F"]:
        return z.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@runtime_checkable
class History(Protocol):
    """What of the past an answer sees: profiles r from queries q, interactions h and their labels y.

    The profile at s depends on interactions before s only; ``keep`` (B,) false makes a user one without past.
    """

    def __call__(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]: ...


class Accumulated(nn.Module):
    """The state after whole blocks, and the interactions since."""

    def __init__(
        self, update: Update, attention: QueryAttention, *, block: int = 4, truncation: int = 3
    ) -> None:
        super().__init__()
        self.update, self.attention = update, attention
        self.block, self.truncation = block, truncation

    def states(self, h: Float[Tensor, "B S E"]) -> Float[Tensor, "B T M E"]:
        """State before each of the T blocks (S is T N); cut from the past every ``truncation`` blocks."""
        state = self.update.start.expand(len(h), -1, -1)
        found = [state]
        for number, block in enumerate(h.split(self.block, dim=1)[:-1], start=1):
            if number > 1 and (number - 1) % self.truncation == 0:
                state = state.detach()
            state = self.update(state, block)
            found.append(state)
        return torch.stack(found, dim=1)

    def forward(
        self,
        q: Float[Tensor, "B S E"],
        h: Float[Tensor, "B S E"],
        y: Int[Tensor, "B S"],
        keep: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B S E"]:
        size, n = q.shape[1], self.block
        pad = (0, 0, 0, -size % n)
        blocks, asked = F.pad(h, pad), F.pad(q, pad)  # (B, T N, E)
        states = self.states(blocks)
        states = torch.where(keep[:, None, None, None], states, self.update.start)
        memory = torch.cat([states, blocks.unflatten(1, (-1, n))], dim=2).flatten(0, 1)  # (B T, M + N, E)
        age, allowed = self.reach(states.shape[2], n)
        seen = keep[:, None].expand(-1, states.shape[1]).flatten()  # (B T)
        allowed = allowed[None] & (seen[:, None, None] | (age == 0)[None])
        read = self.attention(asked.unflatten(1, (-1, n)).flatten(0, 1), memory, allowed, age)
        return read.unflatten(0, (len(h), -1)).flatten(1, 2)[:, :size]

    @staticmethod
    def reach(slots: int, block: int) -> tuple[Int[Tensor, "N L"], Bool[Tensor, "N L"]]:
        """Age of slots (0) and of a block's interactions for each place in it, and what a place may read."""
        place = torch.arange(block)
        of_block = place[:, None] - place[None]  # (N, N)
        age = torch.cat([torch.zeros(block, slots, dtype=torch.long), of_block], dim=1)
        allowed = torch.cat([torch.ones(block, slots, dtype=torch.bool), of_block > 0], dim=1)
        return age.clamp(min=0), allowed


class Head(nn.Module):
    """Equation 5."""

    def __init__(self, width: int, classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, classes)
        )

    def forward(self, q: Float[Tensor, "... E"], r: Float[Tensor, "... E"]) -> Float[Tensor, "... C"]:
        return self.layers(torch.cat([q, r, q * r], dim=-1))  # type: ignore[no-any-return]


class Personal(nn.Module):
    """A classifier of texts that knows who writes.

    Args:
        history: what of the past is seen; see `Accumulated` and the baselines.
        features, classes, width: D, C and E.
        labels: whether past labels are part of the history.
        dropout: of features and head.
    """

    def __init__(
        self,
        history: History,
        *,
        features: int,
        classes: int,
        width: int,
        labels: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.history = history
        self.interactions = Interactions(features, classes, width, labels=labels)
        self.query = nn.Linear(features, width)
        self.head = Head(width, classes, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "B S D"], y: Int[Tensor, "B S"], keep: Bool[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B S C"]:
        """Logits of each text, given the user's interactions before it.

        Args:
            x, y: features and labels (C for a class without a name) in order of time; padding behind.
            keep: users whose past is seen; all by default.
        """
        kept = torch.ones(len(x), dtype=torch.bool) if keep is None else keep
        x = self.dropout(x)
        q = self.query(x)
        r = self.history(q, self.interactions(x, y), y, kept)
        return self.head(q, r)  # type: ignore[no-any-return]
