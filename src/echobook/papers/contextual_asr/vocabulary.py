"""The words of the experiment: common ones by frequency, and names that are listed as contacts and the like.

Names are split before anything else: those of `base` train the recogniser, those of `adapt` the context,
`dev` chooses weights, `test` is heard once. All are in the recogniser's lexicon, at one low prior, so that a
name loses against a common word that sounds like it, unless context speaks for it. Of words with one
pronunciation the first is kept (common before names): nothing but context could tell them apart, and gains
would flatter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from echobook.speech.biasing.catalogues import Entry
from echobook.speech.biasing.lexicon import Lexicon, rank_priors
from echobook.speech.biasing.phonemes import Neighbours, Pronunciation, classes_of

KINDS = ("contact", "device", "place")
SHARES = {"base": 0.3, "adapt": 0.45, "dev": 0.05, "test": 0.2}
PLACE_NOUNS = ("street", "park", "hill", "house", "school")
OPEN_LENGTH = 3  # fewest phonemes of a common word that may be what a turn is about


@dataclass(frozen=True)
class Vocabulary:
    """Lexicon, common words by frequency, words a general turn may ask for, and entries by split."""

    lexicon: Lexicon
    common: tuple[str, ...]
    open_words: tuple[str, ...]
    entries: Mapping[str, tuple[Entry, ...]]
    homophones: int

    @cached_property
    def labels(self) -> dict[str, Pronunciation]:
        """Label string of each word and each entry."""
        texts = {entry.text for entries in self.entries.values() for entry in entries}
        return {**self.lexicon.words, **{text: self.lexicon.labels(text) for text in texts}}

    def alike(self, split: str, word: str) -> tuple[Entry, ...]:
        """Entries of a split whose name is one phoneme away from a word."""
        names, near = self._near[split]
        return tuple(e for found in near.of(self.lexicon.words[word]) for e in names[found])

    @cached_property
    def _near(self) -> dict[str, tuple[dict[str, list[Entry]], Neighbours]]:
        index = {}
        for split, entries in self.entries.items():
            names: dict[str, list[Entry]] = {}
            for entry in entries:
                names.setdefault(entry.text.split()[0], []).append(entry)
            index[split] = (names, Neighbours({name: self.lexicon.words[name] for name in names}))
        return index


def build_vocabulary(
    pronunciations: Mapping[str, Sequence[str]],
    common: Sequence[str],
    surnames: Sequence[str],
    first: Sequence[str],
    *,
    seed: int,
    most_surnames: int | None = None,
    most_first: int | None = None,
) -> Vocabulary:
    """Vocabulary of words that have a pronunciation; names are drawn and split by the seed.

    Surnames become contacts and, with a noun such as street, places; first names become what devices are
    called. Raises ValueError when a split has too few names of a kind.
    """
    rng = np.random.default_rng(seed)
    taken: dict[Pronunciation, str] = {}
    kept_common, lost = _distinct(common, pronunciations, taken)
    shuffled = [
        [names[i] for i in rng.permutation(len(names))] for names in (sorted(surnames), sorted(first))
    ]
    kept_first, lost_first = _distinct(shuffled[1], pronunciations, taken, most_first)
    kept_surnames, lost_surnames = _distinct(shuffled[0], pronunciations, taken, most_surnames)
    entries: dict[str, list[Entry]] = {split: [] for split in SHARES}
    for split, names in _split(kept_first).items():
        entries[split] += [Entry(name, "device") for name in names]
    for split, names in _split(kept_surnames).items():
        entries[split] += [_surname_entry(i, name) for i, name in enumerate(names)]
    if short := [split for split, found in entries.items() if {e.kind for e in found} != set(KINDS)]:
        raise ValueError(f"split {short[0]!r} lacks a kind of entry; pass more names")
    frequent = set(kept_common)
    rare = [word for word in taken.values() if word not in frequent]
    lexicon = Lexicon({w: p for p, w in taken.items()}, rank_priors(kept_common, rare))
    asked = tuple(word for word in kept_common if len(lexicon.words[word]) >= OPEN_LENGTH)
    listed = {split: tuple(found) for split, found in entries.items()}
    return Vocabulary(lexicon, tuple(kept_common), asked, listed, lost + lost_first + lost_surnames)


def _surname_entry(place: int, name: str) -> Entry:
    """Every third surname names a place."""
    if place % 3:
        return Entry(name, "contact")
    return Entry(f"{name} {PLACE_NOUNS[place // 3 % len(PLACE_NOUNS)]}", "place")


def _distinct(
    words: Iterable[str],
    pronunciations: Mapping[str, Sequence[str]],
    taken: dict[Pronunciation, str],
    most: int | None = None,
) -> tuple[list[str], int]:
    """Words with a pronunciation that no earlier word has (noted in `taken`); number of homophones."""
    kept: list[str] = []
    known, lost = set(taken.values()), 0
    for word in dict.fromkeys(words):
        if word not in pronunciations or word in known or (most is not None and len(kept) >= most):
            continue
        labels = classes_of(pronunciations[word])
        if labels in taken:
            lost += 1
            continue
        taken[labels] = word
        kept.append(word)
    return kept, lost


def _split(names: Sequence[str]) -> dict[str, Sequence[str]]:
    edges = np.cumsum([0.0, *SHARES.values()]) / sum(SHARES.values()) * len(names)
    cuts = np.round(edges).astype(int).tolist()
    return {split: names[a:b] for split, a, b in zip(SHARES, cuts, cuts[1:], strict=False)}
