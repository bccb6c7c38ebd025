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


class ForgetfulEncoder(CopyEncoder):
    """Adds the previous frame, but changes the state it was given: a caller cannot branch."""

    def forward(self, frames, lengths):
        return self.step(frames, self.initial_state(len(frames)))[0], lengths

    def initial_state(self, batch):
        return torch.zeros(batch, 1, 4)

    def step(self, frames, state):
        out = frames + torch.cat([state, frames[:, :-1]], dim=1)
        return out, state.copy_(frames[:, -1:])


class NeighbourlyEncoder(CopyEncoder):
    """Each utterance sees its neighbours in the batch."""

    def forward(self, frames, lengths):
        return frames - frames.mean(0, keepdim=True), lengths

    def step(self, frames, state):
        return frames - frames.mean(0, keepdim=True), state


class LateEncoder(CopyEncoder):
    """Streams one frame late: the pieces are right, their places are not."""

    def initial_state(self, batch):
        return torch.zeros(batch, 1, 4)

    def step(self, frames, state):
        return torch.cat([state, frames[:, :-1]], dim=1), frames[:, -1:]


@pytest.mark.parametrize(
    ("encoder", "case"),
    [
        (ForgetfulEncoder, "test_state_can_be_branched"),
        (NeighbourlyEncoder, "test_padding_and_neighbours_do_not_matter"),
        (LateEncoder, "test_uneven_chunks_equal_whole"),
        (LateEncoder, "test_logits_are_equal"),
        (LateEncoder, "test_greedy_labels_and_times_are_equal"),
    ],
)
def test_each_case_catches_its_kind_of_fault(encoder, case):
    class Broken(StreamingCases):
        features = 4

        def make_encoder(self):
            return encoder()

    with pytest.raises(AssertionError):
        getattr(Broken(), case)()


def test_the_cases_pass_an_honest_encoder():
    class Sound(StreamingCases):
        features = 4

        def make_encoder(self):
            return CopyEncoder()

    for name in dir(Sound):
        if name.startswith("test_"):
            getattr(Sound(), name)()


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_every_chunk_size_gives_the_same_encodings(size):
    torch.manual_seed(0)
    encoder = LSTMEncoder(6, hidden=10, size=8, layers=3).eval().double()
    utterance = torch.randn(2, 30, 6, dtype=torch.float64)
    chunks = [size] * (30 // size)
    assert streaming_gap(encoder, utterance, chunks) < 1e-12


class PeekingEncoder(CopyEncoder):
    """Adds the next frame, one step of look-ahead: the smallest leak there is."""

    def forward(self, frames, lengths):
        return frames + torch.cat([frames[:, 1:], torch.zeros_like(frames[:, :1])], dim=1), lengths


@pytest.mark.parametrize("at", range(1, 6))
def test_a_leak_of_one_frame_is_measured(at):
    # frame `at` becomes -3 x + 1: the encoding before it moves by |-4 x + 1|, channels 2 at and 2 at + 1
    assert future_leak(PeekingEncoder(), frames(), at) == pytest.approx(4 * (2 * at + 1) - 1)
