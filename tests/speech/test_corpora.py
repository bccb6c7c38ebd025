"""Corpora: disjoint splits, contents of strings, generated speech, bad files."""

import wave

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.speech.corpora import (
    DIGITS,
    Recording,
    WordLabels,
    digit_corpus,
    digit_strings,
    read_digits,
    read_wav,
    split_digits,
    synthetic_corpus,
)
from echobook.speech.synthesis import Voice, synthesise


def write_wav(path, samples, *, rate=8000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, dtype="<i2").tobytes())


def recordings():
    """Each recording is a run of one value that says who, what and which: easy to find again in a string."""
    return [
        Recording(digit, speaker, index, torch.full((10,), 1.0 + 1000 * s + 100 * digit + index))
        for s, speaker in enumerate(("ann", "bob", "cyd"))
        for digit in range(3)
        for index in range(12)
    ]


@pytest.fixture
def folder(tmp_path):
    for s, speaker in enumerate(("ann", "bob")):
        for digit in range(10):
            for index in (0, 5, 10, 11):
                write_wav(tmp_path / f"{digit}_{speaker}_{index}.wav", [1 + 100 * s + digit] * (400 + index))
    return tmp_path


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_wav_by_hand(tmp_path):
    write_wav(tmp_path / "a.wav", [0, 16384, -32768])
    assert read_wav(tmp_path / "a.wav", sample_rate=8000).tolist() == [0.0, 0.5, -1.0]


def test_bad_wavs_are_named(tmp_path):
    write_wav(tmp_path / "a.wav", [1], rate=16000)
    with pytest.raises(
        ValueError, match=r"a\.wav: \(1, 16, 16000\) channels, bits and Hz; expected \(1, 16, 8000\)"
    ):
        read_wav(tmp_path / "a.wav", sample_rate=8000)
    write_wav(tmp_path / "b.wav", [1, 1], channels=2)
    with pytest.raises(ValueError, match=r"b\.wav: \(2, 16"):
        read_wav(tmp_path / "b.wav", sample_rate=8000)
    write_wav(tmp_path / "c.wav", [])
    with pytest.raises(ValueError, match=r"c\.wav holds 0 bytes of samples"):
        read_wav(tmp_path / "c.wav", sample_rate=8000)


def test_splits_are_disjoint_and_complete():
    splits = split_digits(recordings(), held_out=["cyd"])
    keys = {name: {(r.digit, r.speaker, r.take) for r in rows} for name, rows in splits.items()}
    assert {name: len(rows) for name, rows in keys.items()} == {
        "train": 12,
        "dev": 30,
        "test": 30,
        "unseen": 36,
    }
    assert len(set().union(*keys.values())) == len(recordings()) == sum(map(len, splits.values()))
    assert {s for _, s, _ in keys["unseen"]} == {"cyd"}
    assert {i for _, _, i in keys["test"]} == set(range(5))
    assert "unseen" not in split_digits(recordings())


