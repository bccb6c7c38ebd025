"""CMU AN4 as published cepstra: spoken letters, numbers and command words, with speaker and gender.

Files, below the data set's folder `an4/`: `etc/an4_{train,test}.fileids` name the utterances, one a line
(`an4_clstk/fash/an251-fash-b`: set, speaker, utterance), `etc/an4_{train,test}.transcription` hold their
words in the same order, with the utterance in brackets, and `feat/<id>.mfc` the features in the form of CMU
Sphinx: a big-endian int32, the number of values, then as many big-endian float32, 13 cepstral coefficients a
frame, 100 frames a second. The first letter of a speaker's name is the gender, f or m.

There is no audio here: log-mel features cannot be made, and noise cannot be added.
Axes: T frames, M = 13 coefficients.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse, combined_digest

COEFFICIENTS = 13
FRAMES_PER_SECOND = 100
COMMIT = "5e478f0ee6c5b060edf702acdd563948cad5545f"
SOURCE = "https://github.com/cphazen/Machine-Learning-Project-ASR"
LICENCE = "CMU AN4 licence (BSD-2-clause style, an4/LICENSE)"
SPLITS = ("train", "test")


class FeatureUtterance(NamedTuple):
    """Features (T, 13), words in capitals, and who speaks."""

    features: Tensor
    text: str
    speaker: str


@dataclass(frozen=True)
class FeatureCorpus:
    """Utterances by split, `train` and `test`, which share no speaker."""

    name: str
    splits: Mapping[str, Sequence[FeatureUtterance]]
    use: DatasetUse

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the training split, sorted."""
        return tuple(sorted({word for u in self.splits["train"] for word in u.text.split()}))

    @property
    def speakers(self) -> pd.DataFrame:
        """One row per speaker: speaker, split, gender (f or m), utterances."""
        rows = [(u.speaker, split, u.speaker[0]) for split, found in self.splits.items() for u in found]
        frame = pd.DataFrame(rows, columns=["speaker", "split", "gender"])
        return frame.groupby(list(frame.columns), sort=True).size().rename("utterances").reset_index()


def load_an4(folder: Path) -> FeatureCorpus:
    """Read the features and words in a verified folder, such as `fetch("an4-mfcc")` returns.

    Raises FileNotFoundError for a missing file, MalformedRow (file and line) for lists that are not of the
    documented form or do not agree, and ValueError naming the file, or the speaker, for features that are cut
    off, not whole frames or not finite, and for a speaker in both splits.
    """
    digests: dict[str, str] = {}
    splits = {split: _read_split(folder / "an4", split, digests) for split in SPLITS}
    both = {u.speaker for u in splits["train"]} & {u.speaker for u in splits["test"]}
    if both:
        raise ValueError(f"an4: speaker {sorted(both)[0]} speaks in train and in test")
    counts = {split: len(found) for split, found in splits.items()}
    use = DatasetUse("an4-mfcc", COMMIT[:12], combined_digest(digests), LICENCE, counts, SOURCE)
    return FeatureCorpus("an4-mfcc", splits, use)


def read_cepstra(data: bytes, name: str) -> Float[Tensor, "T M"]:
    """Features from the bytes of a Sphinx `.mfc` file; `name` is for messages."""
    stated = int(np.frombuffer(data[:4], ">i4")[0]) if len(data) >= 4 else 0
    if len(data) != 4 + 4 * stated or stated < COEFFICIENTS or stated % COEFFICIENTS:
        raise ValueError(
            f"{name}: {len(data)} bytes and a count of {stated}; expected 4 bytes for the count, then a "
            f"positive multiple of {COEFFICIENTS} big-endian float32 values: fetch the file again"
        )
    features = torch.from_numpy(np.frombuffer(data[4:], ">f4").astype(np.float32))
    if not features.isfinite().all():
        raise ValueError(f"{name}: value {int((~features.isfinite()).nonzero()[0])} is not finite")
    return features.reshape(-1, COEFFICIENTS)


def _read_split(top: Path, split: str, digests: dict[str, str]) -> list[FeatureUtterance]:
    """Utterances of one split in the order of its list; adds the digest of each file read."""
    ids, texts = top / "etc" / f"an4_{split}.fileids", top / "etc" / f"an4_{split}.transcription"
    for path in (ids, texts):
        digests[f"an4/etc/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    named, spoken = _identities(ids), [_words(texts, *line) for line in read_lines(texts)]
    if len(named) != len(spoken):
        raise MalformedRow(texts, len(spoken), f"{len(named)} lines, as in {ids.name}", len(spoken))
    found = []
    for line, (identity, (text, utterance)) in enumerate(zip(named, spoken, strict=True), start=1):
        if identity.rpartition("/")[2] != utterance:
            raise MalformedRow(texts, line, f"the words of {identity}, as in {ids.name}", utterance)
        name = f"an4/feat/{identity}.mfc"
        data = (top.parent / name).read_bytes()
        digests[name] = hashlib.sha256(data).hexdigest()
        found.append(FeatureUtterance(read_cepstra(data, name), text, identity.split("/")[1]))
    return found


def _identities(path: Path) -> list[str]:
    """Lines `set/speaker/utterance`, each once, the speaker's name beginning with f or m."""
    seen: dict[str, int] = {}
    for line, text in read_lines(path):
        parts = text.split("/")
        if len(parts) != 3 or not all(parts) or ".." in parts or parts[1][0] not in "fm":
            raise MalformedRow(path, line, "set/speaker/utterance, the speaker f... or m...", text)
        if text in seen:
            raise MalformedRow(path, line, f"an utterance other than that of line {seen[text]}", text)
        seen[text] = line
    if not seen:
        raise MalformedRow(path, 1, "at least one utterance", "")
    return list(seen)


def _words(path: Path, line: int, text: str) -> tuple[str, str]:
    """Words and utterance of a line `WORD WORD (utterance)`."""
    words, bracket, rest = text.rpartition(" (")
    if not words.strip() or not bracket or not rest.endswith(")"):
        raise MalformedRow(path, line, "WORD ... (utterance)", text)
    return " ".join(words.split()), rest[:-1]
