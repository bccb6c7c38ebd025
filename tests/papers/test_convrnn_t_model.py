"""The encoders stream, their blocks equal slow versions, and the paper's sizes add up."""

import pytest
import torch
from torch import nn

from echobook.metrics.cost import count_parameters
from echobook.papers.convrnn_t import sizes
from echobook.papers.convrnn_t.baselines import CausalAttention, causal_conformer
from echobook.papers.convrnn_t.experiment import COMPARED, ENCODERS, Sizes, build
from echobook.papers.convrnn_t.layers import (
    CausalConv1d,
    CausalSqueeze,
    DepthwiseConv,
    Encoder,
    FrameNorm,
    UtteranceSqueeze,
)
from echobook.papers.convrnn_t.model import ConvRNNT, GlobalBlock, GlobalCNN, LocalCNN
from echobook.papers.convrnn_t.training import VARIATION, initialise
from echobook.speech.convolution import fold, unfold
from echobook.speech.model import LSTMEncoder
from echobook.speech.streaming import future_leak, streaming_gap
from echobook.speech.testing import StreamingCases

SMALL = Sizes(12, encoding=8, channels=(3, 2), bottleneck=3, hidden=8, conformer=8, contextnet=(6, 8))


def lively(module: nn.Module) -> nn.Module:
    """Norm statistics that are not 0 and 1, position biases that are not 0, LSTMs that pass on the signal."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
        for name, weight in module.named_parameters():
            if name.endswith("attention.bias.weight"):
                weight.copy_(torch.randn(weight.shape, generator=generator))
    initialise(module)
    return module


class TestConvRNNT(StreamingCases):
    features = 12

    def make_encoder(self) -> nn.Module:
        return lively(ENCODERS["convrnn-t"](SMALL))


class TestLocalOnly(StreamingCases):
    features = 12

    def make_encoder(self) -> nn.Module:
        torch.manual_seed(1)  # a draw that writes labels
        return lively(ENCODERS["local-only"](SMALL))


class TestGlobalOnly(StreamingCases):
    features = 12

    def make_encoder(self) -> nn.Module:
        return lively(ENCODERS["global-only"](SMALL))


class TestDense(StreamingCases):
    features = 12

    def make_encoder(self) -> nn.Module:
        return lively(ENCODERS["dense-dilated"](SMALL))


class TestConformer(StreamingCases):
    features = 12

    def make_encoder(self) -> nn.Module:
        return lively(ENCODERS["conformer"](SMALL))


class TestConformerThatForgets(StreamingCases):
    """Attention reaches back four frames, so that its state is cut again and again."""

    features = 12

    def make_encoder(self) -> nn.Module:
        options = {"channels": 8, "layers": 2, "heads": 2, "hidden": 8, "size": 8, "kernel": 3}
        return lively(causal_conformer(12, **options, left=4))


class TestContextNet(StreamingCases):
    features = 12

    def make_encoder(self) -> nn.Module:
        return lively(ENCODERS["contextnet"](SMALL))


def test_the_utterance_mean_leaks_and_does_not_stream() -> None:
    frames = torch.randn(2, 30, 12, generator=torch.Generator().manual_seed(1))
    leaky = lively(ENCODERS["leaky-squeeze"](SMALL)).eval()
    causal = lively(ENCODERS["convrnn-t"](SMALL)).eval()
    assert future_leak(leaky, frames, 15) > 1e-4
    assert streaming_gap(leaky, frames, [1] * 30) > 1e-4
    assert future_leak(causal, frames, 15) == 0


def test_causal_squeeze_equals_a_loop_and_can_be_resumed() -> None:
    torch.manual_seed(0)
    squeeze, x = CausalSqueeze(4, 2), torch.randn(3, 9, 4)
    whole, _ = squeeze(x, squeeze.initial_state(3))
    for t in range(9):
        expected = x[:, t] * squeeze.gate(x[:, : t + 1].mean(1))
        assert torch.allclose(whole[:, t], expected, atol=1e-6)
    first, state = squeeze(x[:, :4], squeeze.initial_state(3))
    rest, _ = squeeze(x[:, 4:], state)
    assert torch.allclose(torch.cat([first, rest], 1), whole, atol=1e-6)


def test_causal_squeeze_by_hand() -> None:
    squeeze = CausalSqueeze(1, 1)
    for part in (squeeze.down, squeeze.up):
        nn.init.ones_(part.weight)
        nn.init.zeros_(part.bias)
    x = torch.tensor([[[1.0], [3.0], [8.0]]])
    out, state = squeeze(x, squeeze.initial_state(1))
    gates = torch.sigmoid(torch.tensor([1.0, 2.0, 4.0]))
    assert torch.allclose(out.flatten(), x.flatten() * gates)
    assert state[0].item() == 12
    assert state[1].item() == 3


def test_causal_squeeze_does_not_drift() -> None:
    """100,000 frames of 0.1: a float32 running sum would be off in the fourth digit."""
    squeeze = CausalSqueeze(1, 1)
    _, (sums, counts) = squeeze(torch.full((1, 100_000, 1), 0.1), squeeze.initial_state(1))
    assert abs(float(sums / counts) - 0.1) < 1e-7


def test_utterance_squeeze_leaves_padding_out_of_its_mean() -> None:
    torch.manual_seed(0)
    squeeze, x = UtteranceSqueeze(4, 2), torch.randn(2, 6, 4)
    valid = torch.arange(6) < torch.tensor([[4], [6]])
    out, _ = squeeze(x, squeeze.initial_state(2), valid)
    alone, _ = squeeze(x[:1, :4], squeeze.initial_state(1))
    assert torch.allclose(out[:1, :4], alone, atol=1e-6)


@pytest.mark.parametrize(("kernel", "dilation", "group"), [(3, 1, 1), (3, 4, 2), (5, 2, 3)])
def test_depthwise_equals_grouped_convolution(kernel: int, dilation: int, group: int) -> None:
    torch.manual_seed(0)
    ours = DepthwiseConv(4, kernel, dilation=dilation, group=group)
    peer = nn.Conv1d(4 * group, 4, kernel, dilation=dilation, groups=4)
    with torch.no_grad():
        peer.weight.copy_(ours.weight.permute(1, 2, 0))
        peer.bias.copy_(ours.bias)  # type: ignore[union-attr]
    x = torch.randn(2, 11, 4 * group)
    padded = nn.functional.pad(x.transpose(1, 2), (ours.past, 0))
    out, past = ours(x, ours.initial_state(2))
    assert torch.allclose(out, peer(padded).transpose(1, 2), atol=1e-6)
    assert torch.equal(past[:, -min(ours.past, 11) :], x[:, -min(ours.past, 11) :])


def test_depthwise_gradient() -> None:
    torch.manual_seed(0)
    conv = DepthwiseConv(2, 3, dilation=2, group=2).double()
    x = torch.randn(1, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: conv(x, conv.initial_state(1))[0], (x,))


def test_convolution_reads_only_its_taps() -> None:
    conv = CausalConv1d(1, 1, 3, dilation=4)
    x = torch.zeros(1, 20, 1)
    x[0, 5] = 1
    with torch.no_grad():
        changed = conv(x, conv.initial_state(1))[0] - conv(0 * x, conv.initial_state(1))[0]
    assert changed[0, :, 0].nonzero().flatten().tolist() == [5, 9, 13]


def test_frame_norm_ignores_padding() -> None:
    torch.manual_seed(0)
    norm, twin = FrameNorm(3).train(), FrameNorm(3).train()
    x = torch.randn(2, 5, 3)
    valid = torch.arange(5) < torch.tensor([[3], [5]])
    out = norm(x, valid)
    x[0, 3:] = 1e6
    again = twin(x, valid)
    assert torch.equal(out, again)
    assert torch.equal(norm.running_mean, twin.running_mean)
    assert (out[0, 3:] == 0).all()
    assert torch.allclose(out[valid].mean(0), torch.zeros(3), atol=1e-6)


def test_receptive_fields() -> None:
    """Local: 17 frames. Global, squeeze aside: 1 + 2 (1 + 2 + 4 + 8 + 16 + 32) = 127."""
    local = LocalCNN(6, channels=(2, 2, 2, 2))
    assert sum(conv.past for conv in local.convs) + 1 == 17  # type: ignore[misc]
    blocks: list[GlobalBlock] = list(GlobalCNN(6, bottleneck=2).blocks)  # type: ignore[arg-type]
    assert sum(block.dilated.past for block in blocks) + 1 == 127


def test_attention_looks_back_no_farther_than_told() -> None:
    torch.manual_seed(0)
    attention = CausalAttention(4, heads=2, left=3)
    x = torch.randn(1, 8, 4)
    moved = x.clone()
    moved[0, 2, 0] += 1  # one channel: the layer norm takes out what all have in common
    with torch.no_grad():
        before, after = (attention(v, attention.initial_state(1))[0] for v in (x, moved))
    assert (before != after).any(-1)[0].nonzero().flatten().tolist() == [2, 3, 4]


def test_attention_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="multiple of heads=3"):
        CausalAttention(4, heads=3, left=2)


def test_a_front_end_without_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="local or a global part"):
        ConvRNNT(4, local=None, global_=None, lstm=LSTMEncoder(4, hidden=4, size=4, layers=1))


@pytest.mark.parametrize("name", list(ENCODERS))
def test_one_frame_is_enough_and_none_is_refused(name: str) -> None:
    """An utterance far shorter than the receptive field sees zeros before its start."""
    encoder = ENCODERS[name](SMALL).eval()
    assert encoder(torch.ones(1, 1, 12), torch.tensor([1]))[0].shape == (1, 1, 8)
    if isinstance(encoder, Encoder):
        with pytest.raises(ValueError, match="at least 1 frame"):
            encoder(torch.ones(2, 3, 12), torch.tensor([3, 0]))


def test_unfinished_encoders_say_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="initial_state"):
        Encoder().initial_state(1)
    with pytest.raises(NotImplementedError, match="run"):
        Encoder().run(torch.zeros(1), None, None)


def test_compared_models_are_of_one_size() -> None:
    counts = [count_parameters(build(n, sizes=Sizes(72), classes=11, seed=0)) for n in COMPARED]
    assert max(counts) / min(counts) < 1.05


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="'transformer' is unknown; expected one of convrnn-t"):
        build("transformer", sizes=SMALL, classes=3, seed=0)


def test_weights_come_from_the_seed_and_leave_the_global_state_alone() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (build("convrnn-t", sizes=SMALL, classes=3, seed=s) for s in (0, 0, 1))
    assert torch.equal(state, torch.random.get_rng_state())
    flat = [torch.cat([p.flatten() for p in m.parameters()]) for m in (one, same, other)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])


def test_initialised_stacks_pass_the_signal_on() -> None:
    """Variation over time after three layers: near nothing by default, of the input's order after."""
    torch.manual_seed(0)
    encoder, x = LSTMEncoder(20, hidden=32, size=20, layers=3), torch.randn(4, 60, 20)
    with torch.no_grad():
        before = encoder.step(x, encoder.initial_state(4))[0].std(1).mean()
        initialise(encoder)
        after = encoder.step(x, encoder.initial_state(4))[0].std(1).mean()
    assert before < 0.005 < 0.05 < after
    first = encoder.lstms[0]
    assert (first.bias_ih_l0[32:64] == 1).all()
    assert (first.bias_hh_l0 == 0).all()


