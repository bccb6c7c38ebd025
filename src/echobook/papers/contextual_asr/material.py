"""Dialogues for contacts, devices and places as text, audio and features.

An *entity turn* answers "Bauer or Jones?" with a listed name, alone or in a carrier phrase. A *general turn*
changes the subject: a common word, alone or in a carrier phrase. Where a share of *traps* is asked for, that
word sounds like a listed name (power while Bauer is listed), and context must not win. The carrier phrases
overlap, so that they do not give away which kind of turn it is. What is listed is drawn when a turn is used.

In a *follow-up* the assistant has just asked for a contact, a device or a place; that is the turn's act. A
*first turn* opens a dialogue: nothing was said before, and its act is the default one.

Training and development turns are spoken by eSpeak NG; test turns by flite where it is installed and asked
for, else by eSpeak voices that no other split has. Noise is white noise or another turn played at the same
time, at an SNR drawn from a range. Features: 40 log-mel energies at 10 ms, four frames stacked, normalised by
the statistics of the base's training turns.

Axes: T frames of 40 ms, D = 160.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echobook.data.deep_bias import COMMON_WORDS, read_common_words
from echobook.data.fetch import fetch
from echobook.data.generators.spoken_names import spoken_names
from echobook.data.names import load_names
from echobook.data.pronunciations import load_pronunciations
from echobook.data.types import DatasetUse
from echobook.papers.contextual_asr.acts import DEFAULT, Act
from echobook.papers.contextual_asr.vocabulary import KINDS, Vocabulary, build_vocabulary
from echobook.speech.biasing.catalogues import Draw, Entry, draw_entries
from echobook.speech.biasing.flite import VOICES as FLITE_VOICES
from echobook.speech.biasing.flite import flite_program, speak_all, without_silent_ends
from echobook.speech.biasing.lexicon import Lexicon
from echobook.speech.features import FrontEnd, LogMel, global_statistics
from echobook.speech.noise import loop_to_length, mix_at_snr, white_noise
from echobook.speech.synthesis import Voice, random_voices, synthesise_all
from echobook.speech.training import Example

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


SAMPLE_RATE = 8000
STACK = 4
UNSPOKEN = frozenset({"gue"})  # public names for which eSpeak NG is silent where they stand alone


@dataclass(frozen=True)
class Material:
    """Turns of one split with their audio, clean, and who speaks."""

    turns: tuple[Turn, ...]
    audio: tuple[Tensor, ...]
    speakers: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Length of all audio."""
        return sum(len(audio) for audio in self.audio) / SAMPLE_RATE


def split_voices(counts: Mapping[str, int], *, seed: int) -> dict[str, list[Voice]]:
    """eSpeak voices of each split; none speaks in two."""
    cast = random_voices(sum(counts.values()), generator=torch.Generator().manual_seed(seed))
    found = {}
    for split, count in counts.items():
        found[split], cast = cast[:count], cast[count:]
    return found


def espeak_material(turns: Sequence[Turn], voices: Sequence[Voice]) -> Material:
    """Turns spoken by the voices in turn. Raises ValueError for no voices and for a turn left silent."""
    if not voices:
        raise ValueError("no voices to speak with; expected at least one")
    items = [(turn.text, voices[i % len(voices)]) for i, turn in enumerate(turns)]
    audio = synthesise_all(items, sample_rate=SAMPLE_RATE)
    for (text, voice), spoken in zip(items, audio, strict=True):
        if not spoken.any():
            raise ValueError(
                f"eSpeak says nothing for {text!r} ({voice}); leave its name out, as UNSPOKEN are"
            )
    speakers = tuple(f"espeak/{voice.accent}+{voice.variant}" for _, voice in items)
    return Material(tuple(turns), tuple(audio), speakers)


def flite_material(turns: Sequence[Turn], *, seed: int) -> Material:
    """Turns spoken by flite's voices in turn, at several rates, without the silence flite puts around them.

    Raises FliteMissing where it is not there.
    """
    flite_program()
    stretch = np.random.default_rng(seed).choice([0.9, 1.0, 1.15], size=len(turns)).tolist()
    items = [(t.text, FLITE_VOICES[i % len(FLITE_VOICES)], stretch[i]) for i, t in enumerate(turns)]
    audio = [without_silent_ends(one) for one in speak_all(items, sample_rate=SAMPLE_RATE)]
    return Material(tuple(turns), tuple(audio), tuple(f"flite/{voice}" for _, voice, _ in items))


def noisy(material: Material, snr_db: tuple[float, float], *, seed: int) -> list[Tensor]:
    """Audio with noise: white for every other turn, another turn of the material for the rest."""
    generator = torch.Generator().manual_seed(seed)
    low, high = snr_db
    found = []
    for i, audio in enumerate(material.audio):
        level = low + (high - low) * float(torch.rand((), generator=generator))
        if i % 2:
            drawn = int(torch.randint(len(material.audio) - 1, (), generator=generator))
            other = material.audio[drawn + (drawn >= i)]  # never the turn itself
            noise = loop_to_length(other, len(audio), generator=generator)
        else:
            noise = white_noise(len(audio), generator=generator)
        found.append(mix_at_snr(audio, noise, level))
    return found


def fit_front_end(audio: Sequence[Tensor], *, most: int = 500) -> FrontEnd:
    """Front end with the statistics of up to `most` utterances."""
    log_mel = LogMel(sample_rate=SAMPLE_RATE)
    statistics = global_statistics(log_mel(one) for one in audio[:most])
    return FrontEnd(log_mel, statistics, count=STACK, skip=STACK)


def examples(
    material: Material, audio: Sequence[Tensor], front_end: FrontEnd, lexicon: Lexicon
) -> list[Example]:
    """Features and labels of each turn; the name is the turn's number."""
    return [
        Example(front_end(one), lexicon.labels(turn.text), str(i))
        for i, (turn, one) in enumerate(zip(material.turns, audio, strict=True))
    ]


def load_vocabulary(corpus: str, *, seed: int) -> tuple[Vocabulary, tuple[DatasetUse, ...]]:
    """Words and names: "embedded" or "public". Raises ValueError for another corpus."""
    if corpus == "embedded":
        own = spoken_names()
        found = build_vocabulary(own.pronunciations, own.common, own.surnames, own.first, seed=seed)
        return found, (own.use,)
    if corpus != "public":
        raise ValueError(f"corpus is {corpus!r}; expected 'embedded' or 'public'")
    spoken = load_pronunciations(fetch("cmudict"))
    names = load_names(fetch("name_databases"))
    common = read_common_words(fetch("fbai_deep_bias", files=[COMMON_WORDS]))
    listed = [[n for n in own if n not in UNSPOKEN] for own in (names.surnames, names.first)]
    found = build_vocabulary(spoken.words, common, *listed, seed=seed, most_surnames=6000, most_first=1200)
    return found, (spoken.use, names.use)
