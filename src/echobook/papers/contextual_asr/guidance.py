"""Guided attention: where a part should look while it is trained, and the loss for looking elsewhere.

Ours, not the papers': with as few turns as here, a part that is trained by the recogniser's loss alone does
not find out that a row of its list is what is being said. Where the reference holds a listed entry as whole
words, the attention with which each of its phonemes is written should lie on that phoneme's row of the entry
(or on the entry's only row); everywhere else it should lie on the no-bias row. The loss is the negative
logarithm of that weight, summed over the labels of the base's best path, mean over utterances. Where there
is no no-bias row, nothing is asked for outside entries. Used in training only.

Axes: B utterances, N moves of a path, K1 rows of an utterance's context.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.speech.biasing.alignment import Paths
from echobook.speech.biasing.catalogues import Catalogue
from echobook.speech.biasing.phonemes import BLANK, BOUNDARY, Pronunciation, join_words

NOT_ASKED = -100  # what the loss passes over
FLOOR = 1e-6
MOST_WORDS = 3
Spans = Mapping[Pronunciation, int]


def spoken_spans(labels: Pronunciation, *, most: int = MOST_WORDS) -> dict[Pronunciation, int]:
    """Label strings of up to `most` neighbouring whole words, and where each starts (the last time)."""
    words: list[list[int]] = [[]]
    starts = [0]
    for place, label in enumerate(labels):
        if label == BOUNDARY:
            words.append([])
            starts.append(place + 1)
        else:
            words[-1].append(label)
    found = {}
    for first in range(len(words)):
        for last in range(first, min(first + most, len(words))):
            found[join_words([tuple(word) for word in words[first : last + 1]])] = starts[first]
    return found


def attention_targets(
    paths: Paths,
    spans: Sequence[Spans],
    catalogue: Catalogue,
    *,
    by_phoneme: bool,
    null_row: bool,
) -> Int[Tensor, "B N"]:
    """The row each label of a path should look at; NOT_ASKED at blanks and padding.

    spans: of each utterance's reference, see `spoken_spans`. Where listed entries
        overlap, the longer rules.
    """
    written = paths.classes > BLANK
    targets = torch.full_like(paths.classes, NOT_ASKED)
    if null_row:
        targets[written] = 0
    for i, own in enumerate(spans):
        listed = _listed(own, catalogue, i, by_phoneme=by_phoneme, first=int(null_row))
        for labels, row in listed:
            after = paths.rows[i] - own[labels]  # place within the entry
            inside = written[i] & (after >= 0) & (after < len(labels))
            targets[i][inside] = row + (after[inside] if by_phoneme else 0)
    return targets


def _listed(
    spans: Spans, catalogue: Catalogue, utterance: int, *, by_phoneme: bool, first: int
) -> list[tuple[Pronunciation, int]]:
    """Listed entries that the reference holds, each with its first row, shortest first."""
    found, row = [], first
    for place in catalogue.rows[utterance].tolist():
        if place < 0:
            continue
        labels = catalogue.labels[place]
        if labels in spans:
            found.append((labels, row))
        row += len(labels) if by_phoneme else 1
    return sorted(found, key=lambda one: len(one[0]))


def attention_loss(weights: Float[Tensor, "B N K1"], targets: Int[Tensor, "B N"]) -> Float[Tensor, ""]:
    """Minus the logarithm of the weight on each target, summed over labels and averaged over utterances."""
    on_target = weights.gather(2, targets.clamp(min=0)[..., None]).squeeze(2)  # few of many weights
    losses = -(on_target + FLOOR).log()
    return losses[targets != NOT_ASKED].sum() / len(targets)
