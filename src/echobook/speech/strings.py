"""Strings of words from words that were recorded alone: one speaker a string, pauses, noise, other speeds.

    recordings --trimmed--> words of RMS 0.1 --joined with pauses--> string --noise at an SNR--> utterance

A string is of one speaker, and a pool holds the speakers of one split only, so that splits stay apart.
Babble is made of the recordings of other speakers than the string's own; which ones is the caller's choice
(for tests: training speakers). The SNR is that of the whole string, pauses included, as in
`echobook.speech.noise`.

String number i of a set depends on the seed, the set's name and i alone: a longer set begins with the shorter
one, and nothing depends on what was made before. Audio is float32, shape (N,); speeds are changed by
`scipy.signal.resample_poly` (tempo and pitch together).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import firwin, resample_poly
from torch import Tensor

from echobook.data.recordings import Spoken, Utterance
from echobook.speech.noise import babble, mix_at_snr, power, white_noise

RMS = 0.1  # of every word after trimming
VOICES = 3  # of a babble


class Noise(NamedTuple):
    """Kind of noise and the range of its SNR in dB, drawn uniformly."""

    kind: Literal["none", "white", "babble"] = "none"
    snr_db: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class StringSettings:
    """Fewest and most words, shortest and longest pause in seconds, speeds and noises to draw from.

    A noise that is named twice is drawn twice as often. There is a pause before, between and after the words.
    """

    words: tuple[int, int] = (2, 4)
    pauses: tuple[float, float] = (0.05, 0.3)
    speeds: tuple[float, ...] = (1.0,)
    noises: tuple[Noise, ...] = (Noise(),)

    def __post_init__(self) -> None:
        if not 1 <= self.words[0] <= self.words[1] or not 0 <= self.pauses[0] <= self.pauses[1]:
            raise ValueError(
                f"expected 1 <= words and 0 <= pauses, low before high; got {self.words}, {self.pauses}"
            )
        if not self.speeds or min(self.speeds) <= 0 or not self.noises:
            raise ValueError(f"expected speeds > 0 and noises, at least one each; got {self}")
        for noise in self.noises:
            if noise.kind not in ("none", "white", "babble") or noise.snr_db[0] > noise.snr_db[1]:
                raise ValueError(f"expected none, white or babble and SNR low before high; got {noise}")


TRAINING = StringSettings(
    speeds=(0.9, 1.0, 1.1),
    noises=(Noise(), Noise("white", (0.0, 30.0)), Noise("babble", (0.0, 30.0)), Noise("white", (0.0, 30.0))),
)


@dataclass(frozen=True)
class WordPool:
    """Trimmed words of equal RMS, by speaker."""

    by_speaker: Mapping[str, Sequence[Spoken]]
    sample_rate: int

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks, sorted."""
        return tuple(sorted(self.by_speaker))


def word_pool(recordings: Sequence[Spoken], *, sample_rate: int) -> WordPool:
    """Trim and level the recordings. Raises ValueError for none, or naming one that is silent."""
    if not recordings:
        raise ValueError("no recordings to make a pool of words from")
    by_speaker: dict[str, list[Spoken]] = {}
    for row in recordings:
        try:
            audio = level(trim(row.audio, sample_rate=sample_rate))
        except ValueError as error:
            raise ValueError(f"{row.word} of speaker {row.speaker}, take {row.take}: {error}") from error
        by_speaker.setdefault(row.speaker, []).append(row._replace(audio=audio))
    return WordPool(by_speaker, sample_rate)


def trim(
    audio: Float[Tensor, " N"],
    *,
    sample_rate: int,
    below_db: float = 30.0,
    frame_seconds: float = 0.01,
    margin_seconds: float = 0.03,
) -> Float[Tensor, " M"]:
    """Cut what is more than `below_db` below the loudest frame at both ends, less a margin.

    Frames do not overlap; an incomplete last frame counts with the one before it. Raises ValueError for audio
    that is silent or shorter than a frame.
    """
    size = round(frame_seconds * sample_rate)
    if size < 1 or len(audio) < size or power(audio) == 0:
        raise ValueError(f"audio of {len(audio)} samples is silent or shorter than a frame of {size}")
    energies = audio[: len(audio) // size * size].double().view(-1, size).square().mean(1)
    loud = (energies >= energies.max() * 10 ** (-below_db / 10)).nonzero()[:, 0]
    margin = round(margin_seconds * sample_rate)
    start, end = int(loud[0]) * size - margin, (int(loud[-1]) + 1) * size + margin
    return audio[max(start, 0) : end]


def level(audio: Float[Tensor, " N"], rms: float = RMS) -> Float[Tensor, " N"]:
    """Scale to the given root mean square. Raises ValueError for silence."""
    found = power(audio) ** 0.5 if len(audio) else 0.0
    if found == 0:
        raise ValueError("audio is empty or silent; it has no level")
    return audio * (rms / found)


def at_speed(audio: Float[Tensor, " N"], speed: float) -> Float[Tensor, " M"]:
    """Play `speed` times as fast: ceil(N / speed) samples of the band-limited signal.

    The speed is taken as the nearest fraction with a denominator of at most 100.
    """
    ratio = Fraction(speed).limit_denominator(100)
    if len(audio) == 0 or ratio <= 0:
        raise ValueError(f"expected audio and a speed > 0; got {len(audio)} samples and {speed=}")
    if ratio == 1:
        return audio
    up, down = ratio.denominator, ratio.numerator
    return torch.from_numpy(resample_poly(audio.numpy(), up, down, window=_low_pass(up, down)))


@cache
def _low_pass(up: int, down: int) -> np.ndarray:
    """The filter that `resample_poly` makes by itself at each call: Kaiser, beta 5."""
    widest = max(up, down)
    return firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0)).astype(np.float32)


