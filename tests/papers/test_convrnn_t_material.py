"""Noise, speed, features and splits of the chapter's speech; what training is allowed to hear."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from echobook.papers.convrnn_t import material, own_data
from echobook.speech.corpora import Utterance
from echobook.speech.features import stack_frames

COUNTS = {"train": 40, "dev": 6, "seen": 6, "unseen": 9}


def write_digits(folder: Path) -> None:
    """FSDD's layout; the take decides the pitch, 200 Hz and 100 more for each."""
    folder.mkdir()
    time = np.arange(1200) / 8000
    for speaker in material.SPEAKERS:
        for digit in range(10):
            for take in (0, 5, 10):
                tone = 9000 * np.sin(2 * np.pi * (200 + 100 * take) * time)
                with wave.open(str(folder / f"{digit}_{speaker}_{take}.wav"), "wb") as file:
                    file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
                    file.writeframes(tone.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fsdd") / "recordings"
    write_digits(path)
    return path


@pytest.fixture(scope="module")
def strings(folder: Path) -> material.Material:
    return material.digits(folder, seed=6, longest=3, mels=8, masks=0.0, **COUNTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6, 9))
def test_recorded_seeds_hold_out_other_pairs(seed: int) -> None:
    assert material.held_out_pair(seed) == material.held_out_pair(seed - 6)


def test_recorded_seeds_hold_out_all_six_speakers() -> None:
    assert {s for seed in (6, 7, 8) for s in material.held_out_pair(seed)} == set(material.SPEAKERS)


def test_development_utterances_are_by_training_speakers(folder: Path) -> None:
    """Rates and checkpoints are chosen on them: no held-out speaker may be among them."""
    from echobook.speech.corpora import digit_corpus

    pair = material.held_out_pair(6)
    counts = {"train": 40, "dev": 40, "test": 40, "unseen": 40}
    corpus = digit_corpus(folder, counts=counts, seed=6, held_out=pair, digits=(1, 3))
    heard = {name: {u.speaker for u in rows} for name, rows in corpus.splits.items()}
    assert heard["unseen"] == set(pair)
    assert heard["train"] == heard["dev"] == heard["test"] == set(material.SPEAKERS) - set(pair)


def test_lengths_are_one_to_the_longest(strings: material.Material) -> None:
    said = [len(e.labels) for e in strings.train]
    assert (min(said), max(said)) == (1, 3)


def test_both_versions_of_a_test_have_the_same_labels_in_order(strings: material.Material) -> None:
    for name in ("seen", "unseen"):
        clean, noisy = strings.tests[f"{name}-clean"], strings.tests[f"{name}-noisy"]
        assert [e.labels for e in clean] == [e.labels for e in noisy]
        assert all(a.features.shape == b.features.shape for a, b in zip(clean, noisy, strict=True))
        assert not any(torch.equal(a.features, b.features) for a, b in zip(clean, noisy, strict=True))


def test_statistics_come_from_training_alone(strings: material.Material) -> None:
    """Normalised training features have mean 0 and variance 1 in every channel; tests need not."""
    frames = torch.cat([e.features for e in strings.train]).double()
    assert torch.allclose(frames.mean(0), torch.zeros(8, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(frames.var(0, unbiased=False), torch.ones(8, dtype=torch.float64), atol=1e-3)


def test_tests_and_development_are_stacked_as_training_is(strings: material.Material) -> None:
    audio = strings.utterances["seen-clean"][0].audio
    plain = strings.front_end.statistics.normalise(strings.front_end.log_mel(audio))
    assert torch.equal(strings.tests["seen-clean"][0].features, stack_frames(plain, count=3, skip=3))
    assert strings.front_end.size == 24


def test_even_places_get_babble_and_odd_ones_white_noise() -> None:
    """A voice that is a pure tone shows in the spectrum of babble and not in white noise."""
    time = torch.arange(4000) / 8000
    voice = torch.sin(2 * torch.pi * 1000 * time)
    rows = [Utterance(0.5 * torch.sin(2 * torch.pi * 300 * time), "one", "a") for _ in range(4)]
    noisy = material.in_noise(rows, [voice], (5.0, 5.0), torch.Generator().manual_seed(0))
    for place, (before, after) in enumerate(zip(rows, noisy, strict=True)):
        added = torch.fft.rfft(after.audio - before.audio).abs()
        share = float(added[450:551].square().sum() / added.square().sum())  # 900 to 1100 Hz, in 2 Hz bins
        assert (share > 0.9) == (place % 2 == 0)
        snr = 10 * torch.log10(before.audio.square().mean() / (after.audio - before.audio).square().mean())
        assert float(snr) == pytest.approx(5.0, abs=1e-3)


def test_noise_is_the_generators_alone() -> None:
    rows = [Utterance(torch.ones(500), "one", "a")] * 3
    one, two, other = (
        material.in_noise(rows, [torch.ones(300)], (5.0, 15.0), torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    )
    assert all(torch.equal(a.audio, b.audio) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0].audio, other[0].audio)
    assert [u.text for u in one] == ["one"] * 3


def test_training_strings_are_played_at_other_speeds(folder: Path) -> None:
    """At a speed of two, training takes half the time; the tests are left as they were."""
    both = [
        material.digits(folder, seed=6, longest=3, mels=8, speeds=(speed, speed), **COUNTS)  # type: ignore[arg-type]
        for speed in (1.0, 2.0)
    ]
    plain, fast = (sum(len(e.features) for e in m.train) for m in both)
    assert fast < 0.55 * plain
    tests = [[len(u.audio) for u in m.utterances["unseen-clean"]] for m in both]
    assert tests[0] == tests[1]


def test_masks_hide_channels_of_training_alone(folder: Path) -> None:
    made = material.digits(folder, seed=6, longest=1, mels=8, masks=0.9, **COUNTS)  # type: ignore[arg-type]
    frames = made.train[0].features
    hidden = 0
    for seed in range(5):
        seen = made.augment(frames, torch.Generator().manual_seed(seed)).unflatten(-1, (3, 8))
        hidden += int((seen == 0).all(0).all(0).sum())
    assert hidden > 0
    assert not any((e.features == 0).all(0).any() for e in made.dev)


def test_good_audio_passes_unchanged(strings: material.Material) -> None:
    audio = strings.utterances["seen-clean"][0].audio
    assert own_data.check_audio(audio, 8000, strings.front_end) is audio


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_audio_that_is_no_number_is_refused_by_place(strings: material.Material, value: float) -> None:
    audio = torch.zeros(2000)
    audio[1234] = value
    with pytest.raises(ValueError, match="audio sample 1234 is not finite"):
        own_data.check_audio(audio, 8000, strings.front_end)
