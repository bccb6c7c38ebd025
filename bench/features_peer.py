"""Our log-mel features beside kaldi-native-fbank and librosa: one convention changed at a time.

    python bench/features_peer.py echobook features.npz      # in the project's environment
    python bench/features_peer.py peers features.npz         # where requirements-features.txt is installed

The first writes test signals and our features of them, the second computes the same with the peers and prints
one JSON line for each rate, peer and convention: largest and mean absolute difference of the log energies, in
nats, over all frames and channels. With every setting as ours a peer must agree to 1e-3, or the script fails;
the other lines say how far each of the peer's own conventions moves the features.
"""

import json
import sys
from collections.abc import Callable, Iterator

import numpy as np

RATES = {8000: 40, 16000: 80}  # sample rate: mel channels
LOW_HZ, FLOOR = 20.0, 1e-7


def signal(rate: int) -> np.ndarray:
    """Two seconds of a gliding buzz with noise, syllables and near-silence; float32 in [-1, 1]."""
    time = np.arange(2 * rate) / rate
    phase = 2 * np.pi * np.cumsum(110 + 40 * np.sin(2 * np.pi * 0.7 * time)) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 25))
    loud = 0.05 + np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None)
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.2 * loud * buzz + 0.003 * noise + 0.01).astype(np.float32)  # 0.01: a constant offset


def ours(path: str) -> None:
    """Write signals and features to `path`."""
    import torch

    from echobook.speech.features import LogMel

    made = {}
    for rate, mels in RATES.items():
        audio = signal(rate)
        made[f"audio_{rate}"] = audio
        made[f"log_mel_{rate}"] = LogMel(sample_rate=rate, mels=mels)(torch.from_numpy(audio)).numpy()
    np.savez(path, **made)


def kaldi(audio: np.ndarray, rate: int, mels: int, **changes: object) -> np.ndarray:
    """kaldi-native-fbank with our settings, then `changes` (an option's name, or mel_ and its name)."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    settings = {"samp_freq": rate, "dither": 0.0, "preemph_coeff": 0.0, "remove_dc_offset": False}
    settings |= {"window_type": "hamming", "snip_edges": True}
    for name, value in (settings | {k: v for k, v in changes.items() if not k.startswith("mel_")}).items():
        setattr(options.frame_opts, name, value)
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = mels, LOW_HZ, 0.0
    options.use_energy = False
    for name, value in changes.items():
        if name.startswith("mel_"):
            setattr(options.mel_opts, name.removeprefix("mel_"), value)
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(rate, audio.tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


def librosa_log_mel(audio: np.ndarray, rate: int, mels: int, **changes: object) -> np.ndarray:
    """librosa with our settings, then `changes`; `ours` as filterbank replaces its triangles by ours."""
    import librosa

    window, hop = rate * 25 // 1000, rate // 100
    size = 1 << (window - 1).bit_length()
    taper = np.pad(np.hamming(window), (0, size - window))  # ours: symmetric, at the start of the transform
    given = {"n_fft": size, "hop_length": hop, "win_length": size, "window": taper, "center": False}
    given |= {k: v for k, v in changes.items() if k in given}
    tail = 0 if given["center"] else size  # so that the last frame fits a whole transform
    power = np.abs(librosa.stft(np.pad(audio, (0, tail)), **given)) ** 2
    power = power if given["center"] else power[:, : 1 + (len(audio) - window) // hop]
    triangles = {"htk": True, "norm": None} | {k: v for k, v in changes.items() if k in ("htk", "norm")}
    if changes.get("filterbank") == "ours":
        weights = linear_in_mel(size, rate, mels)
    else:
        edges = {"fmin": LOW_HZ, "fmax": rate / 2}
        weights = librosa.filters.mel(sr=rate, n_fft=size, n_mels=mels, **edges, **triangles)
    return np.log(np.maximum(weights @ power, FLOOR)).T


def linear_in_mel(size: int, rate: int, mels: int) -> np.ndarray:
    """Triangles of height 1, equally spaced and linear on the HTK mel scale, written a second time."""
    mel = 1127 * np.log1p(np.arange(size // 2 + 1) * rate / size / 700)
    low, high = (1127 * np.log1p(f / 700) for f in (LOW_HZ, rate / 2))
    width = (high - low) / (mels + 1)
    centres = low + width * np.arange(1, mels + 1)
    return np.clip(1 - np.abs(mel[None] - centres[:, None]) / width, 0, None)


PEERS: dict[str, tuple[Callable[..., np.ndarray], dict[str, dict[str, object]]]] = {
    "kaldi-native-fbank": (
        kaldi,
        {
            "as ours": {},
            "povey window (its default)": {"window_type": "povey"},
            "hann window": {"window_type": "hanning"},
            "pre-emphasis 0.97 (its default)": {"preemph_coeff": 0.97},
            "mean of each frame removed (its default)": {"remove_dc_offset": True},
            "audio in 16-bit units (Kaldi's habit)": {"scale": 32768.0},
            "all its defaults but dither": {
                "window_type": "povey",
                "preemph_coeff": 0.97,
                "remove_dc_offset": True,
            },
        },
    ),
    "librosa": (
        librosa_log_mel,
        {
            "as ours": {"filterbank": "ours"},
            "triangles linear in Hz (its only form)": {},
            "and Slaney's mel scale (its default)": {"htk": False},
            "and triangles of equal area (its default)": {"norm": "slaney"},
            "window centred in the transform (its habit)": {"filterbank": "ours", "centred": True},
            "periodic window (its default)": {"filterbank": "ours", "periodic": True},
            "hann window (its default)": {"filterbank": "ours", "hann": True},
            "frames centred on their time, ends padded (its default)": {"filterbank": "ours", "center": True},
        },
    ),
}


def windowed(changes: dict[str, object], rate: int) -> dict[str, object]:
    """Replace the words centred, periodic and hann by the window they mean."""
    width = rate * 25 // 1000
    size = 1 << (width - 1).bit_length()
    shape = np.hanning(width) if changes.get("hann") else np.hamming(width)
    if changes.get("periodic"):
        shape = np.hamming(width + 1)[:-1]
    left = (size - width) // 2 if changes.get("centred") else 0
    return {"filterbank": "ours", "window": np.pad(shape, (left, size - width - left))}


def differences(path: str) -> Iterator[dict[str, object]]:
    """Compare each peer and convention with the features in `path`."""
    found = np.load(path)
    for rate, mels in RATES.items():
        audio, expected = found[f"audio_{rate}"], found[f"log_mel_{rate}"]
        for peer, (features, conventions) in PEERS.items():
            for name, changes in conventions.items():
                sound = audio * np.float32(changes.get("scale", 1.0))
                options = {k: v for k, v in changes.items() if k != "scale"}
                if {"centred", "periodic", "hann"} & set(options):
                    options = windowed(options, rate)
                theirs = features(sound, rate, mels, **options)
                count = min(len(theirs), len(expected))
                gap = np.abs(theirs[:count] - expected[:count])
                yield {
                    "rate": rate,
                    "peer": peer,
                    "convention": name,
                    "frames": [len(expected), len(theirs)],
                    "largest": round(float(gap.max()), 6),
                    "mean": round(float(gap.mean()), 6),
                }


if __name__ == "__main__":
    side, file = sys.argv[1:]
    if side == "echobook":
        ours(file)
    else:
        lines = list(differences(file))
        for line in lines:
            print(json.dumps(line))
        for line in lines:
            if line["convention"] == "as ours" and (line["largest"] > 1e-3 or len(set(line["frames"])) > 1):
                sys.exit(f"{line['peer']} with our settings differs: {line}")
