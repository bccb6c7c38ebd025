"""Starting weights: what is set, what is left alone, and that no encoder starts with a weaker voice."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from echobook.papers.convrnn_t import experiment
from echobook.papers.convrnn_t.experiment import ENCODERS, Sizes, assemble, build
from echobook.papers.convrnn_t.model import ConvRNNT, GlobalCNN, LocalCNN
from echobook.papers.convrnn_t.training import SMEAR, VARIATION, even_out, initialise, last_layer
from echobook.speech.model import BLANK, LSTMEncoder

SMALL = Sizes(12, encoding=8, channels=(3, 2), bottleneck=3, hidden=8, conformer=8, contextnet=(6, 8))


def spread(frames: Tensor, module: Any) -> float:
    """Variation over time of what a part makes of the frames."""
    with torch.no_grad():
        return float(module(frames, module.initial_state(len(frames)))[0].std(1).mean())


def test_lstm_weights_gate_by_gate() -> None:
    """Recurrent gates are orthogonal, input gates within Xavier's bound; the forget gate has a bias of 1."""
    torch.manual_seed(0)
    encoder = LSTMEncoder(5, hidden=6, size=4, layers=1)
    initialise(encoder)
    lstm: Any = encoder.lstms[0]
    for gate in lstm.weight_hh_l0.view(4, 6, 6):
        assert torch.allclose(gate @ gate.T, torch.eye(6), atol=1e-5)
    assert float(lstm.weight_ih_l0.detach().abs().max()) <= (6 / (5 + 6)) ** 0.5
    assert lstm.bias_ih_l0.tolist() == [0] * 6 + [1] * 6 + [0] * 12
    assert lstm.bias_hh_l0.tolist() == [0] * 24


def test_convolutions_are_a_copy_and_a_little_noise() -> None:
    """Beside the copied entry, weights have the spread of He's rule times SMEAR: sqrt(2 / fan-in)."""
    torch.manual_seed(0)
    local = LocalCNN(6, channels=(40, 40))
    initialise(ConvRNNT(6, local=local, global_=None, lstm=LSTMEncoder(6, hidden=2, size=2, layers=1)))
    for conv in (c.conv for c in local.convs):  # type: ignore[union-attr]
        weight: Any = conv.weight.detach().clone()
        for out in range(40):
            source = out % conv.in_channels  # type: ignore[operator]
            copied = float(weight[out, source, -1, 2])
            assert abs(abs(copied) - 1) < 5 * SMEAR * (2 / (25 * conv.in_channels)) ** 0.5  # type: ignore[operator]
            weight[out, source, -1, 2] = 0
        expected = SMEAR * (2 / (25 * conv.in_channels)) ** 0.5  # type: ignore[operator]
        assert float(weight.std()) == pytest.approx(expected, rel=0.15)  # 1,000 weights at least
        assert (conv.bias == 0).all()  # type: ignore[union-attr]


def test_the_global_network_keeps_its_own_weights() -> None:
    torch.manual_seed(0)
    part = GlobalCNN(6, blocks=2, bottleneck=2)
    before = {name: value.clone() for name, value in part.state_dict().items()}
    initialise(ConvRNNT(6, local=None, global_=part, lstm=LSTMEncoder(6, hidden=4, size=4, layers=1)))
    assert all(torch.equal(before[name], value) for name, value in part.state_dict().items())


def test_a_narrow_local_network_passes_on_as_much_as_a_wide_one() -> None:
    """Four random convolutions of few channels would lose most of the signal on the way."""
    frames = torch.randn(4, 60, 24, generator=torch.Generator().manual_seed(0))
    for channels in ((2, 2, 2, 2), (8, 8, 4, 4), (32, 32, 16, 16)):
        torch.manual_seed(1)
        local = LocalCNN(24, channels=channels)
        lstm = LSTMEncoder(24, hidden=2, size=2, layers=1)
        initialise(ConvRNNT(24, local=local, global_=None, lstm=lstm))
        assert 0.3 < spread(frames, local) < 3, channels


@pytest.mark.parametrize("name", list(ENCODERS))
def test_evening_out_changes_one_layer_and_no_statistics(name: str) -> None:
    torch.manual_seed(0)
    encoder: Any = ENCODERS[name](SMALL)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    even_out(encoder, 12, frames=10, batch=4)
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(before[key], value)}
    last = last_layer(encoder)
    assert {id(dict(encoder.named_parameters())[key]) for key in changed} == {id(last.weight)}


def test_evening_out_reaches_its_target_on_random_frames() -> None:
    torch.manual_seed(0)
    encoder = LSTMEncoder(12, hidden=16, size=8, layers=2)
    even_out(encoder, 12, frames=80, batch=32)
    frames = torch.randn(32, 80, 12, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        found = float(encoder(frames, torch.full((32,), 80))[0].std(1).mean())
    assert found == pytest.approx(VARIATION, rel=0.3)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_the_last_layer_makes_the_encodings(name: str) -> None:
    """Zero it, and all encodings are its bias, or Swish of its bias: the same in every frame."""
    encoder: Any = ENCODERS[name](SMALL).eval()
    nn.init.zeros_(last_layer(encoder).weight)
    with torch.no_grad():
        out = encoder(torch.randn(1, 7, 12), torch.tensor([7]))[0]
    assert out.shape[-1] == last_layer(encoder).out_features
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-6)


def test_the_blank_has_a_head_start() -> None:
    model = build("rnn-t", sizes=SMALL, classes=5, seed=0)
    assert model.joiner.output.bias[BLANK].item() == 2.0


def test_a_students_encoder_takes_the_place_of_ours() -> None:
    """`assemble` takes any function from sizes to an encoder."""
    model = assemble(
        lambda s: LSTMEncoder(s.features, hidden=3, size=s.encoding, layers=1), sizes=SMALL, classes=4, seed=1
    )
    logits, lengths = model(torch.randn(2, 6, 12), torch.tensor([6, 4]), torch.tensor([[1, 2], [3, 1]]))
    assert logits.shape == (2, 6, 3, 4)
    assert lengths.tolist() == [6, 4]


def test_compared_models_ablations_and_controls_are_all_models_there_are() -> None:
    names = [*experiment.COMPARED, *experiment.ABLATIONS, *experiment.CONTROLS]
    assert sorted(names) == sorted(ENCODERS)
    assert len(set(names)) == len(names)
