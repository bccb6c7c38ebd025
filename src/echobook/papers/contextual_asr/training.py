"""Training: the base on general speech; context parts on a frozen base, or with it.

A frozen base need encode each training turn only once, and align it only once: what uses context is trained
along the base's best path through each turn's lattice. What is listed is drawn anew at every step: a size
from `rows`, a share of sound-alikes, and the truth left out at times. Seed and step decide everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from echobook.papers.contextual_asr.acts import act_numbers, selected
from echobook.papers.contextual_asr.guidance import Spans, attention_loss, attention_targets
from echobook.papers.contextual_asr.material import Turn, draw_lists, previous_words
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.vocabulary import KINDS, Vocabulary
from echobook.speech.biasing.alignment import Path, best_paths, collate_paths
from echobook.speech.biasing.catalogues import Catalogue, Draw, Entry, catalogue
from echobook.speech.model import Transducer
from echobook.speech.training import Batch, Example, History, TrainingSettings, collate, train
from echobook.speech.transducer import transducer_loss

ALL_KINDS = (*KINDS, "reply")
CTC_SHARE = 0.5
GUIDANCE = 0.5  # weight of the loss of attention
SPARE = 20  # shared distractors beyond twice the size of a list
T = TypeVar("T")
Lister = Callable[[Sequence[int], np.random.Generator], Catalogue]


@dataclass(frozen=True)
class Listing:
    """How training lists are drawn: sizes, sound-alikes, chance of the truth, random words in place of
    entries, and whether the turn's act selects the entries of its kind."""

    rows: tuple[int, ...] = (2, 5, 20, 100)
    alike: float = 0.3
    present: float = 0.9
    scrambled: bool = False
    by_act: bool = False


def train_base(
    model: Transducer, train_set: Sequence[Example], dev_set: Sequence[Example], settings: TrainingSettings
) -> History:
    """Train the recogniser without context, stopped on the transducer loss of the development turns.

    In training half of a CTC loss is added, from an output layer of its own that is thrown away afterwards:
    it shows the encoder early where the phonemes are.
    """
    held = [collate(part) for part in _chunks(dev_set, 64)]
    helped = _WithCTC(model)
    return train(
        helped, train_set, settings=settings, evaluate=lambda m: _mean(m, held, _held_loss), loss=_base_loss
    )


class _WithCTC(nn.Module):
    def __init__(self, model: Transducer) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(model.joiner.output.in_features, model.joiner.output.out_features)


def _held_loss(helped: Any, batch: Batch) -> Tensor:
    return helped.model.loss(*batch[:4])


def _base_loss(helped: Any, batch: Batch) -> Tensor:
    model = helped.model
    encodings, lengths = model.encoder(batch.frames, batch.lengths)
    logits = model.joiner(encodings[:, :, None], model.predictor(batch.labels)[:, None])
    exact = transducer_loss(logits, batch.labels, lengths, batch.label_lengths)
    logp = helped.head(encodings).log_softmax(-1).transpose(0, 1)  # (T, B, V)
    sizes = lengths, batch.label_lengths
    aligned = nn.functional.ctc_loss(logp, batch.labels, *sizes, reduction="none", zero_infinity=True)
    return exact + CTC_SHARE * aligned.mean()


@torch.no_grad()
def encoded(model: Transducer, examples: Sequence[Example]) -> list[Example]:
    """The same examples with the base's encodings in place of features."""
    model.eval()
    found = []
    for part in _chunks(examples, 64):
        batch = collate(part)
        encodings, lengths = model.encoder(batch.frames, batch.lengths)
        found += _with_features(part, encodings, lengths)
    return found


@dataclass(frozen=True)
class Lessons:
    """Turns of a split with what is heard of each (features where the model `hears_anew`, else the base's
    encodings), the base's best path, and the words of the reference with their places."""

    turns: Sequence[Turn]
    heard: Sequence[Example]
    paths: Sequence[Path]
    spans: Sequence[Spans]


@torch.no_grad()
def aligned(model: Transducer, encodings: Sequence[Example]) -> list[Path]:
    """The base's best path of each example, from its own encodings."""
    found = []
    for part in _chunks(encodings, 64):
        batch = collate(part)
        logits = model.joiner(batch.frames[:, :, None], model.predictor(batch.labels)[:, None])
        found += best_paths(logits, batch.labels, batch.lengths, batch.label_lengths)
    return found


@torch.no_grad()
def heard_by(model: ContextualTransducer, examples: Sequence[Example], turns: Sequence[Turn]) -> list[Tensor]:
    """What a model hears before the catalogue: (T, E) of each turn, by its own base and by the turn's act.

    The examples hold features where the model `hears_anew`, else encodings.
    """
    model.eval()
    found: list[Tensor] = []
    for part, own in zip(_chunks(examples, 64), _chunks(turns, 64), strict=True):
        batch = collate(part)
        acts = act_numbers([turn.act for turn in own])
        found += [e.features for e in _with_features(part, *model.hear(batch.frames, batch.lengths, acts))]
    return found


