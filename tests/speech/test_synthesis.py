"""Synthesis: repeatable in any order, cached by content, settings heard, refusals."""

import numpy as np
import pytest
import torch

from echobook.speech.noise import power
from echobook.speech.synthesis import ACCENTS, VARIANTS, Voice, random_voices, synthesise, synthesise_all


def test_audio_is_audible_and_of_plausible_length():
    audio = synthesise("open the door", Voice())
    assert audio.dtype == torch.float32
    assert 0.4 < len(audio) / 8000 < 1.5
    assert audio.abs().max() <= 1
    assert power(audio) > 1e-4
    wide = synthesise("open the door", Voice(), sample_rate=16000)
    assert len(wide) == pytest.approx(2 * len(audio), abs=2)


def test_the_same_bits_whatever_was_said_before():
    first = synthesise("seven", Voice())
    synthesise("a different sentence", Voice("en", "f3", 60, 40, 150))
    assert torch.equal(synthesise("seven", Voice()), first)


def test_settings_are_heard():
    base = synthesise("seven three nine", Voice())
    slow = synthesise("seven three nine", Voice(rate=120))
    assert len(slow) > 1.2 * len(base)
    for other in (Voice(pitch=80), Voice(variant="f2"), Voice(accent="en-gb-scotland")):
        audio = synthesise("seven three nine", other)
        assert len(audio) != len(base) or not torch.equal(audio, base)


def test_every_listed_voice_exists():
    items = [("two", Voice(accent=a)) for a in ACCENTS] + [("two", Voice(variant=v)) for v in VARIANTS]
    assert all(power(audio) > 0 for audio in synthesise_all(items))


def test_cache_holds_the_same_audio(tmp_path):
    fresh = synthesise("four", Voice())
    stored = synthesise("four", Voice(), folder=tmp_path / "voices")
    (path,) = (tmp_path / "voices").iterdir()
    assert torch.equal(stored, fresh)
    np.save(path, np.zeros(3, dtype=np.float32))
    assert len(synthesise("four", Voice(), folder=tmp_path / "voices")) == 3  # read, not said again
    synthesise("four", Voice(pitch=51), folder=tmp_path / "voices")
    assert len(list((tmp_path / "voices").iterdir())) == 2


def test_random_voices_differ_and_repeat():
    voices = random_voices(20, generator=torch.Generator().manual_seed(0))
    assert len({(v.accent, v.variant) for v in voices}) == 20
    assert voices == random_voices(20, generator=torch.Generator().manual_seed(0))
    assert voices != random_voices(20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthesise("  ", Voice()), "text is empty"),
        (lambda: synthesise("a", Voice(accent="xx-none")), r"eSpeak has no voice 'xx-none\+m1'"),
        (lambda: Voice(pitch=100), r"expected pitch and pitch_range in 0\.\.99"),
        (lambda: Voice(rate=10), r"rate in 80\.\.450"),
        (lambda: synthesise("a", Voice(), sample_rate=0), "sample_rate is 0"),
        (lambda: random_voices(0, generator=torch.Generator()), r"count is 0; expected 1\.\.91"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
