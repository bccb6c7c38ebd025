"""Ranking metrics of answer selection: average precision, reciprocal rank, P@1 and NDCG, per question.

Candidates of one question are sorted by score, highest first. With l_k the label at rank k, N candidates and
R of them relevant (label > 0):

    AP = 1/R * sum over relevant k of (relevant among the first k) / k      RR  = 1 / (rank of first relevant)
    DCG = sum over k of (2^l_k - 1) / log2(k + 1),  NDCG = DCG / DCG of the best order     P@1 = [l_1 > 0]

MAP and MRR are the means over questions. What remains open is the order of equal scores:

- ``expected`` (label-blind): the exact mean of each metric over all orders of the tied candidates, in closed
  form. In a tied block of n candidates, r of them relevant, after s candidates with t relevant, the i-th
  place is relevant with probability r/n and then has t + 1 + (i-1)(r-1)/(n-1) relevant ones up to it; the
  first relevant one stands at place i with probability C(n-i, r-1) / C(n, r). (McSherry and Najork 2008.)
- ``positive-first``: sort (score, label) pairs in reverse, as the TANDA authors' evaluation does. A system
  that gives every candidate the same score is then perfect; it is here to be shown beside the first.

Which questions count is said by a mode: :mod:`echobook.metrics.question_modes`.

Letters: N candidates, Q questions, G tied blocks. Time O(N log N); float64 throughout.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from echobook.metrics.question_modes import Mode, check_mode, group_rows, skip_reason

Ties = Literal["expected", "positive-first"]
TIES: tuple[str, ...] = get_args(Ties)
METRICS = ("map", "mrr", "p1", "ndcg")


@dataclass(frozen=True)
class Ranking:
    """Metrics per question and their means.

    Attributes:
        questions: ids of the Q questions that count, in order of first appearance.
        ap, rr, p1s, ndcgs: per-question values in [0, 1], same order, for paired intervals.
        skipped: questions left out by the mode, by reason (``all negative``, ``all positive``).
        contested: share of the Q questions in which a relevant and a non-relevant candidate have the same
            score; far from 0, the tie rule decides the result (arg-max labels instead of probabilities?).
    """

    questions: tuple[Hashable, ...]
    ap: Float[np.ndarray, " Q"]
    rr: Float[np.ndarray, " Q"]
    p1s: Float[np.ndarray, " Q"]
    ndcgs: Float[np.ndarray, " Q"]
    skipped: Mapping[str, int] = field(default_factory=dict)
    contested: float = 0.0

    @property
    def map(self) -> float:
        """Mean average precision."""
        return float(self.ap.mean())

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return float(self.rr.mean())

    @property
    def p1(self) -> float:
        """Share of questions with a relevant candidate on top."""
        return float(self.p1s.mean())

    @property
    def ndcg(self) -> float:
        """Mean normalised discounted cumulative gain."""
        return float(self.ndcgs.mean())

    def means(self) -> dict[str, float]:
        """The four means by the names of :data:`METRICS`."""
        return {name: getattr(self, name) for name in METRICS}


@dataclass(frozen=True)
class _Blocks:
    """Runs of equal score from the top: first place (from 0), size, relevant members, mean gain."""

    start: Int[np.ndarray, " G"]
    size: Int[np.ndarray, " G"]
    relevant: Int[np.ndarray, " G"]
    gain: Float[np.ndarray, " G"]


def _blocks(scores: Float[np.ndarray, " N"], labels: Int[np.ndarray, " N"], ties: Ties) -> _Blocks:
    order = np.lexsort((-labels, -scores))  # by score, then relevant first
    scores, labels = scores[order], labels[order]
    new = np.ones(len(scores), dtype=bool)
    if ties == "expected":
        new[1:] = scores[1:] != scores[:-1]
    start = np.flatnonzero(new)
    size = np.diff(np.append(start, len(scores)))
    gains = np.exp2(labels.astype(np.float64)) - 1.0
    relevant = np.add.reduceat((labels > 0).astype(np.int64), start)
    return _Blocks(start, size, relevant, np.add.reduceat(gains, start) / size)


def average_precision(
    scores: Float[np.ndarray, " N"], labels: Int[np.ndarray, " N"], *, ties: Ties = "expected"
) -> float:
    """AP of one question, without a cut-off; 0 when nothing is relevant.

    Args:
        scores: finite numbers, higher is better.
        labels: whole numbers >= 0; above 0 is relevant.
        ties: see the module's text.

    Raises:
        ValueError: no candidates, unequal lengths, a score that is not finite, a bad label or tie rule.
    """
    return _average_precision(_checked_blocks(scores, labels, ties))


def _average_precision(blocks: _Blocks) -> float:
    total = int(blocks.relevant.sum())
    if not total:
        return 0.0
    before, summed = 0, 0.0
    for start, size, relevant in zip(blocks.start, blocks.size, blocks.relevant, strict=True):
        if relevant:
            place = np.arange(size)
            others = place * (relevant - 1) / max(size - 1, 1)  # relevant ones before it in the block
            summed += relevant / size * float(((before + 1 + others) / (start + place + 1)).sum())
        before += relevant
    return summed / total


def reciprocal_rank(
    scores: Float[np.ndarray, " N"], labels: Int[np.ndarray, " N"], *, ties: Ties = "expected"
) -> float:
    """1 / rank of the first relevant candidate; 0 when nothing is relevant. Arguments as above."""
    return _reciprocal_rank(_checked_blocks(scores, labels, ties))


def _reciprocal_rank(blocks: _Blocks) -> float:
    hits = np.flatnonzero(blocks.relevant)
    if not len(hits):
        return 0.0
    start, size, relevant = (int(part[hits[0]]) for part in (blocks.start, blocks.size, blocks.relevant))
    ways = comb(size, relevant)
    return sum(comb(size - i, relevant - 1) / ways / (start + i) for i in range(1, size - relevant + 2))


def precision_at_1(
    scores: Float[np.ndarray, " N"], labels: Int[np.ndarray, " N"], *, ties: Ties = "expected"
) -> float:
    """Probability that the top candidate is relevant (0 or 1 without a tie). Arguments as above."""
    return _precision_at_1(_checked_blocks(scores, labels, ties))


def _precision_at_1(blocks: _Blocks) -> float:
    return float(blocks.relevant[0] / blocks.size[0])


def ndcg(
    scores: Float[np.ndarray, " N"],
    labels: Int[np.ndarray, " N"],
    *,
    ties: Ties = "expected",
    cutoff: int | None = None,
) -> float:
    """NDCG with gains 2^label - 1, over the first ``cutoff`` ranks (all by default); 0 without gain.

    Raises:
        ValueError: as :func:`average_precision`; a cut-off below 1.
    """
    if cutoff is not None and cutoff < 1:
        raise ValueError(f"cutoff: expected at least 1, got {cutoff}")
    return _ndcg(_checked_blocks(scores, labels, ties), labels, cutoff)


def _ndcg(blocks: _Blocks, labels: Int[np.ndarray, " N"], cutoff: int | None = None) -> float:
    discounts = 1.0 / np.log2(np.arange(2, len(labels) + 2))
    discounts[cutoff if cutoff is not None else len(labels) :] = 0.0
    best = float(discounts @ (np.exp2(np.sort(labels)[::-1].astype(np.float64)) - 1.0))
    if not best:
        return 0.0
    return float(blocks.gain @ np.add.reduceat(discounts, blocks.start)) / best


def rank_questions(
    questions: Sequence[Hashable],
    scores: Float[np.ndarray, " N"],
    labels: Int[np.ndarray, " N"],
    *,
    mode: Mode = "clean",
    ties: Ties = "expected",
) -> Ranking:
    """Metrics per question over rows that name their question by id.

    Args:
        questions: question id of each of the N rows; rows of a question need not stand together. Use ids,
            not texts: two questions may share a text.
        scores: finite numbers, higher is better.
        labels: whole numbers >= 0; above 0 is relevant.
        mode: which questions count.
        ties: order of equal scores (the module's text).

    Raises:
        ValueError: bad input as in :func:`average_precision`, an unknown mode, or no question left.
    """
    check_mode(mode)
    _check(scores, labels, ties)
    if len(questions) != len(scores):
        raise ValueError(f"questions: expected {len(scores)} ids, one a score, got {len(questions)}")
    rows = group_rows(questions)
    skipped = {id_: reason for id_, row in rows.items() if (reason := skip_reason(labels[row], mode))}
    kept = {id_: row for id_, row in rows.items() if id_ not in skipped}
    if not kept:
        raise ValueError(f"no question of {len(rows)} counts in mode {mode!r}; try mode='raw'")
    reasons = list(skipped.values())
    return _summarise(
        kept, scores, labels, ties, {name: reasons.count(name) for name in sorted(set(reasons))}
    )


def _summarise(
    rows: Mapping[Hashable, Int[np.ndarray, " R"]],
    scores: Float[np.ndarray, " N"],
    labels: Int[np.ndarray, " N"],
    ties: Ties,
    skipped: dict[str, int],
) -> Ranking:
    values = np.empty((len(rows), 4))
    contested = 0
    for number, row in enumerate(rows.values()):
        blocks = _blocks(scores[row], labels[row], ties)
        values[number] = (
            _average_precision(blocks),
            _reciprocal_rank(blocks),
            _precision_at_1(blocks),
            _ndcg(blocks, labels[row]),
        )
        contested += bool(set(scores[row][labels[row] > 0]) & set(scores[row][labels[row] == 0]))
    ap, rr, p1s, ndcgs = values.T.copy()
    return Ranking(tuple(rows), ap, rr, p1s, ndcgs, skipped=skipped, contested=contested / len(rows))


def both_tie_rules(
    questions: Sequence[Hashable],
    scores: Float[np.ndarray, " N"],
    labels: Int[np.ndarray, " N"],
    *,
    mode: Mode = "clean",
) -> dict[str, Ranking]:
    """:func:`rank_questions` under each tie rule, side by side; arguments and errors are the same."""
    return {
        "expected": rank_questions(questions, scores, labels, mode=mode, ties="expected"),
        "positive-first": rank_questions(questions, scores, labels, mode=mode, ties="positive-first"),
    }


def _checked_blocks(scores: Float[np.ndarray, " N"], labels: Int[np.ndarray, " M"], ties: Ties) -> _Blocks:
    _check(scores, labels, ties)
    return _blocks(scores, labels, ties)


def _check(scores: Float[np.ndarray, " N"], labels: Int[np.ndarray, " M"], ties: Ties) -> None:
    if ties not in TIES:
        raise ValueError(f"ties: expected one of {TIES}, got {ties!r}")
    if not len(scores):
        raise ValueError("scores: expected at least one candidate, got none")
    if len(labels) != len(scores):
        raise ValueError(f"labels: expected {len(scores)}, one a score, got {len(labels)}")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(f"scores[{row}]: expected a finite number, got {scores[row]}")
    if (labels < 0).any():
        row = int(np.flatnonzero(labels < 0)[0])
        raise ValueError(f"labels[{row}]: expected 0 or above, got {labels[row]}")
