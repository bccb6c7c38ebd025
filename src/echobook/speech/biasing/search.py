"""Beam search for words through a phoneme transducer, many utterances at once, with priors and fusion.

Hypotheses are label strings that follow a lexicon tree. The score of a string y is

    log p(y | x) + lm_weight * log P(words) + fusion_weight * bonus(y)

with the bonus in labels (`echobook.speech.biasing.fusion`). At each frame a hypothesis writes up to `cap`
labels and then takes the blank; the same string reached by different alignments is one hypothesis, whose
probability is their sum. With a beam wide enough and a cap of U the first term is minus the transducer loss.

Axes: B utterances, T frames, E encoding, W hypotheses, V classes, H labels the predictor remembers.
Cost: O(T * cap) steps, each on (B, W, V) tensors; strings are compared by a 64-bit hash of their labels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.speech.biasing.fusion import FusionTable
from echobook.speech.biasing.lexicon import NOWHERE, Lexicon
from echobook.speech.biasing.phonemes import BLANK

Logits = Callable[[Tensor, Tensor], Tensor]
_PRIME = 1_000_003


@dataclass(frozen=True)
class SearchSettings:
    """Beam width, most labels per frame, weight of log priors, and bonus per matched label in nats."""

    width: int = 8
    cap: int = 3
    lm_weight: float = 0.6
    fusion_weight: float = 0.0

    def __post_init__(self) -> None:
        if min(self.width, self.cap) < 1 or not (self.lm_weight >= 0 and self.fusion_weight >= 0):
            raise ValueError(f"expected width, cap >= 1 and weights >= 0; got {self}")


@dataclass(frozen=True)
class Candidate:
    """A recognised text with its score and the parts of it: acoustics, log prior, fusion bonus in labels."""

    text: str
    score: float
    acoustic: float
    prior: float
    bonus: float


@dataclass(frozen=True)
class _Beam:
    """Hypotheses of a batch. `score` has all terms but the unweighted parts are kept beside it."""

    score: Float[Tensor, "B W"]
    prior: Float[Tensor, "B W"]
    bonus: Float[Tensor, "B W"]
    node: Int[Tensor, "B W"]
    state: Int[Tensor, "B W"]
    digest: Int[Tensor, "B W"]
    count: Int[Tensor, "B W"]
    labels: Int[Tensor, "B W U"]

    def pick(self, index: Int[Tensor, "B M"]) -> "_Beam":
        """Hypotheses by place, for each utterance its own."""
        wide = index[..., None].expand(-1, -1, self.labels.shape[2])
        picked = {name: getattr(self, name).gather(1, index) for name in _COLUMNS}
        return _Beam(**picked, labels=self.labels.gather(1, wide))


_COLUMNS = ("score", "prior", "bonus", "node", "state", "digest", "count")


class WordSearch:
    """The search for one lexicon, with one fusion table (shared, or joined from several) if any."""

    def __init__(
        self, lexicon: Lexicon, settings: SearchSettings, *, fusion: FusionTable | None = None, most: int = 80
    ) -> None:
        self.lexicon, self.tables, self.settings = lexicon, lexicon.tables, settings
        self.fusion, self.most = fusion, most

    @torch.no_grad()
    def __call__(
        self,
        logits: Logits,
        encodings: Float[Tensor, "B T E"],
        lengths: Int[Tensor, " B"],
        *,
        history: int = 2,
        starts: Int[Tensor, " B"] | None = None,
    ) -> list[list[Candidate]]:
        """The best texts of each utterance, best first; none when no hypothesis ends at the end of a word.

        logits: of the classes, from encodings (B, E) of one frame and the last `history` labels (B, W, H) of
        each hypothesis, blanks before the first. starts: each utterance's start state in the fusion table.
        Raises ValueError for lengths out of range.
        """
        if len(lengths) and not (int(lengths.min()) >= 1 and int(lengths.max()) <= encodings.shape[1]):
            raise ValueError(f"lengths are {lengths.tolist()}; expected 1..{encodings.shape[1]}")
        beam = self._start(len(encodings), starts)
        for time in range(encodings.shape[1] if len(encodings) else 0):
            after = self._frame(beam, encodings[:, time], logits, history)
            beam = _merge_ended(beam, after, time < lengths)
        return self._finish(beam)

    def _start(self, batch: int, starts: Tensor | None) -> _Beam:
        """One empty hypothesis an utterance; the other places are closed."""
        shape = (batch, self.settings.width)
        zeros, whole = torch.zeros(shape), torch.zeros(shape, dtype=torch.long)
        score = torch.full(shape, -math.inf)
        score[:, 0] = self.settings.lm_weight * self.tables.root_prior
        state = whole if starts is None else starts[:, None].expand(shape).clone()
        prior = zeros + self.tables.root_prior
        labels = torch.full((*shape, self.most), BLANK)
        return _Beam(score, prior, zeros, whole, state, whole, whole, labels)

    def _frame(self, beam: _Beam, encodings: Tensor, logits: Logits, history: int) -> _Beam:
        """Read one frame: write up to `cap` labels, then the blank; merge equal strings; keep the best."""
        closed = []
        for written in range(self.settings.cap + 1):
            logp = logits(encodings, _last(beam, history)).log_softmax(-1)  # (B, W, V)
            closed.append(replace(beam, score=beam.score + logp[..., BLANK]))
            if written < self.settings.cap:
                beam = self._write(beam, logp)
        return _best(_joined(closed), self.settings.width)

    def _write(self, beam: _Beam, logp: Float[Tensor, "B W V"]) -> _Beam:
        """The best extensions of each utterance's hypotheses by one label."""
        children = self.tables.following[beam.node]  # (B, W, V)
        prior = self.tables.prior[beam.node]
        gain = logp + self.settings.lm_weight * prior.clamp_min(-1e30)
        bonus = torch.zeros_like(gain) if self.fusion is None else self.fusion.bonus[beam.state]
        total = beam.score[..., None] + gain + self.settings.fusion_weight * bonus
        full = (beam.count >= self.most)[..., None]
        total = total.masked_fill((children == NOWHERE) | full, -math.inf)
        classes = total.shape[2]
        best = total.flatten(1).topk(beam.score.shape[1])
        place, label = best.indices // classes, best.indices % classes
        old = beam.pick(place)
        moved = self._moved(old, label)
        return replace(moved, score=best.values)

    def _moved(self, old: _Beam, label: Int[Tensor, "B W"]) -> _Beam:
        """Hypotheses after one more label each; their score is set by the caller."""
        state, bonus = old.state, old.bonus
        if self.fusion is not None:
            bonus = bonus + self.fusion.bonus[state, label]
            state = self.fusion.following[state, label]
        labels = old.labels.scatter(2, old.count.clamp_max(self.most - 1)[..., None], label[..., None])
        return replace(
            old,
            prior=old.prior + self.tables.prior[old.node, label],
            bonus=bonus,
            node=self.tables.following[old.node, label].clamp_min(0),
            state=state,
            digest=old.digest * _PRIME + label + 1,
            count=(old.count + 1).clamp_max(self.most),
            labels=labels,
        )

    def _finish(self, beam: _Beam) -> list[list[Candidate]]:
        """Close the last word of each hypothesis, and sort."""
        end = self.tables.end_prior[beam.node]
        bonus = beam.bonus if self.fusion is None else beam.bonus + self.fusion.end_bonus[beam.state]
        given = bonus - beam.bonus
        score = beam.score + self.settings.lm_weight * end + self.settings.fusion_weight * given
        score = score.masked_fill(~end.isfinite(), -math.inf)  # inside a word; with a weight of 0, too
        return [
            self._candidates(*row)
            for row in zip(score, beam.prior + end, bonus, beam.count, beam.labels, strict=True)
        ]

    def _candidates(
        self, score: Tensor, prior: Tensor, bonus: Tensor, count: Tensor, labels: Tensor
    ) -> list[Candidate]:
        found = []
        for place in score.argsort(descending=True, stable=True).tolist():
            value, before, extra = float(score[place]), float(prior[place]), float(bonus[place])
            if not math.isfinite(value):
                break
            text = self.lexicon.text(labels[place, : int(count[place])].tolist())
            rest = value - self.settings.lm_weight * before - self.settings.fusion_weight * extra
            found.append(Candidate(text, value, rest, before, extra))
        return found


