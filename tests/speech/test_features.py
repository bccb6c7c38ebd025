"""Features: hand values, a slow DFT, incremental against batch, masks, refusals."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.speech.features import (
    FrontEnd,
    IncrementalFeatures,
    LogMel,
    Statistics,
    global_statistics,
    mel_filterbank,
    spec_augment,
    stack_frames,
)


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def front_end(**options):
    log_mel = LogMel(**options)
    return FrontEnd(log_mel, global_statistics([log_mel(noise(4000))]))


def test_sizes_at_both_rates():
    assert (LogMel().window, LogMel().hop, LogMel().fft_size) == (200, 80, 256)
    wide = LogMel(sample_rate=16000, mels=80)
    assert (wide.window, wide.hop, wide.fft_size) == (400, 160, 512)
    assert wide(noise(16000)).shape == (98, 80)  # 1 + (16000 - 400) // 160
    assert front_end().size == 120
    assert front_end().frame_seconds == pytest.approx(0.03)


def test_equals_a_dft_written_out():
    settings_, audio = LogMel(mels=20), noise(360)
    n, f = torch.arange(200).double(), torch.arange(129).double()
    window = 0.54 - 0.46 * torch.cos(2 * math.pi * n / 199)
    basis = torch.exp(-2j * math.pi * n[:, None] * f / 256)
    for t, row in enumerate(settings_(audio)):
        frame = audio[80 * t : 80 * t + 200].double() * window
        power = (frame.to(basis.dtype) @ basis).abs() ** 2
        expected = (power @ settings_.weights.double()).log()
        torch.testing.assert_close(row.double(), expected, atol=1e-4, rtol=0)  # float32 FFT of 256 points


def test_a_tone_lights_its_own_channel():
    settings_ = LogMel()
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(4000) / 8000)
    centres = torch.linspace(1127 * math.log1p(20 / 700), 1127 * math.log1p(4000 / 700), 42)[1:-1]
    nearest = (centres - 1127 * math.log1p(1000 / 700)).abs().argmin()
    assert (settings_(tone).argmax(1) == nearest).all()


def test_silence_is_the_floor():
    assert torch.equal(LogMel(floor=1e-5)(torch.zeros(200)), torch.full((1, 40), 1e-5).log())


def test_filterbank_by_hand():
    # 8 points at 8 Hz: bins at 0, 1, 2, 3, 4 Hz, where the mel scale is linear to 1e-2; 3 channels at 1, 2,
    # 3.
    weights = mel_filterbank(8, 8, 3, low_hz=0.0, high_hz=4.0)
    expected = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    torch.testing.assert_close(weights, expected, atol=5e-3, rtol=0)


def test_neighbouring_triangles_sum_to_one_between_centres():
    weights = mel_filterbank(512, 16000, 30, low_hz=100.0, high_hz=7000.0)
    inside = weights.sum(1)[12:200]  # 375 to 6200 Hz: between the first and the last centre
    torch.testing.assert_close(inside, torch.ones_like(inside))


def test_global_statistics():
    a, b = noise(300).reshape(100, 3), 5 + noise(60, 1).reshape(20, 3)
    statistics = global_statistics([a, b])
    together = torch.cat([a, b])
    torch.testing.assert_close(statistics.mean, together.mean(0))
    torch.testing.assert_close(statistics.deviation, together.std(0, unbiased=False))
    normal = statistics.normalise(together)
    torch.testing.assert_close(normal.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    flat = global_statistics([torch.ones(4, 2)])
    assert torch.equal(flat.normalise(torch.ones(4, 2)), torch.zeros(4, 2))


def test_stacking_by_hand():
    frames = torch.arange(14.0).reshape(7, 2)
    assert stack_frames(frames).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert stack_frames(frames, count=2, skip=1).shape == (6, 4)
    assert stack_frames(frames, count=2, skip=1)[5].tolist() == [10, 11, 12, 13]


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 3000), max_size=12), samples=st.integers(400, 3000), skip=st.integers(1, 4)
)
def test_incremental_equals_batch(cuts, samples, skip):
    base = front_end()
    ends = FrontEnd(base.log_mel, base.statistics, count=3, skip=skip)
    audio, stream = noise(samples, 3), IncrementalFeatures(ends)
    edges = [0, *sorted(min(c, samples) for c in cuts), samples]
    pieces = [stream.push(audio[a:b]) for a, b in itertools.pairwise(edges)]
    torch.testing.assert_close(torch.cat(pieces), ends(audio), atol=1e-5, rtol=0)


def test_features_are_causal():
    ends, audio = front_end(), noise(2000)
    changed = audio.clone()
    changed[1000:] = 0
    # stacked frame s ends at sample 80 * (3 s + 2) + 200
    safe = sum(80 * (3 * s + 2) + 200 <= 1000 for s in range(8))
    assert torch.equal(ends(audio)[:safe], ends(changed)[:safe])
    assert not torch.equal(ends(audio)[: safe + 1], ends(changed)[: safe + 1])


def test_spec_augment_masks_whole_stripes_and_is_seeded():
    features = torch.ones(200, 40)
    masked = spec_augment(features, generator=torch.Generator().manual_seed(1))
    again = spec_augment(features, generator=torch.Generator().manual_seed(1))
    assert torch.equal(masked, again)
    assert (features == 1).all()
    rows, columns = (masked == 0).all(1), (masked == 0).all(0)
    assert torch.equal(masked == 0, rows[:, None] | columns[None])
    assert 0 < rows.sum() <= 8 * 8  # floor(.04 * 200) stripes of at most floor(.04 * 200)
    assert 0 < columns.sum() <= 2 * 13


def test_spec_augment_off():
    features = noise(400).reshape(10, 40)
    generator = torch.Generator()
    assert torch.equal(
        spec_augment(features, generator=generator, multiplicity=0.0, frequency_masks=0), features
    )


def test_front_end_augments_only_when_asked():
    ends, audio = front_end(), noise(8000)
    assert torch.equal(ends(audio), ends(audio))
    assert not torch.equal(ends(audio), ends(audio, augment=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogMel()(torch.zeros(0)), "audio has 0 samples; one window of 25.0 ms at 8000 Hz needs 200"),
        (lambda: LogMel()(torch.zeros(199)), "audio has 199 samples"),
        (lambda: LogMel()(torch.full((300,), math.nan)), "audio sample 0 is not finite"),
        (lambda: LogMel(high_hz=5000.0), r"mel range is 20.0..5000.0 Hz; expected 0 <= low < high <= 4000.0"),
        (lambda: LogMel(mels=0), "expected positive mels"),
        (lambda: LogMel(mels=200), "200 mel channels are too many for a DFT of 256 points"),
        (lambda: global_statistics([]), "no frames to take statistics from"),
        (lambda: stack_frames(torch.zeros(2, 4)), "at least count frames; got 3, 3, 2"),
        (
            lambda: spec_augment(torch.zeros(2, 4), generator=torch.Generator(), time_ratio=2.0),
            "expected ratios",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_statistics_are_shape_checked():
    assert Statistics(torch.zeros(2), torch.ones(2)).normalise(torch.ones(3, 5, 2)).shape == (3, 5, 2)
