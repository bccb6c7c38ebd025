"""Conformer and ContextNet without look-ahead, against slow versions written frame by frame."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from echobook.metrics.cost import count_parameters
from echobook.papers.convrnn_t.baselines import (
    BlockEncoder,
    CausalAttention,
    ConformerLayer,
    ContextNetBlock,
    ConvolutionModule,
    DistanceBias,
    FeedForward,
    SeparableConv,
    causal_conformer,
    causal_contextnet,
)
from echobook.papers.convrnn_t.experiment import ENCODERS, Sizes
from echobook.speech.streaming import streaming_gap

SMALL = Sizes(12, encoding=8, channels=(3, 2), bottleneck=3, hidden=8, conformer=8, contextnet=(6, 8))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_attention(x: Tensor, attention: CausalAttention) -> Tensor:
    """One head, one query and one key after the other; x is (T, C)."""
    width = x.shape[1] // attention.heads
    query, key, value = attention.project(attention.norm(x)).chunk(3, dim=-1)
    out = torch.zeros_like(x)
    for head in range(attention.heads):
        part = slice(head * width, (head + 1) * width)
        for t in range(len(x)):
            seen = range(max(0, t - attention.left + 1), t + 1)
            scores = [
                query[t, part] @ key[s, part] / math.sqrt(width) + attention.bias.weight[head, t - s]
                for s in seen
            ]
            shares = torch.softmax(torch.stack(scores), 0)
            out[t, part] = sum(share * value[s, part] for share, s in zip(shares, seen, strict=True))
    return attention.output(out)


@pytest.mark.parametrize(("heads", "left", "frames"), [(1, 4, 3), (2, 3, 9), (4, 20, 7)])
def test_attention_equals_loops(heads: int, left: int, frames: int) -> None:
    torch.manual_seed(0)
    attention, x = CausalAttention(8, heads=heads, left=left), numbers(2, frames, 8)
    nn.init.normal_(attention.bias.weight)
    with torch.no_grad():
        out, (keys, values) = attention(x, attention.initial_state(2))
        expected = torch.stack([slow_attention(row, attention) for row in x])
    assert torch.allclose(out, expected, atol=1e-5)
    assert keys.shape == values.shape == (2, min(frames, left - 1), 8)


def test_attention_gradient() -> None:
    torch.manual_seed(0)
    attention = CausalAttention(4, heads=2, left=2).double()
    x = numbers(1, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: attention(x, attention.initial_state(1))[0], (x,))


def test_distance_bias_by_hand() -> None:
    """Two queries after one earlier key: distance 1 and 0, then 2 (too far), 1 and 0."""
    bias = DistanceBias(1, 2)
    with torch.no_grad():
        bias.weight.copy_(torch.tensor([[5.0, 7.0]]))
    assert bias(2, 3)[0].tolist() == [[7.0, 5.0, -math.inf], [-math.inf, 7.0, 5.0]]


def test_feed_forward_by_hand() -> None:
    """Norm makes (1, -1) of (3, 1); widening and narrowing by ones sums Swish of 0 twice."""
    part = FeedForward(2, 2, 0.0)
    for layer in (part[1], part[4]):
        nn.init.ones_(layer.weight)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        part[1].weight[1] = torch.tensor([1.0, 0.0])  # type: ignore[index]
        found = part(torch.tensor([[3.0, 1.0]]))
    swish = 1 / (1 + math.exp(-1))
    assert torch.allclose(found, torch.full((1, 2), swish), atol=1e-4)  # eps of the norm


def test_convolution_module_equals_its_steps() -> None:
    torch.manual_seed(1)
    module, x = ConvolutionModule(4, 3, 0.0).eval(), numbers(1, 6, 4)
    with torch.no_grad():
        out, past = module(x, module.depthwise.initial_state(1), None)
        wide = module.widen(module.norm(x))
        gated = wide[..., :4] * torch.sigmoid(wide[..., 4:])
        rows = []
        for t in range(6):
            taps = [
                gated[0, t - 2 + k] * module.depthwise.weight[k, :, 0] for k in range(3) if t - 2 + k >= 0
            ]
            rows.append(sum(taps) + module.depthwise.bias)
        mixed = torch.stack(rows)[None] / math.sqrt(1 + 1e-5)  # a fresh norm: mean 0, variance 1
        expected = module.narrow(mixed * torch.sigmoid(mixed))
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.allclose(past, gated[:, 4:])


def test_conformer_layer_is_its_four_residual_parts() -> None:
    torch.manual_seed(2)
    layer = ConformerLayer(4, heads=2, hidden=6, kernel=3, left=3).eval()
    x = numbers(1, 5, 4)
    with torch.no_grad():
        out, _ = layer(x, layer.initial_state(1))
        y = x + layer.before(x) / 2
        y = y + slow_attention(y[0], layer.attention)[None]
        y = y + layer.convolution(y, layer.convolution.depthwise.initial_state(1), None)[0]
        expected = layer.norm(y + layer.after(y) / 2)
    assert torch.allclose(out, expected, atol=1e-5)


def test_separable_convolution_mixes_after_looking_back() -> None:
    torch.manual_seed(3)
    conv, x = SeparableConv(3, 5, 2).eval(), numbers(1, 4, 3)
    with torch.no_grad():
        out, _ = conv(x, conv.depthwise.initial_state(1), None)
        before = torch.cat([torch.zeros(1, 1, 3), x[:, :3]], 1)
        back = (
            before * conv.depthwise.weight[0, :, 0] + x * conv.depthwise.weight[1, :, 0] + conv.depthwise.bias
        )
        expected = conv.mix(back) / math.sqrt(1 + 1e-5)
    assert torch.allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("residual", [True, False])
def test_contextnet_block_equals_its_description(residual: bool) -> None:
    """Swish between the convolutions and after the sum, none after the last convolution."""
    torch.manual_seed(4)
    block = ContextNetBlock(3, 4, layers=2, kernel=2, residual=residual).eval()
    x = numbers(1, 5, 3)
    with torch.no_grad():
        out, state = block(x, block.initial_state(1))
        convs: Any = block.convs
        first = convs[0](x, convs[0].depthwise.initial_state(1), None)[0]
        second = convs[1](nn.functional.silu(first), convs[1].depthwise.initial_state(1), None)[0]
        expected = block.squeeze(second, block.squeeze.initial_state(1))[0]
        if residual:
            assert block.shortcut is not None
            expected = expected + block.shortcut(x) / math.sqrt(1 + 1e-5)
        expected = nn.functional.silu(expected)
    assert torch.allclose(out, expected, atol=1e-6)
    assert len(state) == 3
    assert (block.shortcut is None) == (not residual)


def test_contextnet_has_one_convolution_at_its_edges_and_five_between() -> None:
    encoder = causal_contextnet(6, channels=(4, 8), blocks=(2, 2), size=5)
    blocks: list[Any] = list(encoder.blocks)
    assert [len(block.convs) for block in blocks] == [1, 5, 5, 1]
    assert [block.shortcut is not None for block in blocks] == [False, True, True, False]
    assert [block.convs[-1].mix.out_features for block in blocks] == [4, 4, 8, 8]
    assert encoder(torch.ones(1, 3, 6), torch.tensor([3]))[0].shape == (1, 3, 5)


def test_conformer_parameters_by_hand() -> None:
    """Per layer: feed-forward twice, attention, convolution, norm; then the linear layers in and out."""
    width, hidden, kernel, left, heads = 4, 6, 3, 5, 2
    encoder = causal_conformer(
        7, channels=width, layers=2, heads=heads, hidden=hidden, size=3, kernel=kernel, left=left
    )
    feed = 2 * width + width * hidden + hidden + hidden * width + width
    attention = 2 * width + 3 * width * (width + 1) + heads * left + width * (width + 1)
    convolution = 2 * width + 2 * width * (width + 1) + (kernel + 1) * width + 2 * width + width * (width + 1)
    layer = 2 * feed + attention + convolution + 2 * width
    assert count_parameters(encoder) == 2 * layer + width * (7 + 1) + 3 * (width + 1)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_padding_does_not_reach_the_encodings_of_real_frames(name: str) -> None:
    """In training too, where norms use the statistics of the batch."""
    lengths = torch.tensor([9, 5])
    x = numbers(2, 9, 12)
    longer = torch.cat([x, 1e3 * numbers(2, 4, 12, seed=1)], 1)
    longer[1, 5:9] = 77.0
    torch.manual_seed(0)
    encoder: Any = ENCODERS[name](SMALL)
    encoder.train()
    with torch.no_grad():
        one, other = (encoder(frames, lengths)[0] for frames in (x, longer))
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(one[row, :length], other[row, :length], atol=1e-5), name


@pytest.mark.parametrize("name", list(ENCODERS))
def test_utterances_of_a_batch_do_not_touch_each_other(name: str) -> None:
    """At inference: alone, or beside a longer one."""
    torch.manual_seed(0)
    encoder: Any = ENCODERS[name](SMALL).eval()
    x = numbers(2, 9, 12)
    with torch.no_grad():
        both = encoder(x, torch.tensor([4, 9]))[0]
        alone = encoder(x[:1, :4], torch.tensor([4]))[0]
    assert torch.allclose(both[:1, :4], alone, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "leaky-squeeze"])
def test_streaming_differs_by_rounding_alone(name: str) -> None:
    """In float64 nothing is left, even where small running variances blow the rounding of float32 up.

    ContextNet's encodings reach 1e10 here and differ by 1e6 in float32; in float64 next to nothing is
    left of that. The bound is relative, with room for the depth of the stack.
    """
    torch.manual_seed(0)
    encoder: Any = ENCODERS[name](SMALL).eval()
    with torch.no_grad():
        for key, buffer in encoder.named_buffers():
            if key.endswith("running_var"):
                buffer.fill_(1e-2)
    x = numbers(3, 90, 12)
    with torch.no_grad():
        size = float(encoder(x, torch.full((3,), 90))[0].abs().max())
    assert streaming_gap(encoder.double(), x.double(), [1] * 90) < 1e-12 * max(1.0, size)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_weight_of_every_encoder_learns(name: str) -> None:
    """No part is cut off: each weight gets a gradient from the encodings (of a batch of four).

    ContextNet is wide enough that no bottleneck of its squeezes is a single unit, which may start dead.
    """
    torch.manual_seed(0)
    encoder: Any = ENCODERS[name](replace(SMALL, contextnet=(40, 48)))
    encoder.train()
    out = encoder(numbers(4, 20, 12), torch.full((4,), 20))[0]
    (out * numbers(4, 20, 8, seed=2)).sum().backward()
    idle = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_block_encoder_is_linear_in_blocks_linear_out() -> None:
    torch.manual_seed(0)
    encoder = BlockEncoder(3, 4, [], 4, 2)
    x = numbers(1, 5, 3)
    with torch.no_grad():
        assert torch.allclose(encoder(x, torch.tensor([5]))[0], encoder.outputs(encoder.inputs(x)))
