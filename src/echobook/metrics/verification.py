"""Speaker verification: error rates over thresholds, the equal error rate, and the minimum detection cost.

A trial has a score and is genuine (one speaker) or an impostor's (two). At threshold t trials with score >= t
are accepted:

    FRR(t) = weight of genuine trials below t / weight of genuine trials
    FAR(t) = weight of impostor trials at or above t / weight of impostor trials

Both are step functions that change at distinct scores only, so equal scores move together. The equal error
rate is where they meet. Between the two points of the curve around the meeting there is no threshold, and
conventions differ; with (FRR, FAR) = (r0, a0) before and (r1, a1) after:

    linear   on the straight line between the points: (a0 r1 - a1 r0) / (a0 - a1 + r1 - r0); the default
    average  (FRR + FAR) / 2 at the point where |FRR - FAR| is smallest, the earlier one of two
    max      max(FRR, FAR) at that point

`linear` is what a root search on the line through the points of a ROC curve gives, `max` what the trainer of
VoxCeleb baselines prints. They differ by at most one step of the curve. The threshold of `linear` lies as
far between the two scores as the rate does between the two points.

The detection cost p c_miss FRR + (1 - p) c_fa FAR is divided by that of the better constant answer,
min(p c_miss, (1 - p) c_fa), and its minimum is taken over the points, which include accepting and rejecting
all: it is at most 1. No interpolation: a linear function is least at a corner.

Weights count trials; with those of trial (i, j) the product of the times that speakers i and j were drawn
this is a bootstrap over speakers, and with a speaker's at 0 a jackknife. Scores are sorted once for all
weightings. Axes: N trials, P points of the curve. Time O(N log N) to sort, O(N) a weighting; sums in float64.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Scores = Shaped[np.ndarray, "..."]  # one axis, checked by hand


@dataclass(frozen=True)
class ErrorCurve:
    """FRR and FAR at rising thresholds, from accepting everything to rejecting everything.

    `thresholds`: distinct scores, then infinity; `frr` rises from 0 to 1, `far` falls from 1 to 0.
    """

    thresholds: Float[np.ndarray, " P"]
    frr: Float[np.ndarray, " P"]
    far: Float[np.ndarray, " P"]

    def at(self, threshold: float) -> tuple[float, float]:
        """FRR and FAR when scores from `threshold` on are accepted."""
        place = int(np.searchsorted(self.thresholds, threshold, side="left"))
        return float(self.frr[place]), float(self.far[place])


@dataclass(frozen=True)
class EqualError:
    """The rate at which FRR and FAR meet, and the threshold there."""

    rate: float
    threshold: float


@dataclass(frozen=True)
class Trials:
    """Scored trials, sorted once; `genuine` says which are of one speaker.

    Raises ValueError for lists of different lengths, a score that is not finite (its place is named), no
    genuine or no impostor trial, and scores that are all equal.
    """

    scores: Scores
    genuine: Scores

    def __post_init__(self) -> None:
        scores, genuine = np.asarray(self.scores), np.asarray(self.genuine)
        if scores.ndim != 1 or scores.shape != genuine.shape or genuine.dtype != bool:
            raise ValueError(
                f"trials: expected as many scores as labels, in one axis, labels bool; found {scores.shape} "
                f"and {genuine.shape} {genuine.dtype}"
            )
        if not np.isfinite(scores).all():
            bad = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(
                f"trials: score {bad} is {scores[bad]}; expected finite scores: look at its embeddings"
            )
        if genuine.all() or not genuine.any():
            kind = "impostor" if len(genuine) and genuine.all() else "genuine"
            raise ValueError(f"trials: none of {len(genuine)} is {kind}; expected some of both kinds")
        if scores.min() == scores.max():
            raise ValueError(
                f"trials: all {len(scores)} scores are {scores[0]:g}; constant scores part nobody, so there "
                "is no equal error rate: look at the embeddings"
            )

    @cached_property
    def order(self) -> Int[np.ndarray, " N"]:
        """Trials by rising score."""
        return np.argsort(np.asarray(self.scores), kind="stable")

    @cached_property
    def _labels(self) -> Bool[np.ndarray, " N"]:
        return np.asarray(self.genuine)[self.order]

    @cached_property
    def _first(self) -> Int[np.ndarray, " P"]:
        """Place of the first trial of each distinct score in rising order, then N."""
        ranked = np.asarray(self.scores)[self.order]
        return np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1], True])

    @cached_property
    def thresholds(self) -> Float[np.ndarray, " P"]:
        """Distinct scores, then infinity."""
        ranked = np.asarray(self.scores, dtype=np.float64)[self.order]
        return np.r_[ranked[self._first[:-1]], np.inf]

    def curve(self, weights: Scores | None = None) -> ErrorCurve:
        """The error rates, each trial counted once or `weights` times.

        Raises ValueError for a weight that is negative or not finite, and for no weight on one kind.
        """
        given = np.ones(len(self.order)) if weights is None else self._checked(weights)
        ranked = given[self.order]
        missed = np.r_[0.0, np.cumsum(ranked * self._labels)][self._first]  # (P,)
        turned = np.r_[0.0, np.cumsum(ranked * ~self._labels)][self._first]
        if missed[-1] <= 0 or turned[-1] <= 0:
            kind = "genuine" if missed[-1] <= 0 else "impostor"
            raise ValueError(f"weights: {kind} trials weigh 0 together; expected more")
        return ErrorCurve(self.thresholds, missed / missed[-1], 1 - turned / turned[-1])

    def _checked(self, weights: Scores) -> Float[np.ndarray, " N"]:
        table = np.asarray(weights, dtype=np.float64)
        if table.shape != (len(self.order),) or not np.isfinite(table).all() or (table < 0).any():
            raise ValueError(
                f"weights: expected {len(self.order)} finite numbers, none negative; found shape "
                f"{table.shape} with minimum {table.min() if table.size else None}"
            )
        return table


def equal_error(curve: ErrorCurve, interpolation: str = "linear") -> EqualError:
    """The equal error rate of a curve, by one of the conventions in the module's text.

    Raises ValueError for another convention.
    """
    gap = curve.frr - curve.far  # rises from -1 to 1
    if interpolation == "linear":
        after = int(np.argmax(gap >= 0))
        before = after - 1
        share = -gap[before] / (gap[after] - gap[before])
        rate = curve.frr[before] + share * (curve.frr[after] - curve.frr[before])
        top = curve.thresholds[after] if np.isfinite(curve.thresholds[after]) else curve.thresholds[before]
        threshold = (1 - share) * curve.thresholds[before] + share * top
        return EqualError(float(rate), float(threshold))
    place = int(np.argmin(np.abs(gap)))
    both = (curve.frr[place], curve.far[place])
    if interpolation == "average":
        return EqualError(float(sum(both) / 2), float(curve.thresholds[place]))
    if interpolation == "max":
        return EqualError(float(max(both)), float(curve.thresholds[place]))
    raise ValueError(f"interpolation {interpolation!r}: expected linear, average or max")


def min_dcf(curve: ErrorCurve, *, prior: float = 0.01, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """The minimum normalised detection cost: `prior` is the probability of a genuine trial.

    Raises ValueError for a prior outside (0, 1) or a cost that is not positive.
    """
    if not 0 < prior < 1 or min(c_miss, c_fa) <= 0:
        raise ValueError(f"expected 0 < prior < 1 and costs > 0; found {prior}, {c_miss}, {c_fa}")
    cost = prior * c_miss * curve.frr + (1 - prior) * c_fa * curve.far
    return float(cost.min() / min(prior * c_miss, (1 - prior) * c_fa))
