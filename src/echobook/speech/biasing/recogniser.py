"""Parts of a small phoneme transducer: a bidirectional encoder, and a predictor that sees a few labels only.

A predictor without memory beyond its last H labels makes a hypothesis small, so that searches can hold many,
and costs little accuracy (Ghodsi et al. 2020, "RNN-transducer with stateless prediction network"). The
encoder looks at the whole utterance: it does not stream.

Axes: B batch, T frames, U labels, U1 = U+1, D feature, E encoding, H labels remembered.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.speech.model import BLANK, AdditiveJoiner, Transducer


class BidirectionalEncoder(nn.Module):
    """GRU layers in both directions and a projection. Padding never reaches an utterance's encodings."""

    def __init__(self, features: int, *, hidden: int, size: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(features, hidden, layers, batch_first=True, bidirectional=True, dropout=between)
        self.projection = nn.Linear(2 * hidden, size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B T E"], Int[Tensor, " B"]]:
        """Encode whole utterances; encodings behind an utterance's end are those of silence, 0."""
        packed = nn.utils.rnn.pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=frames.shape[1]
        )
        kept = (torch.arange(frames.shape[1]) < lengths[:, None])[..., None]
        return self.projection(self.dropout(hidden)) * kept, lengths


class StatelessPredictor(nn.Module):
    """A layer over the embeddings of the last `history` labels; blanks stand before the first."""

    def __init__(self, classes: int, *, embedding: int, size: int, history: int = 2) -> None:
        super().__init__()
        if history < 1:
            raise ValueError(f"history is {history}; expected at least 1 label")
        self.history = history
        self.embedding = nn.Embedding(classes, embedding)
        self.hidden = nn.Linear(history * embedding, size)
        self.projection = nn.Linear(size, size)

    def forward(self, labels: Int[Tensor, "B U"]) -> Float[Tensor, "B U1 E"]:
        """Row u after the first u labels; padding must hold a valid class."""
        padded = nn.functional.pad(labels, (self.history, 0), value=BLANK)
        return self.after(padded.unfold(1, self.history, 1))

    def after(self, history: Int[Tensor, "*lead H"]) -> Float[Tensor, "*lead E"]:
        """Prediction after these last labels, oldest first."""
        return self.projection(torch.relu(self.hidden(self.embedding(history).flatten(-2))))

    def initial_state(self, batch: int) -> tuple[Tensor]:
        """Blanks."""
        return (torch.full((batch, self.history), BLANK),)

    def step(self, labels: Int[Tensor, " B"], state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Read one more label (blank at the start) per row, for the searches of `speech.decoding`."""
        history = torch.cat([state[0][:, 1:], labels[:, None]], 1)
        return self.after(history), (history,)


def phoneme_transducer(
    features: int, classes: int, *, hidden: int = 96, size: int = 128, layers: int = 2, dropout: float = 0.1
) -> Transducer:
    """The base recogniser: bidirectional encoder, stateless predictor, additive joiner."""
    encoder = BidirectionalEncoder(features, hidden=hidden, size=size, layers=layers, dropout=dropout)
    predictor = StatelessPredictor(classes, embedding=64, size=size)
    return Transducer(encoder, predictor, AdditiveJoiner(size, classes))
