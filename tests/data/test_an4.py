"""AN4's loader on tiny made files of the published form, refusals, and the card against the real files."""

import re
import struct
from pathlib import Path

import pytest
import torch

from echobook.data.an4 import COMMIT, LICENCE, load_an4, read_cepstra
from echobook.data.fetch import fetch
from echobook.data.registry import dataset_rows
from echobook.data.types import combined_digest

CARD = Path(__file__).resolve().parents[2] / "data" / "cards" / "an4-mfcc.md"
UTTERANCES = {
    "train": [("an4_clstk/fann/a1-fann-b", "GO"), ("an4_clstk/mbob/a2-mbob-b", "U M  SIX"),
              ("an4_clstk/fann/a3-fann-b", "YES")],
    "test": [("an4test_clstk/mcyd/a4-mcyd-b", "STOP (NOW")],
}  # fmt: skip


def cepstra(frames: int, first: float = 0.0) -> bytes:
    """A Sphinx file that counts upwards from `first`."""
    values = [first + i for i in range(13 * frames)]
    return struct.pack(f">i{len(values)}f", len(values), *values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, rows in UTTERANCES.items():
        write(tmp_path, f"etc/an4_{split}.fileids", "".join(f"{identity}\n" for identity, _ in rows))
        lines = (f"{text} ({identity.split('/')[2]})\n" for identity, text in rows)
        write(tmp_path, f"etc/an4_{split}.transcription", "".join(lines))
        for i, (identity, _) in enumerate(rows):
            write(tmp_path, f"feat/{identity}.mfc", cepstra(2 + i, 100.0 * i))
    return tmp_path


def write(folder: Path, name: str, content: str | bytes) -> None:
    path = folder / "an4" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_rows_by_hand(folder: Path) -> None:
    corpus = load_an4(folder)
    first, second, third = corpus.splits["train"]
    assert [u.text for u in (first, second, third)] == ["GO", "U M SIX", "YES"]
    assert [u.speaker for u in (first, second, third)] == ["fann", "mbob", "fann"]
    assert [tuple(u.features.shape) for u in (first, second, third)] == [(2, 13), (3, 13), (4, 13)]
    assert second.features.dtype == torch.float32
    assert second.features[1, :3].tolist() == [113.0, 114.0, 115.0]
    assert corpus.splits["test"][0].text == "STOP (NOW"  # only the last bracket is the utterance's
    assert corpus.words == ("GO", "M", "SIX", "U", "YES")
    assert dict(corpus.use.rows) == {"train": 3, "test": 1}


def test_speakers_have_split_gender_and_counts(folder: Path) -> None:
    assert list(load_an4(folder).speakers.columns) == ["speaker", "split", "gender", "utterances"]
    assert load_an4(folder).speakers.to_numpy().tolist() == [
        ["fann", "train", "f", 2], ["mbob", "train", "m", 1], ["mcyd", "test", "m", 1],
    ]  # fmt: skip


def test_digest_follows_every_file_that_was_read(folder: Path) -> None:
    before = load_an4(folder).use.sha256
    assert load_an4(folder).use.sha256 == before
    write(folder, "etc/an4.dic", "GO  G OW\n")  # not read
    assert load_an4(folder).use.sha256 == before
    write(folder, "feat/an4_clstk/mbob/a2-mbob-b.mfc", cepstra(3, 0.5))
    assert load_an4(folder).use.sha256 != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("etc/an4_test.fileids", "", r"an4_test\.fileids:1: expected at least one utterance"),
        ("etc/an4_test.fileids", "a/mcyd\n", r"fileids:1: expected set/speaker/utterance.*'a/mcyd'"),
        ("etc/an4_test.fileids", "a/xcyd/a4\n", r"the speaker f\.\.\. or m\.\.\."),
        ("etc/an4_test.fileids", "a/mcyd/\n", r"fileids:1: expected set/speaker/utterance"),
        ("etc/an4_test.fileids", "/mcyd/a4\n", r"fileids:1: expected set/speaker/utterance"),
        ("etc/an4_test.fileids", "a//a4\n", r"fileids:1: expected set/speaker/utterance"),
        ("etc/an4_test.fileids", "a/mcyd/..\n", r"expected set/speaker/utterance"),
        ("etc/an4_test.fileids", "a/mcyd/a4\na/mcyd/a4\n", r"fileids:2: .* other than that of line 1"),
        ("etc/an4_test.transcription", "STOP\n", r"transcription:1: expected WORD \.\.\. \(utterance\)"),
        ("etc/an4_test.transcription", " (a4-mcyd-b)\n", r"transcription:1: expected WORD"),
        ("etc/an4_test.transcription", "STOP (a9)\n", r"transcription:1: .* words of an4test.*, got 'a9'"),
        ("etc/an4_test.transcription", "A (a4-mcyd-b)\nB (x)\n", r"transcription:2: expected 1 lines"),
        ("etc/an4_test.transcription", b"\xff (a4-mcyd-b)\n", r"transcription:1: expected UTF-8 text"),
    ],
)
def test_bad_lists_are_named(folder: Path, name: str, content: str | bytes, message: str) -> None:
    write(folder, name, content)
    with pytest.raises(ValueError, match=message):
        load_an4(folder)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes and a count of 0"),
        (cepstra(2)[:-1], "107 bytes and a count of 26; expected"),
        (cepstra(2) + b"\0\0\0\0", "112 bytes"),
        (struct.pack(">i", 0), "a positive multiple of 13"),
        (struct.pack(">i12f", 12, *[0.0] * 12), "a count of 12; expected"),
        (struct.pack("<i13f", 13, *[0.0] * 13), "big-endian"),
        (struct.pack(">i13f", 13, *[0.0] * 5, float("nan"), *[0.0] * 7), "value 5 is not finite"),
    ],
)
def test_bad_features_are_named(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"x\.mfc: .*{message}"):
        read_cepstra(data, "x.mfc")


