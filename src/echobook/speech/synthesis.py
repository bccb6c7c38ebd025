"""Text to audio with eSpeak NG, in this process, the same samples whatever was said before.

The shared library of the `espeakng-loader` wheel is driven through its C interface (speak_lib.h). It keeps
hidden state (phases, noise, flutter) from one utterance to the next, so it is loaded afresh for each and
unloaded after: about 5 ms. The breath of some variants is noise that eSpeak seeds by the clock; here its seed
is fixed. Results are kept in a folder under the hash of text, voice, sample rate, seed and library, if one is
given.

eSpeak NG is a formant synthesiser: clearly articulated, buzzy, with no natural variation beyond its settings.
"""

import _ctypes
import ctypes
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5")
NOISE_SEED = 1
_ONE_AT_A_TIME = threading.Lock()
_SYNCHRONOUS, _UTF8, _RATE, _PITCH, _RANGE = 2, 1, 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Voice:
    """A speaker: accent ("en" is British) and variant by eSpeak name, pitch and its range 0-99, rate in words
    per minute 80-450.
    """

    accent: str = "en-us"
    variant: str = "m1"
    pitch: int = 50
    pitch_range: int = 50
    rate: int = 175

    def __post_init__(self) -> None:
        if not (0 <= self.pitch <= 99 and 0 <= self.pitch_range <= 99 and 80 <= self.rate <= 450):
            raise ValueError(f"expected pitch and pitch_range in 0..99 and rate in 80..450; got {self}")


def random_voices(count: int, *, generator: torch.Generator) -> list[Voice]:
    """Different voices: accents and variants in turn, from shuffled lists; pitch, range and rate at
    random.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    pairs = [(accent, variant) for accent in ACCENTS for variant in VARIANTS]
    if not 0 < count <= len(pairs):
        raise ValueError(f"count is {count}; expected 1..{len(pairs)}, the pairs of accent and variant")
    order = torch.randperm(len(pairs), generator=generator)[:count].tolist()
    return [
        Voice(accent, variant, draw(30, 70), draw(30, 70), draw(140, 210))
        for accent, variant in (pairs[i] for i in order)
    ]


def synthesise(
    text: str, voice: Voice, *, sample_rate: int = 8000, folder: Path | None = None
) -> Float[Tensor, " N"]:
    """Audio in [-1, 1] of one utterance. Raises ValueError for empty text and for a voice that eSpeak
    lacks.
    """
    if not text.strip():
        raise ValueError("text is empty; nothing to say")
    if folder is None:
        return torch.from_numpy(_resample(*_speak(text, voice), sample_rate))
    path = folder / f"{_key(text, voice, sample_rate)}.npy"
    if not path.is_file():
        audio = _resample(*_speak(text, voice), sample_rate)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{threading.get_ident()}.tmp")
        with temporary.open("wb") as handle:
            np.save(handle, audio)
        temporary.replace(path)
    return torch.from_numpy(np.load(path))


def synthesise_all(
    items: Sequence[tuple[str, Voice]],
    *,
    sample_rate: int = 8000,
    folder: Path | None = None,
    progress: bool = False,
) -> list[Float[Tensor, " N"]]:
    """Audio of each (text, voice)."""
    bar = tqdm(items, desc="speech synthesis", disable=not progress)
    return [synthesise(text, voice, sample_rate=sample_rate, folder=folder) for text, voice in bar]


def _key(text: str, voice: Voice, sample_rate: int) -> str:
    facts = json.dumps([text, asdict(voice), sample_rate, NOISE_SEED, _library_digest()], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


@cache
def _library_digest() -> str:
    import espeakng_loader

    return hashlib.sha256(Path(espeakng_loader.get_library_path()).read_bytes()).hexdigest()


def _speak(text: str, voice: Voice) -> tuple[np.ndarray, int]:
    """Samples as int16 and their rate, from a fresh copy of the library."""
    import espeakng_loader

    pieces: list[np.ndarray] = []

    def collect(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _CALLBACK(collect)
    with _ONE_AT_A_TIME:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            rate = library.espeak_Initialize(
                _SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0
            )
            if rate <= 0:
                raise RuntimeError(
                    f"espeak_Initialize returned {rate}; is the espeakng-loader wheel complete?"
                )
            library.espeak_ng_SetRandSeed(ctypes.c_long(NOISE_SEED))
            library.espeak_SetSynthCallback(callback)
            _say(library, text, voice)
        finally:
            library.espeak_Terminate()
            _ctypes.dlclose(library._handle)
    if not pieces:
        raise ValueError(f"eSpeak said nothing for {text!r}; expected pronounceable words")
    return np.concatenate(pieces), rate


def _say(library: ctypes.CDLL, text: str, voice: Voice) -> None:
    name = f"{voice.accent}+{voice.variant}"
    if library.espeak_SetVoiceByName(name.encode()) != 0:
        raise ValueError(f"eSpeak has no voice {name!r}; see ACCENTS and VARIANTS")
    for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    data = text.encode()
    code = library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
    if code != 0:
        raise RuntimeError(f"espeak_Synth returned {code} for {text!r}")
    library.espeak_Synchronize()


def _resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    from scipy.signal import resample_poly

    if wanted < 1:
        raise ValueError(f"sample_rate is {wanted}; expected a positive number of Hz")
    shared = gcd(rate, wanted)
    audio = resample_poly(samples.astype(np.float64) / 32768, wanted // shared, rate // shared)
    return audio.clip(-1, 1).astype(np.float32)
