"""The paper's own sizes: parameters against its tables 1, 3 and 5, and multiply-accumulates over length.

Models are built on the meta device, so that nothing is allocated or computed. Multiply-accumulates of all
parts but attention grow with the number of frames alone; attention is counted as written in most code,
every query with every key, which is the reading kindest to the claim that the Conformer costs more (a
causal one needs half). FLOPs are about twice the MACs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from echobook.metrics.cost import count_macs, count_parameters
from echobook.papers.convrnn_t.baselines import CausalAttention, DistanceBias, causal_conformer
from echobook.papers.convrnn_t.layers import CausalConv2d, DepthwiseConv
from echobook.papers.convrnn_t.model import ConvRNNT, GlobalCNN, LocalCNN
from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork

FEATURES, ENCODING, CLASSES = 192, 512, 2501  # 64 x 3 stacked; 2,500 word pieces and the blank
FRAME_SECONDS = 0.03
PRINTED_MILLIONS = {
    "local CNN": 2.9,
    "global CNN": 2.5,
    "convolution blocks": 5.40,
    "LSTM encoder": 18.93,
    "joint": 1.28,
    "embedding": 0.62,
    "LSTM decoder": 2.62,
    "RNN-T": 30.0,
}


def paper_convrnnt(*, dense: bool = True) -> ConvRNNT:
    """ConvRNN-T's encoder at the paper's size; `dense` dilated convolutions fit its number of parameters."""
    return ConvRNNT(
        FEATURES,
        local=LocalCNN(FEATURES),
        global_=GlobalCNN(FEATURES, bottleneck=FEATURES, dense=dense),
        lstm=paper_lstm(6, FEATURES),
    )


def paper_lstm(layers: int, features: int = FEATURES) -> LSTMEncoder:
    """LSTM layers of 640, each with a projection to 512."""
    return LSTMEncoder(features, hidden=640, size=ENCODING, layers=layers)


def paper_conformer(frames: int = 1024) -> nn.Module:
    """Fourteen layers of width 256 that attend to as many as `frames` frames, one encoding every 30 ms."""
    return causal_conformer(
        FEATURES, channels=256, layers=14, heads=4, hidden=1024, size=ENCODING, left=frames
    )


def reconcile() -> dict[str, float]:
    """Millions of parameters of each part as we build it, under the names of the paper's tables.

    The fusion layer counts with the LSTM encoder, as its printed number asks. "RNN-T" has eight layers: the
    seven of the text give 26.7 millions, not 30.
    """
    with torch.device("meta"):
        encoder = paper_convrnnt()
        predictor = PredictionNetwork(CLASSES, embedding=256, hidden=640, size=ENCODING)
        joiner = AdditiveJoiner(ENCODING, CLASSES)
        eight, seven, sparse = paper_lstm(8), paper_lstm(7), paper_convrnnt(dense=False)
    local, global_ = (count_parameters(part) for part in encoder.parts)
    shared = count_parameters(predictor) + count_parameters(joiner)
    counts = {
        "local CNN": local,
        "global CNN": global_,
        "convolution blocks": local + global_,
        "LSTM encoder": count_parameters(encoder.lstm) + count_parameters(encoder.fusion),
        "joint": count_parameters(joiner),
        "embedding": count_parameters(predictor.embedding),
        "LSTM decoder": count_parameters(predictor) - count_parameters(predictor.embedding),
        "RNN-T": count_parameters(eight) + shared,
        "RNN-T, seven layers": count_parameters(seven) + shared,
        "global CNN, depth-wise": count_parameters(sparse.parts[1]),
    }
    return {name: count / 1e6 for name, count in counts.items()}


def encoder_macs(seconds: Sequence[float]) -> dict[str, list[int]]:
    """Multiply-accumulates of the paper-size encoders for utterances of these lengths."""
    with torch.device("meta"):
        made = {
            "convrnn-t": paper_convrnnt(),
            "convrnn-t-depthwise": paper_convrnnt(dense=False),
            "rnn-t": paper_lstm(8),
            "conformer": paper_conformer(),
        }
    frames = [round(length / FRAME_SECONDS) for length in seconds]
    return {name: [cost(n) for n in frames] for name, cost in ((k, cost_of(v)) for k, v in made.items())}


def cost_of(encoder: Any) -> Callable[[int], int]:
    """MACs of an encoder as a function of the number of frames n: a n + b n^2, from counts at 4 and 8 frames.

    Every part of these encoders costs the same for each frame, but attention costs n for each.
    """
    four, eight = (frame_macs(encoder, n) for n in (4, 8))
    square = (eight - 2 * four) // 32
    return lambda frames: (four - 16 * square) // 4 * frames + square * frames * frames


def frame_macs(encoder: Any, frames: int, *, features: int = FEATURES) -> int:
    """MACs of one utterance of so many frames, counted by hooks on the encoder's own device."""
    with next(encoder.parameters()).device:
        x = torch.zeros(1, frames, features)
        state = encoder.initial_state(1)
    return sum(count_macs(_OnePiece(encoder), x, state, rules=RULES).values())


class _OnePiece(nn.Module):
    """Calls `step`, so that lengths, which have no values on the meta device, are not needed."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder: Any = encoder

    def forward(self, x: Any, state: Any) -> Any:
        return self.encoder.step(x, state)[0]


def attention_macs(part: CausalAttention, inputs: tuple[Any, ...], output: Any) -> int:
    """Scores and weighted values, every query with every key; the linear layers are counted by themselves."""
    batch, frames, channels = inputs[0].shape
    return 2 * batch * channels * frames * (frames + inputs[1][0].shape[1])


def depthwise_macs(part: DepthwiseConv, inputs: tuple[Any, ...], output: Any) -> int:
    """Kernel size times group size for each output value."""
    kernel, _, group = part.weight.shape
    return output[0].numel() * kernel * group


def convolution_macs(part: CausalConv2d, inputs: tuple[Any, ...], output: Any) -> int:
    """Those of the convolution as written in the paper: the zeros of folded kernels are not counted."""
    _, values, *taps = part.conv.weight.shape
    return output[0].numel() * values * taps[0] * taps[1]


RULES: dict[type[nn.Module], Any] = {
    CausalAttention: attention_macs,
    CausalConv2d: convolution_macs,
    DepthwiseConv: depthwise_macs,
    DistanceBias: lambda part, inputs, output: 0,
}
