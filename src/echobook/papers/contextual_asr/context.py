"""The context encoder: entries of a catalogue as vectors, encoded once per turn.

Contextual Adapters (Sathyendra et al. 2022), section 2: each entry's units go through an embedding and a
bidirectional LSTM. There the final states become one vector of the entry. Their units are word-pieces, a few
to an entry; ours are phonemes, up to fifteen, and one vector says which of them an entry has but hardly in
what order. So each phoneme is a row of its own here, made of the LSTM's states at it, its embedding and those
of the two before it; `by_phoneme=False` gives the published rows. With several kinds of entries one encoder
serves all, and a learned vector of the kind is appended. A learned row, `<no_bias>`, is always listed first:
to attend to it is to leave the recogniser alone.

Axes: P distinct entries, L phonemes of the longest, B utterances, K rows of one, K1 = K + 1 with the no-bias
row (by phoneme: the phonemes of all that is listed), D row width.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
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
        by_phoneme: bool = True,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * hidden + (3 * embedding if by_phoneme else 0), size)
        self.kinds = nn.Embedding(kinds, kind_size) if kinds else None
        self.size = size + (kind_size if kinds else 0)
        self.null_row = nn.Parameter(0.1 * torch.randn(self.size)) if null_row else None
        self.by_phoneme = by_phoneme

    def entries(self, catalogue: Catalogue) -> Float[Tensor, "P L D"]:
        """Rows of every distinct entry once: of its phonemes, zeros behind them, or (L = 1) of the whole."""
        if not catalogue.labels:
            return self.projection.weight.new_zeros(0, 1, self.size)
        strings = [torch.tensor(labels) for labels in catalogue.labels]
        lengths = torch.tensor([len(labels) for labels in strings])
        units = self.embedding(nn.utils.rnn.pad_sequence(strings, batch_first=True))  # (P, L, embedding)
        packed = nn.utils.rnn.pack_padded_sequence(units, lengths, batch_first=True, enforce_sorted=False)
        outputs, (last, _) = self.lstm(packed)
        if self.by_phoneme:
            states, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
            rows = self.projection(torch.cat([states, units, _before(units, 1), _before(units, 2)], 2))
        else:
            rows = self.projection(torch.cat([last[0], last[1]], 1))[:, None]
        if self.kinds is None:
            return rows
        kinds = self.kinds(catalogue.kinds)[:, None].expand(-1, rows.shape[1], -1)
        return torch.cat([rows, kinds], 2)

    def forward(self, catalogue: Catalogue) -> Context:
        """Context of each utterance; rows of -1 are not listed."""
        entries = self.entries(catalogue)
        places, listed = self._places(catalogue, entries.shape[1])
        states = torch.cat([entries.flatten(0, 1), entries.new_zeros(1, self.size)])[places]
        if self.null_row is None:
            return Context(states, listed)
        null = self.null_row.expand(len(places), 1, -1)
        always = torch.ones(len(places), 1, dtype=torch.bool)
        return Context(torch.cat([null, states], 1), torch.cat([always, listed], 1))

    def _places(self, catalogue: Catalogue, longest: int) -> tuple[Int[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """Which of the flattened rows each utterance lists, in order; -1 (zeros) where it has fewer."""
        counts = [len(labels) if self.by_phoneme else 1 for labels in catalogue.labels]
        lengths = torch.tensor([*counts, 0])[catalogue.rows]  # the last is that of a row of -1
        places = catalogue.rows[..., None] * longest + torch.arange(longest)  # (B, K, L)
        listed = (torch.arange(longest) < lengths[..., None]).flatten(1)
        order = listed.byte().argsort(dim=1, descending=True, stable=True)[:, : int(listed.sum(1).max())]
        kept = listed.gather(1, order)
        return places.flatten(1).gather(1, order).masked_fill(~kept, -1), kept


def _before(units: Float[Tensor, "P L E"], count: int) -> Float[Tensor, "P L E"]:
    """The embedding `count` places earlier, zeros before the first."""
    return nn.functional.pad(units, (0, 0, count, 0))[:, : units.shape[1]]
