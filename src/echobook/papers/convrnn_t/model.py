"""ConvRNN-T (Radfar et al. 2022): a local and a global causal CNN in front of an LSTM transducer's encoder.

    local  = Linear(flatten(conv2d x 4 (x)))              5 x 5, ReLU, channels 100-100-64-64 in the paper
    global = six blocks of [C -> 2C, ReLU, norm; dilated k=3, 2C -> C, ReLU, norm; C -> C; causal squeeze;
             dropout; + residual], block i with dilation 2^i, i = 0..5
    h      = LSTM stack(Linear([local; global]))

What the paper does not say, and what we took: frequency padding of 2 and a linear layer from the flattened
last map back to D (both match the printed number of parameters); i from 0; squeeze-and-excitation with a
bottleneck. The text calls the dilated convolution depth-wise, the printed number of parameters fits a dense
one: `GlobalBlock(dense=...)` has both.

Axes: B utterances, T frames, D features (mels times stacked frames), E encoding.
Cost per frame, multiply-accumulates: local k^2 D sum(C_in C_out) + D^2 C_last; global block about 3 D^2
(depth-wise) or 9 D^2 (dense).
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echobook.papers.convrnn_t.layers import (
    CausalConv1d,
    CausalConv2d,
    CausalSqueeze,
    DepthwiseConv,
    Encoder,
    FrameNorm,
    run_all,
)
from echobook.speech.convolution import fold, unfold
from echobook.speech.streaming import State


class LocalCNN(nn.Module):
    """Four 2-D convolutions, then a linear layer back to the features' width."""

    def __init__(
        self,
        features: int,
        *,
        channels: Sequence[int] = (100, 100, 64, 64),
        kernel: int = 5,
    ) -> None:
        super().__init__()
        pairs = zip([1, *channels[:-1]], channels, strict=True)
        # Frequencies folded into channels, for speed.
        self.block = 2 if features % 2 == 0 else 1
        block = self.block
        convs = [
            CausalConv2d(i, o, kernel, features, block=block)
            for i, o in pairs  # one a layer
        ]
        self.convs = nn.ModuleList(convs)
        self.projection = nn.Linear(channels[-1] * features, features)

    def initial_state(self, batch: int) -> State:
        """The last frames of each layer's input."""
        convs: Any = self.convs
        return tuple(conv.initial_state(batch) for conv in convs)

    def forward(
        self, x: Float[Tensor, "B T D"], state: State, valid: Tensor | None = None
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Local context: 4 * (kernel - 1) + 1 frames, all of them past or present."""
        maps, after = fold(x, self.block), []  # (B, P, T, D / P)
        for conv, before in zip(self.convs, state, strict=True):
            maps, new = conv(maps, before)
            maps = torch.relu(maps)
            after.append(new)
        return self.projection(unfold(maps, self.block)), tuple(after)


class GlobalBlock(nn.Module):
    """Widen, look back (dilated), narrow, squeeze and excite; added to the input."""

    def __init__(
        self,
        channels: int,
        *,
        dilation: int,
        squeeze: nn.Module,
        dense: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.widen = nn.Linear(channels, 2 * channels)
        self.norm_wide = FrameNorm(2 * channels)
        self.dilated: Any = (
            CausalConv1d(2 * channels, channels, 3, dilation=dilation)
            if dense
            else DepthwiseConv(channels, 3, dilation=dilation, group=2)
        )
        self.norm_dilated = FrameNorm(channels)
        self.mix = nn.Linear(channels, channels)
        self.squeeze: Any = squeeze
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int) -> State:
        """State of the dilated convolution and of the squeeze."""
        return self.dilated.initial_state(batch), self.squeeze.initial_state(batch)

    def forward(
        self, x: Float[Tensor, "B T D"], state: State, valid: Tensor | None = None
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """One residual block."""
        wide = self.norm_wide(torch.relu(self.widen(x)), valid)
        back, past = self.dilated(wide, state[0])
        mixed = self.mix(self.norm_dilated(torch.relu(back), valid))
        gated, seen = self.squeeze(mixed, state[1], valid)
        return x + self.dropout(gated), (past, seen)


class GlobalCNN(nn.Module):
    """Blocks with dilations 1, 2, 4, ...: a long look back plus the mean of everything so far."""

    def __init__(
        self,
        features: int,
        *,
        blocks: int = 6,
        bottleneck: int,
        squeeze: type[CausalSqueeze] = CausalSqueeze,
        dense: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            GlobalBlock(
                features, dilation=2**i, squeeze=squeeze(features, bottleneck), dense=dense, dropout=dropout
            )
            for i in range(blocks)
        )

    def initial_state(self, batch: int) -> State:
        """State of each block."""
        blocks: Any = self.blocks
        return tuple(block.initial_state(batch) for block in blocks)

    def forward(
        self, x: Float[Tensor, "B T D"], state: State, valid: Tensor | None = None
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Global context, of the features' width."""
        return run_all(self.blocks, x, state, valid)


class ConvRNNT(Encoder):
    """The encoder: convolutional parts side by side, a linear layer, an LSTM stack.

    local, global_: parts of width `features` called as in `layers`; None leaves one
        out. lstm: an encoder with `initial_state` and `step`, such as
        `echobook.speech.model.LSTMEncoder`.
    """

    def __init__(
        self,
        features: int,
        *,
        local: nn.Module | None,
        global_: nn.Module | None,
        lstm: nn.Module,
    ) -> None:
        super().__init__()
        parts = [part for part in (local, global_) if part is not None]
        if not parts:
            needed = "a local or a global part"
            raise ValueError(f"ConvRNNT needs {needed}; without both use LSTMEncoder")
        self.parts = nn.ModuleList(parts)
        self.fusion = nn.Linear(len(parts) * features, features)
        self.lstm: Any = lstm

    def initial_state(self, batch: int) -> State:
        """State of each part, then of the LSTM stack."""
        parts: Any = self.parts
        states = [part.initial_state(batch) for part in (*parts, self.lstm)]
        return tuple(states)

    def run(
        self,
        frames: Tensor,
        state: State,
        valid: Tensor | None,
    ) -> tuple[Tensor, State]:
        """Encode a piece: every part reads the same features."""
        pairs = zip(self.parts, state[:-1], strict=True)
        results = [part(frames, before, valid) for part, before in pairs]
        fused = self.fusion(torch.cat([out for out, _ in results], dim=-1))
        encodings, recurrent = self.lstm.step(fused, state[-1])
        return encodings, (*(after for _, after in results), recurrent)
