"""The loader on tiny made files of the published form, refusals, the card against registry and real files."""

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from echobook.data.arabic_commands import COMMIT, DATASET, LICENCE, load_arabic_commands, registered_words
from echobook.data.fetch import fetch
from echobook.data.registry import dataset_rows
from echobook.data.types import combined_digest

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "arabic_speech_commands.md"
SPEAKERS = {"train": (1, 2), "val": (3,), "test": (4,)}


def write_wav(path: Path, value: int, *, rate: int = 16000, samples: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(rate)
        file.writeframes(np.full(samples, value, "<i2").tobytes())


def name(speaker: int, take: int) -> str:
    return f"{speaker:08d}_NO_{take:02d}.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Words no and yes recorded, `zoom in` only listed; two takes each."""
    for split, speakers in SPEAKERS.items():
        rows = [(w, name(s, t)) for w in ("no", "yes", "zoom in") for s in speakers for t in (1, 2)]
        lines = "".join(f"dataset/{word}/{file},{word}\n" for word, file in rows)
        (tmp_path / f"{split}.csv").write_text("file,class\n" + lines)
        for word, file in rows:
            if word != "zoom in":
                write_wav(tmp_path / word / file, 8192 * (1 + ("no", "yes").index(word)))
    return tmp_path


def test_rows_by_hand(folder: Path) -> None:
    corpus = load_arabic_commands(folder)
    train = corpus.splits["train"]
    assert [(s.word, s.speaker, s.take) for s in train[:3]] == [
        ("no", "00000001", 1), ("no", "00000001", 2), ("no", "00000002", 1),
    ]  # fmt: skip
    assert train[0].audio.tolist() == [0.25] * 8
    assert train[-1].audio.tolist() == [0.5] * 8
    assert corpus.words == ("no", "yes")
    assert corpus.speakers("train") == ("00000001", "00000002")
    assert dict(corpus.use.rows) == {"train": 8, "dev": 4, "test": 4}
    assert dict(corpus.dropped) == {"train": 4, "dev": 2, "test": 2}
    assert corpus.sample_rate == 16000


def test_words_can_be_chosen(folder: Path) -> None:
    corpus = load_arabic_commands(folder, words=["yes"])
    assert corpus.words == ("yes",)
    assert dict(corpus.dropped) == {"train": 8, "dev": 4, "test": 4}
    with pytest.raises(ValueError, match="no recordings of 'up'; it has no, yes"):
        load_arabic_commands(folder, words=["up"])


def test_digest_follows_every_file_that_was_read(folder: Path) -> None:
    before = load_arabic_commands(folder).use.sha256
    (folder / "README.md").write_text("not read")
    assert load_arabic_commands(folder).use.sha256 == before
    write_wav(folder / "no" / name(1, 1), 3)
    assert load_arabic_commands(folder).use.sha256 != before


@pytest.mark.parametrize(
    ("split", "text", "message"),
    [
        ("train", "file,label\n", r"train\.csv:1: expected the columns file,class"),
        ("val", "file,class\ndataset/no/3_NO_01.wav,no\n", r"val\.csv:2: expected a new row"),
        ("val", f"file,class\ndataset/no/{name(3, 1)},yes\n", r"val\.csv:2: expected a new"),
        ("val", f"file,class\ndataset/no/{name(3, 1)}\n", r"val\.csv:2"),
        ("val", f"file,class\n{2 * (f'dataset/no/{name(3, 1)},no' + chr(10))}", r"val\.csv:3: expected"),
        ("val", f"file,class\ndataset/no/{name(9, 1)},no\n", r"val\.csv lists no/00000009_NO_01"),
        ("val", f"file,class\ndataset/no/{name(1, 1)},no\n", "speaker 00000001 speaks in train and in dev"),
        ("val", f"file,class\ndataset/no/{name(9, 1)},no\n", r"val\.csv lists no/00000009_NO"),
    ],
)  # fmt: skip
def test_lists_that_are_refused(folder: Path, split: str, text: str, message: str) -> None:
    (folder / f"{split}.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_arabic_commands(folder)


def test_a_recording_at_another_rate_is_refused_by_name(folder: Path) -> None:
    write_wav(folder / "yes" / name(4, 2), 1, rate=8000)
    with pytest.raises(ValueError, match=r"00000004_NO_02\.wav.*resample"):
        load_arabic_commands(folder)


def test_a_missing_list_is_refused(folder: Path) -> None:
    (folder / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"test\.csv"):
        load_arabic_commands(folder)


class TestShipped:
    @pytest.fixture(autouse=True)
    def shipped_registry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)

    def test_registry_and_card_agree(self) -> None:
        rows, text = dataset_rows(DATASET), CARD.read_text(encoding="utf-8")
        assert {(row.repo, row.commit, row.licence) for row in rows} == {
            ("abdulkaderghandoura/arabic-speech-commands-dataset", COMMIT, LICENCE)
        }
        assert {(row.redistribution, row.commercial) for row in rows} == {("yes", "yes")}
        assert sum(row.file.endswith(".wav") for row in rows) == 4800
        assert len(registered_words()) == 16
        assert COMMIT in text
        assert rows[0].repo in text

    def test_card_counts_are_those_of_the_data(self, public: Path) -> None:
        folder = fetch(DATASET)
        corpus = load_arabic_commands(folder, words=registered_words())
        table = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \|$", CARD.read_text(), re.MULTILINE)
        used = {row[0]: int(row[2].replace(",", "")) for row in table}
        published = {row[0]: int(row[1].replace(",", "")) for row in table}
        assert dict(corpus.use.rows) == used == {"train": 2880, "dev": 960, "test": 960}
        assert {s: used[s] + corpus.dropped[s] for s in used} == published
        assert [len(corpus.speakers(split)) for split in ("train", "dev", "test")] == [18, 6, 6]
        files = {row.file: row.sha256 for row in dataset_rows(DATASET)}
        read = {f: d for f, d in files.items() if f.endswith((".wav", ".csv"))}
        assert corpus.use.sha256 == combined_digest(read)
