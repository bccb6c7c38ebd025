"""The blocks of the encoders against slow versions written from their equations, frame by frame."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echobook.papers.convrnn_t.layers import (
    CausalConv1d,
    CausalConv2d,
    CausalSqueeze,
    DepthwiseConv,
    FrameNorm,
    UtteranceSqueeze,
    run_all,
)
from echobook.papers.convrnn_t.model import ConvRNNT, GlobalBlock, GlobalCNN, LocalCNN
from echobook.speech.model import LSTMEncoder


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at(x: Tensor, t: int) -> Tensor:
    """Frame t of (T, C), zeros before the first."""
    return x[t] if t >= 0 else torch.zeros_like(x[0])


def slow_conv1d(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """out[t] = b + sum_k W[:, :, k] x[t - (K - 1 - k) d]."""
    (dilation,), kernel = conv.dilation, conv.kernel_size[0]
    rows = []
    for t in range(len(x)):
        taps = [conv.weight[:, :, k] @ at(x, t - (kernel - 1 - k) * dilation) for k in range(kernel)]
        rows.append(sum(taps) + conv.bias)
    return torch.stack(rows)


def slow_conv2d(maps: Tensor, conv: nn.Conv2d) -> Tensor:
    """The formula of the local network, before the ReLU; maps are (C, T, F)."""
    inputs, frames, width = maps.shape
    kernel, half = conv.kernel_size[0], conv.kernel_size[1] // 2
    out = torch.zeros(conv.out_channels, frames, width)
    for o in range(conv.out_channels):
        for t in range(frames):
            for f in range(width):
                total = conv.bias[o].clone()  # type: ignore[index]
                for i in range(inputs):
                    for a in range(kernel):
                        for b in range(-half, half + 1):
                            s, g = t - (kernel - 1) + a, f + b
                            if s >= 0 and 0 <= g < width:
                                total += conv.weight[o, i, a, b + half] * maps[i, s, g]
                out[o, t, f] = total
    return out


def slow_depthwise(x: Tensor, conv: DepthwiseConv) -> Tensor:
    """Channel c of the output from `group` channels of the input, tap by tap."""
    kernel, channels, group = conv.weight.shape
    out = torch.zeros(len(x), channels)
    for t in range(len(x)):
        for c in range(channels):
            total = conv.bias[c].clone()
            for k in range(kernel):
                frame = at(x, t - (kernel - 1 - k) * conv.dilation)
                for g in range(group):
                    total += conv.weight[k, c, g] * frame[c * group + g]
            out[t, c] = total
    return out


def slow_norm(x: Tensor, norm: FrameNorm) -> Tensor:
    """Running statistics, written out."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # type: ignore[operator]
    return (x - norm.running_mean) * scale + norm.bias


def slow_squeeze(x: Tensor, squeeze: CausalSqueeze) -> Tensor:
    """Gate from the mean of the frames up to and with t."""
    rows = []
    for t in range(len(x)):
        hidden = torch.relu(squeeze.down.weight @ x[: t + 1].mean(0) + squeeze.down.bias)
        rows.append(x[t] * torch.sigmoid(squeeze.up.weight @ hidden + squeeze.up.bias))
    return torch.stack(rows)


