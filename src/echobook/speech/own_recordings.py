"""A reader's own recordings: a folder of WAV files and a CSV of transcripts, to features, WER and a table by
speaker.

    own/transcripts.csv      file,text,speaker      (the column speaker may be left out: all are "own")
                             a.wav,yes stop,ann
    own/a.wav ...            PCM of 8, 16, 24 or 32 bit or float, any sample rate

    result = recognise_folder(Path("own"), model=model, front_end=front_end, labels=labels)
    result.wer, result.speakers, result.rows

Recordings come to the model's sample rate by `scipy.signal.resample_poly` and to the level at which the
strings of `echobook.speech.strings` are made. Stereo is refused, or mixed to its mean.
Audio is float32 in [-1, 1], shape (N,); everything that cannot be used is refused by name before anything is
recognised.
"""

import csv
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import Tensor

from echobook.metrics.wer import total, wer_by_group, word_errors
from echobook.speech.corpora import Utterance, WordLabels
from echobook.speech.decoding import greedy
from echobook.speech.features import FrontEnd
from echobook.speech.model import Transducer
from echobook.speech.strings import level
from echobook.speech.training import Example, collate

SILENT = 1e-4  # root mean square below which nothing was said: -80 dB of full scale
FULL_SCALE, CLIPPED = 0.999, 0.001  # a recording is clipped when a larger share than this is at full scale
BATCH = 50  # recordings decoded together


class RecordingError(ValueError):
    """A recording or a line of the transcripts that cannot be used; the message names it and what to try."""


@dataclass(frozen=True)
class OwnResult:
    """examples: features and labels in the order of the transcripts. rows: file, speaker, said, heard,
    words, errors. speakers: one row a speaker, see `echobook.metrics.wer.wer_by_group`. wer: of all.
    """

    examples: Sequence[Example]
    rows: pd.DataFrame
    speakers: pd.DataFrame
    wer: float


def recognise_folder(
    folder: Path,
    *,
    model: Transducer,
    front_end: FrontEnd,
    labels: WordLabels,
    transcripts: str = "transcripts.csv",
    stereo: str = "refuse",
) -> OwnResult:
    """Recognise every recording that the transcripts name, greedily, and compare.

    Raises RecordingError for a missing, empty, unreadable, silent, clipped, too short or (by choice) stereo
    file, for an empty transcript, and for a word that the model does not know.
    """
    rate = front_end.log_mel.sample_rate
    found = read_folder(folder, sample_rate=rate, transcripts=transcripts, stereo=stereo)
    examples = [_example(name, utterance, front_end, labels) for name, utterance in found.items()]
    heard = [text for start in range(0, len(examples), BATCH) for text in
             _heard(model, examples[start : start + BATCH], labels)]  # fmt: skip
    said, speakers = [u.text for u in found.values()], [u.speaker for u in found.values()]
    errors = word_errors(said, heard)
    columns = {"file": list(found), "speaker": speakers, "said": said, "heard": heard}
    rows = pd.DataFrame(columns | {"words": [e.words for e in errors], "errors": [e.errors for e in errors]})
    table = wer_by_group(errors, speakers).rename(columns={"group": "speaker"})
    return OwnResult(examples, rows, table, total(errors).rate)


def read_folder(
    folder: Path,
    *,
    sample_rate: int,
    transcripts: str = "transcripts.csv",
    stereo: str = "refuse",
) -> dict[str, Utterance]:
    """Recordings by file name, in the order of the transcripts; raises as `recognise_folder` does."""
    lines = read_transcripts(folder / transcripts)
    return {
        name: Utterance(
            level(read_recording(folder / name, sample_rate=sample_rate, stereo=stereo)), text, who
        )
        for name, (text, who) in lines.items()
    }


