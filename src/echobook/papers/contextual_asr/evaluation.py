"""Recognise turns under a condition, and count what went wrong.

A condition is a model, a list for each turn (or none: the context came too late) and a bonus for fusion. A
turn error is a turn with any wrong word. Entity words are those of the entry that was meant (B-WER).

Axes: B turns of one search batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from echobook.metrics.wer import ErrorCounts, total
from echobook.papers.contextual_asr.material import Turn
from echobook.papers.contextual_asr.model import ContextualTransducer, Prepared
from echobook.papers.contextual_asr.training import ALL_KINDS
from echobook.papers.contextual_asr.vocabulary import Vocabulary
from echobook.speech.biasing.catalogues import Catalogue, Entry, catalogue
from echobook.speech.biasing.fusion import FusionTable, fusion_table, join_tables
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.scorer import BiasedErrors, biased_word_errors, total_biased
from echobook.speech.biasing.search import Candidate, SearchSettings, WordSearch

Lists = Sequence[Sequence[Entry]]


@dataclass(frozen=True)
class Outcome:
    """Best text of each turn with its errors, and the candidates behind it."""

    turns: tuple[Turn, ...]
    texts: tuple[str, ...]
    candidates: tuple[tuple[Candidate, ...], ...]
    errors: tuple[BiasedErrors, ...]

    @property
    def wrong(self) -> list[bool]:
        """Whether each turn has any wrong word."""
        return [row.overall.errors > 0 for row in self.errors]

    def part(self, *, entity: bool) -> list[ErrorCounts]:
        """Errors of the entity turns or of the general ones."""
        rows = zip(self.turns, self.errors, strict=True)
        return [row.overall for turn, row in rows if (turn.truth is not None) == entity]

    @property
    def biased(self) -> ErrorCounts:
        """Errors in entity words."""
        return total_biased(self.errors).biased


def outcome(turns: Sequence[Turn], candidates: Sequence[Sequence[Candidate]]) -> Outcome:
    """Count the errors of the best candidates; a turn without one has said nothing."""
    texts = [found[0].text if found else "" for found in candidates]
    errors = biased_word_errors([t.text for t in turns], texts, [t.biased for t in turns])
    return Outcome(tuple(turns), tuple(texts), tuple(tuple(c) for c in candidates), tuple(errors))


@torch.no_grad()
def recognise(
    model: ContextualTransducer,
    vocabulary: Vocabulary,
    turns: Sequence[Turn],
    encodings: Sequence[Tensor],
    settings: SearchSettings,
    *,
    lists: Lists | None = None,
    fused: Lists | None = None,
    batch: int = 50,
) -> Outcome:
    """Recognise turns from the base's encodings (T, E) of each.

    lists: what the model's parts attend to; None: no context, as when it comes too late. fused: what shallow
    fusion matches; None: no fusion. Either may be given without the other.
    """
    model.eval()
    found: list[list[Candidate]] = []
    for start in range(0, len(turns), batch):
        own = slice(start, start + batch)
        prepared = None if lists is None else model.prepare(_catalogue(lists[own], vocabulary))
        found += search_batch(
            model, vocabulary, encodings[own], settings, prepared, fused[own] if fused else None
        )
    return outcome(turns, found)


def search_batch(
    model: ContextualTransducer,
    vocabulary: Vocabulary,
    encodings: Sequence[Tensor],
    settings: SearchSettings,
    prepared: Prepared | None,
    fused: Lists | None,
) -> list[list[Candidate]]:
    """Candidates of one search batch, with what the parts attend to and what fusion matches, if anything."""
    table, starts = fusion_of(fused, vocabulary) if fused is not None else (None, None)
    used = settings if table is not None else replace(settings, fusion_weight=0.0)
    padded = torch.nn.utils.rnn.pad_sequence(list(encodings), batch_first=True)
    lengths = torch.tensor([len(one) for one in encodings])
    biased = model.apply_part("encoder", padded, prepared)
    search = WordSearch(vocabulary.lexicon, used, fusion=table)
    history = model.base.predictor.history
    return search(model.logits(prepared), biased, lengths, history=history, starts=starts)


def _catalogue(lists: Lists, vocabulary: Vocabulary) -> Catalogue:
    return catalogue(lists, vocabulary.labels, ALL_KINDS)


def fusion_of(lists: Lists, vocabulary: Vocabulary) -> tuple[FusionTable, Tensor]:
    """Joined fusion table of the turns' lists and each turn's start; equal lists share one automaton."""
    distinct = {tuple(entries): i for i, entries in enumerate(dict.fromkeys(map(tuple, lists)))}
    tables = [fusion_table([vocabulary.labels[e.text] for e in own], CLASSES) for own in distinct]
    joined, starts = join_tables(tables)
    return joined, starts[torch.tensor([distinct[tuple(entries)] for entries in lists])]


def error_rate(found: Outcome, *, entity: bool) -> float:
    """WER of the entity turns or of the general ones, as a ratio."""
    return total(found.part(entity=entity)).rate


def with_items(counts: Sequence[ErrorCounts]) -> dict[str, Any]:
    """A WER with what an interval over turns needs: each turn's rate, weighted by its words."""
    items = [one.errors / one.words for one in counts]
    return {"value": total(counts).rate, "items": items, "weights": [one.words for one in counts]}


def comparison(
    found: Mapping[str, Outcome], methods: Sequence[str], *, against: str = "none"
) -> pd.DataFrame:
    """One row a method: WER on names, on general speech and on entity words, turns wrong, and the relative
    change on names against one of the methods."""
    base = error_rate(found[against], entity=True)
    rows = [
        {
            "method": name,
            "names": (names := error_rate(found[name], entity=True)),
            "general": error_rate(found[name], entity=False),
            "entity words": found[name].biased.rate,
            "turns wrong": sum(found[name].wrong) / len(found[name].wrong),
            "names, relative": names / base - 1 if base else float("nan"),
        }
        for name in methods
    ]
    return pd.DataFrame(rows)
