"""Log-mel features, global normalisation, SpecAugment and frame stacking, in batch and incremental form.

    log-mel:   log max(floor, sum_f W[f, m] |DFT(window * frame)[f]|^2)

Frames are 25 ms long and 10 ms apart, start at sample 0 and are never padded or centred, so feature t needs
no sample after hop*t + window: the front end is causal and can be fed piece by piece with the same result.

Conventions that differ between libraries, and ours: Hamming window (periodic=False, as Kaldi; librosa
defaults to Hann, centred), power spectrum, HTK mel scale with triangles of height 1 that are linear in mel,
as Kaldi; natural log with a floor; no pre-emphasis, dither or removal of the mean.

With the same settings kaldi-native-fbank agrees to 1e-4 nats and librosa, given these triangles, to 2e-5.
Mean shift of a log energy, in nats, for each convention taken from them (8 kHz; bench/features_peer.py):
Kaldi's pre-emphasis 1.6, Povey window 0.04, mean of each frame removed 0.06, samples in 16-bit units 20.8
everywhere; librosa's triangles linear in Hz 0.003, Slaney mel scale 0.5, triangles of equal area 4.4, Hann
window 0.09, periodic window 0.007, window in the middle of the transform 0.2.

Axes: N samples, T frames, M mel channels, F frequency bins, D = M * stacked frames.
Cost: O(T F (log F + M)). Spectra and statistics in float64, so that the result does not depend on how many
frames are computed at once (a float32 transform does, in its last bits); features are float32.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from echobook.speech.samples import check_samples


@dataclass(frozen=True)
class LogMel:
    """Settings of the front end: rates in Hz, durations in ms. Call it on audio for (T, M) log energies."""

    sample_rate: int = 8000
    mels: int = 40
    window_ms: float = 25.0
    hop_ms: float = 10.0
    low_hz: float = 20.0
    high_hz: float | None = None
    floor: float = 1e-7

    def __post_init__(self) -> None:
        top = self.top_hz
        if not 0 <= self.low_hz < top <= self.sample_rate / 2:
            raise ValueError(
                f"mel range is {self.low_hz}..{top} Hz; expected 0 <= low < high <= {self.sample_rate / 2}"
            )
        if min(self.mels, self.window, self.hop) < 1 or self.floor <= 0:
            raise ValueError(f"expected positive mels, window, hop and floor; got {self}")
        if (self.weights.sum(0) == 0).any():
            raise ValueError(f"{self.mels} mel channels are too many for a DFT of {self.fft_size} points")

    @property
    def top_hz(self) -> float:
        """Upper edge of the highest channel; half the sample rate if not given."""
        return self.sample_rate / 2 if self.high_hz is None else self.high_hz

    @property
    def window(self) -> int:
        """Samples in one frame."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return round(self.sample_rate * self.hop_ms / 1000)

    @property
    def fft_size(self) -> int:
        """Next power of two that holds a frame."""
        return 1 << (self.window - 1).bit_length()

    @cached_property
    def weights(self) -> Float[Tensor, "F M"]:
        """Mel filterbank."""
        edges = {"low_hz": self.low_hz, "high_hz": self.top_hz}
        return mel_filterbank(self.fft_size, self.sample_rate, self.mels, **edges)

    @cached_property
    def taper(self) -> Float[Tensor, " W"]:
        """Hamming window."""
        return torch.hamming_window(self.window, periodic=False)

    def frame_count(self, samples: int) -> int:
        """Frames that fit into so many samples."""
        return max(0, 1 + (samples - self.window) // self.hop)

    def __call__(self, audio: Float[Tensor, " N"]) -> Float[Tensor, "T M"]:
        """Log-mel energies of audio in [-1, 1].

        Raises ValueError for integers, several channels, NaN, infinity, 16-bit units, or less than one
        window.
        """
        check_samples(audio)
        if len(audio) < self.window:
            raise ValueError(
                f"audio has {len(audio)} samples; one window of {self.window_ms} ms at "
                f"{self.sample_rate} Hz needs {self.window}"
            )
        frames = audio.double().unfold(0, self.window, self.hop) * self.taper  # (T, W)
        spectra = torch.view_as_real(torch.fft.rfft(frames, self.fft_size))  # (T, F, 2)
        power = spectra[..., 0].square().addcmul_(spectra[..., 1], spectra[..., 1])  # (T, F)
        return (power @ self.weights.double()).clamp_min_(self.floor).log_().float()


def mel_filterbank(
    fft_size: int, sample_rate: int, mels: int, *, low_hz: float, high_hz: float
) -> Float[Tensor, "F M"]:
    """Triangles of height 1, equally spaced on the HTK mel scale 1127 ln(1 + f/700) and linear in mel."""

    def mel(hz: Tensor) -> Tensor:
        return 1127 * torch.log1p(hz / 700)

    bins = mel(torch.arange(fft_size // 2 + 1, dtype=torch.float64) * sample_rate / fft_size)
    low, high = mel(torch.tensor([low_hz, high_hz], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, mels + 2, dtype=torch.float64)
    width = edges[1] - edges[0]
    return (1 - (bins[:, None] - edges[1:-1]).abs() / width).clamp_min(0).float()


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per channel, from training data only."""

    mean: Float[Tensor, " M"]
    deviation: Float[Tensor, " M"]

    def normalise(self, features: Float[Tensor, "*lead M"]) -> Float[Tensor, "*lead M"]:
        """Shift and scale each channel to mean 0 and deviation 1 over the training data."""
        return (features - self.mean) / self.deviation


def global_statistics(utterances: Iterable[Float[Tensor, "_ M"]], *, least: float = 1e-3) -> Statistics:
    """Mean and deviation of each channel over all frames; a deviation below `least` is raised to it."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for features in utterances:
        wide = features.double()
        count, total, squares = count + len(wide), total + wide.sum(0), squares + wide.square().sum(0)
    if count == 0:
        raise ValueError("no frames to take statistics from; pass at least one utterance")
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0)
    return Statistics(mean.float(), variance.sqrt().clamp_min(least).float())


def stack_frames(features: Float[Tensor, "T M"], *, count: int = 3, skip: int = 3) -> Float[Tensor, "S D"]:
    """Join `count` consecutive frames into one, every `skip` frames; an incomplete tail is dropped.

    Raises ValueError when there are fewer than `count` frames.
    """
    if min(count, skip) < 1 or len(features) < count:
        raise ValueError(
            f"expected count, skip >= 1 and at least count frames; got {count}, {skip}, {len(features)}"
        )
    return features.unfold(0, count, skip).transpose(1, 2).flatten(1)


def spec_augment(
    features: Float[Tensor, "T M"],
    *,
    generator: torch.Generator,
    time_ratio: float = 0.04,
    multiplicity: float = 0.04,
    frequency_ratio: float = 0.34,
    frequency_masks: int = 2,
) -> Float[Tensor, "T M"]:
    """Blank out random stripes of normalised features with 0, the training mean (Park et al. 2019, 2020).

    floor(multiplicity * T) time stripes of at most floor(time_ratio * T) frames, and `frequency_masks`
    stripes of at most floor(frequency_ratio * M) channels; widths and places are uniform. Apply before
    stacking, in training only.
    """
    if not (
        0 <= time_ratio <= 1 and 0 <= frequency_ratio <= 1 and multiplicity >= 0 and frequency_masks >= 0
    ):
        raise ValueError("expected ratios in 0..1, multiplicity >= 0 and frequency_masks >= 0")
    frames, mels = features.shape
    out = features.clone()
    for _ in range(int(multiplicity * frames)):
        out[_stripe(frames, int(time_ratio * frames), generator)] = 0
    for _ in range(frequency_masks):
        out[:, _stripe(mels, int(frequency_ratio * mels), generator)] = 0
    return out


@dataclass(frozen=True)
class Stripes:
    """SpecAugment with a fixed number of stripes, for utterances of a few seconds: (how many, widest) in mel
    channels and in unstacked frames. A stripe is never wider than half of the utterance.
    """

    frequency: tuple[int, int] = (2, 6)
    time: tuple[int, int] = (2, 12)

    def __post_init__(self) -> None:
        if min(*self.frequency, *self.time) < 0:
            raise ValueError(f"expected counts and widths >= 0; got {self}")

    def __call__(self, features: Float[Tensor, "T M"], generator: torch.Generator) -> Float[Tensor, "T M"]:
        """Normalised features with stripes of 0, the training mean."""
        frames, mels = features.shape
        out = features.clone()
        for _ in range(self.time[0]):
            out[_stripe(frames, min(self.time[1], frames // 2), generator)] = 0
        for _ in range(self.frequency[0]):
            out[:, _stripe(mels, min(self.frequency[1], mels // 2), generator)] = 0
        return out


def _stripe(size: int, widest: int, generator: torch.Generator) -> slice:
    width = int(torch.randint(widest + 1, (), generator=generator))
    start = int(torch.randint(size - width + 1, (), generator=generator))
    return slice(start, start + width)


@dataclass(frozen=True)
class FrontEnd:
    """Audio to stacked, normalised features: log-mel, statistics, optional SpecAugment, stacking."""

    log_mel: LogMel
    statistics: Statistics
    count: int = 3
    skip: int = 3

    @property
    def size(self) -> int:
        """Width D of the output."""
        return self.log_mel.mels * self.count

    @property
    def frame_seconds(self) -> float:
        """Time from one stacked frame to the next."""
        return self.skip * self.log_mel.hop / self.log_mel.sample_rate

    def __call__(
        self, audio: Float[Tensor, " N"], *, augment: torch.Generator | None = None
    ) -> Float[Tensor, "S D"]:
        """Features of one utterance; with a generator, SpecAugment masks drawn from it."""
        features = self.statistics.normalise(self.log_mel(audio))
        if augment is not None:
            features = spec_augment(features, generator=augment)
        return stack_frames(features, count=self.count, skip=self.skip)


class IncrementalFeatures:
    """The same features from audio that arrives in pieces."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self.samples = torch.zeros(0)
        self.frames = torch.zeros(0, front_end.log_mel.mels)
        self.owed = 0  # frames to pass over that have not arrived yet: only when skip > count

    def push(self, audio: Float[Tensor, " N"]) -> Float[Tensor, "S D"]:
        """Take any number of samples, none included; return the stacked frames that became complete.

        Raises ValueError for what is no audio in [-1, 1]: see `echobook.speech.samples`.
        """
        check_samples(audio)
        log_mel, front_end = self.front_end.log_mel, self.front_end
        self.samples = torch.cat([self.samples, audio.float()])
        ready = log_mel.frame_count(len(self.samples))
        if ready:
            new = front_end.statistics.normalise(log_mel(self.samples))
            self.frames = torch.cat([self.frames, new[self.owed :]])
            self.owed = max(0, self.owed - len(new))
            self.samples = self.samples[ready * log_mel.hop :]
        if len(self.frames) < front_end.count:
            return self.frames.new_zeros(0, front_end.size)
        stacked = stack_frames(self.frames, count=front_end.count, skip=front_end.skip)
        used = len(stacked) * front_end.skip
        self.owed += max(0, used - len(self.frames))
        self.frames = self.frames[used:]
        return stacked
