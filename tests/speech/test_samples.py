"""What is no audio in [-1, 1] is refused at every function that takes audio, and the message converts it."""

import re

import jaxtyping
import pytest
import torch

from echobook.papers.convrnn_t.own_data import check_audio
from echobook.speech.biasing.flite import without_silent_ends
from echobook.speech.features import FrontEnd, IncrementalFeatures, LogMel, Statistics
from echobook.speech.noise import babble, change_speed, loop_to_length, mix_at_snr, power, reverberate
from echobook.speech.samples import LOUDEST, check_samples

FRONT_END = FrontEnd(LogMel(mels=8), Statistics(torch.zeros(8), torch.ones(8)))
TONE = torch.sin(torch.arange(4000) / 5)
DRAW = {"generator": torch.Generator().manual_seed(0)}
TAKERS = {
    "check": check_samples,
    "log-mel": FRONT_END.log_mel,
    "front end": FRONT_END,
    "incremental": lambda audio: IncrementalFeatures(FRONT_END).push(audio),
    "own data": lambda audio: check_audio(audio, 8000, FRONT_END),
    "power": power,
    "signal": lambda audio: mix_at_snr(audio, TONE, 5.0),
    "noise": lambda audio: mix_at_snr(TONE, audio, 5.0),
    "loop": lambda audio: loop_to_length(audio, 10, **DRAW),
    "babble": lambda audio: babble([audio], 10, **DRAW),
    "speed": lambda audio: change_speed(audio, 1.1),
    "room": lambda audio: reverberate(audio, torch.ones(3)),
    "silent ends": without_silent_ends,
}


@pytest.fixture(autouse=True)
def plain_calls():
    """Callers have no run-time shape check, which would answer first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("taker", TAKERS)
def test_floats_of_one_channel_pass(taker):
    TAKERS[taker](TONE)
    TAKERS[taker](TONE.double())


@pytest.mark.parametrize("taker", TAKERS)
def test_integers_are_refused(taker):
    with pytest.raises(
        ValueError, match=r"int16 samples; expected floats in .*: try audio.float\(\) / 32768"
    ):
        TAKERS[taker]((TONE * 32767).short())


@pytest.mark.parametrize("taker", TAKERS)
def test_several_channels_are_refused(taker):
    with pytest.raises(ValueError, match=r"expected one channel.*found shape \(2, 4000\): .*audio\[0\]"):
        TAKERS[taker](torch.stack([TONE, TONE]))


@pytest.mark.parametrize("taker", TAKERS)
def test_floats_in_16_bit_units_are_refused(taker):
    with pytest.raises(ValueError, match=r"audio reaches 32767.*16-bit units: divide by 32768"):
        TAKERS[taker](TONE / TONE.abs().max() * 32767)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.uint8, torch.int8])
def test_the_conversion_that_the_message_names_is_right(dtype):
    """Full scale becomes one, silence becomes zero."""
    full, silence = {torch.uint8: (255, 128)}.get(dtype, (torch.iinfo(dtype).max, 0))
    audio = torch.tensor([full, silence], dtype=dtype)
    with pytest.raises(ValueError, match="expected floats") as refused:
        check_samples(audio)
    said = re.search(r"try ([^,]+)", str(refused.value))[1]
    converted = eval(said, {"audio": audio})  # the message's own words
    assert converted.tolist() == pytest.approx([1, 0], abs=0.01)
    check_samples(converted)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((1, 9), "audio[0]"),
        ((9, 2), "audio[:, 0], or their mean, audio.mean(1)"),
        ((2, 2, 9), "one recording"),
        ((), "one recording"),
    ],
)
def test_shapes_and_what_to_do_about_them(shape, advice):
    with pytest.raises(ValueError, match=re.escape(f"found shape {shape}")) as refused:
        check_samples(torch.zeros(shape))
    assert advice in str(refused.value)


def test_the_first_sample_that_is_not_finite_is_named():
    for value in (float("nan"), float("inf")):
        audio = torch.zeros(5)
        audio[3] = value
        with pytest.raises(ValueError, match="audio sample 3 is not finite"):
            check_samples(audio)


def test_loud_mixtures_and_empty_audio_pass():
    check_samples(torch.zeros(0))
    check_samples(torch.tensor([LOUDEST, -LOUDEST]))
    with pytest.raises(ValueError, match="16-bit"):
        check_samples(torch.tensor([0.0, -LOUDEST - 1]))