def compose(
    pool: WordPool,
    count: int,
    settings: StringSettings,
    *,
    seed: int,
    name: str,
    babblers: WordPool | None = None,
) -> list[Utterance]:
    """`count` strings of the set `name`; `babblers` speak the babble (default: the pool itself).

    Raises ValueError when babble is wanted and nobody but the string's own speaker could speak it.
    """
    crowd = babblers or pool
    if (
        any(noise.kind == "babble" for noise in settings.noises)
        and len({*crowd.speakers, *pool.speakers}) < 2
    ):
        raise ValueError(f"babble behind {pool.speakers[0]} needs another speaker; the pool has none")
    return [_string(pool, crowd, settings, _generator(seed, f"{name}/{i}")) for i in range(count)]


def single_words(
    pool: WordPool, count: int, settings: StringSettings, *, seed: int, name: str
) -> list[Utterance]:
    """Isolated words under the settings' speeds and noises: strings of one word between two pauses."""
    alone = StringSettings((1, 1), settings.pauses, settings.speeds, settings.noises)
    return compose(pool, count, alone, seed=seed, name=name)


def _string(
    pool: WordPool, crowd: WordPool, settings: StringSettings, generator: torch.Generator
) -> Utterance:
    speaker = pool.speakers[_draw(len(pool.speakers), generator)]
    own = pool.by_speaker[speaker]
    size = settings.words[0] + _draw(settings.words[1] - settings.words[0] + 1, generator)
    rows = [own[_draw(len(own), generator)] for _ in range(size)]
    speed = settings.speeds[_draw(len(settings.speeds), generator)]
    pauses = [_silence(settings, pool.sample_rate, generator) for _ in range(size + 1)]
    words = [at_speed(row.audio, speed) for row in rows]
    pieces = [piece for pair in zip(pauses, words, strict=False) for piece in pair]
    audio = torch.cat([*pieces, pauses[-1]])
    noise = settings.noises[_draw(len(settings.noises), generator)]
    noisy = add_noise(audio, noise, [crowd.by_speaker[s] for s in crowd.speakers if s != speaker], generator)
    return Utterance(noisy, " ".join(row.word for row in rows), speaker)


def _silence(settings: StringSettings, sample_rate: int, generator: torch.Generator) -> Float[Tensor, " N"]:
    return torch.zeros(round(_uniform(settings.pauses, generator) * sample_rate))


def add_noise(
    audio: Float[Tensor, " N"],
    noise: Noise,
    others: Sequence[Sequence[Spoken]],
    generator: torch.Generator,
) -> Float[Tensor, " N"]:
    """The audio in noise; `others`: words of each speaker who may babble, `VOICES` of whom do, each saying
    words for the whole length.
    """
    if noise.kind == "none":
        return audio
    snr = _uniform(noise.snr_db, generator)
    if noise.kind == "white":
        return mix_at_snr(audio, white_noise(len(audio), generator=generator), snr)
    if not others:
        raise ValueError("babble needs at least one speaker other than the string's own")
    voices = [_talk(others[_draw(len(others), generator)], len(audio), generator) for _ in range(VOICES)]
    return mix_at_snr(audio, babble(voices, len(audio), generator=generator), snr)


def _talk(words: Sequence[Spoken], samples: int, generator: torch.Generator) -> Float[Tensor, " N"]:
    """Words of one speaker one after the other, at least `samples` long."""
    pieces: list[Tensor] = []
    while sum(len(piece) for piece in pieces) < samples:
        pieces.append(words[_draw(len(words), generator)].audio)
    return torch.cat(pieces)


def _draw(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))


def _uniform(span: tuple[float, float], generator: torch.Generator) -> float:
    return span[0] + (span[1] - span[0]) * float(torch.rand((), generator=generator))


def _generator(seed: int, purpose: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/strings/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
