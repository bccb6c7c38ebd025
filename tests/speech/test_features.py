"""Features: hand values, a slow DFT, incremental against batch, masks, refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.speech.features import (
    FrontEnd,
    IncrementalFeatures,
    LogMel,
    Statistics,
    Stripes,
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


@pytest.mark.parametrize(
    ("rate", "mels", "hz", "expected"),
    [
        (8000, 40, 1000.0, [-4.8413, -4.7860, -3.8400, -2.7204, -3.1581, -4.9197, -5.6684, -5.8732]),
        (16000, 80, 440.0, [-2.6433, -2.8295, -3.1180, 4.7544, -5.6230, -7.2827, -8.0759, -8.5849]),
    ],
)
def test_values_of_kaldi_native_fbank(rate, mels, hz, expected):
    # kaldi-native-fbank 1.23.0 with our settings (bench/features_peer.py); it transforms in float32
    time = np.arange(rate // 10) / rate
    tones = 0.5 * np.sin(2 * np.pi * hz * time) + 0.1 * np.cos(2 * np.pi * 2.7 * hz * time)
    found = LogMel(sample_rate=rate, mels=mels)(torch.from_numpy(tones.astype(np.float32)))
    assert found.shape == (8, mels)
    torch.testing.assert_close(found[0, :: mels // 8], torch.tensor(expected), atol=5e-4, rtol=0)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.5, 2.0), seed=st.integers(0, 1000))
def test_a_gain_shifts_every_channel(gain, seed):
    # power goes with the square: 2 log gain, above the floor
    audio, log_mel = noise(1000, seed), LogMel(floor=1e-30)
    shift = log_mel(gain * audio) - log_mel(audio)
    torch.testing.assert_close(shift, torch.full_like(shift, 2 * math.log(gain)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("rate", "mels"), [(8000, 40), (16000, 80)])
def test_a_delay_by_one_hop_delays_by_one_frame(rate, mels):
    log_mel, audio = LogMel(sample_rate=rate, mels=mels), noise(rate // 2)
    later = log_mel(torch.cat([torch.zeros(log_mel.hop), audio]))
    assert torch.equal(later[1:], log_mel(audio))


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 6000), max_size=8))
def test_incremental_equals_batch_at_sixteen_kilohertz(cuts):
    ends, audio = front_end(sample_rate=16000, mels=80), noise(6000, 4)
    stream, edges = IncrementalFeatures(ends), [0, *sorted(cuts), 6000]
    pieces = [stream.push(audio[a:b]) for a, b in itertools.pairwise(edges)]
    torch.testing.assert_close(torch.cat(pieces), ends(audio), atol=1e-5, rtol=0)


def test_incremental_features_keep_little_and_refuse_bad_samples():
    ends = front_end()
    stream = IncrementalFeatures(ends)
    assert stream.push(torch.zeros(0)).shape == (0, 120)
    for _ in range(50):
        stream.push(noise(160))
        assert len(stream.samples) < ends.log_mel.window + 160
        assert len(stream.frames) < 2 * ends.count
    with pytest.raises(ValueError, match=r"audio sample .* is not finite"):
        stream.push(torch.full((400,), math.inf))


def test_the_front_end_is_its_parts_in_order():
    # log-mel, normalise, SpecAugment, then stack: masks are whole channels in every stacked frame
    ends, audio = front_end(), noise(8000)
    normal = ends.statistics.normalise(ends.log_mel(audio))
    masked = spec_augment(normal, generator=torch.Generator().manual_seed(2))
    assert torch.equal(ends(audio, augment=torch.Generator().manual_seed(2)), stack_frames(masked))
    thirds = ends(audio, augment=torch.Generator().manual_seed(2)).reshape(-1, 3, 40)
    silent = (thirds == 0).all(0)
    assert torch.equal(silent[0], silent[1])
    assert torch.equal(silent[1], silent[2])


def test_spec_augment_draws_widths_and_places_evenly():
    g, features, hits, widths = torch.Generator().manual_seed(0), torch.ones(10, 8), torch.zeros(8), []
    for _ in range(2000):
        masked = spec_augment(features, generator=g, multiplicity=0.0, frequency_ratio=0.5, frequency_masks=1)
        column = masked[0] == 0
        hits += column
        widths.append(int(column.sum()))
    share = np.bincount(widths, minlength=5) / 2000
    assert share == pytest.approx([0.2] * 5, abs=0.04)  # widths 0..4, four standard errors
    assert hits.max() / hits[3] < 1.15  # the middle is covered about as often as any other channel


def test_statistics_do_not_depend_on_how_frames_are_grouped():
    frames = noise(900).reshape(300, 3).double() * 4 + 100
    whole = global_statistics([frames])
    parts = global_statistics(frames.split([1, 199, 100]))
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.deviation, whole.deviation)
    torch.testing.assert_close(whole.deviation.double(), frames.std(0, unbiased=False), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("count", "skip"), [(1, 5), (2, 7), (1, 3)])
def test_frames_that_are_passed_over_may_arrive_one_by_one(count, skip):
    base, audio = front_end(), noise(4000, 5)
    ends = FrontEnd(base.log_mel, base.statistics, count=count, skip=skip)
    stream = IncrementalFeatures(ends)
    pieces = [stream.push(piece) for piece in audio.split(80)]  # one frame each
    torch.testing.assert_close(torch.cat(pieces), ends(audio), atol=1e-5, rtol=0)


def test_stripes_are_as_many_and_as_wide_as_stated():
    """Ones everywhere: what is 0 is masked; no more than two stripes of 6 channels and two of 12 frames."""
    features, g = torch.ones(100, 40), torch.Generator().manual_seed(0)
    widest = [0, 0]
    for _ in range(100):
        hidden = Stripes()(features, g) == 0
        channels, frames = hidden.all(0), hidden.all(1)
        assert torch.equal(hidden, channels | frames[:, None])
        widest = [max(widest[0], int(channels.sum())), max(widest[1], int(frames.sum()))]
    assert 9 <= widest[0] <= 12
    assert 18 <= widest[1] <= 24
    assert (features == 1).all()


def test_stripes_are_seeded_and_leave_half_of_a_short_utterance():
    features = torch.ones(6, 4)
    draws = [Stripes((1, 9), (1, 9))(features, torch.Generator().manual_seed(k)) for k in (0, 0, *range(50))]
    assert torch.equal(draws[0], draws[1])
    assert max(int((d == 0).all(1).sum()) for d in draws) == 3
    assert max(int((d == 0).all(0).sum()) for d in draws) == 2
    with pytest.raises(ValueError, match="counts and widths >= 0"):
        Stripes((-1, 3))
