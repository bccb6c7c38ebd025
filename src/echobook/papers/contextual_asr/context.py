"""The context encoder: entries of a catalogue as vectors, encoded once per turn.

Contextual Adapters (Sathyendra et al. 2022), section 2: each entry's units go through an embedding and a
bidirectional LSTM; the final states are projected to D. With several kinds of entries one encoder serves all,
and a learned vector of the kind is appended. A learned row, `<no_bias>`, is always listed first: to attend to
it is to leave the recogniser alone. The units are phonemes here, word-pieces there.

Axes: P distinct entries, B utterances, K rows of one, K1 = K + 1 with the no-bias row, D entry width.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echobook.speech.biasing.catalogues import Catalogue


class Context(NamedTuple):
    """Encoded rows of each utterance, the no-bias row first, and which of them are there.

    The first axis is 1 where all utterances share one list.
    """

    states: Float[Tensor, "B K1 D"]
    listed: Bool[Tensor, "B K1"]


class ContextEncoder(nn.Module):
    """Catalogue to context. `kinds` 0: no type embedding; `null_row` False: no no-bias row."""

    def __init__(
        self,
        classes: int,
        *,
        kinds: int,
        embedding: int = 64,
        hidden: int = 64,
        size: int = 64,
        kind_size: int = 8,
        null_row: bool = True,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * hidden, size)
        self.kinds = nn.Embedding(kinds, kind_size) if kinds else None
        self.size = size + (kind_size if kinds else 0)
        self.null_row = nn.Parameter(0.1 * torch.randn(self.size)) if null_row else None

    def entries(self, catalogue: Catalogue) -> Float[Tensor, "P D"]:
        """Every distinct entry once."""
        if not catalogue.labels:
            return self.projection.weight.new_zeros(0, self.size)
        strings = [torch.tensor(labels) for labels in catalogue.labels]
        lengths = torch.tensor([len(labels) for labels in strings])
        padded = nn.utils.rnn.pad_sequence(strings, batch_first=True)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(padded), lengths, batch_first=True, enforce_sorted=False
        )
        _, (last, _) = self.lstm(packed)
        states = self.projection(torch.cat([last[0], last[1]], 1))
        return states if self.kinds is None else torch.cat([states, self.kinds(catalogue.kinds)], 1)

    def forward(self, catalogue: Catalogue) -> Context:
        """Context of each utterance; rows of -1 are not listed."""
        entries = self.entries(catalogue)
        rows, listed = catalogue.rows, catalogue.rows >= 0
        padded = torch.cat([entries, entries.new_zeros(1, self.size)])  # -1 picks the last: zeros
        states = padded[rows]
        if self.null_row is None:
            return Context(states, listed)
        null = self.null_row.expand(len(rows), 1, -1)
        always = torch.ones(len(rows), 1, dtype=torch.bool)
        return Context(torch.cat([null, states], 1), torch.cat([always, listed], 1))
