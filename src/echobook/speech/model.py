"""The parts of a transducer: streaming LSTM encoder, prediction network, additive joiner, and their
composition.

    h = encoder(frames)          (B, S, E)
    g = predictor(labels)        (B, U1, E), row u having read the first u labels; row 0 starts from blank
    z = output(tanh(h + g))      (B, S, U1, V)

Graves 2012 with the additive joiner of later work. Parts are passed in: any class with the same methods will
do. Axes: B batch, T frames, S encodings, U labels, U1 = U+1, D feature, E encoding, V classes, blank 0
included.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.speech.streaming import State
from echobook.speech.transducer import transducer_loss

BLANK = 0


class LSTMEncoder(nn.Module):
    """Uni-directional LSTM layers, each followed by a projection with Swish and dropout."""

    def __init__(self, features: int, *, hidden: int, size: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [features] + [size] * (layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True) for width in widths)
        self.projections = nn.ModuleList(nn.Linear(hidden, size) for _ in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B T E"], Int[Tensor, " B"]]:
        """Encode whole utterances: nothing later than a frame reaches its encoding."""
        return self.step(frames, self.initial_state(len(frames)))[0], lengths

    def initial_state(self, batch: int) -> State:
        """Zeros: hidden and cell state of each layer."""
        first: Any = self.lstms[0]
        zeros = first.weight_hh_l0.new_zeros(1, batch, first.hidden_size)
        return tuple((zeros, zeros) for _ in self.lstms)

    def step(self, frames: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T E"], State]:
        """Encode the next chunk."""
        after = []
        for lstm, projection, before in zip(self.lstms, self.projections, state, strict=True):
            hidden, new = lstm(frames, before)
            frames = self.dropout(nn.functional.silu(projection(hidden)))
            after.append(new)
        return frames, tuple(after)


class PredictionNetwork(nn.Module):
    """Embedding, one LSTM and a projection over the labels written so far.

    Its state is a tuple of tensors whose first axis is the batch, so that rows can be picked by index.
    """

    def __init__(self, classes: int, *, embedding: int, hidden: int, size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.projection = nn.Linear(hidden, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, labels: Int[Tensor, "B U"]) -> Float[Tensor, "B U1 E"]:
        """Row u after the first u labels; padding must hold a valid class."""
        history = nn.functional.pad(labels, (1, 0), value=BLANK)  # (B, U1)
        return self.projection(self.lstm(self.dropout(self.embedding(history)))[0])

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zeros: hidden and cell state."""
        zeros = torch.zeros(batch, self.lstm.hidden_size, dtype=self.projection.weight.dtype)
        return zeros, zeros

    def step(
        self, labels: Int[Tensor, " B"], state: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "B E"], tuple[Tensor, Tensor]]:
        """Read one more label (blank at the start) per row."""
        hidden, (h, c) = self.lstm(self.embedding(labels)[:, None], (state[0][None], state[1][None]))
        return self.projection(hidden[:, 0]), (h[0], c[0])


class AdditiveJoiner(nn.Module):
    """output(tanh(h + g)), with shapes that broadcast."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(size, classes)

    def forward(
        self, encodings: Float[Tensor, "*a E"], predictions: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*c V"]:
        """Logits over the classes."""
        return self.output(torch.tanh(encodings + predictions))


class Transducer(nn.Module):
    """Encoder, prediction network and joiner; class 0 is the blank."""

    def __init__(self, encoder: nn.Module, predictor: nn.Module, joiner: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = encoder  # a StreamingEncoder
        self.predictor: Any = predictor
        self.joiner: Any = joiner

    def forward(
        self,
        frames: Float[Tensor, "B T D"],
        lengths: Int[Tensor, " B"],
        labels: Int[Tensor, "B U"],
    ) -> tuple[Float[Tensor, "B S U1 V"], Int[Tensor, " B"]]:
        """Logits at every lattice node, and the number of encodings of each utterance."""
        encodings, lengths = self.encoder(frames, lengths)
        return self.joiner(encodings[:, :, None], self.predictor(labels)[:, None]), lengths

    def loss(
        self,
        frames: Float[Tensor, "B T D"],
        lengths: Int[Tensor, " B"],
        labels: Int[Tensor, "B U"],
        label_lengths: Int[Tensor, " B"],
        *,
        fastemit: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Mean transducer loss over the utterances, in nats."""
        logits, lengths = self(frames, lengths, labels)
        return transducer_loss(logits, labels, lengths, label_lengths, blank=BLANK, fastemit=fastemit)
