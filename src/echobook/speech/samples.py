"""What a function that takes audio may be given: floats about [-1, 1], one channel, shape (N,).

Integer samples are refused and not scaled, because the type does not say the range: a 16-bit recording that
was resampled may well lie in 32-bit integers. Loaders that read a file know its width and scale there.
"""

import torch
from torch import Tensor

LOUDEST = 256.0  # mixing noise at -20 dB stays far below; 16-bit units lie above, but for near silence
_SCALES = {
    torch.int16: "audio.float() / 32768",
    torch.int32: "audio.double() / 2**31, or by the range it was recorded in",
    torch.uint8: "(audio.float() - 128) / 128",
    torch.int8: "audio.float() / 128",
}


def check_samples(audio: Tensor) -> None:
    """Raise ValueError unless `audio` is one channel of finite floats that could lie in [-1, 1].

    The message says what was found and how to convert it. Empty audio passes: how much is enough depends on
    what is done with it.
    """
    if audio.ndim != 1:
        raise ValueError(
            f"expected one channel of shape (samples,), found shape {tuple(audio.shape)}: {_one(audio)}"
        )
    if not audio.is_floating_point():
        name = str(audio.dtype).removeprefix("torch.")
        scale = _SCALES.get(audio.dtype, "audio.float() over the largest value of its range")
        raise ValueError(f"audio holds {name} samples; expected floats in [-1, 1]: try {scale}")
    if not audio.isfinite().all():
        raise ValueError(f"audio sample {int((~audio.isfinite()).nonzero()[0])} is not finite")
    if audio.numel() and (peak := float(audio.abs().max())) > LOUDEST:
        raise ValueError(
            f"audio reaches {peak:.0f}; expected floats in [-1, 1], found what looks like 16-bit units: "
            "divide by 32768"
        )


def _one(audio: Tensor) -> str:
    """How to get one channel from what was found."""
    if audio.ndim != 2:
        return "pass one recording at a time"
    channels_first = audio.shape[0] <= audio.shape[1]
    taken, mean = ("audio[0]", "audio.mean(0)") if channels_first else ("audio[:, 0]", "audio.mean(1)")
    return f"take one with {taken}, or their mean, {mean}"
