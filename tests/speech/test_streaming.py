"""Streaming measures on encoders that keep the contract and on ones that break it."""

import pytest
import torch
from torch import nn

from echobook.speech.model import LSTMEncoder
from echobook.speech.streaming import future_leak, stream, streaming_gap
from echobook.speech.testing import StreamingCases


class TestLSTMEncoder(StreamingCases):
    features = 6

    def make_encoder(self):
        return LSTMEncoder(6, hidden=10, size=8, layers=2, dropout=0.5)


class MeanEncoder(nn.Module):
    """Subtracts the mean of what it is given: leaks the future when given all, forgets when given chunks."""

    def forward(self, frames, lengths):
        return frames - frames.mean(1, keepdim=True), lengths

    def initial_state(self, batch):
        return ()

    def step(self, frames, state):
        return frames - frames.mean(1, keepdim=True), state


class CopyEncoder(MeanEncoder):
    def forward(self, frames, lengths):
        return frames, lengths

    def step(self, frames, state):
        return frames, state


def frames():
    return torch.arange(12.0).reshape(1, 6, 2)


def test_a_leaking_encoder_is_caught():
    # channel 0 is 0, 2, .. 10 with mean 5; one frame at a time every mean is the frame itself
    assert streaming_gap(MeanEncoder(), frames(), [1] * 6) == pytest.approx(5)
    assert future_leak(MeanEncoder(), frames(), 3) > 1


def test_a_leaking_encoder_fails_the_cases():
    class Broken(StreamingCases):
        features = 4

        def make_encoder(self):
            return MeanEncoder()

    with pytest.raises(AssertionError):
        Broken().test_frame_by_frame_equals_whole()
    with pytest.raises(AssertionError):
        Broken().test_no_look_ahead()
    with pytest.raises(AssertionError):
        Broken().test_padding_and_neighbours_do_not_matter()


def test_an_honest_encoder_has_no_gap():
    assert streaming_gap(CopyEncoder(), frames(), [2, 3, 1]) == 0
    assert future_leak(CopyEncoder(), frames(), 3) == 0
    assert torch.equal(stream(CopyEncoder(), frames(), [6]), frames())


@pytest.mark.parametrize("chunks", [[], [3], [3, 4], [6, 0]])
def test_chunks_must_cover_the_utterance(chunks):
    with pytest.raises(ValueError, match="expected positive sizes that sum to 6"):
        stream(CopyEncoder(), frames(), chunks)


@pytest.mark.parametrize("at", [0, 6])
def test_leak_needs_a_frame_inside(at):
    with pytest.raises(ValueError, match=r"expected 1\.\.5"):
        future_leak(CopyEncoder(), frames(), at)


def test_cases_need_an_encoder():
    with pytest.raises(NotImplementedError, match="make_encoder"):
        StreamingCases().make_encoder()
