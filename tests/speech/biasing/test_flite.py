"""flite: refusals without it, and with it the same samples twice, rates and voices."""

import shutil

import pytest
import torch

from echobook.speech.biasing.flite import (
    VOICES,
    FliteMissing,
    flite_program,
    speak,
    speak_all,
    without_silent_ends,
)

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the package flite is not installed")


def test_without_the_program_the_refusal_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FliteMissing, match=r"package `flite` \(apt install flite\)"):
        flite_program()


@pytest.mark.parametrize(
    ("text", "voice", "stretch"), [(" ", "slt", 1.0), ("a", "bob", 1.0), ("a", "slt", 9.0)]
)
def test_bad_requests_are_refused(text, voice, stretch):
    with pytest.raises(ValueError, match="expected text, a voice of"):
        speak(text, voice, stretch=stretch)


def test_a_failing_program_is_reported(monkeypatch, tmp_path):
    fake = tmp_path / "flite"
    fake.write_text("#!/bin/sh\necho no such voice >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(RuntimeError, match="flite failed on 'call bauer' with voice slt: no such voice"):
        speak("call bauer", "slt")


@needs_flite
def test_the_same_words_give_the_same_samples(tmp_path):
    one, two = speak("call bauer", "slt"), speak("call bauer", "slt", folder=tmp_path)
    assert torch.equal(one, two)
    assert torch.equal(speak("call bauer", "slt", folder=tmp_path), one)
    assert len(list(tmp_path.glob("flite-*.npy"))) == 1


@needs_flite
def test_voices_differ_and_stretching_makes_longer():
    spoken = speak_all([("call bauer", voice, 1.0) for voice in VOICES])
    assert len({len(audio) for audio in spoken}) == len(VOICES)
    assert all(0.3 < len(audio) / 8000 < 3 and audio.abs().max() <= 1 for audio in spoken)
    assert len(speak("call bauer", "slt", stretch=1.3)) > len(spoken[VOICES.index("slt")])


def test_silence_at_the_ends_is_cut_and_pauses_stay():
    spoken = torch.cat(
        [torch.zeros(400), torch.ones(160), torch.zeros(240), -torch.ones(80), torch.zeros(777)]
    )
    kept = without_silent_ends(spoken)
    assert torch.equal(kept, spoken[400 : 400 + 160 + 240 + 80])
    assert torch.equal(without_silent_ends(kept), kept)


def test_what_is_barely_heard_counts_as_silence_and_what_is_heard_does_not():
    spoken = torch.ones(240)
    for level, length in ((0.009, 160), (0.011, 240)):
        spoken[:80] = level
        assert len(without_silent_ends(spoken)) == length


@pytest.mark.parametrize("audio", [torch.zeros(0), torch.ones(79), torch.zeros(500)])
def test_without_a_loud_frame_nothing_is_cut(audio):
    assert torch.equal(without_silent_ends(audio), audio)


@needs_flite
def test_the_programs_own_silence_is_cut():
    spoken = speak("call bauer", "slt")
    kept = without_silent_ends(spoken)
    assert 1600 < len(spoken) - len(kept) < 0.5 * len(spoken)
    loud = spoken.abs() > 0.1 * spoken.abs().max()
    assert loud.sum() == (kept.abs() > 0.1 * spoken.abs().max()).sum()
