"""Own recordings: formats, rates and channels against known tones, the whole call, every refusal by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from echobook.speech.corpora import WordLabels
from echobook.speech.features import FrontEnd, LogMel, Statistics
from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer
from echobook.speech.own_recordings import (
    RecordingError,
    read_folder,
    read_recording,
    read_transcripts,
    recognise_folder,
)
from echobook.speech.strings import RMS

LABELS = WordLabels(("no", "yes"))


def tone(rate: int, seconds: float = 0.5, loudness: float = 0.25, hertz: float = 440.0) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path: Path, rate: int, samples: np.ndarray, kind: str = "int16") -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    scaled = {
        "uint8": lambda x: np.round(x * 127 + 128).astype(np.uint8),
        "int16": lambda x: np.round(x * 32767).astype(np.int16),
        "int32": lambda x: np.round(x * (2**31 - 1)).astype(np.int32),
        "float32": lambda x: x.astype(np.float32),
    }
    wavfile.write(path, rate, scaled[kind](samples))


def front_end() -> FrontEnd:
    return FrontEnd(LogMel(16000, 20, floor=1e-3), Statistics(torch.zeros(20), torch.ones(20)))


def model() -> Transducer:
    """Writes nothing, whatever it hears: the blank's score is far above the others'."""
    torch.manual_seed(0)
    encoder = LSTMEncoder(60, hidden=4, size=4, layers=1)
    made = Transducer(encoder, PredictionNetwork(3, embedding=2, hidden=4, size=4), AdditiveJoiner(4, 3))
    torch.nn.init.constant_(made.joiner.output.bias, -20.0)
    made.joiner.output.bias.data[0] = 20.0
    return made.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two speakers, three files at three rates."""
    own = tmp_path / "own"
    write(own / "a.wav", 16000, tone(16000))
    write(own / "b.wav", 44100, tone(44100), "float32")
    write(own / "c.wav", 8000, tone(8000), "int32")
    (own / "transcripts.csv").write_text(
        "file,text,speaker\na.wav,yes  no,ann\nb.wav,no,bob\nc.wav,yes,ann\n"
    )
    return own


@pytest.mark.parametrize(
    ("kind", "error"), [("uint8", 9e-3), ("int16", 4e-5), ("int32", 1e-7), ("float32", 1e-7)]
)
def test_formats_give_the_samples(tmp_path: Path, kind: str, error: float) -> None:
    """Within a step of the format (1/128 for 8 bits), or float32."""
    write(tmp_path / "a.wav", 16000, tone(16000), kind)
    audio = read_recording(tmp_path / "a.wav", sample_rate=16000)
    assert audio.dtype == torch.float32
    assert np.abs(audio.numpy() - tone(16000)).max() < error


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_any_rate_becomes_the_wanted_one(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.wav", rate, tone(rate), "float32")
    audio = read_recording(tmp_path / "a.wav", sample_rate=16000).numpy()
    assert len(audio) == pytest.approx(8000, abs=2)
    inner = slice(800, 7000)  # the filter's ripple, away from the edges
    assert np.abs(audio[inner] - tone(16000)[inner]).max() < 1e-3


def test_stereo_is_refused_or_mixed(tmp_path: Path) -> None:
    left, right = tone(16000), tone(16000, hertz=880.0)
    write(tmp_path / "a.wav", 16000, np.stack([left, right], 1), "float32")
    with pytest.raises(RecordingError, match=r"a\.wav has 2 channels; .*stereo='mix'"):
        read_recording(tmp_path / "a.wav", sample_rate=16000)
    mixed = read_recording(tmp_path / "a.wav", sample_rate=16000, stereo="mix").numpy()
    assert np.abs(mixed - (left + right) / 2).max() < 1e-6
    with pytest.raises(ValueError, match="expected 'refuse' or 'mix'"):
        read_recording(tmp_path / "a.wav", sample_rate=16000, stereo="left")


def test_the_whole_call(folder: Path) -> None:
    result = recognise_folder(folder, model=model(), front_end=front_end(), labels=LABELS)
    assert result.wer == 1.0  # nothing was written: all four words are missing
    assert result.rows.to_numpy().tolist() == [
        ["a.wav", "ann", "yes no", "", 2, 2], ["b.wav", "bob", "no", "", 1, 1],
        ["c.wav", "ann", "yes", "", 1, 1],
    ]  # fmt: skip
    assert result.speakers[["speaker", "utterances", "words", "wer"]].to_numpy().tolist() == [
        ["ann", 2, 3, 1.0], ["bob", 1, 1, 1.0],
    ]  # fmt: skip
    assert [e.labels for e in result.examples] == [(2, 1), (1,), (2,)]
    assert {e.features.shape[1] for e in result.examples} == {60}


def test_level_is_that_of_training(folder: Path) -> None:
    for utterance in read_folder(folder, sample_rate=16000).values():
        assert float(utterance.audio.square().mean().sqrt()) == pytest.approx(RMS, rel=1e-4)


def test_speaker_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,text\na.wav,yes\n")
    assert read_transcripts(tmp_path / "t.csv") == {"a.wav": ("yes", "own")}


def refused(folder: Path, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        recognise_folder(folder, model=model(), front_end=front_end(), labels=LABELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,text\n", r"transcripts\.csv:1 has no column file"),
        ("file,text\n", "names no recording"),
        ("file,text\na.wav, \n", r"transcripts\.csv:2: the transcript of a\.wav is empty"),
        ("file,text\na.wav\n", r"transcripts\.csv:2: the transcript of a\.wav is empty"),
        ("file,text\na.wav,yes\na.wav,no\n", r"transcripts\.csv:3: expected a file that no other"),
        ("file,text\n,yes\n", "expected a file"),
        ("file,text\nz.wav,yes\n", r"z\.wav is named in the transcripts but is not in own/"),
        ("file,text\na.wav,perhaps\n", r"a\.wav: word 'perhaps'"),
    ],
)
def test_transcripts_that_are_refused(folder: Path, text: str, message: str) -> None:
    (folder / "transcripts.csv").write_text(text)
    refused(folder, message)


def test_no_transcripts(folder: Path) -> None:
    (folder / "transcripts.csv").unlink()
    refused(folder, r"no transcripts\.csv in own/")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(8000), r"a\.wav is silent \(RMS 0"),
        (np.clip(20 * tone(16000), -1, 1), r"a\.wav is clipped: \d+\.\d %"),
        (np.zeros(0), r"a\.wav holds no samples"),
        (np.full(8000, np.nan), r"a\.wav has samples that are not finite"),
        (tone(16000, 0.02), r"a\.wav: audio has 320 samples; one window"),
    ],
)
def test_recordings_that_are_refused(folder: Path, samples: np.ndarray, message: str) -> None:
    write(folder / "a.wav", 16000, samples, "float32")
    refused(folder, message)


def test_channels_that_cancel_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 16000, np.stack([tone(16000), -tone(16000)], 1), "float32")
    with pytest.raises(RecordingError, match="silent once its channels are mixed"):
        read_recording(tmp_path / "a.wav", sample_rate=16000, stereo="mix")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3 not a wave file at all"])
def test_other_files_are_refused(folder: Path, content: bytes) -> None:
    (folder / "a.wav").write_bytes(content)
    refused(folder, r"a\.wav")
