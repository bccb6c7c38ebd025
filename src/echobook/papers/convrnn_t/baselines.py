"""Causal versions of the two convolutional baselines: Conformer and ContextNet, one encoding per input frame.

Conformer (Gulati et al. 2020), each layer: half feed-forward, attention, convolution, half feed-forward,
norm. Attention looks at the current and `left - 1` earlier frames. Position enters as a learned bias per
head and distance; the original's sinusoidal relative encoding is not used. ContextNet (Han et al. 2020),
each block: depth-wise separable causal convolutions with batch norm and Swish, causal squeeze-and-
excitation, residual.

Axes: B utterances, T frames, C channels, H heads, K keys. Cost per frame and layer: Conformer about 23 C^2
plus 2 C for each key; ContextNet about C^2 for each convolution.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echobook.papers.convrnn_t.layers import CausalSqueeze, DepthwiseConv, Encoder, FrameNorm, run_all
from echobook.speech.streaming import State


class FeedForward(nn.Sequential):
    """Norm, widen, Swish, narrow."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )


class CausalAttention(nn.Module):
    """Multi-head self-attention over the current and `left - 1` earlier frames; the state is their keys and
    values.
    """

    def __init__(self, channels: int, *, heads: int, left: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels is {channels}; expected a multiple of heads={heads}")
        self.heads, self.left = heads, left
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, 3 * channels)
        self.bias = DistanceBias(heads, left)
        self.output = nn.Linear(channels, channels)

    def initial_state(self, batch: int) -> State:
        """No keys and no values."""
        empty = self.output.weight.new_zeros(batch, 0, self.output.in_features)
        return empty, empty

    def forward(
        self, x: Float[Tensor, "B T C"], state: State, valid: Tensor | None = None
    ) -> tuple[Float[Tensor, "B T C"], State]:
        """Attend; padding stands after every real frame, so no real frame sees it."""
        query, key, value = self.project(self.norm(x)).chunk(3, dim=-1)
        key, value = torch.cat([state[0], key], dim=1), torch.cat([state[1], value], dim=1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        bias = self.bias(x.shape[1], key.shape[1])  # (H, T, K)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)  # (B, H, T, C / H)
        keep = max(0, key.shape[1] - self.left + 1)
        return self.output(mixed.transpose(1, 2).flatten(2)), (key[:, keep:], value[:, keep:])


class DistanceBias(nn.Module):
    """Learned score per head and distance, -inf for later frames and for frames too far back."""

    def __init__(self, heads: int, left: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(heads, left))

    def forward(self, queries: int, keys: int) -> Float[Tensor, "H T K"]:
        """Bias of the last `queries` frames towards the last `keys` frames."""
        place = torch.arange(keys, device=self.weight.device)
        distance = place[keys - queries :, None] - place  # (T, K)
        left = self.weight.shape[1]
        allowed = (distance >= 0) & (distance < left)
        return self.weight[:, distance.clamp(0, left - 1)].masked_fill(~allowed, -torch.inf)


class ConvolutionModule(nn.Module):
    """Norm, gated widening, depth-wise causal convolution, batch norm, Swish, narrow."""

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * channels)
        self.depthwise = DepthwiseConv(channels, kernel)
        self.frame_norm = FrameNorm(channels)
        self.narrow = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, state: State, valid: Tensor | None) -> tuple[Tensor, State]:
        """The state is the convolution's."""
        gated = nn.functional.glu(self.widen(self.norm(x)), dim=-1)
        mixed, after = self.depthwise(gated, state)
        mixed = nn.functional.silu(self.frame_norm(mixed, valid))
        return self.dropout(self.narrow(mixed)), after


