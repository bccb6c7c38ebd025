"""How good are scores? The paper's measures, and the ones that a talkative customer cannot help.

    pooled     AUC over all told jokes: the paper's main measure
    customer   AUC inside each customer's told jokes, mean over customers
    choice     AUC at one moment over all jokes that could be told: is a joke that this customer *likes*
               (by the ratings, not by the label) above one that is disliked? Mean over moments
    top-1      share of sessions whose best-scored told joke has the label
    accuracy   share right at the threshold one half, and at the best one of the validation rows

Whatever a score says about the customer and the hour alone cancels in *choice*, which is the list that a
ranker is there to sort. Axes: N told jokes, M moments, J jokes, G customers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from echobook.metrics.grouped_auc import GroupedAuc, grouped_auc
from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill.history import Moments

BUCKETS = 200  # groups of customers whose means are recorded


@dataclass(frozen=True)
class Choice:
    """At M moments: AUC of liked above disliked jokes (NaN where there is one kind only), and the liking of
    the joke on top.
    """

    auc: Float[np.ndarray, " M"]
    top: Float[np.ndarray, " M"]


def choice_quality(
    scores: Float[np.ndarray, "M J"], allowed: Bool[np.ndarray, "M J"], liking: Float[np.ndarray, "M J"]
) -> Choice:
    """Compare the order of the allowed jokes with the customers' likings (liked: above 0).

    Raises ValueError for a moment without an allowed joke.
    """
    if not allowed.any(axis=1).all():
        raise ValueError(f"moment {int((~allowed.any(axis=1)).argmax())}: no joke is allowed")
    moment, joke = np.nonzero(allowed)
    found = grouped_auc(scores[moment, joke], liking[moment, joke] > 0, moment)
    auc = np.full(len(scores), np.nan)
    auc[found.groups] = found.values
    best = np.where(allowed, scores, -np.inf).argmax(axis=1)
    return Choice(auc, liking[np.arange(len(scores)), best])


def sessions_of(moments: Moments) -> Int[np.ndarray, " N"]:
    """Number of the session of each row: rows of a customer from one position 0 up to the next."""
    order = np.lexsort((moments.time, moments.user))
    fresh = (moments.position[order] == 0) | np.r_[True, np.diff(moments.user[order]) != 0]
    session = np.empty(len(order), dtype=np.int64)
    session[order] = fresh.cumsum()
    return session


def top_one(
    scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"], lists: Int[np.ndarray, " N"]
) -> float:
    """Share of lists of two or more rows whose best-scored row is positive; equal scores share the place."""
    _, number = np.unique(lists, return_inverse=True)
    highest = np.full(number.max() + 1, -np.inf)
    np.maximum.at(highest, number, scores)
    first = scores == highest[number]
    share = np.bincount(number, weights=first * positive) / np.bincount(number, weights=first)
    longer = np.bincount(number) > 1
    if not longer.any():
        raise ValueError("lists: none has two rows")
    return float(share[longer].mean())


def accuracy(scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"], threshold: float) -> float:
    """Share of rows on the right side of a threshold."""
    return float(((scores > threshold) == positive).mean())


def best_threshold(scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"]) -> float:
    """The threshold of the highest accuracy; below all scores or above them where that is best."""
    order = np.argsort(scores, kind="stable")
    right = np.r_[0, np.cumsum(~positive[order])] + positive.sum() - np.r_[0, np.cumsum(positive[order])]
    edges = np.r_[-np.inf, scores[order]]
    whole = np.r_[True, np.diff(scores[order]) > 0, True]
    return float(edges[np.where(whole, right, -1).argmax()])


@dataclass(frozen=True)
class Offline:
    """Measures of one scorer on one label; see the module's text."""

    pooled: float
    customer: GroupedAuc
    top: float
    accuracy: float
    accuracy_tuned: float

    @property
    def means(self) -> Mapping[str, float]:
        """Plain figures by name."""
        return {
            "pooled": self.pooled,
            "customer": self.customer.mean,
            "top-1": self.top,
            "accuracy": self.accuracy,
            "accuracy-tuned": self.accuracy_tuned,
        }


def offline(
    scores: Float[np.ndarray, " N"],
    positive: Bool[np.ndarray, " N"],
    moments: Moments,
    *,
    validation_scores: Float[np.ndarray, " V"],
    validation: Bool[np.ndarray, " V"],
) -> Offline:
    """All measures that need told jokes only; scores are log-odds."""
    return Offline(
        pooled=auroc(scores, positive),
        customer=grouped_auc(scores, positive, moments.user),
        top=top_one(scores, positive, sessions_of(moments)),
        accuracy=accuracy(scores, positive, 0.0),
        accuracy_tuned=accuracy(scores, positive, best_threshold(validation_scores, validation)),
    )


def relative_change(value: float, against: float) -> float:
    """Change in per cent, the form in which the paper prints its table."""
    return 100 * (value - against) / against


def by_bucket(
    values: Float[np.ndarray, " G"],
    users: Int[np.ndarray, " G"],
    weights: Float[np.ndarray, " G"] | None = None,
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Means and weights over fixed groups of customers (number modulo :data:`BUCKETS`)."""
    given = np.ones(len(values)) if weights is None else weights
    total = np.bincount(users % BUCKETS, weights=given, minlength=BUCKETS)
    summed = np.bincount(users % BUCKETS, weights=given * values, minlength=BUCKETS)
    return np.divide(summed, total, out=np.zeros(BUCKETS), where=total > 0), total
