"""Fast convolutions against the library's plain ones, by hand, gradients, refusals."""

import pytest
import torch
from torch import nn

from echobook.speech.convolution import depthwise_conv, fold, fold_kernel, folded_conv2d, unfold

# float32 sums of at most 200 products of order 1 in another order: 1e-6 each at most, 1e-5 in all
TOLERANCE = 1e-5


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_fold_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert fold(x, 2)[0, :, 0].tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert torch.equal(unfold(fold(x, 2), 2), x)


def test_unfold_puts_channel_after_channel() -> None:
    maps = random(2, 3, 5, 8)  # (B, K, T, F)
    folded = maps.view(2, 3, 5, 4, 2).permute(0, 4, 1, 2, 3).reshape(2, 6, 5, 4)
    assert torch.equal(unfold(folded, 2), maps.transpose(1, 2).flatten(2))


def test_fold_kernel_by_hand() -> None:
    """Three taps (a, b, c), blocks of two: output 0 sees (last of the block before, own, next)."""
    weight = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    kernel = fold_kernel(weight, 2)[:, :, 0]  # (P, P, blocks before, own, after)
    assert kernel[0].tolist() == [[0, 2, 0], [1, 3, 0]]
    assert kernel[1].tolist() == [[0, 1, 3], [0, 2, 0]]


@pytest.mark.parametrize("block", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel"), [(1, 4, 5), (4, 3, 5), (2, 2, 3), (1, 1, 1), (2, 1, 7)]
)
def test_folded_stack_equals_plain(block: int, inputs: int, outputs: int, kernel: int) -> None:
    x, weight, bias = (
        random(2, 9, 12),
        random(outputs, inputs, kernel, kernel, seed=1),
        random(outputs, seed=2),
    )
    first = random(inputs, 1, 1, 1, seed=3)
    none = torch.zeros(inputs)
    maps = folded_conv2d(fold(x, block), first, none, block)
    ours = unfold(folded_conv2d(maps, weight, bias, block), block)
    plain = nn.functional.conv2d(
        nn.functional.conv2d(x[:, None], first), weight, bias, padding=(0, kernel // 2)
    )
    assert (ours - plain.transpose(1, 2).flatten(2)).abs().max() < TOLERANCE


@pytest.mark.parametrize("dilation", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(("taps", "frames"), [(3, 70), (5, 200), (1, 40), (3, 65)])
def test_depthwise_equals_plain(dilation: int, group: int, taps: int, frames: int) -> None:
    x, weight, bias = random(2, frames, 6 * group), random(taps, 6, group, seed=1), random(6, seed=2)
    plain = nn.functional.conv1d(
        x.transpose(1, 2), weight.permute(1, 2, 0), bias, dilation=dilation, groups=6
    ).transpose(1, 2)
    ours = depthwise_conv(x, weight, bias, dilation=dilation)
    assert ours.shape == plain.shape
    assert (ours - plain).abs().max() < TOLERANCE


def test_depthwise_by_hand() -> None:
    x = torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    weight, bias = torch.tensor([1.0, 2.0]).view(2, 1, 1), torch.tensor([0.5])
    assert depthwise_conv(x, weight, bias, dilation=2).flatten().tolist() == [201.5, 2010.5]


def test_gradients() -> None:
    wide = torch.float64
    weight, bias = random(2, 2, 3, 5, dtype=wide).requires_grad_(), random(2, dtype=wide).requires_grad_()
    maps = random(1, 4, 4, 3, dtype=wide).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, w, b: folded_conv2d(m, w, b, 2), (maps, weight, bias))
    kernel = random(3, 2, 2, dtype=wide).requires_grad_()
    x = random(1, 7, 4, dtype=wide).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w, b: depthwise_conv(x, w, b, dilation=2), (x, kernel, bias))


def test_frequencies_that_are_no_whole_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="13 frequencies are no multiple of the block of 2"):
        fold(random(1, 4, 13), 2)