@pytest.mark.parametrize("name", list(ENCODERS))
def test_encodings_of_every_encoder_vary_alike_at_the_start(name: str) -> None:
    """Within a factor of 1.6 of the target on other random frames, and no batch norm has seen the trial."""
    encoder = build(name, sizes=Sizes(24), classes=11, seed=0).encoder.train()
    assert all((b == 0).all() for n, b in encoder.named_buffers() if n.endswith("running_mean"))
    frames = torch.randn(8, 50, 24, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        found = float(encoder(frames, torch.full((8,), 50))[0].std(1).mean())
    assert VARIATION / 1.6 < found < VARIATION * 1.6


def test_the_local_network_passes_the_signal_on() -> None:
    torch.manual_seed(0)
    local, frames = LocalCNN(24, channels=(8, 8, 4, 4)), torch.randn(4, 50, 24)
    lstm = LSTMEncoder(24, hidden=8, size=8, layers=1)
    encoder = ConvRNNT(24, local=local, global_=None, lstm=lstm)
    with torch.no_grad():
        before = local(frames, local.initial_state(4))[0].std(1).mean()
        initialise(encoder)
        after = local(frames, local.initial_state(4))[0].std(1).mean()
    assert before < 0.03
    assert after > 0.2


def test_the_local_network_starts_near_a_copy_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the random part, even channels are the positive and odd ones the negative half of the input."""
    monkeypatch.setattr("echobook.papers.convrnn_t.training.SMEAR", 0.0)
    encoder = ConvRNNT(
        6, local=LocalCNN(6, channels=(4, 2)), global_=None, lstm=LSTMEncoder(6, hidden=4, size=4, layers=1)
    )
    initialise(encoder)
    frames = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(2))
    first, second = encoder.parts[0].convs  # type: ignore[union-attr,misc]
    with torch.no_grad():
        maps = torch.relu(first(fold(frames, 2), first.initial_state(2))[0])
        again = torch.relu(second(maps, second.initial_state(2))[0])
    halves = torch.cat([frames.relu(), (-frames).relu()], 2)  # one channel after the other
    assert torch.equal(unfold(maps, 2), halves.repeat(1, 1, 2))
    assert torch.equal(unfold(again, 2), halves)


def test_parameters_fit_the_papers_tables() -> None:
    """Within 3.5 %: the tables print two or three digits, and the class count is ours to guess."""
    found = sizes.reconcile()
    for name, printed in sizes.PRINTED_MILLIONS.items():
        assert found[name] == pytest.approx(printed, rel=0.035), name
    assert found["local CNN"] == pytest.approx(2.874716)
    assert found["RNN-T, seven layers"] < 27
    assert found["global CNN, depth-wise"] < 1.2


def test_macs_by_hand_and_by_length() -> None:
    """Local CNN: 25 (100 + 10,000 + 6,400 + 4,096) 192 a frame, and its projection."""
    with torch.device("meta"):
        alone = ConvRNNT(192, local=LocalCNN(192), global_=None, lstm=sizes.paper_lstm(1))
        rest = 4 * 640 * (192 + 640) + 640 * 512 + 192 * 192
        conformer = sizes.paper_conformer(16)
    local = 25 * (100 + 10_000 + 6_400 + 4_096) * 192 + 64 * 192 * 192
    assert sizes.frame_macs(alone, 3) == 3 * (local + rest)
    layer = 2 * 2 * 256 * 1024 + 4 * 256**2 + 3 * 256**2 + 15 * 256
    linear = 14 * layer + 192 * 256 + 256 * 512
    for frames in (5, 12):
        expected = frames * linear + 14 * 2 * 256 * frames**2
        assert sizes.frame_macs(conformer, frames) == expected == sizes.cost_of(conformer)(frames)