def test_strings_say_what_they_are():
    found = digit_strings(recordings(), 40, generator=generator(), digits=(2, 4), gap_ms=(1, 3))
    for audio, text, speaker in found:
        who = {"ann": 0, "bob": 1, "cyd": 2}[speaker]
        runs = torch.unique_consecutive(audio)
        assert runs[0] == runs[-1] == 0  # silence at both ends
        values = runs[runs > 0].long() - 1
        assert (values // 1000 == who).all()
        assert [DIGITS[v // 100 % 10] for v in values.tolist()] == text.split()
        assert 2 <= len(text.split()) <= 4
        silence = int((audio == 0).sum())
        assert 8 * (len(values) + 1) <= silence <= 24 * (len(values) + 1)
    assert {u.speaker for u in found} == {"ann", "bob", "cyd"}


def test_strings_repeat_with_the_seed():
    one, two = (digit_strings(recordings(), 5, generator=generator(3)) for _ in range(2))
    assert all(torch.equal(a.audio, b.audio) and a.text == b.text for a, b in zip(one, two, strict=True))


def test_digit_corpus_from_files(folder):
    corpus = digit_corpus(folder, counts={"train": 4, "test": 2, "unseen": 3}, seed=0, held_out=["bob"])
    assert {name: len(rows) for name, rows in corpus.splits.items()} == {"train": 4, "test": 2, "unseen": 3}
    assert {u.speaker for u in corpus.splits["unseen"]} == {"bob"}
    assert {u.speaker for u in corpus.splits["train"]} == {"ann"}
    assert corpus.use.rows == {"train": 4, "test": 2, "unseen": 3}
    assert len(read_digits(folder)) == 80
    before = corpus.use.sha256
    write_wav(folder / "0_ann_0.wav", [7] * 400)
    assert digit_corpus(folder, counts={"train": 1}, seed=0).use.sha256 != before


def test_synthetic_corpus_is_speaker_disjoint_and_repeats(tmp_path):
    options = {"counts": {"train": 6, "test": 3}, "voices": {"train": 3, "test": 2}, "seed": 1}
    corpus, again = synthetic_corpus(**options), synthetic_corpus(**options, folder=tmp_path)
    assert corpus.use == again.use
    pairs = zip(corpus.splits["train"], again.splits["train"], strict=True)
    assert all(torch.equal(a.audio, b.audio) and a[1:] == b[1:] for a, b in pairs)
    speakers = {name: {u.speaker for u in rows} for name, rows in corpus.splits.items()}
    assert (len(speakers["train"]), len(speakers["test"])) == (3, 2)
    assert not speakers["train"] & speakers["test"]
    assert all(2 <= len(u.text.split()) <= 5 for rows in corpus.splits.values() for u in rows)
    assert synthetic_corpus(**(options | {"seed": 2})).use.sha256 != corpus.use.sha256
    assert set(corpus.words) == {w for u in corpus.splits["train"] for w in u.text.split()}


def test_word_labels():
    labels = WordLabels(("one", "two"))
    assert labels.classes == 3
    assert labels.encode("two one two") == (2, 1, 2)
    assert labels.encode("") == ()
    assert labels.decode((2, 1)) == "two one"
    with pytest.raises(ValueError, match="word 'six' of 'one six' is not among the 2 words known"):
        labels.encode("one six")
    with pytest.raises(ValueError, match=r"labels are \[0\]; expected 1\.\.2"):
        labels.decode((0,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_digits(recordings(), ["zoe"]), "speaker 'zoe' to hold out"),
        (lambda: digit_strings([], 1, generator=generator()), "expected recordings"),
        (lambda: digit_strings(recordings(), 1, generator=generator(), digits=(3, 2)), "low before high"),
        (lambda: synthetic_corpus(counts={"a": 1}, voices={"b": 1}, seed=0), "of the same splits"),
        (lambda: synthetic_corpus(counts={"a": 1}, voices={"a": 1}, seed=0, words=()), "splits, words"),
        (lambda: synthetic_corpus(counts={"a": 1}, voices={"a": 1}, seed=0, length=(0, 2)), "1 <= length"),
        (
            lambda: synthetic_corpus(counts={"a": 1}, voices={"a": 92}, seed=0),
            r"count is 92; expected 1\.\.91",
        ),
        (lambda: digit_strings(recordings(), 1, generator=generator(), gap_ms=(-1, 2)), "0 <= gap_ms"),
        (lambda: digit_strings(recordings(), 1, generator=generator(), digits=(0, 2)), "1 <= digits"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_folder_without_recordings_is_named(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"in empty/"):
        read_digits(tmp_path / "empty")
    with pytest.raises(ValueError, match="no recordings for split 'unseen'"):
        digit_corpus(folder, counts={"unseen": 1}, seed=0)


def test_files_that_are_no_wav_are_named(tmp_path):
    path = tmp_path / "7_ann_3.wav"
    for content, reason in (
        (b"", "it ends early"),
        (b"hello, this is text", "does not start with RIFF"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00", "it ends early"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"7_ann_3\.wav is no WAV file of plain samples \(.*{reason}"):
            read_wav(path, sample_rate=8000)
    write_wav(path, range(100))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"7_ann_3\.wav holds 150 bytes of samples; expected 200"):
        read_wav(path, sample_rate=8000)


@pytest.mark.parametrize("name", ["ten_ann_1", "12_ann_1", "1_ann_x", "1_ann_b_2"])
def test_other_names_are_refused(tmp_path, name):
    write_wav(tmp_path / f"{name}.wav", [1])
    with pytest.raises(ValueError, match=rf"{name}\.wav: expected digit_speaker_index\.wav"):
        read_digits(tmp_path)


def test_recordings_keep_digit_speaker_and_take(folder):
    rows = read_digits(folder)
    assert [(r.digit, r.speaker, r.take) for r in rows[:4]] == [
        (0, "ann", 0), (0, "ann", 10), (0, "ann", 11), (0, "ann", 5),
    ]  # fmt: skip
    for row in rows:
        value = 1 + row.digit + (100 if row.speaker == "bob" else 0)
        assert torch.equal(row.audio, torch.full((400 + row.take,), value / 32768))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), gap=st.integers(0, 40))
def test_length_of_a_string_is_its_digits_and_gaps(seed, gap):
    # 10 samples a digit, each gap of exactly `gap` ms of 8 samples
    for audio, text, _ in digit_strings(recordings(), 3, generator=generator(seed), gap_ms=(gap, gap)):
        count = len(text.split())
        assert len(audio) == 10 * count + 8 * gap * (count + 1)


def test_no_recording_serves_two_splits_of_a_corpus(tmp_path):
    for index in range(12):  # the sample value is the take
        for digit in (0, 1):
            write_wav(tmp_path / f"{digit}_ann_{index}.wav", [100 + index] * 20)
    corpus = digit_corpus(tmp_path, counts={"train": 20, "dev": 20, "test": 20}, seed=3)
    takes = {
        name: {round(v * 32768) - 100 for u in rows for v in u.audio[u.audio > 0].unique().tolist()}
        for name, rows in corpus.splits.items()
    }
    assert takes == {"test": set(range(5)), "dev": set(range(5, 10)), "train": {10, 11}}


def test_splits_are_drawn_apart(folder):
    # more strings in one split, or another split beside it, change nothing in the others
    few = digit_corpus(folder, counts={"train": 3}, seed=4)
    more = digit_corpus(folder, counts={"test": 5, "train": 6}, seed=4)
    pairs = zip(few.splits["train"], more.splits["train"], strict=False)
    assert all(torch.equal(a.audio, b.audio) and a.text == b.text for a, b in pairs)
    other = digit_corpus(folder, counts={"train": 3}, seed=5)
    assert [u.text for u in other.splits["train"]] != [u.text for u in few.splits["train"]]


def test_synthetic_corpus_says_only_what_it_is_given(tmp_path):
    corpus = synthetic_corpus(
        counts={"train": 5}, voices={"train": 2}, seed=0, words=("open", "door"), length=(1, 2),
        sample_rate=16000, folder=tmp_path,
    )  # fmt: skip
    assert set(corpus.words) <= {"open", "door"}
    assert (corpus.sample_rate, corpus.use.licence) == (16000, "CC0-1.0 (generated)")
    said = {(u.text, u.speaker) for u in corpus.splits["train"]}
    assert len(list(tmp_path.glob("*.npy"))) == len(said)  # cached by content: equal ones once
    for u in corpus.splits["train"]:
        accent, _, rest = u.speaker.partition("+")
        variant, pitch, pitch_range, rate = rest.split("/")
        voice = Voice(accent, variant, int(pitch), int(pitch_range), int(rate))
        assert torch.equal(u.audio, synthesise(u.text, voice, sample_rate=16000))
