"""Scores by user and by length of the history, and answers that need no training.

Intervals draw users, since one person's posts belong together: a figure is the mean over users of their share
of right answers, weighted by their number of targets. Axes: B users, S interactions, G users with a target.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from echobook.papers.incremental_user_embedding.baselines import past_counts
from echobook.papers.incremental_user_embedding.material import Users

BUCKETS = {
    "0": (0, 0),
    "1-2": (1, 2),
    "3-5": (3, 5),
    "6-11": (6, 11),
    "12-23": (12, 23),
    "24-up": (24, 10**9),
}


@dataclass(frozen=True)
class Scores:
    """Share right of each user with a target, and how many targets each has."""

    items: Float[np.ndarray, " G"]
    weights: Float[np.ndarray, " G"]

    @property
    def accuracy(self) -> float:
        """Share of all targets."""
        return float(self.items @ self.weights / self.weights.sum())

    def above(self, other: "Scores") -> "Scores":
        """What these are above others of the same users. Raises ValueError for other users."""
        if not np.array_equal(self.weights, other.weights):
            raise ValueError("scores of different targets cannot be subtracted")
        return Scores(self.items - other.items, self.weights)


def by_user(correct: Bool[np.ndarray, "B S"], wanted: Bool[np.ndarray, "B S"]) -> Scores:
    """Scores over the wanted targets, of users with one. Raises ValueError when none is wanted."""
    weights = wanted.sum(axis=1)
    if not weights.any():
        raise ValueError("no target is wanted here")
    there = weights > 0
    right = (correct & wanted).sum(axis=1)[there]
    return Scores(right / weights[there], weights[there].astype(np.float64))


def in_bucket(before: Int[np.ndarray, "B S"], name: str) -> Bool[np.ndarray, "B S"]:
    """Interactions with a number of earlier ones in a bucket of `BUCKETS`."""
    low, high = BUCKETS[name]
    return (before >= low) & (before <= high)


def curve(
    correct: Bool[np.ndarray, "B S"], wanted: Bool[np.ndarray, "B S"], before: Int[np.ndarray, "B S"]
) -> Mapping[str, tuple[float, int]]:
    """Accuracy and number of targets in each bucket that has one."""
    found = {}
    for name in BUCKETS:
        here = wanted & in_bucket(before, name)
        if here.any():
            found[name] = (float(correct[here].mean()), int(here.sum()))
    return found


def untrained(users: Users, split: str) -> dict[str, Bool[np.ndarray, "B S"]]:
    """Right answers without any training.

    ``majority``: always the commonest label of the training targets; ``same-as-last``: the user's last label;
    ``most-frequent``: the user's commonest (of equals the last one said). Without past both say the majority.
    """
    y, wanted = users.y.numpy(), users.targets(split).numpy()
    majority = int(np.bincount(y[users.targets("train").numpy()], minlength=users.classes).argmax())
    last = np.concatenate([np.full((len(y), 1), majority), y[:, :-1]], axis=1)
    counts = past_counts(users.y, users.classes).numpy()[..., : users.classes]
    counts = counts + 0.5 * (np.arange(users.classes) == last[..., None])
    answers = {
        "majority": np.full_like(y, majority),
        "same-as-last": last,
        "most-frequent": counts.argmax(-1),
    }
    return {name: (answer == y) & wanted for name, answer in answers.items()}


def oracle(
    users: Users, split: str, text: Float[np.ndarray, "B S C"], theta: Float[np.ndarray, "B S C"]
) -> Bool[np.ndarray, "B S"]:
    """Right answers of the text model's probabilities times the user's true preferences (the ceiling).

    ``text``: log probabilities of a model trained on evenly mixed users.
    """
    answers = (text + np.log(np.maximum(theta, 1e-12))).argmax(axis=-1)
    right: np.ndarray = (answers == users.y.numpy()) & users.targets(split).numpy()
    return right
