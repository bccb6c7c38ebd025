"""Material: frames without silence, folds without shared speakers, synthetic voices, imbalance."""

import numpy as np
import pandas as pd
import pytest
import torch

from echobook.data.types import DatasetUse
from echobook.papers.adversarial_reweighting import material
from echobook.papers.adversarial_reweighting.material import Split, Voices

USE = DatasetUse("toy", "1", "0" * 64, "CC0-1.0 (generated)", {"speakers": 1}, "here")


def toy(speakers: int = 16, utterances: int = 3, seed: int = 0) -> Voices:
    """Speakers whose frames have means of their own."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(speakers), utterances)
    means = rng.normal(size=(speakers, 1, 40))
    frames = means[owner] + 0.3 * rng.normal(size=(len(owner), 100, 40))
    table = pd.DataFrame(
        {"sex": ["f", "m"] * (speakers // 2), "age": ["adult", "adult", "child", "child"] * (speakers // 4)}
    )
    return Voices("toy", torch.from_numpy(frames.astype(np.float32)), owner, table, ("sex", "age"), USE)


def test_speech_frames_drop_silence_and_fill_up() -> None:
    loud, silent = torch.zeros(30, 40), torch.full((70, 40), -12.0)
    log_mel = torch.cat([silent[:20], loud + torch.arange(30.0)[:, None] / 100, silent[20:]])
    found = material.speech_frames(log_mel, 70)
    assert found.shape == (70, 40)
    assert found.min() >= 0  # no silent frame is left
    torch.testing.assert_close(found[30:60], found[:30])  # repeated
    torch.testing.assert_close(material.speech_frames(log_mel, 10), found[:10])  # cut


def test_cells_and_masks() -> None:
    voices = toy()
    assert np.bincount(voices.cells()).tolist() == [4, 4, 4, 4]
    assert material.mask_of(voices, sex="f", age="child").sum() == 4
    assert (voices.speaker[voices.of([2, 5])] == [2, 2, 2, 5, 5, 5]).all()


@pytest.mark.parametrize("seed", range(5))
def test_folds_part_speakers_evenly(seed: int) -> None:
    voices = toy(20)
    splits = material.folds_of(voices, 2, seed=seed)
    judged = np.sort(np.concatenate([split.test for split in splits]))
    assert (judged == np.arange(20)).all()  # everybody once
    for split in splits:
        assert len(np.intersect1d(split.train, split.test)) == 0
        assert len(split.train) + len(split.test) == 20
        assert np.ptp(np.bincount(voices.cells()[split.test], minlength=4)) <= 1
    other = material.folds_of(voices, 2, seed=seed + 100)
    assert any((a.test.tolist() != b.test.tolist()) for a, b in zip(splits, other, strict=True))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="speaker 3 is in two splits"):
        Split(np.array([1, 3]), np.array([2, 3]))
    with pytest.raises(ValueError, match="cell 1 has 1 speakers"):
        material.split_speakers(np.array([0, 0, 1]), 2, seed=0)
    voices = toy()
    with pytest.raises(ValueError, match="speaker 0 has 1 utterances"):
        Voices("toy", voices.frames[2:], voices.speaker[2:], voices.speakers, voices.attributes, USE)
    with pytest.raises(ValueError, match="utterances is 1"):
        material.synthetic_voices({("f", "us"): 1}, utterances=1, seed=0)
    with pytest.raises(ValueError, match="women"):
        material.imbalanced_sets(4, 8, 4, seed=0)


def test_synthetic_voices_follow_from_the_seed() -> None:
    counts = material.even_counts(1, 1)
    first, again = (material.synthetic_voices(counts, utterances=2, seed=3) for _ in range(2))
    assert torch.equal(first.frames, again.frames)
    assert first.speakers.equals(again.speakers)
    assert first.frames.shape == (4, material.FRAMES, 40)
    assert first.speakers.variant.str[0].tolist() == first.speakers.sex.tolist()


def test_even_counts() -> None:
    assert material.even_counts(3, 2) == {("f", "us"): 2, ("f", "uk"): 1, ("m", "us"): 1, ("m", "uk"): 1}


def test_imbalanced_sets_share_voices_and_test() -> None:
    sets = material.imbalanced_sets(3, 1, 2, seed=1, utterances=2)
    women = material.mask_of(sets.voices, sex="f")
    skewed, even = sets.splits["imbalanced"], sets.splits["even"]
    assert (skewed.test == even.test).all()
    assert len(skewed.train) == len(even.train) == 4
    assert women[skewed.train].sum() == 1
    assert women[even.train].sum() == 2
    assert women[even.test].sum() == 1


def test_noise_has_the_level_asked_for() -> None:
    audio = torch.sin(torch.arange(16000) / 5)
    rng = np.random.default_rng(0)
    found = material.with_noise(audio, snr=10.0, rng=rng)
    assert float(found.abs().max()) == pytest.approx(0.5)
    scale = float((found @ audio) / (audio @ audio))
    noise = found / scale - audio
    # 16,000 samples: the level of the noise is good to about 0.1 dB
    assert 10 * float(torch.log10(audio.square().mean() / noise.square().mean())) == pytest.approx(
        10, abs=0.3
    )
