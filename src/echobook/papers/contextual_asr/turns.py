"""Dialogues for contacts, devices and places: what the assistant has just said, and what the user replies.

An *entity turn* answers "Bauer or Jones?" with a listed name, alone or in a carrier phrase. A *general turn*
changes the subject: a common word, alone or in a carrier phrase. Where a share of *traps* is asked for, that
word sounds like a listed name (power while Bauer is listed), and context must not win. The carrier phrases
overlap, so that they do not give away which kind of turn it is. What is listed is drawn when a turn is used.

In a *follow-up* the assistant has just asked for a contact, a device or a place; that is the turn's act. A
*first turn* opens a dialogue: nothing was said before, and its act is the default one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from echobook.papers.contextual_asr.acts import DEFAULT, Act
from echobook.papers.contextual_asr.vocabulary import KINDS, Vocabulary
from echobook.speech.biasing.catalogues import Draw, Entry, draw_entries

CARRIERS = {
    "contact": ("{}", "{}", "{} please", "call {}", "call {} please", "tell {}"),
    "device": ("{}", "turn on {}", "turn off {}", "stop {}", "{} please"),
    "place": ("{}", "drive to {}", "find {}", "how far is {}", "{} please"),
    "general": (
        "{}",
        "{}",
        "{} please",
        "play {}",
        "find {}",
        "what is {}",
        "tell me about {}",
        "look for {}",
    ),
}


class Turn(NamedTuple):
    """What is said, the listed entry it means (None: it means none), the word it is about, what the assistant
    said before, and what it did by that."""

    text: str
    truth: Entry | None
    word: str
    assistant: str
    act: Act = DEFAULT

    @property
    def biased(self) -> frozenset[str]:
        """Words of the entry that was meant."""
        return frozenset(self.truth.text.split()) if self.truth else frozenset()


def make_turns(
    vocabulary: Vocabulary,
    split: str,
    *,
    entity: int,
    general: int,
    traps: float = 0.0,
    first: tuple[float, float] = (0.0, 0.0),
    seed: int,
) -> list[Turn]:
    """Entity turns, then general ones, from the names of one split.

    traps: share of the general turns whose word sounds like a name of the split. first: shares of the entity
    and of the general turns that open a dialogue. Raises ValueError for counts below 0, none at all, or a
    share outside 0..1.
    """
    if (
        min(entity, general) < 0
        or entity + general == 0
        or not 0 <= min(traps, *first) <= max(traps, *first) <= 1
    ):
        raise ValueError(
            "expected turns and a share of traps and of first turns in 0..1; "
            f"got {entity=}, {general=}, {traps=}, {first=}"
        )
    rng = np.random.default_rng([seed, sorted(vocabulary.entries).index(split)])
    entries = vocabulary.entries[split]
    order = _cycled(len(entries), entity, rng)
    turns = [_turn(vocabulary, entries[i], entries, rng) for i in order]
    trapped = round(traps * general)
    tricky = [
        word for word in vocabulary.open_words if vocabulary.alike(split, word)
    ] or vocabulary.open_words
    words = [tricky[i] for i in _cycled(len(tricky), trapped, rng)]
    words += [vocabulary.open_words[i] for i in _cycled(len(vocabulary.open_words), general - trapped, rng)]
    turns += [_general(vocabulary, word, split, rng) for word in words]
    opens = rng.random(len(turns)) < np.repeat(first, [entity, general])
    return [_opened(turn) if is_first else turn for turn, is_first in zip(turns, opens, strict=True)]


def _opened(turn: Turn) -> Turn:
    """The same words as a first turn."""
    return turn._replace(assistant="", act=DEFAULT)


def _cycled(size: int, count: int, rng: np.random.Generator) -> list[int]:
    """`count` indices below `size`: whole random orders one after the other."""
    rounds = -(-count // size)
    return [int(i) for _ in range(rounds) for i in rng.permutation(size)][:count]


def _turn(vocabulary: Vocabulary, truth: Entry, entries: Sequence[Entry], rng: np.random.Generator) -> Turn:
    other = entries[int(rng.integers(len(entries)))]
    pair = [truth.text, other.text] if rng.random() < 0.5 else [other.text, truth.text]
    carrier = _pick(CARRIERS[truth.kind], rng)
    act = Act("elicit", truth.kind)
    return Turn(carrier.format(truth.text), truth, truth.text.split()[0], " or ".join(pair), act)


def _general(vocabulary: Vocabulary, word: str, split: str, rng: np.random.Generator) -> Turn:
    entries = vocabulary.entries[split]
    listed = [entries[int(i)].text for i in rng.integers(len(entries), size=2)]
    alike = vocabulary.alike(split, word)
    if alike and rng.random() < 0.5:
        listed[0] = alike[int(rng.integers(len(alike)))].text
    act = Act("elicit", _pick(KINDS, rng))
    return Turn(_pick(CARRIERS["general"], rng).format(word), None, word, " or ".join(listed), act)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def draw_lists(
    vocabulary: Vocabulary,
    split: str,
    turns: Sequence[Turn],
    draw: Draw,
    *,
    rng: np.random.Generator,
    others: Sequence[Entry] | None = None,
) -> list[tuple[Entry, ...]]:
    """What is listed in each turn: the truth with its chance, sound-alikes of the word, others.

    others: entries the rest is drawn from, all of the split if not given; lists are never longer than they
    allow.
    """
    pool = vocabulary.entries[split] if others is None else others
    limited = Draw(min(draw.rows, len(pool) - 1), draw.alike, draw.present)
    return [
        draw_entries(limited, turn.truth, vocabulary.alike(split, turn.word), pool, rng=rng) for turn in turns
    ]


def wrong_lists(lists: Sequence[Sequence[Entry]], turns: Sequence[Turn]) -> list[tuple[Entry, ...]]:
    """Each turn gets the list of the next dialogue, with its own truth taken out if it is there."""
    moved = [*lists[1:], *lists[:1]]
    return [tuple(e for e in entries if e != t.truth) for entries, t in zip(moved, turns, strict=True)]


def previous_words(turn: Turn, vocabulary: Vocabulary) -> tuple[Entry, ...]:
    """The words of the assistant's last reply that the vocabulary knows, for carry-over."""
    known = (word for word in turn.assistant.split() if word in vocabulary.lexicon.words)
    return tuple(Entry(word, "reply") for word in dict.fromkeys(known))