def _with_features(examples: Sequence[Example], rows: Tensor, lengths: Tensor) -> list[Example]:
    kept = zip(examples, rows, lengths.tolist(), strict=True)
    return [example._replace(features=row[:n].clone()) for example, row, n in kept]


def lister(vocabulary: Vocabulary, split: str, turns: Sequence[Turn], listing: Listing) -> Lister:
    """Draws the catalogue of some turns: its size once a step, and with it the entries that serve all turns
    of the step as distractors, so that each is encoded once (a shared list, as Pundak et al. 2018 draw)."""
    entries = vocabulary.entries[split]

    def lists(indices: Sequence[int], rng: np.random.Generator) -> Catalogue:
        rows = int(rng.choice(listing.rows))
        chosen = [turns[i] for i in indices]
        shared = [entries[i] for i in rng.permutation(len(entries))[: 2 * rows + SPARE]]
        draw = Draw(rows, listing.alike, listing.present)
        listed = draw_lists(vocabulary, split, chosen, draw, rng=rng, others=shared)
        if listing.by_act:
            listed = [selected(own, turn.act) for own, turn in zip(listed, chosen, strict=True)]
        found = catalogue(listed, vocabulary.labels, ALL_KINDS)
        return scramble(found, rng) if listing.scrambled else found

    return lists


def carry_lister(vocabulary: Vocabulary, turns: Sequence[Turn], *, other: float = 0.2) -> Lister:
    """The words of the assistant's last reply; with probability `other`, of another dialogue's."""

    def lists(indices: Sequence[int], rng: np.random.Generator) -> Catalogue:
        picked = [int(rng.integers(len(turns))) if rng.random() < other else i for i in indices]
        return reply_catalogue(vocabulary, [turns[i] for i in picked])

    return lists


def reply_catalogue(vocabulary: Vocabulary, turns: Sequence[Turn]) -> Catalogue:
    """Catalogue of the words that were said before each turn."""
    words: list[tuple[Entry, ...]] = [previous_words(turn, vocabulary) for turn in turns]
    return catalogue(words, vocabulary.labels, ALL_KINDS)


def scramble(found: Catalogue, rng: np.random.Generator) -> Catalogue:
    """Entries of the same lengths made of random phonemes: context without content."""
    drawn = tuple(tuple(rng.integers(2, 41, len(labels)).tolist()) for labels in found.labels)
    return Catalogue(drawn, found.kinds, found.rows)


def train_context(
    model: ContextualTransducer,
    lessons: Lessons,
    lists: Lister | None,
    dev: Lessons,
    dev_lists: Sequence[Lister | None],
    settings: TrainingSettings,
    *,
    guidance: float = GUIDANCE,
) -> History:
    """Train what the model leaves trainable; keep the weights with the lowest loss on development turns.

    `lists` None: no context, plain fine-tuning. dev_lists: the development loss is the mean over these, each
    drawn once; where training lists have several sizes, give one of each, for a size alone may prefer weights
    that have learnt nothing. guidance: weight of the loss of attention, in both losses.
    """
    held = [collate(part) for part in _chunks(dev.heard, 64)]

    def step(m: Any, batch: Batch) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31, ())))  # follows the seed of the step
        return _context_loss(m, batch, lessons, lists, rng, guidance=guidance)

    def held_loss(m: Any, batch: Batch) -> Tensor:
        drawn = [
            _context_loss(m, batch, dev, own, np.random.default_rng(0), guidance=guidance)
            for own in dev_lists
        ]
        return torch.stack(drawn).mean()

    return train(
        model, lessons.heard, settings=settings, evaluate=lambda m: _mean(m, held, held_loss), loss=step
    )


def _context_loss(
    model: ContextualTransducer,
    batch: Batch,
    lessons: Lessons,
    lists: Lister | None,
    rng: np.random.Generator,
    *,
    guidance: float = 0.0,
) -> Tensor:
    places = [int(name) for name in batch.names]
    listed = lists(places, rng) if lists else None
    prepared = model.prepare(listed)
    acts = act_numbers([lessons.turns[i].act for i in places]) if model.acts is not None else None
    encodings, _ = model.hear(batch.frames, batch.lengths, acts)
    paths = collate_paths([lessons.paths[i] for i in places])
    loss = model.loss_along(encodings, batch.labels, paths, prepared)
    if listed is None or prepared is None or not guidance:
        return loss
    form = {"by_phoneme": model.context.by_phoneme, "null_row": model.context.null_row is not None}
    targets = attention_targets(paths, [lessons.spans[i] for i in places], listed, **form)
    looked = model.looked_at(encodings, batch.labels, paths, prepared)
    return loss + guidance * sum(attention_loss(weights, targets) for weights in looked.values())


def _mean(model: nn.Module, batches: Sequence[Batch], loss: Callable[[Any, Batch], Tensor]) -> float:
    sizes = [len(batch.names) for batch in batches]
    total = sum(float(loss(model, b)) * size for b, size in zip(batches, sizes, strict=True))
    return total / sum(sizes)


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
