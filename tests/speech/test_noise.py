"""Noise and reverberation: SNR by measurement, convolution by loop, seeds, refusals."""

import math

import pytest
import torch

from echobook.speech.noise import (
    babble,
    change_speed,
    loop_to_length,
    mix_at_snr,
    power,
    reverberate,
    room_response,
    white_noise,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_snr_is_what_was_asked(snr):
    signal, noise = 0.3 * white_noise(1000, generator=seeded(1)), white_noise(1000, generator=seeded(2))
    added = mix_at_snr(signal, noise, snr) - signal
    assert 10 * math.log10(power(signal) / power(added)) == pytest.approx(snr, abs=1e-3)


def test_snr_by_hand():
    # powers 4 and 1; at 20 dB the noise keeps a hundredth of the signal's power, amplitude 0.2
    mixed = mix_at_snr(torch.tensor([2.0, -2.0]), torch.tensor([1.0, 1.0]), 20.0)
    torch.testing.assert_close(mixed, torch.tensor([2.2, -1.8]))


def test_inputs_are_left_alone_and_seeds_repeat():
    signal, noise = torch.ones(4), torch.ones(4)
    mix_at_snr(signal, noise, 0.0)
    assert torch.equal(signal, noise)
    assert torch.equal(white_noise(9, generator=seeded(3)), white_noise(9, generator=seeded(3)))
    assert power(white_noise(20_000, generator=seeded())) == pytest.approx(1, abs=0.05)


def test_loop_wraps():
    looped = loop_to_length(torch.tensor([0.0, 1.0, 2.0]), 8, generator=seeded())
    assert ((looped[1:] - looped[:-1]) % 3 == 1).all()


def test_babble_has_power_one_and_all_voices():
    voices = [torch.sin(torch.arange(900) * f) for f in (0.1, 0.35)]
    mixed = babble([voices[0], 50 * voices[1]], 900, generator=seeded())
    assert power(mixed) == pytest.approx(1, abs=1e-3)
    spectrum = torch.fft.rfft(mixed).abs()
    peaks = [spectrum[round(900 * f / (2 * math.pi))].item() for f in (0.1, 0.35)]
    assert peaks[0] == pytest.approx(peaks[1], rel=0.3)  # equal power although one was louder


def test_room_decays_by_sixty_decibels():
    response = room_response(8000, rt60=0.5, generator=seeded())
    assert response[0] == 1
    assert len(response) == 4001
    early, late = power(response[1:201]), power(response[-200:])
    # 3800 of 4000 taps apart: 57 dB, give or take the noise of 200 samples
    assert 10 * math.log10(early / late) == pytest.approx(57, abs=2)


def test_direct_to_reverberant_energy():
    ratios = [
        1 / float(room_response(8000, rt60=0.3, direct_db=6.0, generator=seeded(i))[1:].square().sum())
        for i in range(50)
    ]
    assert 10 * math.log10(sum(ratios) / 50) == pytest.approx(6, abs=0.5)


def test_reverberation_equals_the_loop_and_is_causal():
    audio, response = white_noise(30, generator=seeded(4)), white_noise(7, generator=seeded(5))
    expected = torch.zeros(30)
    for n in range(30):
        for k in range(min(7, n + 1)):
            expected[n] += response[k] * audio[n - k]
    torch.testing.assert_close(reverberate(audio, response), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(reverberate(audio, torch.ones(1)), audio)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mix_at_snr(torch.zeros(3), torch.ones(3), 0.0), "neither empty nor silent"),
        (lambda: mix_at_snr(torch.ones(3), torch.zeros(3), 0.0), "neither empty nor silent"),
        (lambda: mix_at_snr(torch.ones(0), torch.ones(0), 0.0), "neither empty nor silent"),
        (lambda: loop_to_length(torch.ones(0), 3, generator=seeded()), "audio to loop is empty"),
        (lambda: babble([], 3, generator=seeded()), "at least one voice"),
        (lambda: room_response(8000, rt60=0.0, generator=seeded()), "rt60 is 0.0 s"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_change_speed_by_hand() -> None:
    ramp = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert change_speed(ramp, 2.0).tolist() == [0.0, 2.0]
    assert change_speed(ramp, 0.5).tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
    assert torch.equal(change_speed(ramp, 1.0), ramp)
    assert change_speed(torch.ones(1), 0.5).tolist() == [1.0, 1.0]


def test_change_speed_raises_the_pitch() -> None:
    time = torch.arange(8000) / 8000
    faster = change_speed(torch.sin(2 * torch.pi * 200 * time), 1.25)
    spectrum = torch.fft.rfft(faster, 8000).abs()
    assert len(faster) == 6400
    assert abs(int(spectrum.argmax()) - 250) <= 1


@pytest.mark.parametrize(("samples", "factor"), [(0, 1.0), (4, 0.0), (4, -1.0), (4, float("nan"))])
def test_change_speed_refuses(samples: int, factor: float) -> None:
    with pytest.raises(ValueError, match="factor > 0"):
        change_speed(torch.ones(samples), factor)
