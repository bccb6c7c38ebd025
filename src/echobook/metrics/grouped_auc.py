"""Area under the ROC curve inside each group: is the positive of *this* customer above the negative?

AUC = P(score of a positive > score of a negative) + P(tie) / 2. Over all rows together it also rewards
knowing which *group* has more positives. Inside a group everything that the group's rows share cancels.

With ranks r of the scores inside a group (ties share their mean rank), p positives and q negatives,

    AUC = (sum of the positives' r - p (p + 1) / 2) / (p q).

Axes: N rows, G groups. Time O(N log N).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class GroupedAuc:
    """AUC of each group that has rows of both kinds.

    Attributes:
        groups: labels of these groups, in increasing order.
        values: their AUCs.
    """

    groups: Int[np.ndarray, " G"]
    values: Float[np.ndarray, " G"]

    @property
    def mean(self) -> float:
        """Mean over the groups."""
        return float(self.values.mean())


def grouped_auc(
    scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"], groups: Int[np.ndarray, " N"]
) -> GroupedAuc:
    """AUC inside each group; groups of one kind are left out.

    Raises:
        ValueError: unequal lengths, a score that is not finite, or no group with both kinds.
    """
    if not len(scores) == len(positive) == len(groups):
        raise ValueError(f"expected equal lengths, got {len(scores)}, {len(positive)} and {len(groups)}")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores: row {int((~np.isfinite(scores)).argmax())} is not finite")
    labels, number = np.unique(groups, return_inverse=True)
    ranks = ranks_within(scores, number)
    size = np.bincount(number, minlength=len(labels))
    count = np.bincount(number, weights=positive, minlength=len(labels))
    summed = np.bincount(number, weights=ranks * positive, minlength=len(labels))
    both = (count > 0) & (count < size)
    if not both.any():
        raise ValueError(f"no group of {len(labels)} has positives and negatives")
    area = (summed - count * (count + 1) / 2)[both] / (count * (size - count))[both]
    return GroupedAuc(labels[both], area)


def ranks_within(scores: Float[np.ndarray, " N"], groups: Int[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Rank of each score inside its group, from 1; equal scores share the mean of their ranks."""
    order = np.lexsort((scores, groups))
    sorted_groups, sorted_scores = groups[order], scores[order]
    place = np.arange(len(order))
    new_group = np.r_[True, sorted_groups[1:] != sorted_groups[:-1]]
    new_score = new_group | np.r_[True, sorted_scores[1:] != sorted_scores[:-1]]
    first = np.flatnonzero(new_score)
    last = np.r_[first[1:], len(order)] - 1
    block = new_score.cumsum() - 1
    start = place[new_group][new_group.cumsum() - 1]
    ranks = np.empty(len(order))
    ranks[order] = (first[block] + last[block]) / 2 - start + 1
    return ranks
