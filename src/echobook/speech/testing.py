"""Checks that every streaming encoder must pass: subclass `StreamingCases` in a test file and say how to
build one.

    class TestMyEncoder(StreamingCases):
        features = 12

        def make_encoder(self):
            return MyEncoder(self.features)

The encoder is built with a fixed seed and put in evaluation mode. float32 encodings of order 1, and the
logits of a transducer on top of them, must agree to `tolerance`; greedy labels and times must be equal.
"""

from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from echobook.speech.decoding import GreedyDecoder, greedy
from echobook.speech.model import AdditiveJoiner, PredictionNetwork, Transducer
from echobook.speech.streaming import future_leak, stream, streaming_gap

CHUNKS = [1, 3, 1, 7, 2, 11, 5]


class StreamingCases:
    """Chunked equals whole, causal, indifferent to padding and to its neighbours in the batch."""

    features: int
    frames: int = 30
    tolerance: float = 1e-4

    def make_encoder(self) -> nn.Module:
        """Return the encoder under test."""
        raise NotImplementedError("StreamingCases.make_encoder must return the encoder under test")

    def setting(self) -> tuple[Any, Tensor, Tensor]:
        """Encoder in evaluation mode, three utterances, their lengths."""
        torch.manual_seed(0)
        encoder = self.make_encoder().eval()
        generator = torch.Generator().manual_seed(1)
        frames = torch.randn(3, self.frames, self.features, generator=generator)
        return encoder, frames, torch.tensor([self.frames, self.frames // 2, self.frames // 3])

    def test_frame_by_frame_equals_whole(self) -> None:
        encoder, frames, _ = self.setting()
        assert streaming_gap(encoder, frames, [1] * self.frames) < self.tolerance

    def test_uneven_chunks_equal_whole(self) -> None:
        encoder, frames, _ = self.setting()
        chunks = [
            size for size, total in zip(CHUNKS, accumulate(CHUNKS), strict=True) if total <= self.frames
        ]
        rest = [self.frames - sum(chunks)] if sum(chunks) < self.frames else []
        assert streaming_gap(encoder, frames, chunks + rest) < self.tolerance

    def test_no_look_ahead(self) -> None:
        encoder, frames, _ = self.setting()
        for at in (1, self.frames // 2, self.frames - 1):
            assert future_leak(encoder, frames, at) < 1e-6

    def test_state_can_be_branched(self) -> None:
        encoder, frames, _ = self.setting()
        _, state = encoder.step(frames[:, :5], encoder.initial_state(3))
        first, _ = encoder.step(frames[:, 5:9], state)
        again, _ = encoder.step(frames[:, 5:9], state)
        assert torch.equal(first, again)

    @torch.no_grad()
    def test_padding_and_neighbours_do_not_matter(self) -> None:
        encoder, frames, lengths = self.setting()
        together, sizes = encoder(frames, lengths)
        for i, length in enumerate(lengths.tolist()):
            alone, size = encoder(frames[i : i + 1, :length], lengths[i : i + 1])
            assert sizes[i] == size[0]
            gap = (together[i, : int(size[0])] - alone[0]).abs().max()
            assert gap < self.tolerance

    @torch.no_grad()
    def model_over(self, encoder: Any, frames: Tensor) -> Transducer:
        """A transducer on top of the encoder, with peaky scores, so that labels are written at all."""
        size = stream(encoder, frames[:, :1], [1]).shape[-1]
        predictor = PredictionNetwork(6, embedding=4, hidden=8, size=size)
        model = Transducer(encoder, predictor, AdditiveJoiner(size, 6)).eval()
        model.joiner.output.weight.mul_(8)
        return model

    @torch.no_grad()
    def test_logits_are_equal(self) -> None:
        encoder, frames, _ = self.setting()
        model, labels = self.model_over(encoder, frames), torch.tensor([[1, 4, 2]] * 3)
        whole, _ = model(frames, torch.full((3,), self.frames), labels)
        encodings = stream(encoder, frames, [1] * self.frames)
        pieces = model.joiner(encodings[:, :, None], model.predictor(labels)[:, None])
        assert (whole - pieces).abs().max() < self.tolerance

    def test_greedy_labels_and_times_are_equal(self) -> None:
        encoder, frames, _ = self.setting()
        model = self.model_over(encoder, frames)
        whole = greedy(model, frames, torch.full((3,), self.frames))
        decoder, state = GreedyDecoder(model, 3), encoder.initial_state(3)
        for start, end in pairwise(range(0, self.frames + 1, 5)):
            encodings, state = encoder.step(frames[:, start:end], state)
            decoder.advance(encodings.detach())
        assert any(hypothesis.labels for hypothesis in whole)
        for ours, theirs in zip(decoder.hypotheses, whole, strict=True):
            assert ours[:2] == theirs[:2]
