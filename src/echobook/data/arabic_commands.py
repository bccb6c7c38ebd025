"""Arabic Speech Commands: sixteen of its forty command words, said ten times by each of thirty people.

Files: `{word}/{speaker}_NO_{round}.wav`, mono WAV of 16 bit at 16 kHz, one second each; folder names are
English glosses of the Arabic words, `speaker` has eight digits, `round` two. `train.csv`, `val.csv` and
`test.csv` (columns `file,class`, file as `dataset/{word}/{name}.wav`) are the authors' split, by speaker.
They list all forty words; rows of words that have no folder here are left out, a missing file of a word
that has one is an error.

Audio is float32 in [-1, 1], shape (N,), N = 16,000 in the published files.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echobook.data.recordings import Spoken, read_wav
from echobook.data.registry import dataset_rows
from echobook.data.text_files import MalformedRow, read_lines
from echobook.data.types import DatasetUse, combined_digest

DATASET = "arabic_speech_commands"
SAMPLE_RATE = 16000
COMMIT = "72f3438212ff6cf8fbe5ae8068361840646429bd"
SOURCE = "https://github.com/abdulkaderghandoura/arabic-speech-commands-dataset"
LICENCE = "CC BY 4.0"
LISTS = {"train": "train.csv", "dev": "val.csv", "test": "test.csv"}
_FILE = re.compile(r"dataset/([a-z ]+)/((\d{8})_NO_(\d{2})\.wav)")


@dataclass(frozen=True)
class WordCorpus:
    """Recordings of single words by split (train, dev, test), which share no speaker; `dropped` counts rows
    of the authors' lists whose word is not here.
    """

    name: str
    sample_rate: int
    splits: Mapping[str, Sequence[Spoken]]
    use: DatasetUse
    dropped: Mapping[str, int]

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the training split, sorted."""
        return tuple(sorted({spoken.word for spoken in self.splits["train"]}))

    def speakers(self, split: str) -> tuple[str, ...]:
        """Who speaks in a split, sorted."""
        return tuple(sorted({spoken.speaker for spoken in self.splits[split]}))


def load_arabic_commands(folder: Path, *, words: Sequence[str] | None = None) -> WordCorpus:
    """Read the recordings of `words` (default: all that are here) in a verified folder, such as
    `fetch("arabic_speech_commands")` returns.

    Raises FileNotFoundError for a missing list or recording, MalformedRow (file and line) for a row that is
    not of the documented form or comes twice, and ValueError for a word that is not here, a speaker in two
    splits, a speaker who did not say every word, and a recording that is not 16-bit mono at 16 kHz.
    """
    here = sorted(path.name for path in folder.iterdir() if path.is_dir())
    wanted = here if words is None else list(words)
    if absent := sorted(set(wanted) - set(here)):
        raise ValueError(f"{folder.name} has no recordings of {absent[0]!r}; it has {', '.join(here)}")
    digests: dict[str, str] = {}
    splits, dropped = {}, {}
    for split, name in LISTS.items():
        splits[split], dropped[split] = _read_split(folder, name, frozenset(wanted), digests)
    _check_speakers(splits)
    counts = {split: len(found) for split, found in splits.items()}
    use = DatasetUse(DATASET, COMMIT[:12], combined_digest(digests), LICENCE, counts, SOURCE)
    return WordCorpus(DATASET, SAMPLE_RATE, splits, use, dropped)


def registered_words() -> tuple[str, ...]:
    """The words whose recordings the registry lists, sorted."""
    folders = {row.file.partition("/")[0] for row in dataset_rows(DATASET) if row.file.endswith(".wav")}
    return tuple(sorted(folders))


def _read_split(
    folder: Path, name: str, words: frozenset[str], digests: dict[str, str]
) -> tuple[list[Spoken], int]:
    """Recordings of one list in its order, and how many rows have another word; adds the digests read."""
    digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    found, other = [], 0
    for word, file, speaker, take in _rows(folder / name):
        if word not in words:
            other += 1
            continue
        path = folder / word / file
        if not path.is_file():
            raise FileNotFoundError(f"{name} lists {word}/{file}, which is not there: fetch {DATASET} again")
        digests[f"{word}/{file}"] = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(Spoken(word, speaker, int(take), read_wav(path, sample_rate=SAMPLE_RATE)))
    return found, other


def _rows(path: Path) -> list[tuple[str, str, str, str]]:
    """Word, file, speaker and round of each row of a list."""
    reader = csv.reader(line for _, line in read_lines(path))
    if (header := next(reader, [])) != ["file", "class"]:
        raise MalformedRow(path, 1, "the columns file,class", header)
    rows: dict[str, tuple[str, str, str, str]] = {}
    for record in reader:
        parts = _FILE.fullmatch(record[0]) if len(record) == 2 else None
        if parts is None or parts[1] != record[1] or record[0] in rows:
            expected = "a new row dataset/word/eight digits_NO_two digits.wav,word"
            raise MalformedRow(path, reader.line_num, expected, ",".join(record))
        rows[record[0]] = (parts[1], parts[2], parts[3], parts[4])
    return list(rows.values())


def _check_speakers(splits: Mapping[str, Sequence[Spoken]]) -> None:
    """No speaker in two splits; everybody said every word, each equally often."""
    home: dict[str, str] = {}
    for split, rows in splits.items():
        for speaker in sorted({spoken.speaker for spoken in rows}):
            if home.setdefault(speaker, split) != split:
                raise ValueError(f"{DATASET}: speaker {speaker} speaks in {home[speaker]} and in {split}")
    words = {spoken.word for rows in splits.values() for spoken in rows}
    counts = Counter((s.speaker, s.word) for rows in splits.values() for s in rows)
    most = max(counts.values(), default=0)
    for speaker in sorted(home):
        for word in sorted(words):
            if counts[speaker, word] != most:
                raise ValueError(
                    f"{DATASET}: speaker {speaker} said {word!r} {counts[speaker, word]} times; "
                    f"expected {most}, as others did"
                )
