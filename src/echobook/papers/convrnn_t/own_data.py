"""A reader's own recording: `transcribe` gives its words and the times at which they are written."""

import torch
from jaxtyping import Float
from torch import Tensor

from echobook.papers.convrnn_t.material import Material
from echobook.speech.decoding import greedy
from echobook.speech.features import FrontEnd
from echobook.speech.model import Transducer


def transcribe(
    model: Transducer, audio: Float[Tensor, " N"], sample_rate: int, material: Material
) -> tuple[str, tuple[float, ...]]:
    """Words of one recording and the time in seconds at which each is written.

    Raises ValueError for audio that cannot be read: see `check_audio`.
    """
    front_end = material.front_end
    frames = front_end(check_audio(audio, sample_rate, front_end))
    found = greedy(model, frames[None], torch.tensor([len(frames)]))[0]
    words = material.labels.decode(found.labels)
    return words, tuple((t + 1) * front_end.frame_seconds for t in found.times)


def check_audio(audio: Float[Tensor, " N"], sample_rate: int, front_end: FrontEnd) -> Float[Tensor, " N"]:
    """Return audio that the front end can take.

    Raises ValueError for empty audio, audio shorter than one stacked frame, NaN or infinity, or another
    sample rate than the model was trained on.
    """
    log_mel = front_end.log_mel
    if sample_rate != log_mel.sample_rate:
        raise ValueError(
            f"audio has {sample_rate} samples a second; the model was trained at {log_mel.sample_rate}: "
            "resample it first"
        )
    least = log_mel.window + (front_end.count - 1) * log_mel.hop
    if len(audio) < least:
        raise ValueError(
            f"audio has {len(audio)} samples; one frame of {front_end.count} windows needs {least} "
            f"({1000 * least / sample_rate:.0f} ms)"
        )
    if not audio.isfinite().all():
        raise ValueError(f"audio sample {int((~audio.isfinite()).nonzero()[0])} is not finite")
    return audio
