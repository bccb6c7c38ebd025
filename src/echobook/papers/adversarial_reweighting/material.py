"""Voices for verification: log-mel frames of a few utterances of many speakers, with their groups.

An utterance is 40 log-mel energies without its silent frames, repeated or cut to one length. Real voices are
speechocean762 (age and sex published); synthetic ones are eSpeak voices that differ in accent, variant,
pitch, range and rate, whose utterances vary in pitch and rate and carry noise. How many of the synthetic
training voices are women is a parameter: that is the imbalance.

Axes: U utterances, T frames, M mel channels, S speakers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from echobook.data.fetch import fetch
from echobook.data.recordings import Utterance
from echobook.data.speechocean import load_speechocean
from echobook.data.types import DatasetUse, rows_digest
from echobook.speech.features import LogMel
from echobook.speech.synthesis import Voice, synthesise

FRAMES = 200  # of an utterance: two seconds of speech
SAMPLE_RATE = 16000
SILENCE = 5.0  # nats below an utterance's loud frames: silence
ACCENTS = {"us": "en-us", "uk": "en"}
VARIANTS = {"m": ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"), "f": ("f1", "f2", "f3", "f4", "f5")}
SENTENCES = (
    "open the kitchen window and call the garden",
    "find seven songs about the cold river",
    "turn the bedroom lights to a warm green",
    "how long does the fast train take today",
    "please read me the letter from my brother",
    "stop the timer when the water is boiling",
    "tell the driver that we are nearly there",
    "play the last chapter of the blue book",
)
GENERATOR_VERSION = "1"


@dataclass(frozen=True)
class Voices:
    """Utterances of speakers.

    Attributes:
        name: corpus.
        frames: log-mel energies, every utterance of one length.
        speaker: row in `speakers` of each utterance; at least two utterances of each.
        speakers: one row a speaker, with a column for each attribute.
        attributes: names of the two columns that groups are made of, the first group of each in sorted order.
        use: for the stamp.
    """

    name: str
    frames: Float[Tensor, "U T M"]
    speaker: Int[np.ndarray, " U"]
    speakers: pd.DataFrame
    attributes: tuple[str, ...]
    use: DatasetUse

    def __post_init__(self) -> None:
        counts = np.bincount(self.speaker, minlength=len(self.speakers))
        if len(counts) != len(self.speakers) or (counts < 2).any():
            raise ValueError(
                f"{self.name}: speaker {int(np.argmin(counts))} has {counts.min()} utterances; verification "
                "needs at least two of each"
            )

    def of(self, speakers: Sequence[int] | np.ndarray) -> Int[np.ndarray, " n"]:
        """Utterances of some speakers, in their order."""
        return np.flatnonzero(np.isin(self.speaker, np.asarray(speakers)))

    def cells(self) -> Int[np.ndarray, " S"]:
        """Number of each speaker's combination of attributes."""
        grouped = self.speakers.groupby(list(self.attributes), sort=True)
        return grouped.ngroup().to_numpy(dtype=np.int64)


