"""speechocean762: English read by Mandarin speakers, with the age and gender of each.

Files: `{train,test}/text` (utterance, tab, words in capitals), `utt2spk`, `wav.scp` (utterance, tab, file),
`spk2gender` and `spk2age` (speaker, then f or m, or years), and the recordings, mono WAV of 16 bit at 16 kHz.
The registry holds a subset of the recordings, four of each of 140 speakers; utterances without a recording in
the folder are dropped and counted. Pronunciation scores are not read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from echobook.data.recordings import SpeechCorpus, Utterance, read_wav
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse, combined_digest

SAMPLE_RATE = 16000
ADULT = 16  # years; the corpus has nobody between 15 and 19
COMMIT = "613968e3b0b789fc33936fb5eba1973176ba7d11"
SOURCE = "https://github.com/jimbozhang/speechocean762"
LICENCE = (
    "free for commercial and non-commercial use (repository README); Apache-2.0 on the authors Hugging Face "
    "card; CC BY 4.0 on OpenSLR 101 (recalled)"
)
SPLITS = ("train", "test")
LISTS = ("text", "utt2spk", "wav.scp", "spk2gender", "spk2age")


@dataclass(frozen=True)
class CohortCorpus:
    """Recordings by split, and one row per speaker: speaker, split, gender (f or m), age in years, group
    (child or adult), utterances. `dropped` counts utterances left out, by reason.
    """

    corpus: SpeechCorpus
    speakers: pd.DataFrame
    dropped: Mapping[str, int]


def load_speechocean(folder: Path) -> CohortCorpus:
    """Read the recordings in a verified folder, such as `fetch("speechocean762")` returns.

    Raises FileNotFoundError for a missing list, MalformedRow (file and line) for a line not of the documented
    form, and ValueError for an utterance or speaker that a list lacks, a speaker in both splits, a split
    without recordings and a recording that is not 16-bit mono at 16 kHz.
    """
    digests: dict[str, str] = {}
    splits: dict[str, list[Utterance]] = {}
    frames, without = [], 0
    for split in SPLITS:
        splits[split], frame, missing = _read_split(folder, split, digests)
        frames.append(frame)
        without += missing
    speakers = pd.concat(frames, ignore_index=True)
    twice = speakers.speaker[speakers.speaker.duplicated()]
    if len(twice):
        raise ValueError(f"speechocean762: speaker {twice.iloc[0]} speaks in train and in test")
    counts = {split: len(found) for split, found in splits.items()}
    use = DatasetUse("speechocean762", COMMIT[:12], combined_digest(digests), LICENCE, counts, SOURCE)
    corpus = SpeechCorpus("speechocean762", SAMPLE_RATE, splits, use)
    return CohortCorpus(corpus, speakers, {"no-audio": without})


def _read_split(
    folder: Path, split: str, digests: dict[str, str]
) -> tuple[list[Utterance], pd.DataFrame, int]:
    """Utterances with a recording, their speakers, and how many utterances have none."""
    lists = {name: _read_list(folder / split / name) for name in LISTS}
    for name in LISTS:
        digests[f"{split}/{name}"] = hashlib.sha256((folder / split / name).read_bytes()).hexdigest()
    found, missing = [], 0
    for identity, file in lists["wav.scp"].items():
        path = folder / file
        if not path.is_file():
            missing += 1
            continue
        digests[file] = hashlib.sha256(path.read_bytes()).hexdigest()
        text, speaker = (_look_up(lists, name, identity, split) for name in ("text", "utt2spk"))
        found.append(Utterance(read_wav(path, sample_rate=SAMPLE_RATE), text, speaker))
    if not found:
        raise ValueError(f"speechocean762: split {split} has no recording under {folder.name}/WAVE")
    return found, _speakers(found, lists, split, folder), missing


def _speakers(
    found: list[Utterance], lists: Mapping[str, Mapping[str, str]], split: str, folder: Path
) -> pd.DataFrame:
    rows = []
    counts = pd.Series([u.speaker for u in found]).value_counts(sort=False).sort_index()
    for speaker, count in counts.items():
        gender, age = (_look_up(lists, name, str(speaker), split) for name in ("spk2gender", "spk2age"))
        if gender not in ("f", "m") or not age.isdecimal():
            raise ValueError(
                f"{folder.name}/{split}: speaker {speaker} has gender {gender!r} and age {age!r}; "
                "expected f or m, and whole years"
            )
        group = "child" if int(age) < ADULT else "adult"
        rows.append((speaker, split, gender, int(age), group, count))
    return pd.DataFrame(rows, columns=["speaker", "split", "gender", "age", "group", "utterances"])


def _look_up(lists: Mapping[str, Mapping[str, str]], name: str, key: str, split: str) -> str:
    if key not in lists[name]:
        raise ValueError(f"{split}/{name} has no line for {key}; the lists of a split must agree")
    return lists[name][key]


def _read_list(path: Path) -> dict[str, str]:
    """Lines `key value`, parted by the first white space; each key once."""
    rows: dict[str, str] = {}
    for line, text in read_lines(path):
        parts = text.split(maxsplit=1)
        if len(parts) != 2 or parts[0] in rows:
            raise MalformedRow(path, line, "a new key, white space, a value", text)
        rows[parts[0]] = " ".join(parts[1].split())
    return rows