def read_transcripts(path: Path) -> dict[str, tuple[str, str]]:
    """Text and speaker of each file; spaces in a text are made single."""
    if not path.is_file():
        raise RecordingError(
            f"no {path.name} in {path.parent.name}/; write one with the columns file,text,speaker"
        )
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        if absent := {"file", "text"} - set(reader.fieldnames or ()):
            raise RecordingError(
                f"{path.name}:1 has no column {sorted(absent)[0]}; expected file,text,speaker"
            )
        lines: dict[str, tuple[str, str]] = {}
        for row in reader:
            name, text = (row["file"] or "").strip(), " ".join((row["text"] or "").split())
            where = f"{path.name}:{reader.line_num}"
            if not name or name in lines:
                raise RecordingError(f"{where}: expected a file that no other line names, got {name!r}")
            if not text:
                raise RecordingError(
                    f"{where}: the transcript of {name} is empty; write the words that are said"
                )
            lines[name] = text, (row.get("speaker") or "own").strip()
    if not lines:
        raise RecordingError(f"{path.name} names no recording; add lines such as a.wav,yes stop,ann")
    return lines


def read_recording(path: Path, *, sample_rate: int, stereo: str = "refuse") -> Float[Tensor, " N"]:
    """Samples at `sample_rate`, checked to be neither silent nor clipped."""
    if stereo not in ("refuse", "mix"):
        raise ValueError(f"stereo is {stereo!r}; expected 'refuse' or 'mix'")
    rate, samples = _samples(path)
    if samples.ndim == 2 and samples.shape[1] > 1 and stereo == "refuse":
        raise RecordingError(
            f"{path.name} has {samples.shape[1]} channels; record in mono, or pass stereo='mix'"
        )
    _check_level(path.name, samples)
    mono = samples if samples.ndim == 1 else samples.mean(1)
    shared = gcd(rate, sample_rate)
    same = rate == sample_rate
    audio = mono if same else resample_poly(mono, sample_rate // shared, rate // shared)
    if float(np.sqrt(np.mean(audio**2))) < SILENT:
        raise RecordingError(f"{path.name} is silent once its channels are mixed: use one of them")
    return torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))


def _samples(path: Path) -> tuple[int, np.ndarray]:
    """Rate and samples in [-1, 1], float64, one column a channel where there are several."""
    if not path.is_file():
        raise RecordingError(f"{path.name} is named in the transcripts but is not in {path.parent.name}/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of text beside the samples
            rate, samples = wavfile.read(path)
    except (ValueError, EOFError, struct.error) as error:
        raise RecordingError(
            f"{path.name} is no WAV file that can be read ({error}); convert it to PCM"
        ) from error
    if samples.size == 0 or rate <= 0:
        raise RecordingError(f"{path.name} holds no samples; record it again")
    if samples.dtype == np.uint8:  # eight bits have no sign
        return rate, (samples.astype(np.float64) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):  # 24 bits come in the upper part of 32
        return rate, samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    if not np.isfinite(samples).all():
        raise RecordingError(f"{path.name} has samples that are not finite; export it again")
    return rate, samples.astype(np.float64)


def _check_level(name: str, samples: np.ndarray) -> None:
    loudness = float(np.sqrt(np.mean(samples**2)))
    if loudness < SILENT:
        raise RecordingError(f"{name} is silent (RMS {loudness:.1e} of full scale); check the microphone")
    share = float(np.mean(np.abs(samples) >= FULL_SCALE))
    if share > CLIPPED:
        raise RecordingError(
            f"{name} is clipped: {100 * share:.1f} % of its samples are at full scale; record it more quietly"
        )


def _example(name: str, utterance: Utterance, front_end: FrontEnd, labels: WordLabels) -> Example:
    try:
        return Example(front_end(utterance.audio), labels.encode(utterance.text), name)
    except ValueError as error:
        raise RecordingError(f"{name}: {error}") from error


@torch.no_grad()
def _heard(model: Transducer, examples: Sequence[Example], labels: WordLabels) -> list[str]:
    batch = collate(examples)
    return [labels.decode(found.labels) for found in greedy(model, batch.frames, batch.lengths)]
