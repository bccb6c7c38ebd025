"""Greedy and beam search through a transducer, with the frame at which each label is written.

At each frame the search writes labels until it takes the blank, at most `cap` of them. Greedy search follows
the best move (ties: the lowest class). Beam search keeps the `width` best label strings after each frame; the
same string reached by different alignments is one hypothesis, whose probability is their sum. With a beam
wide enough and a cap of U the score of a string is therefore minus its transducer loss.

Axes: B utterances, S encodings, E encoding, V classes. Cost: O(S (1 + labels)) joiner calls for greedy, times
width * (cap + 1) rows for beam. Scores are natural-log probabilities of the model, not normalised by length.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.speech.model import BLANK, Transducer


class Hypothesis(NamedTuple):
    """Labels, the frame at which each was written, and the log-probability."""

    labels: tuple[int, ...]
    times: tuple[int, ...]
    score: float


class GreedyDecoder:
    """Greedy search over encodings that may arrive in chunks; `hypotheses` holds what has been written so
    far.
    """

    def __init__(self, model: Transducer, batch: int, *, cap: int = 5) -> None:
        if cap < 1:
            raise ValueError(f"cap is {cap}; expected at least 1 label per frame")
        self.model, self.cap, self.frame = model, cap, 0
        self.labels: list[list[int]] = [[] for _ in range(batch)]
        self.times: list[list[int]] = [[] for _ in range(batch)]
        self.scores = torch.zeros(batch, dtype=torch.float64)
        start = torch.full((batch,), BLANK)
        with torch.no_grad():
            self.prediction, self.state = model.predictor.step(start, model.predictor.initial_state(batch))

    @torch.no_grad()
    def advance(self, encodings: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"] | None = None) -> None:
        """Read the next encodings; `lengths` counts how many of these belong to each utterance (default
        all).
        """
        size = encodings.shape[1]
        ends = [size] * len(self.labels) if lengths is None else lengths.tolist()
        for s in range(size):
            rows = torch.tensor([i for i, end in enumerate(ends) if s < end], dtype=torch.long)
            for _ in range(self.cap):
                if len(rows) == 0:
                    break
                rows = self._write(rows, encodings[:, s])
            self._close(rows, encodings[:, s])
            self.frame += 1

    def _write(self, rows: Tensor, encodings: Tensor) -> Tensor:
        """Take the best move of each row; return the rows that wrote a label."""
        logp = self.model.joiner(encodings[rows], self.prediction[rows]).log_softmax(-1)
        best, choice = logp.max(-1)
        self.scores[rows] += best.double()
        wrote = choice != BLANK
        rows, choice = rows[wrote], choice[wrote]
        if len(rows) == 0:
            return rows
        for i, label in zip(rows.tolist(), choice.tolist(), strict=True):
            self.labels[i].append(label)
            self.times[i].append(self.frame)
        prediction, state = self.model.predictor.step(choice, tuple(part[rows] for part in self.state))
        self.prediction = self.prediction.index_copy(0, rows, prediction)
        self.state = tuple(part.index_copy(0, rows, new) for part, new in zip(self.state, state, strict=True))
        return rows

    def _close(self, rows: Tensor, encodings: Tensor) -> None:
        """Rows that reached the cap must leave the frame by the blank."""
        if len(rows):
            logp = self.model.joiner(encodings[rows], self.prediction[rows]).log_softmax(-1)
            self.scores[rows] += logp[:, BLANK].double()

    @property
    def hypotheses(self) -> list[Hypothesis]:
        """What each utterance has written so far."""
        parts = zip(self.labels, self.times, self.scores.tolist(), strict=True)
        return [Hypothesis(tuple(labels), tuple(times), score) for labels, times, score in parts]


@torch.no_grad()
def greedy(
    model: Transducer, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"], *, cap: int = 5
) -> list[Hypothesis]:
    """Greedy hypotheses of a batch. Put the model in evaluation mode first."""
    encodings, lengths = model.encoder(frames, lengths)
    decoder = GreedyDecoder(model, len(frames), cap=cap)
    decoder.advance(encodings, lengths)
    return decoder.hypotheses


@torch.no_grad()
def beam_search(
    model: Transducer, frames: Float[Tensor, "T D"], *, width: int = 8, cap: int = 5, best: int | None = None
) -> list[Hypothesis]:
    """The `best` (default `width`) hypotheses of one utterance, most probable first."""
    if width < 1 or cap < 1:
        raise ValueError(f"width is {width} and cap is {cap}; expected at least 1")
    encodings, _ = model.encoder(frames[None], torch.tensor([len(frames)]))
    beam = _start(model)
    for time, encoding in enumerate(encodings[0]):
        closed: dict[tuple[int, ...], _Partial] = {}
        for written in range(cap + 1):
            logp = model.joiner(encoding, torch.stack([p.prediction for p in beam])).log_softmax(-1)
            for partial, row in zip(beam, logp.tolist(), strict=True):
                _merge(closed, replace(partial, score=partial.score + row[BLANK]))
            if written == cap:
                break
            beam = _extend(model, beam, logp, time, width)
            if not beam:
                break
        beam = _top(closed.values(), width)
    return [Hypothesis(p.labels, p.times, p.score) for p in beam[: best or width]]


@dataclass(frozen=True)
class _Partial:
    """A label string on the way, with what the prediction network remembers of it."""

    labels: tuple[int, ...]
    times: tuple[int, ...]
    score: float
    prediction: Tensor
    state: tuple[Tensor, ...]


def _start(model: Transducer) -> list[_Partial]:
    prediction, state = model.predictor.step(torch.tensor([BLANK]), model.predictor.initial_state(1))
    return [_Partial((), (), 0.0, prediction[0], tuple(part[0] for part in state))]


def _merge(into: dict[tuple[int, ...], _Partial], new: _Partial) -> None:
    """Add probabilities of equal strings; the times are those of the more probable group of alignments."""
    old = into.get(new.labels)
    if old is not None:
        high, low = max(old.score, new.score), min(old.score, new.score)
        keep = old if old.score >= new.score else new
        new = replace(keep, score=high + math.log1p(math.exp(low - high)))
    into[new.labels] = new


def _top(partials: Iterable[_Partial], width: int) -> list[_Partial]:
    return sorted(partials, key=lambda p: (-p.score, p.labels))[:width]


def _extend(
    model: Transducer, beam: list[_Partial], logp: Float[Tensor, "W V"], time: int, width: int
) -> list[_Partial]:
    """The `width` best one-label extensions of the beam at this frame."""
    scores = torch.tensor([p.score for p in beam], dtype=torch.float64)[:, None] + logp.double()
    scores[:, BLANK] = -math.inf
    found = scores.flatten().topk(min(width, scores.numel() - len(beam)))
    rows, labels = found.indices // logp.shape[1], found.indices % logp.shape[1]
    if len(rows) == 0:
        return []
    picked = [beam[i] for i in rows.tolist()]
    before = tuple(torch.stack(parts) for parts in zip(*(p.state for p in picked), strict=True))
    prediction, state = model.predictor.step(labels, before)
    return [
        _Partial((*p.labels, label), (*p.times, time), score, prediction[i], tuple(s[i] for s in state))
        for i, (p, label, score) in enumerate(
            zip(picked, labels.tolist(), found.values.tolist(), strict=True)
        )
    ]
