"""Small speech corpora: digit strings from recorded digits, and sentences spoken by a synthesiser.

Digits: single recordings (FSDD: 6 speakers, 8 kHz) are joined into strings of one speaker with short gaps. A
recording serves one split only (split by index), and held-out speakers appear in no other split.
Sentences: words of a fixed list in random order, each split spoken by its own voices; generated from a seed.

Audio is float32 in [-1, 1], shape (N,). Randomness comes from the seed alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from echobook.data.recordings import SpeechCorpus, Utterance, read_wav
from echobook.data.types import DatasetUse, combined_digest, rows_digest
from echobook.data.unicode import nfc
from echobook.speech.synthesis import Voice, random_voices, synthesise_all

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = (  # noqa: SIM905 - one word a line would be a page
    "open close lock start stop pause play turn raise lower find call send read save the a my "
    "all door window light music timer alarm garden kitchen bedroom heater fan red green blue "
    "warm cold now later"
).split()
GENERATOR_VERSION = "1"


@dataclass(frozen=True)
class WordLabels:
    """Words as classes 1, 2, ...; 0 is the blank."""

    words: tuple[str, ...]

    @property
    def classes(self) -> int:
        """Number of classes, blank included."""
        return len(self.words) + 1

    def encode(self, text: str) -> tuple[int, ...]:
        """Classes of a composed (NFC) text. Raises ValueError naming a word that is not in the vocabulary."""
        known, text = {nfc(word): i for i, word in enumerate(self.words, 1)}, nfc(text)
        unknown = [word for word in text.split() if word not in known]
        if unknown:
            raise ValueError(f"word {unknown[0]!r} of {text!r} is not among the {len(known)} words known")
        return tuple(known[word] for word in text.split())

    def decode(self, labels: Sequence[int]) -> str:
        """Text of classes; blanks are refused."""
        if any(not 1 <= label <= len(self.words) for label in labels):
            raise ValueError(f"labels are {list(labels)}; expected 1..{len(self.words)}")
        return " ".join(self.words[label - 1] for label in labels)


class Recording(NamedTuple):
    """One spoken digit."""

    digit: int
    speaker: str
    take: int
    audio: Tensor


def read_digits(folder: Path) -> list[Recording]:
    """All `{digit}_{speaker}_{index}.wav` files of a folder, sorted by name; 8 kHz.

    Raises FileNotFoundError when there is none, ValueError naming a file with another name or format.
    """
    paths = sorted(folder.glob("*_*_*.wav"))
    if not paths:
        raise FileNotFoundError(f"no files named digit_speaker_index.wav in {folder.name}/")
    parts = [(path, path.stem.split("_")) for path in paths]
    for path, (digit, *_, take) in parts:
        if not (
            len(path.stem.split("_")) == 3 and digit.isdecimal() and int(digit) < 10 and take.isdecimal()
        ):
            raise ValueError(f"{path.name}: expected digit_speaker_index.wav, such as 7_ann_32.wav")
    return [Recording(int(d), s, int(i), read_wav(path, sample_rate=8000)) for path, (d, s, i) in parts]


def split_digits(recordings: Sequence[Recording], held_out: Sequence[str] = ()) -> dict[str, list[Recording]]:
    """Index-disjoint and speaker-disjoint splits.

    Of the seen speakers, recordings 0-4 of each digit are `test` (the data set's own rule), 5-9 `dev`, the
    rest `train`; recordings of held-out speakers are `unseen`, all of them.
    """
    missing = set(held_out) - {r.speaker for r in recordings}
    if missing:
        raise ValueError(f"speaker {sorted(missing)[0]!r} to hold out is not in the recordings")

    def split(r: Recording) -> str:
        return (
            "unseen" if r.speaker in held_out else "test" if r.take < 5 else "dev" if r.take < 10 else "train"
        )

    splits: dict[str, list[Recording]] = {"train": [], "dev": [], "test": [], "unseen": []}
    for recording in recordings:
        splits[split(recording)].append(recording)
    return {name: rows for name, rows in splits.items() if rows}


def digit_strings(
    recordings: Sequence[Recording],
    count: int,
    *,
    generator: torch.Generator,
    digits: tuple[int, int] = (2, 7),
    gap_ms: tuple[int, int] = (0, 150),
    sample_rate: int = 8000,
) -> list[Utterance]:
    """`count` strings, each of one speaker, with silence of random length before, between and after the
    digits.
    """
    if not recordings or not 1 <= digits[0] <= digits[1] or not 0 <= gap_ms[0] <= gap_ms[1]:
        raise ValueError(f"expected recordings, 1 <= {digits=} and 0 <= {gap_ms=}, low before high")
    by_speaker: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_speaker.setdefault(recording.speaker, []).append(recording)
    speakers = sorted(by_speaker)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def string() -> Utterance:
        speaker = speakers[draw(0, len(speakers) - 1)]
        rows = [by_speaker[speaker][draw(0, len(by_speaker[speaker]) - 1)] for _ in range(draw(*digits))]
        gaps = [torch.zeros(draw(*gap_ms) * sample_rate // 1000) for _ in range(len(rows) + 1)]
        pieces = [piece for row, gap in zip(rows, gaps, strict=False) for piece in (gap, row.audio)]
        return Utterance(torch.cat([*pieces, gaps[-1]]), " ".join(DIGITS[r.digit] for r in rows), speaker)

    return [string() for _ in range(count)]


def digit_corpus(
    folder: Path,
    *,
    counts: Mapping[str, int],
    seed: int,
    held_out: Sequence[str] = (),
    digits: tuple[int, int] = (2, 7),
) -> SpeechCorpus:
    """Digit strings from the FSDD recordings in `folder`; `counts` gives strings for each split wanted,
    `digits` the fewest and most digits of a string.
    """
    splits = split_digits(read_digits(folder), held_out)
    unknown = set(counts) - set(splits)
    if unknown:
        raise ValueError(f"no recordings for split {sorted(unknown)[0]!r}; there are {sorted(splits)}")
    made = {
        name: digit_strings(splits[name], count, generator=_generator(seed, name), digits=digits)
        for name, count in counts.items()
    }
    hashes = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*_*_*.wav")}
    use = DatasetUse(
        "fsdd",
        "26eb9aa",
        combined_digest(hashes),
        "CC BY-SA 4.0",
        dict(counts),
        "github.com/Jakobovski/free-spoken-digit-dataset",
    )
    return SpeechCorpus("fsdd", 8000, made, use)


def synthetic_corpus(
    *,
    counts: Mapping[str, int],
    voices: Mapping[str, int],
    seed: int,
    words: Sequence[str] = tuple(WORDS),
    length: tuple[int, int] = (2, 5),
    sample_rate: int = 8000,
    folder: Path | None = None,
    progress: bool = False,
) -> SpeechCorpus:
    """Word sequences spoken by eSpeak NG; no voice speaks in two splits.

    counts, voices: utterances and voices per split. length: fewest and most words. folder: cache for the
    audio.
    """
    if set(counts) != set(voices) or not words or not 1 <= length[0] <= length[1]:
        raise ValueError(f"expected counts and voices of the same splits, words, and 1 <= {length=}")
    cast = random_voices(sum(voices.values()), generator=_generator(seed, "voices"))
    splits: dict[str, list[Utterance]] = {}
    for name, count in counts.items():
        own, cast = cast[: voices[name]], cast[voices[name] :]
        texts = _sentences(words, count, length, _generator(seed, name))
        items = [(text, own[i % len(own)]) for i, text in enumerate(texts)]
        audio = synthesise_all(items, sample_rate=sample_rate, folder=folder, progress=progress)
        splits[name] = [Utterance(a, t, _voice_name(v)) for a, (t, v) in zip(audio, items, strict=True)]
    digest = rows_digest((n, u.text, u.speaker) for n, rows in splits.items() for u in rows)
    version = f"{GENERATOR_VERSION}-seed{seed}"
    source, licence = "echobook.speech.corpora.synthetic_corpus", "CC0-1.0 (generated)"
    use = DatasetUse("synthetic-speech", version, digest, licence, dict(counts), source)
    return SpeechCorpus("synthetic-speech", sample_rate, splits, use)


def _sentences(
    words: Sequence[str], count: int, length: tuple[int, int], generator: torch.Generator
) -> list[str]:
    sizes = torch.randint(length[0], length[1] + 1, (count,), generator=generator).tolist()
    return [
        " ".join(words[i] for i in torch.randint(len(words), (size,), generator=generator).tolist())
        for size in sizes
    ]


def _voice_name(voice: Voice) -> str:
    return f"{voice.accent}+{voice.variant}/{voice.pitch}/{voice.pitch_range}/{voice.rate}"


def _generator(seed: int, purpose: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
