"""Counting rules of the cost figures, by hand, and the curve over length against direct counts."""

from typing import Any

import pytest
import torch

from echobook.metrics.cost import count_macs
from echobook.papers.convrnn_t import sizes
from echobook.papers.convrnn_t.baselines import CausalAttention, causal_conformer
from echobook.papers.convrnn_t.experiment import ABLATIONS, COMPARED, Sizes, build
from echobook.papers.convrnn_t.layers import CausalConv2d, DepthwiseConv
from echobook.speech.model import LSTMEncoder


def test_depthwise_macs_by_hand() -> None:
    """Two utterances, five frames, three channels out, kernel 4, two channels in for each."""
    conv = DepthwiseConv(3, 4, group=2)
    x = torch.zeros(2, 5, 6)
    found = count_macs(conv, x, conv.initial_state(2), rules=sizes.RULES)
    assert sum(found.values()) == 2 * 5 * 3 * 4 * 2


def test_local_convolution_macs_by_hand() -> None:
    """Every output value sums 5 x 5 values of each input channel, zeros at the edges included."""
    conv = CausalConv2d(3, 2, 5, 7)
    found = count_macs(conv, torch.zeros(1, 3, 4, 7), conv.initial_state(1), rules=sizes.RULES)
    assert sum(found.values()) == 4 * 7 * 2 * 3 * 25


def test_attention_macs_by_hand() -> None:
    """Four linear layers of C x C, and two products of every query with every key."""
    attention = CausalAttention(4, heads=2, left=99)
    found = count_macs(attention, torch.zeros(1, 6, 4), attention.initial_state(1), rules=sizes.RULES)
    assert sum(found.values()) == 6 * 4 * 4 * 4 + 2 * 6 * 6 * 4


def test_attention_macs_count_the_keys_of_earlier_pieces() -> None:
    attention = CausalAttention(4, heads=1, left=99)
    x = torch.zeros(1, 6, 4)
    with torch.no_grad():
        _, state = attention(x, attention.initial_state(1))
    found = count_macs(attention, x[:, :2], state, rules=sizes.RULES)
    assert sum(found.values()) == 2 * 4 * 4 * 4 + 2 * 2 * 8 * 4


@pytest.mark.parametrize("frames", [1, 3, 20, 41])
@pytest.mark.parametrize("name", [*COMPARED, *ABLATIONS])
def test_cost_over_length_equals_direct_counts(name: str, frames: int) -> None:
    small = Sizes(12, encoding=8, channels=(3, 2), bottleneck=3, hidden=8, conformer=8, contextnet=(6, 8))
    encoder = build(name, sizes=small, classes=3, seed=0).encoder.eval()
    direct = sum(count_macs(Whole(encoder), torch.zeros(1, frames, 12), rules=sizes.RULES).values())
    assert sizes.frame_macs(encoder, frames, features=12) == direct


@pytest.mark.parametrize("frames", [1, 5, 33])
def test_the_fitted_cost_is_exact_for_the_paper_size_models(frames: int) -> None:
    """Linear for LSTMs, quadratic for attention: both are fixed by counts at four and eight frames."""
    with torch.device("meta"):
        made: list[Any] = [
            LSTMEncoder(192, hidden=7, size=5, layers=2),
            causal_conformer(192, channels=8, layers=2, heads=2, hidden=4, size=5, left=1024),
        ]
    for encoder in made:
        encoder.eval()  # batch norm in training needs more than one frame
        assert sizes.cost_of(encoder)(frames) == sizes.frame_macs(encoder, frames)


def test_curves_of_the_paper_size_encoders() -> None:
    """ConvRNN-T and LSTM grow with length, the Conformer faster; depth-wise costs less than dense."""
    macs = sizes.encoder_macs([3.0, 6.0, 60.0])
    for name in ("convrnn-t", "convrnn-t-depthwise", "rnn-t"):
        short, twice, long = macs[name]
        assert twice == 2 * short
        assert long == 20 * short
    assert macs["conformer"][2] > 20 * macs["conformer"][0]
    assert macs["convrnn-t-depthwise"][0] < macs["convrnn-t"][0]
    assert macs["rnn-t"][0] < macs["convrnn-t"][0]


def test_lstm_macs_equal_the_papers_formula_at_paper_size() -> None:
    """Four gates, (inputs + hidden) x hidden each, and the projection to 512, a frame."""
    with torch.device("meta"):
        stack = sizes.paper_lstm(2)
    first = 4 * (192 + 640) * 640 + 640 * 512
    second = 4 * (512 + 640) * 640 + 640 * 512
    assert sizes.frame_macs(stack, 1) == first + second


class Whole(torch.nn.Module):
    """A whole utterance through `step`."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: torch.Tensor) -> Any:
        return self.encoder.step(x, self.encoder.initial_state(1))[0]
