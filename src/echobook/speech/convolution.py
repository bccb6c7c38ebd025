"""Causal convolutions for small encoders on a CPU: the usual arithmetic in a memory layout that is fast.

Three rewritings, each equal to the plain form up to the order of summation:

- *Folding.* A 2-D convolution with few channels leaves vector units idle. `P` neighbouring frequencies become
  `P` times as many channels, and the kernel becomes `P` kernels side by side over blocks of frequencies, with
  zeros where a tap lies outside: P (1 + 2 ceil(b / P)) / (1 + 2 b) times the multiplications for kernels of
  1 + 2b taps in frequency (6/5 for 5 taps and P = 2), in half of the time.
- *Channels last.* Frames (B, T, C) are taken as pictures of height T, width 1 and C channels, for which the
  depth-wise kernel of the library needs no copy.
- *Polyphase.* Dilation d: every d-th frame is one column of a picture of width d, so that a dilated kernel
  becomes a dense one.

Axes: B utterances, T frames, P frequencies in a block, N blocks of frequencies, C input and K output
channels, A taps in time, W taps in frequency, G inputs of each output channel.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def fold(x: Float[Tensor, "B T F"], block: int) -> Float[Tensor, "B P T N"]:
    """One map (B, T, F) as `block` channels; refuses frequencies that are not whole blocks."""
    if block < 1 or x.shape[2] % block:
        raise ValueError(f"{x.shape[2]} frequencies are no multiple of the block of {block}")
    return x.unflatten(2, (-1, block)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def unfold(maps: Float[Tensor, "B PK T N"], block: int) -> Float[Tensor, "B T KF"]:
    """Folded maps as frames, output channel by output channel, frequencies in order."""
    batch, channels, frames, blocks = maps.shape
    wide = maps.view(batch, block, channels // block, frames, blocks)
    return wide.permute(0, 3, 2, 4, 1).reshape(batch, frames, channels * blocks)


def fold_kernel(weight: Float[Tensor, "K C A W"], block: int) -> Float[Tensor, "PK PC A blocks_seen"]:
    """The kernel of the folded maps: output p of a block sees frequency p + w - W // 2 through tap w."""
    outputs, inputs, times, taps = weight.shape
    reach = -(-(taps // 2) // block)  # blocks to either side
    wide = weight.new_zeros(block, outputs, block, inputs, times, 1 + 2 * reach)
    for p in range(block):
        for tap in range(taps):
            where, place = divmod(p + tap - taps // 2, block)
            wide[p, :, place, :, :, where + reach] = weight[..., tap]
    return wide.reshape(block * outputs, block * inputs, times, 1 + 2 * reach)


def folded_conv2d(
    maps: Float[Tensor, "B PC T N"],
    weight: Float[Tensor, "K C A W"],
    bias: Float[Tensor, " K"] | None,
    block: int,
) -> Float[Tensor, "B PK S N"]:
    """Convolution of folded maps, valid in time (S = T - A + 1), centred and zero-padded in frequency."""
    kernel = fold_kernel(weight, block)
    wide = None if bias is None else bias.repeat(block)
    return nn.functional.conv2d(maps, kernel, wide, padding=(0, kernel.shape[3] // 2))


def depthwise_conv(
    x: Float[Tensor, "B T CG"],
    weight: Float[Tensor, "A C G"],
    bias: Float[Tensor, " C"],
    *,
    dilation: int = 1,
) -> Float[Tensor, "B S C"]:
    """Valid depth-wise convolution, S = T - (A - 1) dilation: output c sees inputs c G to (c + 1) G - 1."""
    taps, channels, group = weight.shape
    batch, frames, width = x.shape
    size = frames - (taps - 1) * dilation
    rows = -(-frames // dilation)
    padded = nn.functional.pad(x, (0, 0, 0, rows * dilation - frames)) if rows * dilation > frames else x
    picture = padded.view(batch, rows, dilation, width).permute(0, 3, 1, 2)  # (B, CG, T / d, d)
    kernel = weight.permute(1, 2, 0).reshape(width, 1, taps, 1)
    out = nn.functional.conv2d(picture, kernel, bias if group == 1 else None, groups=width)
    flat = out.permute(0, 2, 3, 1).reshape(batch, -1, width)[:, :size]
    return flat if group == 1 else flat.unflatten(-1, (channels, group)).sum(-1) + bias
