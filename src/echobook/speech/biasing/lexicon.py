"""A vocabulary as a prefix tree of phonemes with unigram look-ahead.

A node stands for the phonemes of the current word so far. A phoneme leads to a child; the word boundary
leads from the end of a word back to the root. With P the prior of a word, the look-ahead of a node is the
highest log P below it, and each move changes the score by the difference of look-aheads, so that a whole word
adds exactly log P and a search can compare unfinished words fairly.

No two words share a pronunciation: no acoustic model could tell them apart, and the label string then names
the words. Axes: N nodes, V classes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.data.unicode import nfc
from echobook.speech.biasing.phonemes import BOUNDARY, CLASSES, Pronunciation, join_words, spelled

NOWHERE = -1


@dataclass(frozen=True)
class LexiconTables:
    """Child by node and label (-1: none), change of log prior of that move, and of ending at the node."""

    following: Int[Tensor, "N V"]
    prior: Float[Tensor, "N V"]
    end_prior: Float[Tensor, " N"]
    root_prior: float


class Lexicon:
    """Words with their pronunciations and log priors (natural logarithm); text is composed (NFC).

    Raises ValueError for no words, for a prior that is not a finite number and for two words of one
    pronunciation; the message names them.
    """

    def __init__(self, words: Mapping[str, Pronunciation], log_priors: Mapping[str, float]) -> None:
        if not words:
            raise ValueError("a lexicon needs at least one word")
        self.words = {nfc(word): labels for word, labels in words.items()}
        self.log_priors = {nfc(word): float(log_priors[word]) for word in words}
        if len(self.words) < len(words):
            raise ValueError(f"{_spelled_twice(words)!r} is listed in two spellings of Unicode; drop one")
        self._by_sound: dict[Pronunciation, str] = {}
        for word, labels in self.words.items():
            if not math.isfinite(self.log_priors[word]):
                raise ValueError(
                    f"log prior of {word!r} is {self.log_priors[word]}; expected a finite number"
                )
            other = self._by_sound.setdefault(labels, word)
            if other != word:
                raise ValueError(f"{other!r} and {word!r} are both pronounced {spelled(labels)}; drop one")

    def labels(self, text: str) -> Pronunciation:
        """Label string of a text. Raises ValueError naming a word that is not in the lexicon."""
        text = nfc(text)
        unknown = [word for word in text.split() if word not in self.words]
        if unknown:
            raise ValueError(
                f"word {unknown[0]!r} of {text!r} is not in the lexicon of {len(self.words)} words"
            )
        return join_words([self.words[word] for word in text.split()])

    def text(self, labels: Sequence[int]) -> str:
        """Text of a label string of whole words. Raises ValueError naming a string that is no word."""
        words: list[list[int]] = [[]]
        for label in labels:
            if label == BOUNDARY:
                words.append([])
            else:
                words[-1].append(label)
        unknown = [word for word in words if tuple(word) not in self._by_sound]
        if labels and unknown:
            raise ValueError(f"no word of the lexicon is pronounced {spelled(unknown[0])!r}")
        return " ".join(self._by_sound[tuple(word)] for word in words) if labels else ""

    def log_prior(self, text: str) -> float:
        """Sum of the log priors of the words."""
        return sum(self.log_priors[word] for word in nfc(text).split())

    @cached_property
    def tables(self) -> LexiconTables:
        """The prefix tree; node 0 is the root."""
        following = [[NOWHERE] * CLASSES]
        best, ends = [-math.inf], [-math.inf]
        for word, labels in self.words.items():
            prior, node = self.log_priors[word], 0
            best[0] = max(best[0], prior)
            for label in labels:
                if following[node][label] == NOWHERE:
                    following[node][label] = len(following)
                    following.append([NOWHERE] * CLASSES)
                    best.append(-math.inf)
                    ends.append(-math.inf)
                node = following[node][label]
                best[node] = max(best[node], prior)
            ends[node] = prior
        return _tables(np.array(following), np.array(best), np.array(ends))


def _spelled_twice(words: Iterable[str]) -> str:
    """The first word, composed, that has more than one spelling."""
    counts = Counter(map(nfc, words))
    return next(word for word, count in counts.items() if count > 1)


def _tables(following: np.ndarray, best: np.ndarray, ends: np.ndarray) -> LexiconTables:
    following[np.isfinite(ends), BOUNDARY] = 0
    end = ends - best
    change = best[following] - best[:, None]  # the row of a missing child is not used
    change[:, BOUNDARY] = end + best[0]
    change[following == NOWHERE] = -math.inf

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    return LexiconTables(torch.from_numpy(following), tensor(change), tensor(end), float(best[0]))


def rank_priors(
    common: Sequence[str], rare: Sequence[str], *, rare_share: float = 0.05, offset: float = 2.7
) -> dict[str, float]:
    """Log priors: common words by Zipf-Mandelbrot, 1 / (rank + offset); `rare_share` evenly on the rest.

    Raises ValueError unless 0 < rare_share < 1, there are common words, and no word is in both lists.
    """
    if not common or not 0 < rare_share < 1 or set(common) & set(rare):
        raise ValueError(
            f"expected common words, 0 < rare_share < 1 and no word in both lists; got {len(common)} common, "
            f"{rare_share=}, in both: {sorted(set(common) & set(rare))[:3]}"
        )
    weights = np.array([1 / (rank + offset) for rank in range(1, len(common) + 1)])
    share = 1 - rare_share if rare else 1.0
    priors = dict(zip(common, np.log(share * weights / weights.sum()).tolist(), strict=True))
    return priors | dict.fromkeys(rare, math.log(rare_share / max(1, len(rare))))
