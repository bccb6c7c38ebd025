"""The units of the phoneme recogniser: classes of phonemes, and words that sound nearly alike.

Classes: 0 is the blank, 1 the boundary between two words, 2 to 40 the 39 phonemes of ARPAbet in order. Two
pronunciations are neighbours when one substituted phoneme turns the one into the other; at distance 0 they
are homophones. Neighbours are found through wildcard keys (the pronunciation with one place left open):
O(L) keys per word of L phonemes.
"""

from collections.abc import Iterable, Mapping, Sequence

_LETTERS = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
)
PHONEMES = tuple(_LETTERS.split())
BLANK, BOUNDARY = 0, 1
CLASSES = len(PHONEMES) + 2
_CLASS = {phoneme: i for i, phoneme in enumerate(PHONEMES, start=2)}
Pronunciation = tuple[int, ...]


def classes_of(phonemes: Iterable[str]) -> Pronunciation:
    """Classes of ARPAbet letters without stress. Raises ValueError naming an unknown one, or for none."""
    listed = tuple(phonemes)
    unknown = [phoneme for phoneme in listed if phoneme not in _CLASS]
    if unknown or not listed:
        raise ValueError(f"phonemes are {' '.join(listed)!r}; expected at least one of {' '.join(PHONEMES)}")
    return tuple(_CLASS[phoneme] for phoneme in listed)


def join_words(words: Sequence[Pronunciation]) -> Pronunciation:
    """One label string with a boundary between each two words."""
    return tuple(label for i, word in enumerate(words) for label in ((BOUNDARY, *word) if i else word))


def spelled(labels: Sequence[int]) -> str:
    """Labels as text for people: phonemes, `|` for a boundary."""
    return " ".join("|" if label == BOUNDARY else PHONEMES[label - 2] for label in labels)


def wildcard_keys(word: Pronunciation) -> list[Pronunciation]:
    """The pronunciation with each place in turn replaced by 0."""
    return [(*word[:i], 0, *word[i + 1 :]) for i in range(len(word))]


class Neighbours:
    """Words by how they sound, for finding those one substitution away."""

    def __init__(self, words: Mapping[str, Pronunciation]) -> None:
        self._exact: dict[Pronunciation, list[str]] = {}
        self._open: dict[Pronunciation, list[str]] = {}
        for word, labels in words.items():
            self._exact.setdefault(labels, []).append(word)
            for key in wildcard_keys(labels):
                self._open.setdefault(key, []).append(word)

    def homophones(self, labels: Pronunciation) -> list[str]:
        """Words pronounced exactly so."""
        return list(self._exact.get(labels, ()))

    def of(self, labels: Pronunciation) -> list[str]:
        """Words at a distance of one substituted phoneme, homophones left out, in order of insertion."""
        same = set(self.homophones(labels))
        found = (word for key in wildcard_keys(labels) for word in self._open.get(key, ()))
        return list(dict.fromkeys(word for word in found if word not in same))


def edit_distance(left: Pronunciation, right: Pronunciation) -> int:
    """Fewest substitutions, insertions and deletions of phonemes between two pronunciations."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            previous, row[j] = row[j], min(previous + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]
