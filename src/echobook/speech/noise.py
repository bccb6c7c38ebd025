"""Mixing, noise and reverberation as pure functions; randomness comes from an explicit generator.

    SNR in dB = 10 log10(mean(signal^2) / mean(noise^2))

over the whole utterance, silences included. Audio is float32, shape (N,), nominally in [-1, 1]; nothing is
clipped. Audio of integers or of several channels is refused. Axes: N samples, K taps of an impulse response.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from echobook.speech.samples import check_samples


def power(audio: Float[Tensor, " N"]) -> float:
    """Mean square of the samples, accumulated in float64."""
    check_samples(audio)
    return float(audio.double().square().mean())


def mix_at_snr(signal: Float[Tensor, " N"], noise: Float[Tensor, " N"], snr_db: float) -> Float[Tensor, " N"]:
    """Signal plus noise scaled to the given SNR. Raises ValueError for a silent or empty side."""
    if len(signal) == 0 or power(signal) == 0 or power(noise) == 0:
        raise ValueError("an SNR needs signal and noise that are neither empty nor silent")
    gain = (power(signal) / power(noise)) ** 0.5 * 10 ** (-snr_db / 20)
    return signal + gain * noise


def white_noise(samples: int, *, generator: torch.Generator) -> Float[Tensor, " N"]:
    """Gaussian noise of power 1."""
    return torch.randn(samples, generator=generator)


def loop_to_length(
    audio: Float[Tensor, " M"], samples: int, *, generator: torch.Generator
) -> Float[Tensor, " N"]:
    """`samples` samples of `audio` played in a loop from a random place."""
    check_samples(audio)
    if len(audio) == 0:
        raise ValueError("audio to loop is empty")
    start = int(torch.randint(len(audio), (), generator=generator))
    whole = -(-(start + samples) // len(audio))
    return audio.repeat(whole)[start : start + samples]


def babble(
    voices: Sequence[Float[Tensor, "_"]], samples: int, *, generator: torch.Generator
) -> Float[Tensor, " N"]:
    """Sum of voices, each looped from a random place and scaled to power 1; the sum is scaled to power 1."""
    if not voices:
        raise ValueError("babble needs at least one voice")
    looped = [loop_to_length(voice, samples, generator=generator) for voice in voices]
    mixed = torch.stack([voice / max(power(voice), 1e-12) ** 0.5 for voice in looped]).sum(0)
    return mixed / max(power(mixed), 1e-12) ** 0.5


def change_speed(audio: Float[Tensor, " N"], factor: float) -> Float[Tensor, " M"]:
    """Play `factor` times as fast, tempo and pitch together: round(N / factor) samples by linear
    interpolation.

    Raises ValueError for empty audio or a factor that is not positive.
    """
    check_samples(audio)
    if len(audio) == 0 or not factor > 0:
        raise ValueError(f"expected audio and a factor > 0; got {len(audio)} samples and {factor=}")
    size = max(1, round(len(audio) / factor))
    place = (torch.arange(size, dtype=torch.float64) * factor).clamp_max(len(audio) - 1)
    left = place.long().clamp_max(max(len(audio) - 2, 0))
    share = (place - left).to(audio.dtype)
    return audio[left] * (1 - share) + audio[(left + 1).clamp_max(len(audio) - 1)] * share


def room_response(
    sample_rate: int, *, rt60: float, direct_db: float = 0.0, generator: torch.Generator
) -> Float[Tensor, " K"]:
    """Synthetic room: a direct path of 1, then Gaussian noise that decays by 60 dB in `rt60` seconds.

    direct_db: energy of the direct path relative to the tail (in expectation over the noise).
    """
    taps = int(rt60 * sample_rate)
    if taps < 1:
        raise ValueError(f"rt60 is {rt60} s; expected at least one sample at {sample_rate} Hz")
    envelope = 10 ** (-3 * torch.arange(1, taps + 1) / taps)
    tail = torch.randn(taps, generator=generator) * envelope
    tail = tail / envelope.norm() * 10 ** (-direct_db / 20)
    return torch.cat([torch.ones(1), tail])


def reverberate(audio: Float[Tensor, " N"], response: Float[Tensor, " K"]) -> Float[Tensor, " N"]:
    """Convolution with the response, cut to the length of the audio: causal, so the direct path stays in
    place.
    """
    check_samples(audio)
    size = 1 << (len(audio) + len(response) - 2).bit_length()
    spectrum = torch.fft.rfft(audio.double(), size) * torch.fft.rfft(response.double(), size)
    return torch.fft.irfft(spectrum, size)[: len(audio)].to(audio.dtype)