def _last(beam: _Beam, history: int) -> Int[Tensor, "B W H"]:
    """The last labels of each hypothesis, oldest first, blanks where there are fewer."""
    places = beam.count[..., None] - history + torch.arange(history)  # (B, W, H)
    return beam.labels.gather(2, places.clamp_min(0)).masked_fill(places < 0, BLANK)


def _joined(beams: list[_Beam]) -> _Beam:
    columns = (*_COLUMNS, "labels")
    return _Beam(**{name: torch.cat([getattr(beam, name) for beam in beams], 1) for name in columns})


def _best(beam: _Beam, width: int) -> _Beam:
    """Add the probabilities of equal strings; keep the `width` best."""
    same = beam.digest[:, :, None] == beam.digest[:, None, :]  # (B, M, M)
    same &= beam.count[:, :, None] == beam.count[:, None, :]
    scores = beam.score[:, None, :].masked_fill(~same, -math.inf)
    high = scores.max(2)
    places = torch.arange(scores.shape[1])
    leads = (high.indices == places) & beam.score.isfinite()
    summed = scores.logsumexp(2).masked_fill(~leads, -math.inf)
    best = summed.topk(width)
    return replace(beam.pick(best.indices), score=best.values)


def _merge_ended(before: _Beam, after: _Beam, running: Tensor) -> _Beam:
    """The new beam for utterances that have this frame, the old one for those that have ended."""
    if bool(running.all()):
        return after
    columns = {}
    for name in (*_COLUMNS, "labels"):
        old, new = getattr(before, name), getattr(after, name)
        columns[name] = torch.where(running.view(-1, *[1] * (old.ndim - 1)), new, old)
    return _Beam(**columns)
