"""Ways of choosing the next joke: each gives a probability to every allowed joke.

The heuristic that the paper's models were compared with is not described in what we read. Ours is a
*rotation*: one list in random order, which every customer enters somewhere and goes through, so the joke
told is the one told least recently to this customer. Axes: N moments, J jokes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from echobook.papers.joke_skill.history import Moments

Scorer = Callable[[Moments], Float[np.ndarray, "N J"]]


def uniform(allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
    """Equal chances of the allowed jokes.

    Raises ValueError for a row without an allowed joke.
    """
    count = allowed.sum(axis=1, keepdims=True)
    if not (count > 0).all():
        raise ValueError(f"moment {int((count[:, 0] == 0).argmax())}: no joke is allowed")
    return allowed / count


def softmax(scores: Float[np.ndarray, "N J"], allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
    """Chances in proportion to exp(score) among the allowed jokes."""
    masked = np.where(allowed, scores, -np.inf)
    powers = np.exp(masked - masked.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def best(scores: Float[np.ndarray, "N J"], allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
    """All chance on the allowed joke of the highest score, the first of equal ones."""
    chosen = np.where(allowed, scores, -np.inf).argmax(axis=1)
    return np.eye(scores.shape[1])[chosen]


class Random:
    """Any allowed joke."""

    def probabilities(self, moments: Moments, allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
        return uniform(allowed)


@dataclass(frozen=True)
class Launch:
    """The policy that wrote the log: with probability ``explore`` any allowed joke, else by a first guess.

    Attributes:
        guess: a score for each joke, the same for everybody.
        explore: share of uniform choices, > 0 so that every propensity is positive.
    """

    guess: Float[np.ndarray, " J"]
    explore: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.explore <= 1:
            raise ValueError(f"explore: expected a share in (0, 1], got {self.explore}")

    def probabilities(self, moments: Moments, allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
        guessed = softmax(np.broadcast_to(self.guess, allowed.shape), allowed)
        return self.explore * uniform(allowed) + (1 - self.explore) * guessed


@dataclass(frozen=True)
class Rotation:
    """The next allowed joke of one list, from each customer's own place in it.

    Attributes:
        place: of each joke in the list.
        offset: where each customer enters.
    """

    place: Int[np.ndarray, " J"]
    offset: Int[np.ndarray, " U"]

    def ahead(self, moments: Moments) -> Int[np.ndarray, "N J"]:
        """How far ahead each joke is."""
        return (self.place[None, :] - self.offset[moments.user, None]) % len(self.place)

    def probabilities(self, moments: Moments, allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
        return best(-self.ahead(moments).astype(float), uniform(allowed) > 0)


def rotation(jokes: int, users: int, *, seed: int) -> Rotation:
    """A list in random order and entries at random places."""
    rng = np.random.default_rng((seed, 93))
    return Rotation(rng.permutation(jokes), rng.integers(0, jokes, users))


@dataclass(frozen=True)
class Greedy:
    """The allowed joke of the highest score: a point-wise ranker of which only the first place is heard."""

    scorer: Scorer

    def probabilities(self, moments: Moments, allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
        return best(self.scorer(moments), allowed)


@dataclass(frozen=True)
class Softened:
    """Chances in proportion to exp(score / temperature): what off-policy estimates can be made of."""

    scorer: Scorer
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature: expected > 0, got {self.temperature}")

    def probabilities(self, moments: Moments, allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
        return softmax(self.scorer(moments) / self.temperature, allowed)


def oracle(liking: Float[np.ndarray, "U J"]) -> Greedy:
    """Knows what everybody would think of every joke: the ceiling."""
    return Greedy(lambda moments: np.nan_to_num(liking[moments.user], nan=-1e9))
