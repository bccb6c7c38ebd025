"""MiniLM as a joint tagger of which the top layer and the heads are trained, as one fine-tunes a
pre-trained model.

The layers below are frozen, so their outputs are computed once. A word stands for its first word piece. The
top layer is BERT's own (Linear and LayerNorm only), so ghost norms hold; dropout is off."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.data.slots import Tagged
from echobook.papers.dp_sgd_nlu.material import Batch, Coded
from echobook.papers.dp_sgd_nlu.model import Logits, masked_mean
from echobook.text.checkpoint import load_checkpoint, without_dropout

CHUNK = 100


@dataclass(frozen=True)
class FeatureBatch(Batch):
    """A batch with the frozen layers' outputs.

    Attributes:
        hidden: (B, P, D) states of word pieces, with the special ones at the ends.
        pieces: (B, P) 1 for a piece, 0 for padding.
        first: (B, T) place of each word's first piece (0 for padding).
    """

    hidden: Float[Tensor, "B P D"]
    pieces: Float[Tensor, "B P"]
    first: Int[Tensor, "B T"]


@dataclass(frozen=True)
class Featured:
    """A part of the material with the frozen layers' outputs of each utterance."""

    coded: Coded
    hidden: list[Float[Tensor, "P D"]]
    first: list[Int[Tensor, "T"]]

    @property
    def tags(self) -> list[list[int]]:
        """Tags of each utterance."""
        return self.coded.tags

    @property
    def intents(self) -> list[int]:
        """Intent of each utterance."""
        return self.coded.intents

    def __len__(self) -> int:
        return len(self.coded)

    def batch(self, numbers: Sequence[int] | Int[Tensor, "B"]) -> FeatureBatch:
        """The utterances of the given numbers, padded to the longest of them."""
        rows = [int(number) for number in numbers]
        plain = self.coded.batch(rows)
        hidden = nn.utils.rnn.pad_sequence([self.hidden[row] for row in rows], batch_first=True)
        first = nn.utils.rnn.pad_sequence([self.first[row] for row in rows], batch_first=True)
        lengths = torch.tensor([len(self.hidden[row]) for row in rows])
        pieces = (torch.arange(hidden.shape[1]) < lengths[:, None]).float()
        return FeatureBatch(plain.words, plain.mask, plain.tags, plain.intents, hidden, pieces, first)


def _attention_mask(pieces: Float[Tensor, "B P"]) -> Float[Tensor, "B 1 1 P"]:
    """0 where a piece may be read, the lowest float where there is padding."""
    return ((1 - pieces) * torch.finfo(torch.float32).min)[:, None, None, :]


class TopLayerTagger(nn.Module):
    """BERT's top layer on given states, then linear heads for intent (mean over words) and tags (each
    word).
    """

    def __init__(self, layer: nn.Module, *, width: int, tags: int, intents: int) -> None:
        super().__init__()
        self.layer = layer
        self.intent, self.tag = nn.Linear(width, intents), nn.Linear(width, tags)

    def forward(self, batch: FeatureBatch) -> Logits:
        """Logits of intents and tags."""
        states = self.layer(batch.hidden, _attention_mask(batch.pieces))
        states = states[0] if isinstance(states, tuple) else states  # (B, P, D)
        words = states.gather(1, batch.first.unsqueeze(2).expand(-1, -1, states.shape[2]))  # (B, T, D)
        return self.intent(masked_mean(words, batch.mask)), self.tag(words)


class Pretrained:
    """The frozen part of MiniLM and the template of its top layer."""

    def __init__(self) -> None:
        self.tokenizer, encoder = load_checkpoint()
        without_dropout(encoder)
        self.encoder: Any = encoder.eval()
        self.width = int(encoder.config.hidden_size)

    def features(self, coded: Coded, utterances: Sequence[Tagged]) -> Featured:
        """Run the frozen layers over utterances, without gradients."""
        hidden: list[Tensor] = []
        first: list[Tensor] = []
        for start in range(0, len(utterances), CHUNK):
            words = [list(row.words) for row in utterances[start : start + CHUNK]]
            read = self.tokenizer(words, is_split_into_words=True, padding=True, return_tensors="pt")
            with torch.no_grad():
                states = self.encoder(**read, output_hidden_states=True).hidden_states[-2]
            for row, mask in enumerate(read["attention_mask"]):
                hidden.append(states[row, : int(mask.sum())].clone())
                first.append(_first_pieces(read.word_ids(row), len(words[row])))
        return Featured(coded, hidden, first)

    def build(self, *, tags: int, intents: int, seed: int) -> TopLayerTagger:
        """A tagger with the pre-trained top layer and heads drawn from `seed`."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layer = copy.deepcopy(self.encoder.encoder.layer[-1])
            return TopLayerTagger(layer, width=self.width, tags=tags, intents=intents)


def _first_pieces(words: Sequence[int | None], count: int) -> Int[Tensor, "T"]:
    """Place of the first piece of each word; a word without any piece (a lone accent) stands on piece 0."""
    places = torch.zeros(count, dtype=torch.long)
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        if word is not None:
            places[word] = place
    return places
