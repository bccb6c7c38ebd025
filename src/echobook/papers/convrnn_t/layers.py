"""Streaming blocks of the encoders: causal convolutions, batch norm without padding, causal squeeze and
excitation.

Every block is called as `block(x, state, valid) -> (y, state)` with x of shape (B, T, C), frames first and
channels last. The state carries what the block still needs of earlier frames, so that an utterance may come
in one piece or frame by frame; `initial_state(batch)` is the state before the first frame. `valid` marks
frames that are not padding; None means that all are real. It is used for batch statistics only: padding
stands at the end, and nothing here looks ahead.

Causal squeeze-and-excitation (Radfar et al. 2022, section 2.2):

    mean[t] = (1/t) sum_{k<=t} z[k],    out[t] = z[t] * sigmoid(W1 relu(W2 mean[t]))

Axes: B utterances, T frames, C channels, F frequencies.
Numerical choices: the running sum is float64, so that it does not drift on long input.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echobook.speech.convolution import depthwise_conv, folded_conv2d
from echobook.speech.streaming import State


class CausalConv1d(nn.Module):
    """Convolution over time that sees the current and `(kernel - 1) * dilation` earlier frames."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
        self.past = (kernel - 1) * dilation

    def initial_state(self, batch: int) -> State:
        """Zeros in place of the frames before the first."""
        return self.conv.weight.new_zeros(batch, self.past, self.conv.in_channels)

    def forward(
        self, x: Float[Tensor, "B T C"], state: State, valid: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T K"], State]:
        """Convolve; the new state is the last `past` frames."""
        padded = torch.cat([state, x], dim=1)
        out = self.conv(padded.transpose(1, 2)).transpose(1, 2)
        return out, padded[:, padded.shape[1] - self.past :]


class DepthwiseConv(nn.Module):
    """Depth-wise causal convolution: output channel c sees input channels c * group to (c + 1) * group - 1.

    The arithmetic of `nn.Conv1d` with groups in a layout that is faster here, see
    `echobook.speech.convolution`.
    """

    def __init__(self, channels: int, kernel: int, *, dilation: int = 1, group: int = 1) -> None:
        super().__init__()
        bound = (group * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(kernel, channels, group).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))
        self.dilation, self.past = dilation, (kernel - 1) * dilation

    def initial_state(self, batch: int) -> State:
        """Zeros in place of the frames before the first."""
        _, channels, group = self.weight.shape
        return self.weight.new_zeros(batch, self.past, channels * group)

    def forward(
        self, x: Float[Tensor, "B T C"], state: State, valid: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T K"], State]:
        """Convolve; the new state is the last `past` frames."""
        padded = torch.cat([state, x], dim=1)
        out = depthwise_conv(padded, self.weight, self.bias, dilation=self.dilation)
        return out, padded[:, padded.shape[1] - self.past :]


class CausalConv2d(nn.Module):
    """Convolution over time and frequency: causal in time, centred and zero-padded in frequency.

    Works on maps whose frequencies are folded into the channels in blocks of `block`, see
    `echobook.speech.convolution`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, frequencies: int, *, block: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=(0, kernel // 2))
        self.past, self.frequencies, self.block = kernel - 1, frequencies, block

    def initial_state(self, batch: int) -> State:
        """Zeros in place of the frames before the first."""
        width = self.block * self.conv.in_channels
        return self.conv.weight.new_zeros(batch, width, self.past, self.frequencies // self.block)

    def forward(self, x: Float[Tensor, "B PC T N"], state: State) -> tuple[Float[Tensor, "B PK T N"], State]:
        """Convolve folded maps; the new state is the last `past` frames."""
        padded = torch.cat([state, x], dim=2)
        out = folded_conv2d(padded, self.conv.weight, self.conv.bias, self.block)
        return out, padded[:, :, padded.shape[2] - self.past :]


class FrameNorm(nn.BatchNorm1d):
    """Batch norm over the frames that are not padding; padding comes out as 0."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "B T C"], valid: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T C"]:
        """Batch statistics of the valid frames in training, running statistics otherwise."""
        if not self.training or valid is None:
            return super().forward(x.flatten(0, 1)).view_as(x)
        real = valid.flatten().nonzero()[:, 0]
        rows = x.flatten(0, 1)  # (B T, C)
        normal = super().forward(rows.index_select(0, real))
        return torch.zeros_like(rows).index_copy(0, real, normal).view_as(x)


class CausalSqueeze(nn.Module):
    """Squeeze-and-excitation with the mean of the frames so far."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, bottleneck)
        self.up = nn.Linear(bottleneck, channels)

    def initial_state(self, batch: int) -> State:
        """Sum and number of the frames so far."""
        shape, device = (batch, self.down.in_features), self.down.weight.device
        total = torch.zeros(shape, dtype=torch.float64, device=device)
        return total, total.new_zeros(batch)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        state: State,
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T C"], State]:
        """Scale each channel of each frame by a gate in 0..1."""
        sums = state[0][:, None] + x.double().cumsum(1)
        steps = torch.arange(1, x.shape[1] + 1, device=x.device)
        counts = state[1][:, None] + steps  # (B, T)
        means = (sums / counts[..., None]).to(x.dtype)
        return x * self.gate(means), (sums[:, -1], counts[:, -1])

    def gate(self, means: Float[Tensor, "*lead C"]) -> Float[Tensor, "*lead C"]:
        """sigmoid(W1 relu(W2 mean)), each with a bias."""
        return torch.sigmoid(self.up(torch.relu(self.down(means))))


class UtteranceSqueeze(CausalSqueeze):
    """Squeeze-and-excitation with the mean of *all* frames given, later ones included: it leaks the future.

    Kept as a control. Fed frame by frame it can only use each frame's own value, so streaming differs.
    """

    def forward(
        self, x: Float[Tensor, "B T C"], state: State, valid: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T C"], State]:
        """One gate for the whole piece."""
        weights = x.new_ones(x.shape[:2]) if valid is None else valid.to(x.dtype)
        means = (x * weights[..., None]).sum(1, keepdim=True) / weights.sum(1)[:, None, None]
        return x * self.gate(means), state


class Encoder(nn.Module):
    """Base of the encoders: whole utterances and chunks go through the same `run`.

    A subclass has `initial_state(batch)` and `run(frames, state, valid) -> (encodings, state)`.
    """

    def initial_state(self, batch: int) -> State:
        """State before the first frame."""
        raise NotImplementedError(f"{type(self).__name__}.initial_state")

    def run(self, frames: Tensor, state: State, valid: Tensor | None) -> tuple[Tensor, State]:
        """Encode a piece."""
        raise NotImplementedError(f"{type(self).__name__}.run")

    def forward(self, frames: Float[Tensor, "B T D"], lengths: Any) -> tuple[Float[Tensor, "B T E"], Any]:
        """Encode whole utterances. Raises ValueError for an empty utterance."""
        if frames.shape[1] == 0 or int(lengths.min()) < 1:
            raise ValueError(f"frame lengths are {lengths.tolist()}; expected at least 1 frame each")
        valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        return self.run(frames, self.initial_state(len(frames)), valid)[0], lengths

    def step(self, frames: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T E"], State]:
        """Encode the next chunk."""
        return self.run(frames, state, None)


def run_all(blocks: Any, x: Tensor, states: State, valid: Tensor | None) -> tuple[Tensor, tuple[State, ...]]:
    """One block after the other."""
    after = []
    for block, before in zip(blocks, states, strict=True):
        x, state = block(x, before, valid)
        after.append(state)
    return x, tuple(after)
