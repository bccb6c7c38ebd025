"""Synthesis: repeatable in any order, cached by content, settings heard, refusals."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from echobook.speech import synthesis
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


def test_what_was_said_is_read_from_the_cache(tmp_path, monkeypatch):
    first = synthesise("open the door", Voice(), folder=tmp_path)

    def silent(text, voice):
        raise AssertionError("said again")

    monkeypatch.setattr(synthesis, "_speak", silent)
    assert torch.equal(synthesise("open the door", Voice(), folder=tmp_path), first)
    for text, voice, rate in (
        ("open a door", Voice(), 8000),
        ("open the door", Voice(rate=176), 8000),
        ("open the door", Voice(variant="m2"), 8000),
        ("open the door", Voice(), 16000),
    ):
        with pytest.raises(AssertionError, match="said again"):
            synthesise(text, voice, sample_rate=rate, folder=tmp_path)
    monkeypatch.setattr(synthesis, "_library_digest", lambda: "another library")
    with pytest.raises(AssertionError, match="said again"):
        synthesise("open the door", Voice(), folder=tmp_path)


def test_nothing_half_written_stays_in_the_cache(tmp_path, monkeypatch):
    def full(handle, array):
        handle.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="disk full"):
        synthesise("four", Voice(), folder=tmp_path)
    assert list(tmp_path.glob("*.npy")) == []


def test_several_at_once_are_as_one_by_one(capsys):
    items = [("one two", Voice()), ("three", Voice("en", "f2", 60, 40, 160)), ("one two", Voice())]
    together = synthesise_all(items, progress=True)
    assert "speech synthesis" in capsys.readouterr().err
    assert all(torch.equal(a, synthesise(*item)) for a, item in zip(together, items, strict=True))
    assert torch.equal(together[0], together[2])
    assert synthesise_all([]) == []


def test_threads_do_not_disturb_each_other():
    texts = ["seven", "open the window", "play my music"] * 2
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda text: synthesise(text, Voice()), texts))
    assert all(
        torch.equal(audio, synthesise(text, Voice())) for audio, text in zip(found, texts, strict=True)
    )


def test_resampling_keeps_a_tone_and_its_length():
    tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(22050) / 22050)).astype(np.int16)
    for rate in (8000, 16000, 22050):
        audio = synthesis._resample(tone, 22050, rate)
        assert audio.dtype == np.float32
        assert len(audio) == pytest.approx(rate, abs=1)
        peak = np.abs(np.fft.rfft(audio[: rate // 2])).argmax() * 2  # bins of 2 Hz
        assert peak == pytest.approx(500, abs=2)
        assert np.abs(audio[rate // 4 : rate // 2]).max() == pytest.approx(8000 / 32768, rel=0.01)


def test_a_text_without_sound_is_refused(monkeypatch):
    monkeypatch.setattr(synthesis, "_say", lambda library, text, voice: None)
    with pytest.raises(ValueError, match="eSpeak said nothing for '~'; expected pronounceable words"):
        synthesise("~", Voice())


@pytest.mark.parametrize("seed", range(5))
def test_random_voices_stay_in_range(seed):
    voices = random_voices(91, generator=torch.Generator().manual_seed(seed))
    assert {v.accent for v in voices} == set(ACCENTS)
    assert {v.variant for v in voices} == set(VARIANTS)
    assert len({(v.accent, v.variant) for v in voices}) == 91
    for voice in voices:
        assert 30 <= voice.pitch <= 70
        assert 30 <= voice.pitch_range <= 70
        assert 140 <= voice.rate <= 210
    few = random_voices(3, generator=torch.Generator().manual_seed(seed))
    assert [(v.accent, v.variant) for v in few] == [(v.accent, v.variant) for v in voices[:3]]


def test_limits_of_a_voice_are_part_of_it():
    for change in ({"pitch": 0}, {"pitch": 99}, {"pitch_range": 0}, {"rate": 80}, {"rate": 450}):
        audio = synthesise("go", Voice(**change))
        assert power(audio) > 0
    assert len(synthesise("go", Voice(rate=450))) < len(synthesise("go", Voice(rate=80)))


SPOKEN = """
import hashlib
from echobook.speech.synthesis import VARIANTS, Voice, synthesise
for variant in VARIANTS:
    audio = synthesise("play the second song", Voice("en-us", variant))
    print(variant, hashlib.sha256(audio.numpy().tobytes()).hexdigest())
"""


def test_another_process_says_the_same_bits_in_every_variant():
    # eSpeak seeds its noise by the clock in seconds; starting a process takes longer than one
    runs = [
        subprocess.run([sys.executable, "-c", SPOKEN], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0].split()[::2] == list(VARIANTS)
    assert runs[0] == runs[1]
