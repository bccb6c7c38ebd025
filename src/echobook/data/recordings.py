"""Recordings as loaders give them: an utterance, a corpus in splits, and samples from a WAV file.

Audio is float32 in [-1, 1], shape (N,); files of 16-bit integers are scaled by 1/32768.
"""

import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echobook.data.types import DatasetUse


class Utterance(NamedTuple):
    """Audio, its words, and who speaks."""

    audio: Tensor
    text: str
    speaker: str


class Spoken(NamedTuple):
    """One word said alone: word, speaker, which take, audio (N,)."""

    word: str
    speaker: str
    take: int
    audio: Tensor


@dataclass(frozen=True)
class SpeechCorpus:
    """Utterances by split, at one sample rate."""

    name: str
    sample_rate: int
    splits: Mapping[str, Sequence[Utterance]]
    use: DatasetUse

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the training split, sorted."""
        return tuple(sorted({word for u in self.splits["train"] for word in u.text.split()}))


def read_wav(path: Path, *, sample_rate: int) -> Float[Tensor, " N"]:
    """Samples of a 16-bit mono WAV file in [-1, 1]. Raises ValueError naming the file for any other
    format.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getnchannels(), file.getsampwidth() * 8, file.getframerate())
            frames = file.getnframes()
            data = file.readframes(frames)
    except (EOFError, wave.Error) as error:
        raise ValueError(
            f"{path.name} is no WAV file of plain samples ({str(error) or 'it ends early'})"
        ) from error
    if found != (1, 16, sample_rate):
        raise ValueError(
            f"{path.name}: {found} channels, bits and Hz; expected (1, 16, {sample_rate}): resample it first"
        )
    if not data or len(data) != 2 * frames:
        raise ValueError(
            f"{path.name} holds {len(data)} bytes of samples; expected {2 * frames}, more than 0"
        )
    return torch.from_numpy(np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768)
