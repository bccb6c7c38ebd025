"""Turns as audio and features: voices, noise, front end.

Training and development turns are spoken by eSpeak NG; test turns by flite where it is installed and asked
for, else by eSpeak voices that no other split has. Noise is white noise or another turn played at the same
time, at an SNR drawn from a range. Features: 40 log-mel energies at 10 ms, four frames stacked, normalised by
the statistics of the base's training turns.

Axes: T frames of 40 ms, D = 160.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from echobook.papers.contextual_asr.turns import Turn
from echobook.speech.biasing.flite import VOICES as FLITE_VOICES
from echobook.speech.biasing.flite import flite_program, speak_all, without_silent_ends
from echobook.speech.biasing.lexicon import Lexicon
from echobook.speech.features import FrontEnd, LogMel, global_statistics
from echobook.speech.noise import loop_to_length, mix_at_snr, white_noise
from echobook.speech.synthesis import Voice, random_voices, synthesise_all
from echobook.speech.training import Example

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
