"""The compared models, small enough for two cores and within 5 % of one size, and the paper's own sizes.

All share the prediction network, the additive joiner and the encoding width; only the encoder differs. The
small sizes were set by counting parameters, before any result.

    name          encoder
    convrnn-t     local CNN + global CNN (depth-wise) + three LSTM layers
    rnn-t         three wider LSTM layers
    conformer     causal Conformer layers
    contextnet    causal ContextNet blocks
    local-only, global-only    ConvRNN-T with one part left out, otherwise unchanged, so smaller
    leaky-squeeze              ConvRNN-T whose squeeze takes the mean of the whole utterance
    dense-dilated              ConvRNN-T with dense in place of depth-wise dilated convolutions, so larger
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from echobook.papers.convrnn_t.baselines import causal_conformer, causal_contextnet
from echobook.papers.convrnn_t.layers import CausalSqueeze, UtteranceSqueeze
from echobook.papers.convrnn_t.model import ConvRNNT, GlobalCNN, LocalCNN
from echobook.papers.convrnn_t.training import even_out, initialise
from echobook.speech.model import BLANK, AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer

COMPARED = ("convrnn-t", "rnn-t", "conformer", "contextnet")
ABLATIONS = ("local-only", "global-only")
CONTROLS = ("leaky-squeeze", "dense-dilated")


@dataclass(frozen=True)
class Sizes:
    """Widths of the small models, for `features` input values a frame."""

    features: int
    encoding: int = 72
    dropout: float = 0.0
    channels: tuple[int, ...] = (8, 8, 4, 4)
    bottleneck: int = 9
    layers: int = 2
    hidden: int = 136
    baseline_hidden: int = 180
    conformer: int = 64
    contextnet: tuple[int, int] = (62, 100)


def local(sizes: Sizes) -> LocalCNN:
    """Small local CNN."""
    return LocalCNN(sizes.features, channels=sizes.channels)


def global_(sizes: Sizes, *, squeeze: type[CausalSqueeze] = CausalSqueeze, dense: bool = False) -> GlobalCNN:
    """Small global CNN: six blocks, as in the paper."""
    return GlobalCNN(
        sizes.features, bottleneck=sizes.bottleneck, squeeze=squeeze, dense=dense, dropout=sizes.dropout
    )


def lstm(sizes: Sizes, hidden: int | None = None) -> LSTMEncoder:
    """Three LSTM layers, each with projection and Swish."""
    width, size = hidden or sizes.hidden, sizes.encoding
    return LSTMEncoder(sizes.features, hidden=width, size=size, layers=sizes.layers, dropout=sizes.dropout)


def conformer(sizes: Sizes) -> nn.Module:
    """Four causal Conformer layers."""
    width = sizes.conformer
    return causal_conformer(
        sizes.features,
        channels=width,
        layers=4,
        heads=4,
        hidden=4 * width,
        size=sizes.encoding,
        dropout=sizes.dropout,
    )


def contextnet(sizes: Sizes) -> nn.Module:
    """Eleven causal ContextNet blocks, nine of them with five convolutions."""
    return causal_contextnet(
        sizes.features, channels=sizes.contextnet, blocks=(7, 4), size=sizes.encoding, dropout=sizes.dropout
    )


ENCODERS: dict[str, Callable[[Sizes], nn.Module]] = {
    "convrnn-t": lambda s: ConvRNNT(s.features, local=local(s), global_=global_(s), lstm=lstm(s)),
    "rnn-t": lambda s: lstm(s, s.baseline_hidden),
    "conformer": conformer,
    "contextnet": contextnet,
    "local-only": lambda s: ConvRNNT(s.features, local=local(s), global_=None, lstm=lstm(s)),
    "global-only": lambda s: ConvRNNT(s.features, local=None, global_=global_(s), lstm=lstm(s)),
    "leaky-squeeze": lambda s: ConvRNNT(
        s.features, local=local(s), global_=global_(s, squeeze=UtteranceSqueeze), lstm=lstm(s)
    ),
    "dense-dilated": lambda s: ConvRNNT(
        s.features, local=local(s), global_=global_(s, dense=True), lstm=lstm(s)
    ),
}


def build(name: str, *, sizes: Sizes, classes: int, seed: int) -> Transducer:
    """One of the compared models with fresh weights. Raises ValueError for an unknown name."""
    if name not in ENCODERS:
        raise ValueError(f"model {name!r} is unknown; expected one of {', '.join(ENCODERS)}")
    return assemble(ENCODERS[name], sizes=sizes, classes=classes, seed=seed)


def assemble(encoder: Callable[[Sizes], nn.Module], *, sizes: Sizes, classes: int, seed: int) -> Transducer:
    """A transducer with this encoder, the shared prediction network and the additive joiner.

    The blank starts with a score of 2, so that the first alignments are not spread over all frames.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = PredictionNetwork(
            classes, embedding=32, hidden=64, size=sizes.encoding, dropout=sizes.dropout
        )
        model = Transducer(encoder(sizes), predictor, AdditiveJoiner(sizes.encoding, classes))
        initialise(model)
        even_out(model.encoder, sizes.features)
    with torch.no_grad():
        model.joiner.output.bias[BLANK] = 2.0
    return model
