"""Test voices of another synthesiser: flite (CMU), run as a program.

A recogniser trained and tested with one synthesiser may learn that synthesiser's building blocks instead of
speech. flite's voices are built from recordings of people (diphones and clustered units), eSpeak NG's from
formants. The program comes with the Debian package `flite`; where it is missing, this module refuses.
"""

import hashlib
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import resample_poly
from torch import Tensor

from echobook.speech.samples import check_samples

VOICES = ("awb", "kal16", "rms", "slt")


class FliteMissing(RuntimeError):
    """The program is not installed; the message says how to get it."""


def flite_program() -> str:
    """Path of the program. Raises FliteMissing where there is none."""
    found = shutil.which("flite")
    if found is None:
        raise FliteMissing(
            "the program flite is not installed, and the test voices of this profile are its voices; install "
            "the Debian or Ubuntu package `flite` (apt install flite), or choose test_voices='espeak'"
        )
    return found


def speak(
    text: str, voice: str, *, stretch: float = 1.0, sample_rate: int = 8000, folder: Path | None = None
) -> Float[Tensor, " N"]:
    """Audio in [-1, 1] of one utterance; `stretch` above 1 is slower. Kept in `folder` if one is given.

    Raises ValueError for empty text, an unknown voice or a stretch outside 0.5..2, FliteMissing, and
    RuntimeError with the program's own message when it fails.
    """
    if not text.strip() or voice not in VOICES or not 0.5 <= stretch <= 2:
        raise ValueError(
            f"expected text, a voice of {VOICES} and stretch in 0.5..2; got {text=}, {voice=}, {stretch=}"
        )
    key = hashlib.sha256(repr((text, voice, stretch, sample_rate)).encode()).hexdigest()
    kept = None if folder is None else folder / f"flite-{key}.npy"
    if kept is not None and kept.is_file():
        return torch.from_numpy(np.load(kept))
    audio = _resample(*_run(text, voice, stretch), sample_rate)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp.npy")
        np.save(temporary, audio)
        temporary.replace(kept)
    return torch.from_numpy(audio)


def speak_all(
    items: Sequence[tuple[str, str, float]], *, sample_rate: int = 8000, folder: Path | None = None
) -> list[Float[Tensor, "_"]]:
    """Audio of each (text, voice, stretch)."""
    return [speak(t, v, stretch=s, sample_rate=sample_rate, folder=folder) for t, v, s in items]


def without_silent_ends(
    audio: Float[Tensor, " N"], *, frame: int = 80, threshold: float = 0.01
) -> Float[Tensor, " M"]:
    """Audio from the first to the last frame whose RMS exceeds a share of the loudest frame's.

    flite puts about a fifth of a second of silence at either end of what it says; eSpeak NG next to none.
    Frames behind the last whole one are cut; audio shorter than a frame, or all zeros, is returned as it is.
    """
    check_samples(audio)
    rms = audio.unfold(0, frame, frame).square().mean(1).sqrt() if len(audio) >= frame else audio.new_zeros(0)
    loud = (rms > threshold * rms.max()).nonzero().flatten().tolist() if len(rms) else []
    return audio[loud[0] * frame : (loud[-1] + 1) * frame] if loud else audio


def _run(text: str, voice: str, stretch: float) -> tuple[np.ndarray, int]:
    program = flite_program()
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "spoken.wav"
        options = ["-voice", voice, "--setf", f"duration_stretch={stretch}", "-t", text, "-o", str(target)]
        done = subprocess.run([program, *options], capture_output=True, text=True, check=False)
        if done.returncode or not target.is_file():
            raise RuntimeError(f"flite failed on {text!r} with voice {voice}: {done.stderr.strip()[:200]}")
        with wave.open(str(target), "rb") as file:
            return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2"), file.getframerate()


def _resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    shared = gcd(rate, wanted)
    audio = resample_poly(samples.astype(np.float64) / 32768, wanted // shared, rate // shared)
    return audio.clip(-1, 1).astype(np.float32)