class ConformerLayer(nn.Module):
    """One causal Conformer layer."""

    def __init__(
        self, channels: int, *, heads: int, hidden: int, kernel: int, left: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.before = FeedForward(channels, hidden, dropout)
        self.attention = CausalAttention(channels, heads=heads, left=left)
        self.dropout = nn.Dropout(dropout)
        self.convolution = ConvolutionModule(channels, kernel, dropout)
        self.after = FeedForward(channels, hidden, dropout)
        self.norm = nn.LayerNorm(channels)

    def initial_state(self, batch: int) -> State:
        """Keys and values, and the convolution's past."""
        return self.attention.initial_state(batch), self.convolution.depthwise.initial_state(batch)

    def forward(
        self, x: Float[Tensor, "B T C"], state: State, valid: Tensor | None = None
    ) -> tuple[Float[Tensor, "B T C"], State]:
        """Four residual parts and a norm."""
        x = x + 0.5 * self.before(x)
        attended, keys = self.attention(x, state[0])
        x = x + self.dropout(attended)
        convolved, past = self.convolution(x, state[1], valid)
        x = x + convolved
        return self.norm(x + 0.5 * self.after(x)), (keys, past)


class SeparableConv(nn.Module):
    """Depth-wise causal convolution, point-wise mixing, batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(inputs, kernel)
        self.mix = nn.Linear(inputs, outputs)
        self.norm = FrameNorm(outputs)

    def forward(self, x: Tensor, state: State, valid: Tensor | None) -> tuple[Tensor, State]:
        """The state is the convolution's."""
        mixed, after = self.depthwise(x, state)
        return self.norm(self.mix(mixed), valid), after


class ContextNetBlock(nn.Module):
    """`layers` separable convolutions, squeeze-and-excitation, and a residual unless it is left out."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: int,
        kernel: int,
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * (layers - 1)
        self.convs = nn.ModuleList(SeparableConv(width, outputs, kernel) for width in widths)
        self.squeeze = CausalSqueeze(outputs, max(1, outputs // 8))
        self.shortcut = nn.Linear(inputs, outputs) if residual else None
        self.shortcut_norm = FrameNorm(outputs) if residual else None
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int) -> State:
        """State of each convolution, then of the squeeze."""
        convs: Any = self.convs
        return (*(c.depthwise.initial_state(batch) for c in convs), self.squeeze.initial_state(batch))

    def forward(
        self, x: Float[Tensor, "B T C"], state: State, valid: Tensor | None = None
    ) -> tuple[Float[Tensor, "B T K"], State]:
        """No activation after the last convolution: it follows the sum."""
        out, after = x, []
        for i, (conv, before) in enumerate(zip(self.convs, state[:-1], strict=True)):
            out, new = conv(nn.functional.silu(out) if i else out, before, valid)
            after.append(new)
        out, seen = self.squeeze(out, state[-1], valid)
        if self.shortcut is not None and self.shortcut_norm is not None:
            out = out + self.shortcut_norm(self.shortcut(x), valid)
        return self.dropout(nn.functional.silu(out)), (*after, seen)


class BlockEncoder(Encoder):
    """Linear layer in, blocks one after the other, linear layer out."""

    def __init__(self, features: int, channels: int, blocks: list[nn.Module], last: int, size: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(features, channels)
        self.blocks = nn.ModuleList(blocks)
        self.outputs = nn.Linear(last, size)

    def initial_state(self, batch: int) -> State:
        """State of each block."""
        blocks: Any = self.blocks
        return tuple(block.initial_state(batch) for block in blocks)

    def run(self, frames: Tensor, state: State, valid: Tensor | None) -> tuple[Tensor, State]:
        """Encode a piece."""
        out, after = run_all(self.blocks, self.inputs(frames), state, valid)
        return self.outputs(out), after


def causal_conformer(
    features: int,
    *,
    channels: int,
    layers: int,
    heads: int,
    hidden: int,
    size: int,
    kernel: int = 15,
    left: int = 64,
    dropout: float = 0.0,
) -> BlockEncoder:
    """Conformer without look-ahead; hidden: width of the feed-forward parts, left: frames attention sees."""
    options: dict[str, Any] = {"heads": heads, "hidden": hidden, "kernel": kernel, "left": left}
    blocks: list[nn.Module] = [ConformerLayer(channels, dropout=dropout, **options) for _ in range(layers)]
    return BlockEncoder(features, channels, blocks, channels, size)


def causal_contextnet(
    features: int,
    *,
    channels: tuple[int, int],
    blocks: tuple[int, int],
    size: int,
    layers: int = 5,
    kernel: int = 5,
    dropout: float = 0.0,
) -> BlockEncoder:
    """ContextNet without look-ahead: `blocks[0]` blocks of `channels[0]`, then `blocks[1]` of `channels[1]`.

    As in the paper's description, the first and the last block have one convolution (and no residual), the
    others `layers`; stride 1 everywhere.
    """
    widths = [channels[0]] * blocks[0] + [channels[1]] * blocks[1]
    made: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(zip([channels[0], *widths[:-1]], widths, strict=True)):
        edge = i in (0, len(widths) - 1)
        made.append(
            ContextNetBlock(
                inputs,
                outputs,
                layers=1 if edge else layers,
                kernel=kernel,
                residual=not edge,
                dropout=dropout,
            )
        )
    return BlockEncoder(features, channels[0], made, widths[-1], size)
