"""One schedule for every model, and the weights that training starts from.

Starting weights, chosen so that every encoder passes the signal on.

With PyTorch's defaults a layer of LSTM, projection and Swish passes on about a twentieth of the signal's
variation over time, and the local CNN about a hundredth; what follows then starts from nearly constant
encodings, and training stays long on the plateau on which the encoder is ignored. An encoder with norms
does not suffer from this, so that the defaults would decide a comparison. Here all linear parts of the
front end and the LSTM stacks keep the order of the signal, and the last layer of *every* encoder is scaled
to the same variation of its encodings over time. Four random convolutions of a few channels also smear the
picture until digits are hard to tell apart; so the local CNN starts near a copy of it, as blocks with
residuals do by themselves. The paper does not state its own starting weights.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from echobook.papers.convrnn_t.baselines import BlockEncoder
from echobook.papers.convrnn_t.evaluation import development_wer
from echobook.papers.convrnn_t.material import Material
from echobook.papers.convrnn_t.model import ConvRNNT, LocalCNN
from echobook.speech.model import LSTMEncoder, Transducer
from echobook.speech.training import History, TrainingSettings, train

VARIATION = 0.5
SMEAR = 0.3  # random part of the local CNN's first weights, beside the copy


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Set LSTMs, the projections behind them, local CNN and fusion anew, in place; others keep their weights.

    LSTM: input weights Xavier-uniform and recurrent weights orthogonal, gate by gate; biases 0, but 1 for the
    forget gate. Projections: Xavier-uniform with gain 2, which makes up for Swish halving small values.
    Local convolutions: a copy of the picture plus `SMEAR` times He-normal weights, see `_copy_picture`. Other
    linear layers of the front end: Xavier-uniform. Biases 0.
    """
    for part in module.modules():
        if isinstance(part, nn.LSTM):
            _lstm(part)
        elif isinstance(part, LSTMEncoder):
            for projection in part.projections:
                _linear(projection, gain=2.0)
        elif isinstance(part, LocalCNN):
            _linear(part.projection, gain=1.0)
            for conv in (c for c in part.modules() if isinstance(c, nn.Conv2d)):
                _copy_picture(conv)
        elif isinstance(part, ConvRNNT):
            _linear(part.fusion, gain=1.0)


@torch.no_grad()
def even_out(encoder: Any, features: int, *, frames: int = 40, batch: int = 16) -> None:
    """Scale the encoder's last linear layer so that its encodings of random frames vary by `VARIATION`.

    Batch norms use the batch's statistics for this and keep their own as they were.
    """
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder.train()
    x = torch.randn(batch, frames, features)
    last = last_layer(encoder)
    for _ in range(3):  # Swish is not linear
        found = encoder(x, torch.full((batch,), frames))[0].std(1).mean()
        last.weight.mul_(VARIATION / found)
    for name, buffer in encoder.named_buffers():
        buffer.copy_(before[name])


def last_layer(encoder: Any) -> nn.Linear:
    """The linear layer that makes the encodings."""
    if isinstance(encoder, ConvRNNT):
        return last_layer(encoder.lstm)
    last = encoder.outputs if isinstance(encoder, BlockEncoder) else encoder.projections[-1]
    assert isinstance(last, nn.Linear)
    return last


def _copy_picture(conv: nn.Conv2d) -> None:
    """Output channel o copies input channel o (modulo their number) at the present frame and frequency.

    From the picture itself, whose values have both signs, even channels copy and odd ones negate it, so that
    nothing is lost to the ReLU.
    """
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    conv.weight.mul_(SMEAR)
    for out, kernel in enumerate(conv.weight):
        sign = -1.0 if conv.in_channels == 1 and out % 2 else 1.0
        kernel[out % conv.in_channels, -1, conv.kernel_size[1] // 2] += sign
    _zero_bias(conv)


def _linear(layer: Any, *, gain: float) -> None:
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    _zero_bias(layer)


def _zero_bias(layer: Any) -> None:
    nn.init.zeros_(layer.bias)


def _lstm(lstm: nn.LSTM) -> None:
    for name, weight in lstm.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(weight)
            if name.startswith("bias_ih"):
                weight[lstm.hidden_size : 2 * lstm.hidden_size] = 1
            continue
        for gate in weight.view(4, lstm.hidden_size, -1):
            (nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_)(gate)


WARMUP = 100  # updates, in each of the two stages of training


@dataclass(frozen=True)
class Trained:
    """A trained model, the course of its training, and its CPU seconds."""

    model: Transducer
    history: History
    cpu_seconds: float


def training_settings(*, steps: int, batch_size: int, seed: int, peak_rate: float) -> TrainingSettings:
    """The same schedule for every model; steps and batch are a profile's, the peak rate a model's."""
    return TrainingSettings(
        steps=steps,
        batch_size=batch_size,
        peak_rate=peak_rate,
        warmup=min(WARMUP, steps),
        evaluate_every=min(100, steps),
        patience=50,
        seed=seed,
    )


def fit(
    model: Transducer,
    material: Material,
    settings: TrainingSettings,
    *,
    first: int = 0,
    measure: Callable[[Any, Material], float] | None = None,
) -> Trained:
    """Train on the material's examples; the weights kept are those with the best `measure` on development
    utterances, by default `development_wer`.

    The `first` updates use utterances of a single word alone, twice as many at a time, with a schedule of
    their own: short lattices take a transducer off the plateau on which it ignores the sound.
    """
    start = time.process_time()
    options: dict[str, Any] = {
        "evaluate": lambda candidate: (measure or development_wer)(candidate, material),
        "augment": material.augment,
    }
    single = [e for e in material.train if len(e.labels) == 1]
    if first and single:
        alone = replace(settings, steps=first, warmup=min(WARMUP, first), evaluate_every=first)
        train(model, single, settings=replace(alone, batch_size=2 * settings.batch_size), **options)
    history = train(model, material.train, settings=settings, **options)
    return Trained(model, history, time.process_time() - start)
