"""speechocean762's loader on tiny made files of the published form, refusals, and the card against them."""

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from echobook.data.fetch import fetch
from echobook.data.registry import dataset_rows
from echobook.data.speechocean import COMMIT, LICENCE, LISTS, load_speechocean
from echobook.data.types import combined_digest

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "speechocean762.md"
# split: utterance -> (speaker, words, whether there is a recording)
ROWS = {
    "train": {"11": ("0001", "WE CALL", True), "12": ("0001", "IT BEAR", False), "21": ("0002", "GO", True)},
    "test": {"31": ("0003", "STOP", True)},
}
PEOPLE = {
    "train": {"0001": ("m", "6"), "0002": ("f", "30"), "0009": ("f", "7")},
    "test": {"0003": ("f", "15")},
}


def write_wav(path: Path, samples: list[int], rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, dtype="<i2").tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, rows in ROWS.items():
        lists: dict[str, list[str]] = {name: [] for name in LISTS}
        for utterance, (speaker, words, recorded) in rows.items():
            file = f"WAVE/SPEAKER{speaker}/{utterance}.WAV"
            lists["text"].append(f"{utterance}\t{words}")
            lists["utt2spk"].append(f"{utterance} {speaker}")
            lists["wav.scp"].append(f"{utterance}\t{file}")
            if recorded:
                write_wav(tmp_path / file, [int(utterance), 16384])
        lists["spk2gender"] = [f"{s} {gender}" for s, (gender, _) in PEOPLE[split].items()]
        lists["spk2age"] = [f"{s} {age}" for s, (_, age) in PEOPLE[split].items()]
        for name, lines in lists.items():
            rewrite(tmp_path, split, name, lines)
    return tmp_path


def rewrite(folder: Path, split: str, name: str, lines: list[str]) -> None:
    (folder / split).mkdir(exist_ok=True)
    (folder / split / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_rows_by_hand(folder: Path) -> None:
    found = load_speechocean(folder)
    first, second = found.corpus.splits["train"]
    assert (first.text, first.speaker, second.text) == ("WE CALL", "0001", "GO")
    assert first.audio.tolist() == [11 / 32768, 0.5]
    assert found.corpus.sample_rate == 16000
    assert dict(found.corpus.use.rows) == {"train": 2, "test": 1}
    assert found.dropped == {"no-audio": 1}


def test_speakers_with_a_recording_have_age_gender_and_group(folder: Path) -> None:
    frame = load_speechocean(folder).speakers
    assert frame.columns.tolist() == ["speaker", "split", "gender", "age", "group", "utterances"]
    assert frame.to_numpy().tolist() == [
        ["0001", "train", "m", 6, "child", 1],
        ["0002", "train", "f", 30, "adult", 1],
        ["0003", "test", "f", 15, "child", 1],
    ]  # 0009 has no recording


def test_digest_follows_recordings_and_lists(folder: Path) -> None:
    before = load_speechocean(folder).corpus.use.sha256
    write_wav(folder / "WAVE/SPEAKER0003/31.WAV", [31, 1])
    changed = load_speechocean(folder).corpus.use.sha256
    rewrite(folder, "test", "spk2age", ["0003 16"])
    again = load_speechocean(folder)
    assert len({before, changed, again.corpus.use.sha256}) == 3
    assert again.speakers.group.iloc[-1] == "adult"


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("text", ["31"], r"test/text:1: expected a new key, white space, a value, got '31'"),
        ("text", ["31 A", "31 B"], r"test/text:2: expected a new key"),
        ("text", ["32 A"], r"test/text has no line for 31"),
        ("utt2spk", ["32 0003"], r"test/utt2spk has no line for 31"),
        ("spk2gender", ["0004 f"], r"test/spk2gender has no line for 0003"),
        ("spk2gender", ["0003 x"], r"speaker 0003 has gender 'x' and age '15'; expected f or m"),
        ("spk2age", ["0003 old"], r"age 'old'; expected f or m, and whole years"),
        ("wav.scp", ["31 WAVE/none.WAV"], r"split test has no recording under .*/WAVE"),
    ],
)
def test_bad_lists_are_named(folder: Path, name: str, lines: list[str], message: str) -> None:
    rewrite(folder, "test", name, lines)
    with pytest.raises(ValueError, match=message):
        load_speechocean(folder)


def test_other_bad_files_are_named(folder: Path) -> None:
    write_wav(folder / "WAVE/SPEAKER0003/31.WAV", [1], rate=8000)
    with pytest.raises(ValueError, match=r"31\.WAV: \(1, 16, 8000\)"):
        load_speechocean(folder)
    write_wav(folder / "WAVE/SPEAKER0003/31.WAV", [1])
    rewrite(folder, "test", "utt2spk", ["31 0001"])
    rewrite(folder, "test", "spk2gender", ["0001 m"])
    rewrite(folder, "test", "spk2age", ["0001 6"])
    with pytest.raises(ValueError, match="speaker 0001 speaks in train and in test"):
        load_speechocean(folder)
    (folder / "train" / "spk2age").unlink()
    with pytest.raises(FileNotFoundError, match="spk2age"):
        load_speechocean(folder)


def test_card_agrees_with_the_registry_and_the_real_files(public: Path) -> None:
    text, rows = CARD.read_text(encoding="utf-8"), dataset_rows("speechocean762")
    assert (rows[0].commit, rows[0].licence) == (COMMIT, LICENCE)
    assert rows[0].commit in text
    assert rows[0].repo in text
    found = load_speechocean(fetch("speechocean762"))
    stated = re.findall(r"^\| (\w+) \| ([\d,]+) \| (\d+) \|$", text, re.MULTILINE)
    assert {split: int(used) for split, _, used in stated} == dict(found.corpus.use.rows)
    assert f"{found.dropped['no-audio']:,} utterances" in text
    assert (found.speakers.utterances == 4).all()
    sizes = found.speakers.groupby(["split", "group", "gender"]).size()
    assert sizes["train"].tolist() == [18] * 4  # as the card says: equally many
    assert sizes["test"].tolist() == [17] * 4
    ages = found.speakers.groupby("group").age.agg(["min", "max"])
    assert ages.to_numpy().tolist() == [[19, 37], [6, 15]]
    words = {name: sum(len(u.text.split()) for u in split) for name, split in found.corpus.splits.items()}
    assert all(f"{count:,} words" in text for count in words.values())
    read = {r.file: r.sha256 for r in rows if r.file.startswith("WAVE/") or r.file.split("/")[-1] in LISTS}
    assert found.corpus.use.sha256 == combined_digest(read)