def speech_frames(log_mel: Float[Tensor, "T M"], length: int = FRAMES) -> Float[Tensor, "L M"]:
    """Frames less than :data:`SILENCE` below the loud ones, repeated or cut to `length`."""
    energy = log_mel.mean(dim=1)
    loud = torch.quantile(energy, 0.95)
    kept = log_mel[energy > loud - SILENCE]
    return kept.repeat(-(-length // len(kept)), 1)[:length]


def frames_of(utterances: Sequence[Utterance]) -> Float[Tensor, "U L M"]:
    """Log-mel frames of recordings at 16 kHz."""
    front = LogMel(SAMPLE_RATE)
    return torch.stack([speech_frames(front(utterance.audio)) for utterance in utterances])


def real_voices() -> Voices:
    """speechocean762: 140 speakers, four utterances each, sex and age group as published."""
    found = load_speechocean(fetch("speechocean762"))
    utterances = [u for split in found.corpus.splits.values() for u in split]
    table = found.speakers.rename(columns={"gender": "sex", "group": "age", "age": "years"})
    place = {name: i for i, name in enumerate(table.speaker)}
    speaker = np.array([place[u.speaker] for u in utterances], dtype=np.int64)
    return Voices(
        "speechocean762",
        frames_of(utterances),
        speaker,
        table[["sex", "age", "years"]],
        ("sex", "age"),
        found.corpus.use,
    )


def draw_voice(sex: str, accent: str, rng: np.random.Generator) -> Voice:
    """A synthetic speaker: women and men differ in variant and in the middle of the pitch."""
    middle = 55 if sex == "f" else 40
    pitch = int(np.clip(rng.normal(middle, 15), 5, 90))
    variant = str(rng.choice(VARIANTS[sex]))
    return Voice(ACCENTS[accent], variant, pitch, int(rng.integers(30, 70)), int(rng.integers(140, 215)))


def varied(voice: Voice, rng: np.random.Generator) -> Voice:
    """The same speaker on another day: a little faster or slower, higher or lower."""
    pitch = int(np.clip(voice.pitch + rng.normal(0, 3), 0, 99))
    return replace(voice, pitch=pitch, rate=round(voice.rate * float(rng.uniform(0.9, 1.1))))


def with_noise(audio: Float[Tensor, " N"], *, snr: float, rng: np.random.Generator) -> Float[Tensor, " N"]:
    """Audio with white noise at a signal-to-noise ratio in dB, scaled to a peak of one half."""
    noise = torch.from_numpy(rng.normal(size=len(audio)).astype(np.float32))
    scale = audio.square().mean().sqrt() * 10 ** (-snr / 20)
    mixed = audio + scale * noise
    return mixed * (0.5 / mixed.abs().max())


def synthetic_voices(
    counts: dict[tuple[str, str], int], *, utterances: int, seed: int, name: str = "voices"
) -> Voices:
    """Synthetic speakers; `counts`: how many of each (sex, accent); `utterances` of each, at most eight.

    Raises ValueError for more utterances than there are sentences.
    """
    if not 2 <= utterances <= len(SENTENCES):
        raise ValueError(f"utterances is {utterances}; expected 2..{len(SENTENCES)}")
    rng = np.random.default_rng((seed, 17))
    rows: list[tuple[str, str, str, int, int]] = []
    speech, owner = [], []
    for (sex, accent), count in counts.items():
        for _ in range(count):
            voice = draw_voice(sex, accent, rng)
            for text in rng.permutation(len(SENTENCES))[:utterances]:
                audio = synthesise(SENTENCES[text], varied(voice, rng), sample_rate=SAMPLE_RATE)
                noisy = with_noise(audio, snr=float(rng.uniform(5, 25)), rng=rng)
                speech.append(Utterance(noisy, SENTENCES[text], str(len(rows))))
                owner.append(len(rows))
            rows.append((sex, accent, voice.variant, voice.pitch, voice.rate))
    table = pd.DataFrame(rows, columns=["sex", "accent", "variant", "pitch", "rate"])
    digest = rows_digest([[str(field) for field in row] for row in rows])
    use = DatasetUse(
        name,
        f"generator {GENERATOR_VERSION}, seed {seed}",
        digest,
        "CC0-1.0 (generated)",
        {"speakers": len(rows), "utterances": len(owner)},
        "echobook.papers.adversarial_reweighting.material",
    )
    return Voices(name, frames_of(speech), np.array(owner, dtype=np.int64), table, ("sex", "accent"), use)


def even_counts(women: int, men: int) -> dict[tuple[str, str], int]:
    """So many women and men, half of each with either accent (the odd one American)."""
    return {
        (sex, accent): (count + (accent == "us")) // 2
        for sex, count in (("f", women), ("m", men))
        for accent in ACCENTS
    }


def split_speakers(cells: Int[np.ndarray, " S"], folds: int, *, seed: int) -> list[Int[np.ndarray, " n"]]:
    """Speakers dealt to folds at random, each cell evenly; no speaker is in two.

    Raises ValueError for a cell with fewer speakers than folds.
    """
    rng = np.random.default_rng((seed, 23))
    dealt: list[list[int]] = [[] for _ in range(folds)]
    for cell in np.unique(cells):
        members = rng.permutation(np.flatnonzero(cells == cell))
        if len(members) < folds:
            raise ValueError(f"cell {cell} has {len(members)} speakers; expected at least {folds} to split")
        for place, speaker in enumerate(members):
            dealt[(place + int(cell)) % folds].append(int(speaker))
    return [np.array(sorted(fold), dtype=np.int64) for fold in dealt]


@dataclass(frozen=True)
class Split:
    """Speakers to train on and speakers to judge with.

    Raises ValueError naming a speaker that is in both.
    """

    train: Int[np.ndarray, " n"]
    test: Int[np.ndarray, " m"]

    def __post_init__(self) -> None:
        both = np.intersect1d(self.train, self.test)
        if len(both):
            raise ValueError(f"speaker {int(both[0])} is in two splits, train and test; part speakers first")


def folds_of(voices: Voices, folds: int, *, seed: int) -> list[Split]:
    """Each fold once as the test set, the others as training: every speaker is judged once."""
    dealt = split_speakers(voices.cells(), folds, seed=seed)
    everybody = np.arange(len(voices.speakers))
    return [Split(np.setdiff1d(everybody, test), test) for test in dealt]


def mask_of(voices: Voices, **wanted: str) -> Bool[np.ndarray, " S"]:
    """Speakers whose attributes have given values, such as sex="f"."""
    found = np.ones(len(voices.speakers), dtype=bool)
    for attribute, value in wanted.items():
        found &= (voices.speakers[attribute] == value).to_numpy(dtype=bool)
    return found


@dataclass(frozen=True)
class ImbalancedSets:
    """Synthetic voices and two ways to train on them: few women (`imbalanced`), equal parts (`even`)."""

    voices: Voices
    splits: dict[str, Split]


def imbalanced_sets(men: int, women: int, judged: int, *, seed: int, utterances: int = 4) -> ImbalancedSets:
    """Training sets of `men + women` voices, and `judged` test voices, half of them women.

    The even set has as many voices in equal parts; both sets share voices and the test.
    Raises ValueError unless 0 < women <= men and `judged` is even.
    """
    if not 0 < women <= men or judged % 2 or (men + women) % 2:
        raise ValueError(
            f"men {men}, women {women}, judged {judged}: expected 0 < women <= men, even sum, even judged"
        )
    half, test = (men + women) // 2, judged // 2
    counts = even_counts(half + test, men + test)
    voices = synthetic_voices(counts, utterances=utterances, seed=seed + 7919, name="imbalanced-voices")
    voices = replace(voices, attributes=("sex",))
    rng = np.random.default_rng((seed, 29))
    females, males = (rng.permutation(np.flatnonzero(mask_of(voices, sex=sex))) for sex in ("f", "m"))
    tested = np.sort(np.concatenate([females[:test], males[:test]]))

    def split(of_women: int, of_men: int) -> Split:
        chosen = [females[test : test + of_women], males[test : test + of_men]]
        return Split(np.sort(np.concatenate(chosen)), tested)

    return ImbalancedSets(voices, {"imbalanced": split(women, men), "even": split(half, half)})
