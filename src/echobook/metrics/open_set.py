"""Scores of a classifier that may also answer "none of the known classes".

Known classes are numbered 0 ... m-1 and the open class is OPEN = -1. As in TEXTOIR's tables:

    known F1    macro mean of the F1 of the m known classes
    open F1     F1 of the open class
    F1          macro mean over all m + 1 classes
    accuracy    share of items answered rightly, the open class included

AUROC does without a threshold: the probability that an unseen item scores higher than a seen one, ties
counted half (the Mann-Whitney statistic, from mid-ranks). `matched_open_f1` compares two detectors at equal
known F1. Time O(N log N); one sweep over thresholds O(G N m).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

OPEN = -1


@dataclass(frozen=True)
class OpenSetScores:
    """Known, open and overall macro-F1, and accuracy."""

    known_f1: float
    open_f1: float
    f1: float
    accuracy: float


def auroc(scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"]) -> float:
    """Return the area under the ROC curve of `scores`, larger meaning positive."""
    count = int(positive.sum())
    if len(scores) != len(positive):
        raise ValueError(f"positive: expected {len(scores)} entries (as scores), found {len(positive)}")
    if count == 0 or count == len(positive):
        raise ValueError(f"positive: {count} of {len(positive)}; both kinds are needed")
    if not np.isfinite(scores).all():
        raise ValueError("scores: not finite")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def class_f1(
    truth: Int[np.ndarray, " N"], answers: Int[np.ndarray, " N"], classes: int
) -> Float[np.ndarray, " K1"]:
    """Return the F1 of classes 0 ... classes-1 and, last, of OPEN; 0 for a class never right."""
    if len(truth) != len(answers):
        raise ValueError(f"answers: expected {len(truth)} entries (as truth), found {len(answers)}")
    for name, values in (("truth", truth), ("answers", answers)):
        if len(values) and (values.min() < OPEN or values.max() >= classes):
            raise ValueError(
                f"{name}: expected classes -1 ... {classes - 1}, found {values.min()} ... {values.max()}"
            )
    shift = lambda values: np.where(values == OPEN, classes, values)  # noqa: E731
    right = np.bincount(shift(truth)[truth == answers], minlength=classes + 1)
    total = np.bincount(shift(truth), minlength=classes + 1) + np.bincount(
        shift(answers), minlength=classes + 1
    )
    return 2 * right / np.maximum(total, 1)


def open_set_scores(
    truth: Int[np.ndarray, " N"], answers: Int[np.ndarray, " N"], *, classes: int
) -> OpenSetScores:
    """Return known, open and overall macro-F1 and accuracy of answers over `classes` known classes."""
    f1 = class_f1(truth, answers, classes)
    return OpenSetScores(
        float(f1[:-1].mean()), float(f1[-1]), float(f1.mean()), float(np.mean(truth == answers))
    )


def reject_above(
    answers: Int[np.ndarray, " N"], novelty: Float[np.ndarray, " N"], threshold: float
) -> Int[np.ndarray, " N"]:
    """Return the answers with OPEN where the novelty score is above `threshold`."""
    return np.where(novelty > threshold, OPEN, answers)


def best_threshold(
    novelty: Float[np.ndarray, " N"], unseen: Bool[np.ndarray, " N"], *, points: int = 200
) -> float:
    """Return the threshold with the best macro-F1 of the two-way decision seen / unseen, over quantiles."""
    grid = np.unique(np.quantile(novelty, np.linspace(0, 1, points)))
    flagged = novelty[None, :] > grid[:, None]  # (G, N)
    hits = (flagged & unseen).sum(1)
    passed = (~flagged & ~unseen).sum(1)
    of_unseen = 2 * hits / np.maximum(flagged.sum(1) + unseen.sum(), 1)
    of_seen = 2 * passed / np.maximum((~flagged).sum(1) + (~unseen).sum(), 1)
    return float(grid[int(np.argmax(of_unseen + of_seen))])


def matched_open_f1(
    truth: Int[np.ndarray, " N"],
    answers: Int[np.ndarray, " N"],
    novelty: Float[np.ndarray, " N"],
    *,
    known_f1: float,
    classes: int,
    points: int = 100,
) -> float:
    """Return the best open F1 among thresholds whose known F1 is at least `known_f1`.

    An operating point for comparing detectors, not a way to choose a threshold: it reads the true classes.
    Raises when no threshold reaches `known_f1`.
    """
    best = None
    for threshold in np.unique(np.quantile(novelty, np.linspace(0, 1, points))):
        scores = open_set_scores(truth, reject_above(answers, novelty, float(threshold)), classes=classes)
        if scores.known_f1 >= known_f1 and (best is None or scores.open_f1 > best):
            best = scores.open_f1
    if best is None:
        raise ValueError(f"known_f1: no threshold reaches {known_f1:.3f}")
    return best