def test_a_missing_file_and_a_speaker_in_both_splits_are_named(folder: Path) -> None:
    (folder / "an4/feat/an4_clstk/mbob/a2-mbob-b.mfc").unlink()
    with pytest.raises(FileNotFoundError, match=r"a2-mbob-b\.mfc"):
        load_an4(folder)
    write(folder, "feat/an4_clstk/mbob/a2-mbob-b.mfc", cepstra(2))
    write(folder, "etc/an4_test.fileids", "an4_clstk/mbob/a2-mbob-b\n")
    write(folder, "etc/an4_test.transcription", "GO (a2-mbob-b)\n")
    with pytest.raises(ValueError, match="speaker mbob speaks in train and in test"):
        load_an4(folder)


def test_card_agrees_with_the_registry_and_the_real_files(public: Path) -> None:
    text, rows = CARD.read_text(encoding="utf-8"), dataset_rows("an4-mfcc")
    assert (rows[0].commit, rows[0].licence) == (COMMIT, LICENCE)
    assert rows[0].commit in text
    assert rows[0].repo in text
    corpus = load_an4(fetch("an4-mfcc"))
    stated = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert {split: int(used) for split, _, used in stated} == dict(corpus.use.rows)
    table = corpus.speakers.groupby(["split", "gender"]).size()
    for split, words in (("train", "74 speakers (21 women)"), ("test", "10 other speakers (3 women)")):
        women, men = table[split, "f"], table[split, "m"]
        assert words in text
        assert (f"{women + men} ", f"({women} women)") == (words.split()[0] + " ", words[words.index("(") :])
    assert (len(corpus.words), "99 different ones" in text) == (99, True)
    read = {r.file: r.sha256 for r in rows if r.file.endswith(".mfc") or "etc/an4_t" in r.file}
    assert corpus.use.sha256 == combined_digest(read)
