"""What lets context into a transducer: adapter, combiner, carry-over. Each maps a stream to a stream.

Adapter (Sathyendra et al. 2022, eqs. of section 2.3), on a frozen base, with stream vectors s as queries:

    a_k = softmax_k((W_k c_k) . (W_q s) / sqrt(d)),    s' = s + W_o sum_k a_k W_v c_k

W_o starts at zero here, so that before training the base is untouched to the last bit (the paper starts it at
random). Combiner (CATT, Chang et al. 2021, section 3), trained with the whole model, with several heads:

    s' = s + FF([LN(s); LN(attention(s, C, C))])

The paper's combiner replaces s; the residual path is ours, so that training can start from a trained base.
Carry-over (form ours; the abstract of Wei et al. 2021 names attention over previous turns, and the gate is
recalled): with c = attention(s, C, C) over the words of the previous turn,

    s' = s + sigmoid(W_g [s; c]) * W c

At the encoder's place the query sees some frames on either side (`window`), because a frame of ours is little
more than a piece of one phoneme.

A context is projected to keys and values once per turn (`project`) and then costs O(K d) per vector.
Axes: B utterances (or 1, shared), K1 context rows, S any axes of the stream, E width, d inner width, H heads.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echobook.papers.contextual_asr.context import Context


class Projected(NamedTuple):
    """Keys and values of one part for one turn: what a store would hold ready."""

    keys: Float[Tensor, "B H K1 d"]
    values: Float[Tensor, "B H K1 d"]
    listed: Bool[Tensor, "B K1"]


class ContextAttention(nn.Module):
    """Dot-product attention of stream vectors over context rows. Without any listed row it gives 0."""

    def __init__(
        self, stream: int, context: int, *, inner: int = 64, heads: int = 1, window: int = 1
    ) -> None:
        super().__init__()
        if inner % heads or window % 2 == 0:
            raise ValueError(
                f"expected an inner width that is a multiple of the heads and an odd window; got {inner=}, "
                f"{heads=}, {window=}"
            )
        self.heads, self.inner = heads, inner
        self.query = Window(stream, inner, window) if window > 1 else nn.Linear(stream, inner, bias=False)
        self.key = nn.Linear(context, inner, bias=False)
        self.value = nn.Linear(context, inner, bias=False)

    def project(self, context: Context) -> Projected:
        """Keys and values of a context."""
        return Projected(
            self._split(self.key(context.states)), self._split(self.value(context.states)), context.listed
        )

    def _split(self, rows: Float[Tensor, "B N I"]) -> Float[Tensor, "B H N d"]:
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def weights(
        self,
        stream: Float[Tensor, "B *S E"],
        projected: Projected,
    ) -> Float[Tensor, "B H N K1"]:
        """Attention of each of N stream vectors (the axes S flattened) over the rows."""
        query = self._split(self.query(stream.flatten(1, -2)))
        scores = query @ projected.keys.transpose(2, 3) / (self.inner / self.heads) ** 0.5
        masked = scores.masked_fill(~projected.listed[:, None, None], float("-inf"))
        none = ~projected.listed.any(1)[:, None, None, None]
        return masked.masked_fill(none, 0).softmax(-1).masked_fill(none, 0)

    def forward(self, stream: Float[Tensor, "B *S E"], projected: Projected) -> Float[Tensor, "B *S I"]:
        """Attended values, in the shape of the stream."""
        found = self.weights(stream, projected) @ projected.values
        return found.transpose(1, 2).flatten(2).unflatten(1, stream.shape[1:-1])


class Window(nn.Module):
    """A linear map of each vector with its neighbours, `size` in all; zeros stand outside the stream."""

    def __init__(self, stream: int, inner: int, size: int) -> None:
        super().__init__()
        self.map = nn.Conv1d(stream, inner, size, padding=size // 2, bias=False)

    def forward(self, stream: Float[Tensor, "B N E"]) -> Float[Tensor, "B N I"]:
        """One vector per place."""
        return self.map(stream.transpose(1, 2)).transpose(1, 2)


class Adapter(nn.Module):
    """Adds an attended bias to the stream; zero before training."""

    def __init__(
        self,
        stream: int,
        context: int,
        *,
        inner: int = 64,
        window: int = 1,
    ) -> None:
        super().__init__()
        self.attention = ContextAttention(stream, context, inner=inner, window=window)
        self.output = nn.Linear(inner, stream, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(
        self,
        stream: Float[Tensor, "B *S E"],
        projected: Projected,
    ) -> Float[Tensor, "B *S E"]:
        """Biased stream."""
        return stream + self.output(self.attention(stream, projected))


class Combiner(nn.Module):
    """CATT's combiner: feed-forward over the normalised stream and what it attends to."""

    def __init__(
        self, stream: int, context: int, *, inner: int = 64, heads: int = 4, window: int = 1
    ) -> None:
        super().__init__()
        self.attention = ContextAttention(stream, context, inner=inner, heads=heads, window=window)
        self.norms = nn.ModuleList([nn.LayerNorm(stream), nn.LayerNorm(inner)])
        self.forth = nn.Linear(stream + inner, 2 * stream)
        self.back = nn.Linear(2 * stream, stream)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def forward(self, stream: Float[Tensor, "B *S E"], projected: Projected) -> Float[Tensor, "B *S E"]:
        """Combined stream."""
        attended = self.attention(stream, projected)
        both = torch.cat([self.norms[0](stream), self.norms[1](attended)], -1)
        return stream + self.back(torch.relu(self.forth(both)))


class CarryOver(nn.Module):
    """Gated attention over the words of the previous turn; zero before training."""

    def __init__(
        self, stream: int, context: int, *, inner: int = 64, heads: int = 4, window: int = 1
    ) -> None:
        super().__init__()
        self.attention = ContextAttention(stream, context, inner=inner, heads=heads, window=window)
        self.gate = nn.Linear(stream + inner, stream)
        self.output = nn.Linear(inner, stream, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, stream: Float[Tensor, "B *S E"], projected: Projected) -> Float[Tensor, "B *S E"]:
        """Stream with what is carried over."""
        carried = self.attention(stream, projected)
        gate = torch.sigmoid(self.gate(torch.cat([stream, carried], -1)))
        return stream + gate * self.output(carried)