def unlike_fresh(module: nn.Module) -> Any:
    """Statistics and affine weights of norms away from 0 and 1, in evaluation mode."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, FrameNorm):
                for value in (part.running_mean, part.running_var, part.weight, part.bias):
                    assert value is not None
                    value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return module.eval()


@pytest.mark.parametrize(("kernel", "dilation", "frames"), [(1, 1, 3), (3, 1, 5), (3, 4, 6), (3, 4, 20)])
def test_dense_convolution_equals_the_sum_over_taps(kernel: int, dilation: int, frames: int) -> None:
    torch.manual_seed(1)
    conv = CausalConv1d(3, 2, kernel, dilation=dilation)
    x = numbers(2, frames, 3)
    with torch.no_grad():
        out, state = conv(x, conv.initial_state(2))
        expected = torch.stack([slow_conv1d(row, conv.conv) for row in x])
    assert torch.allclose(out, expected, atol=1e-6)  # a handful of float32 products
    assert state.shape == (2, (kernel - 1) * dilation, 3)


@pytest.mark.parametrize("channels", [(1, 2), (3, 2)])
def test_local_convolution_equals_its_formula(channels: tuple[int, int]) -> None:
    torch.manual_seed(2)
    conv = CausalConv2d(*channels, 5, 4)
    maps = numbers(1, channels[0], 7, 4)
    with torch.no_grad():
        out, state = conv(maps, conv.initial_state(1))
        expected = slow_conv2d(maps[0], conv.conv)
    assert torch.allclose(out[0], expected, atol=1e-5)  # up to 75 products
    assert torch.equal(state, maps[:, :, 3:])


def test_local_convolution_by_hand() -> None:
    """Ones over a single 1 at frame 2, frequency 0: five frames from there on, three frequencies."""
    conv = CausalConv2d(1, 1, 5, 6)
    nn.init.ones_(conv.conv.weight)
    nn.init.zeros_(conv.conv.bias)  # type: ignore[arg-type]
    maps = torch.zeros(1, 1, 9, 6)
    maps[0, 0, 2, 0] = 1
    with torch.no_grad():
        out = conv(maps, conv.initial_state(1))[0][0, 0]
    assert out[:, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert out[4].tolist() == [1, 1, 1, 0, 0, 0]


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.integers(1, 4),
    dilation=st.integers(1, 3),
    group=st.integers(1, 3),
    frames=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_depthwise_equals_loops(kernel: int, dilation: int, group: int, frames: int, seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        conv = DepthwiseConv(2, kernel, dilation=dilation, group=group)
    x = numbers(1, frames, 2 * group, seed=seed)
    with torch.no_grad():
        out, _ = conv(x, conv.initial_state(1))
        assert torch.allclose(out[0], slow_depthwise(x[0], conv), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 5), min_size=1, max_size=5), dilation=st.integers(1, 4))
def test_any_cut_of_the_frames_gives_the_same_convolutions(cuts: list[int], dilation: int) -> None:
    x = numbers(2, sum(cuts), 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convs: list[Any] = [CausalConv1d(4, 3, 3, dilation=dilation)]
        convs += [DepthwiseConv(2, 3, dilation=dilation, group=2)]
    for conv in convs:
        state, pieces = conv.initial_state(2), []
        with torch.no_grad():
            for piece in x.split(cuts, dim=1):
                out, state = conv(piece, state)
                pieces.append(out)
            whole, after = conv(x, conv.initial_state(2))
        assert torch.allclose(torch.cat(pieces, 1), whole, atol=1e-6)
        assert torch.equal(state, after)


def test_frame_norm_in_training_is_the_statistics_of_real_frames() -> None:
    norm = FrameNorm(3, momentum=0.1).train()
    x = 3 + 2 * numbers(2, 6, 3)
    valid = torch.arange(6) < torch.tensor([[4], [6]])
    with torch.no_grad():
        out = norm(x, valid)
    real = x[valid].double().numpy()
    expected = (real - real.mean(0)) / np.sqrt(real.var(0) + norm.eps)
    assert np.allclose(out[valid].numpy(), expected, atol=1e-5)
    assert norm.running_mean is not None
    assert np.allclose(norm.running_mean.numpy(), 0.1 * real.mean(0), atol=1e-6)


def test_frame_norm_in_evaluation_uses_what_it_has_seen() -> None:
    norm = unlike_fresh(FrameNorm(3))
    x = numbers(2, 4, 3)
    with torch.no_grad():
        assert torch.allclose(norm(x), slow_norm(x, norm), atol=1e-6)
        assert torch.equal(norm(x), norm(x, torch.ones(2, 4, dtype=torch.bool)))


def test_frame_norm_gradient_comes_from_real_frames_alone() -> None:
    norm = FrameNorm(2).double().train()
    x = numbers(1, 4, 2).double().requires_grad_()
    valid = torch.tensor([[True, True, True, False]])
    norm(x, valid).square().sum().backward()
    assert x.grad is not None
    assert (x.grad[0, 3] == 0).all()


def test_a_squeeze_of_one_frame_uses_that_frame() -> None:
    torch.manual_seed(0)
    squeeze, x = CausalSqueeze(3, 2), numbers(1, 1, 3)
    with torch.no_grad():
        out, (total, count) = squeeze(x, squeeze.initial_state(1))
        assert torch.allclose(out, x * squeeze.gate(x), atol=1e-7)
    assert torch.allclose(total, x[:, 0].double())
    assert count.tolist() == [1]


def test_squeeze_gradient() -> None:
    torch.manual_seed(0)
    squeeze = CausalSqueeze(2, 2).double()
    nn.init.constant_(squeeze.down.bias, 3.0)  # away from the ReLU's corner
    x = numbers(1, 4, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: squeeze(x, squeeze.initial_state(1))[0], (x,))


def test_squeeze_of_the_utterance_equals_its_formula_and_sees_the_last_frame() -> None:
    torch.manual_seed(0)
    squeeze, x = UtteranceSqueeze(3, 2), numbers(1, 5, 3)
    moved = x.clone()
    moved[0, 4] += 5
    with torch.no_grad():
        out, other = (squeeze(v, squeeze.initial_state(1))[0] for v in (x, moved))
        assert torch.allclose(out, x * squeeze.gate(x.mean(1, keepdim=True)), atol=1e-6)
    assert (out[0, 0] != other[0, 0]).any()


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("dilation", [1, 4])
def test_global_block_equals_its_description(dense: bool, dilation: int) -> None:
    """Widen, ReLU, norm; look back, ReLU, norm; mix; squeeze; add. Zeros before the start."""
    torch.manual_seed(3)
    block = unlike_fresh(GlobalBlock(4, dilation=dilation, squeeze=CausalSqueeze(4, 2), dense=dense))
    x = numbers(1, 12, 4)
    with torch.no_grad():
        out, _ = block(x, block.initial_state(1))
        wide = slow_norm(torch.relu(x[0] @ block.widen.weight.T + block.widen.bias), block.norm_wide)
        back = slow_conv1d(wide, block.dilated.conv) if dense else slow_depthwise(wide, block.dilated)
        mixed = slow_norm(torch.relu(back), block.norm_dilated) @ block.mix.weight.T + block.mix.bias
        expected = x[0] + slow_squeeze(mixed, block.squeeze)
    assert torch.allclose(out[0], expected, atol=1e-5)


def test_global_network_doubles_its_dilations() -> None:
    blocks: list[Any] = list(GlobalCNN(4, blocks=5, bottleneck=2).blocks)
    assert [block.dilated.dilation for block in blocks] == [1, 2, 4, 8, 16]
    assert {block.squeeze.down.out_features for block in blocks} == {2}


def test_local_network_equals_its_description() -> None:
    torch.manual_seed(4)
    local = LocalCNN(4, channels=(2, 3), kernel=3)
    x = numbers(1, 6, 4)
    with torch.no_grad():
        out, _ = local(x, local.initial_state(1))
        maps = x  # (1 channel, T, F)
        for conv in local.convs:
            maps = torch.relu(slow_conv2d(maps, conv.conv))  # type: ignore[arg-type]
        flat = torch.stack([maps[:, t].flatten() for t in range(6)])
        expected = flat @ local.projection.weight.T + local.projection.bias
    assert torch.allclose(out[0], expected, atol=1e-5)


def test_local_network_sees_seventeen_frames_of_the_past_and_none_to_come() -> None:
    torch.manual_seed(5)
    local, x = LocalCNN(4, channels=(2, 2, 2, 2)), numbers(1, 40, 4).requires_grad_()
    nn.init.ones_(local.projection.weight)
    for conv in local.convs:
        nn.init.constant_(conv.conv.weight, 0.1)  # type: ignore[union-attr,arg-type]
        nn.init.constant_(conv.conv.bias, 9.0)  # type: ignore[union-attr,arg-type]
    local(x, local.initial_state(1))[0][0, 30].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(-1).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (14, 30)


@pytest.mark.parametrize("which", ["both", "local", "global"])
def test_the_parts_are_joined_by_a_linear_layer(which: str) -> None:
    torch.manual_seed(6)
    parts: dict[str, Any] = {
        "local": LocalCNN(4, channels=(2,)),
        "global": GlobalCNN(4, blocks=1, bottleneck=2),
    }
    used = {name: part if which in (name, "both") else None for name, part in parts.items()}
    lstm = LSTMEncoder(4, hidden=3, size=5, layers=1)
    encoder = ConvRNNT(4, local=used["local"], global_=used["global"], lstm=lstm).eval()
    x = numbers(1, 6, 4)
    with torch.no_grad():
        out, _ = encoder(x, torch.tensor([6]))
        seen = [part(x, part.initial_state(1))[0] for part in used.values() if part is not None]
        expected = lstm.step(encoder.fusion(torch.cat(seen, -1)), lstm.initial_state(1))[0]
    assert torch.allclose(out, expected, atol=1e-6)
    assert encoder.fusion.in_features == 4 * len(seen)


def test_blocks_and_states_must_match_in_number() -> None:
    block = GlobalBlock(4, dilation=1, squeeze=CausalSqueeze(4, 2)).eval()
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        run_all([block, block], numbers(1, 2, 4), (block.initial_state(1),), None)


def test_dropout_is_asked_for_and_only_in_training() -> None:
    block = GlobalBlock(4, dilation=1, squeeze=CausalSqueeze(4, 2), dropout=0.9)
    x = numbers(1, 50, 4)
    torch.manual_seed(0)
    with torch.no_grad():
        noisy, _ = block.train()(x, block.initial_state(1))
        still, _ = block.eval()(x, block.initial_state(1))
        again, _ = block(x, block.initial_state(1))
    kept = float((noisy != x).float().mean())
    assert 0.02 < kept < 0.25  # one in ten of 200 values, six standard deviations wide
    assert torch.equal(still, again)
    assert not math.isclose(float((still - x).abs().sum()), 0)
