"""The chapter's speech: training and development sets, and tests on voices heard and not heard in training.

Every test set is scored twice, as it is and in noise, on the same utterances. Noise is babble (digits or
sentences of other recordings, three voices) for one half of the utterances and white noise for the other.
Half of the training and development utterances are noisy too. Digit strings in training are also played a
little faster or slower, which shifts pitch and formants and so stands in for more speakers.

Digits: two of the six speakers are held out of a seed's training altogether, a different pair in each of
three seeds, so that three seeds test every speaker once. Sentences: each split has voices of its own.

Audio is float32 in [-1, 1], shape (N,). Features are kept unstacked, (T, M): SpecAugment comes before
stacking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echobook.data.types import DatasetUse
from echobook.speech.corpora import (
    DIGITS,
    WORDS,
    SpeechCorpus,
    Utterance,
    WordLabels,
    digit_corpus,
    synthetic_corpus,
)
from echobook.speech.features import FrontEnd, LogMel, global_statistics, spec_augment, stack_frames
from echobook.speech.noise import babble, change_speed, mix_at_snr, white_noise
from echobook.speech.training import Example

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
FLOOR = 1e-4  # energy below which all is silence: digital zeros between recordings are not to stand out


@dataclass(frozen=True)
class Material:
    """Everything a run trains on and is tested on.

    train: unstacked examples. dev and tests: stacked ones. utterances: the audio of each test set.
    """

    front_end: FrontEnd
    labels: WordLabels
    train: Sequence[Example]
    dev: Sequence[Example]
    tests: Mapping[str, Sequence[Example]]
    utterances: Mapping[str, Sequence[Utterance]]
    use: DatasetUse

    masks: float = 0.0

    def augment(self, features: Float[Tensor, "T M"], generator: torch.Generator) -> Float[Tensor, "S D"]:
        """What training sees: two frequency masks, each of at most `masks` of the channels, then stacking."""
        options = {"count": self.front_end.count, "skip": self.front_end.skip}
        if self.masks == 0:
            return stack_frames(features, **options)
        masked = spec_augment(features, generator=generator, multiplicity=0.0, frequency_ratio=self.masks)
        return stack_frames(masked, **options)


def digits(
    folder: Path,
    *,
    seed: int,
    train: int,
    dev: int,
    seen: int,
    unseen: int,
    mels: int,
    longest: int = 5,
    masks: float = 0.0,
    speeds: tuple[float, float] = (0.85, 1.15),
    snr_db: tuple[float, float] = (5.0, 15.0),
) -> Material:
    """Digit strings of FSDD (`folder` holds its recordings); counts are utterances per set."""
    counts = {"train": train, "dev": dev, "test": seen, "unseen": unseen}
    corpus = digit_corpus(folder, counts=counts, seed=seed, held_out=held_out_pair(seed), digits=(1, longest))
    generator = torch.Generator().manual_seed(7_000 + seed)
    splits = dict(corpus.splits)
    splits["train"] = [_other_speed(u, speeds, generator) for u in splits["train"]]
    tests = {"seen": splits["test"], "unseen": splits["unseen"]}
    return _assemble(
        splits,
        tests,
        corpus,
        WordLabels(DIGITS),
        LogMel(sample_rate=corpus.sample_rate, mels=mels, floor=FLOOR),
        masks,
        snr_db,
        generator,
    )


def sentences(
    *,
    seed: int,
    train: int,
    dev: int,
    seen: int,
    unseen: int,
    mels: int,
    longest: int = 3,
    masks: float = 0.0,
    voices: int = 12,
    words: int = 12,
    snr_db: tuple[float, float] = (5.0, 15.0),
    folder: Path | None = None,
) -> Material:
    """Sentences of generated speech: `voices` training voices, `words` different words."""
    counts = {"train": train + seen, "dev": dev, "unseen": unseen}
    cast = {"train": voices, "dev": 3, "unseen": 4}
    corpus = synthetic_corpus(
        counts=counts, voices=cast, seed=seed, words=WORDS[:words], length=(1, longest), folder=folder
    )
    generator = torch.Generator().manual_seed(7_000 + seed)
    splits = dict(corpus.splits)
    rows = splits["train"]
    splits["train"] = rows[:train]
    tests = {"seen": rows[train:], "unseen": splits["unseen"]}
    return _assemble(
        splits,
        tests,
        corpus,
        WordLabels(tuple(WORDS[:words])),
        LogMel(sample_rate=corpus.sample_rate, mels=mels, floor=FLOOR),
        masks,
        snr_db,
        generator,
    )


def held_out_pair(seed: int) -> tuple[str, str]:
    """The two FSDD speakers that no model of this seed hears in training."""
    first = 2 * (seed % 3)
    return SPEAKERS[first], SPEAKERS[first + 1]


def in_noise(
    utterances: Sequence[Utterance],
    voices: Sequence[Tensor],
    snr_db: tuple[float, float],
    generator: torch.Generator,
) -> list[Utterance]:
    """Each utterance with babble of three voices (even places) or white noise (odd), SNR uniform in dB."""
    noisy = []
    for place, utterance in enumerate(utterances):
        size = len(utterance.audio)
        picked = [voices[int(torch.randint(len(voices), (), generator=generator))] for _ in range(3)]
        noise = white_noise(size, generator=generator)
        if place % 2 == 0:
            noise = babble(picked, size, generator=generator)
        low, high = snr_db
        snr = low + (high - low) * float(torch.rand((), generator=generator))
        noisy.append(utterance._replace(audio=mix_at_snr(utterance.audio, noise, snr)))
    return noisy


def _assemble(
    splits: Mapping[str, Sequence[Utterance]],
    tests: Mapping[str, Sequence[Utterance]],
    corpus: SpeechCorpus,
    labels: WordLabels,
    log_mel: LogMel,
    masks: float,
    snr_db: tuple[float, float],
    generator: torch.Generator,
) -> Material:
    """Noise, features and labels of all sets; the statistics are the training set's."""
    babblers = [u.audio for u in splits["train"]]
    train = _half_noisy(splits["train"], babblers, snr_db, generator)
    dev = _half_noisy(splits["dev"], babblers, snr_db, generator)
    others = [u.audio for u in splits["dev"]]  # test noise: recordings that training never heard
    shown = {f"{name}-clean": list(rows) for name, rows in tests.items()}
    shown |= {f"{name}-noisy": in_noise(rows, others, snr_db, generator) for name, rows in tests.items()}
    energies = [log_mel(u.audio) for u in train]
    front_end = FrontEnd(log_mel, global_statistics(energies))
    examples = [
        Example(front_end.statistics.normalise(rows), labels.encode(u.text), f"train {i}")
        for i, (rows, u) in enumerate(zip(energies, train, strict=True))
    ]
    stacked = {name: _stacked(name, rows, front_end, labels) for name, rows in shown.items()}
    return Material(
        front_end,
        labels,
        examples,
        _stacked("dev", dev, front_end, labels),
        stacked,
        shown,
        corpus.use,
        masks,
    )


def _stacked(name: str, rows: Sequence[Utterance], front_end: FrontEnd, labels: WordLabels) -> list[Example]:
    return [Example(front_end(u.audio), labels.encode(u.text), f"{name} {i}") for i, u in enumerate(rows)]


def _half_noisy(
    rows: Sequence[Utterance],
    voices: Sequence[Tensor],
    snr_db: tuple[float, float],
    generator: torch.Generator,
) -> list[Utterance]:
    half = len(rows) // 2
    return [*rows[:half], *in_noise(rows[half:], voices, snr_db, generator)]


def _other_speed(utterance: Utterance, speeds: tuple[float, float], generator: torch.Generator) -> Utterance:
    low, high = speeds
    factor = low + (high - low) * float(torch.rand((), generator=generator))
    return utterance._replace(audio=change_speed(utterance.audio, factor))
