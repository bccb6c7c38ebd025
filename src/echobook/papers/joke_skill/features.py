"""What is known at a moment as features: blocks that are put together to a design.

A block turns moments and one joke each into columns (``rows``), and with fitted weights gives the scores of
*all* jokes at once (``scores``): whatever depends on the customer alone is one number a moment, whatever
depends on the joke alone one number a joke, and a cross is a matrix product. A test holds the two together.

The customer's taste is read from *residuals*: outcome of each past joke minus the customer's own rate so
far, 0 while unknown. Taking off the own rate is what keeps talkativeness out of the crosses.

Axes: N moments, J jokes, F columns, K groups, D dimensions of text vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from echobook.papers.joke_skill.history import NOBODY, Moments
from echobook.papers.joke_skill.material import JokeTable
from echobook.papers.joke_skill.method import HOUR, LABELS, RATES, Logistic

DAY = 24 * HOUR
PRIOR = 4.0  # past jokes that the overall rate counts for in a customer's own rate
POSITIONS, DEVICES = 6, 3
EVENING = (18, 23)  # hours, the second left out

Told = Int[np.ndarray, " N"]
Weights = Float[np.ndarray, " F"]
Scores = Float[np.ndarray, "N1 J1"]  # N or 1 moments, J or 1 jokes


@dataclass(frozen=True)
class Past:
    """Moments, the jokes, and the residuals of one label (computed once for all blocks)."""

    moments: Moments
    jokes: JokeTable
    label: str
    residuals: sparse.csr_matrix = field(init=False)

    def __post_init__(self) -> None:
        found = residuals(self.moments, self.label, len(self.jokes))
        object.__setattr__(self, "residuals", found)


@runtime_checkable
class Block(Protocol):
    """Columns of a design, and how their weights score all jokes."""

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix: ...
    def scores(self, weights: Weights, past: Past) -> Scores: ...


def own_rate(moments: Moments, label: str) -> Float[np.ndarray, " N"]:
    """Share of a customer's past jokes with a positive outcome, drawn towards the overall rate."""
    outcome = moments.outcome(label)
    known, positive = (outcome >= 0).sum(axis=1), (outcome == 1).sum(axis=1)
    return (positive + PRIOR * RATES[label]) / (known + PRIOR)


def residuals(moments: Moments, label: str, jokes: int) -> sparse.csr_matrix:
    """Outcome minus own rate of each past joke with a known outcome, over the root of their number, (N, J).

    The root keeps sums over a long history as large as over a short one; else what is learnt early in a log,
    when histories are short, is blown up late in it.
    """
    outcome = moments.outcome(label)
    known = outcome >= 0
    size = np.sqrt(known.sum(axis=1) + PRIOR) / 2
    values = np.where(known, outcome - own_rate(moments, label)[:, None], 0.0) / size[:, None]
    starts = np.r_[0, np.cumsum(known.sum(axis=1))]
    return sparse.csr_matrix(
        (values[known], moments.told[known].astype(np.int32), starts), shape=(len(moments), jokes)
    )


def _hour(moments: Moments) -> Float[np.ndarray, " N"]:
    return moments.time % DAY / HOUR


def evening(time: Int[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """1 in the evening hours, else 0."""
    hour = time % DAY // HOUR
    return ((hour >= EVENING[0]) & (hour < EVENING[1])).astype(np.float64)


class Context:
    """Hour, evening, weekend, device, and place in the session."""

    def dense(self, moments: Moments) -> Float[np.ndarray, "N F"]:
        """The columns as an array."""
        angle = 2 * np.pi * _hour(moments) / 24
        weekend = (moments.time // DAY % 7 >= 5).astype(np.float64)
        place = np.minimum(moments.position, POSITIONS - 1)
        return np.column_stack(
            [
                np.sin(angle),
                np.cos(angle),
                evening(moments.time),
                weekend,
                np.eye(DEVICES)[moments.device],
                np.eye(POSITIONS)[place],
            ]
        )

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.dense(past.moments))

    def scores(self, weights: Weights, past: Past) -> Scores:
        return (self.dense(past.moments) @ weights)[:, None]


class Customer(Context):
    """Who asks: jokes heard, own rates of both labels, days since the last joke."""

    def dense(self, moments: Moments) -> Float[np.ndarray, "N F"]:
        """The columns as an array."""
        count = moments.count
        last = moments.told_at[np.arange(len(moments)), np.maximum(count - 1, 0)]
        days = np.where(count > 0, (moments.time - last) / DAY, 0.0)
        rates = [(own_rate(moments, label) - RATES[label]) * 4 for label in LABELS]
        return np.column_stack([np.log1p(count), *rates, np.log1p(days), count == 0])


class Identity:
    """One column a joke: its own log-odds, popularity as a feature."""

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        count = len(joke)
        shape = (count, len(past.jokes))
        return sparse.csr_matrix((np.ones(count), joke, np.arange(count + 1)), shape=shape)

    def scores(self, weights: Weights, past: Past) -> Scores:
        return weights[None, :]


class Description:
    """What the text says: category, kind, length, text vector."""

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        return sparse.csr_matrix(past.jokes.described[joke])

    def scores(self, weights: Weights, past: Past) -> Scores:
        return (past.jokes.described @ weights)[None, :]


@dataclass(frozen=True)
class CrossIdentity:
    """Each heard joke times the joke to be told: J x J columns.

    Values are multiplied by ``scale``, so these many columns are penalised
    1 / scale^2 times as much.
    """

    scale: float = 0.25

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        heard, jokes = past.residuals, len(past.jokes)
        told = np.repeat(joke, np.diff(heard.indptr)).astype(np.int32)
        columns = heard.indices * jokes + told
        entries = (self.scale * heard.data, columns, heard.indptr)
        return sparse.csr_matrix(entries, shape=(len(joke), jokes * jokes))

    def scores(self, weights: Weights, past: Past) -> Scores:
        jokes = len(past.jokes)
        return past.residuals @ (self.scale * weights).reshape(jokes, jokes)


@dataclass(frozen=True)
class CrossGroup:
    """Residuals summed by category (or kind) of the heard jokes, times that of the joke to be told."""

    what: str

    def _profile(self, past: Past) -> tuple[Float[np.ndarray, "N K"], Int[np.ndarray, " J"]]:
        group = past.jokes.groups[self.what]
        return past.residuals @ np.eye(int(group.max()) + 1)[group], group

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        profile, group = self._profile(past)
        count, groups = profile.shape
        columns = np.arange(groups) * groups + group[joke][:, None]
        starts = np.arange(count + 1) * groups
        return sparse.csr_matrix((profile.ravel(), columns.ravel(), starts), shape=(count, groups**2))

    def scores(self, weights: Weights, past: Past) -> Scores:
        profile, group = self._profile(past)
        groups = profile.shape[1]
        return (profile @ weights.reshape(groups, groups))[:, group]


class CrossText:
    """Residuals times text vectors of the heard jokes, times the vector of the joke to be told, entrywise."""

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        vectors = past.jokes.vectors
        return sparse.csr_matrix((past.residuals @ vectors) * vectors[joke])

    def scores(self, weights: Weights, past: Past) -> Scores:
        vectors = past.jokes.vectors
        return (past.residuals @ vectors * weights) @ vectors.T


class Similarity:
    """Cosines between the joke and the mean vectors of jokes that went well, and of those that did not."""

    def _means(self, past: Past) -> list[Float[np.ndarray, "N D"]]:
        moments, found = past.moments, []
        for outcome in (1, 0):
            chosen = moments.outcome(past.label) == outcome
            starts = np.r_[0, np.cumsum(chosen.sum(axis=1))]
            shape = (len(moments), len(past.jokes))
            heard = sparse.csr_matrix(
                (np.ones(starts[-1]), moments.told[chosen].astype(np.int32), starts), shape=shape
            )
            found.append(_unit(heard @ past.jokes.vectors))
        return found

    def rows(self, past: Past, joke: Told) -> sparse.csr_matrix:
        ahead = _unit(past.jokes.vectors)[joke]
        return sparse.csr_matrix(np.column_stack([(mean * ahead).sum(axis=1) for mean in self._means(past)]))

    def scores(self, weights: Weights, past: Past) -> Scores:
        good, bad = self._means(past)
        return (weights[0] * good + weights[1] * bad) @ _unit(past.jokes.vectors).T


def _unit(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Design:
    """Blocks side by side, for one label."""

    jokes: JokeTable
    label: str
    blocks: Sequence[Block]

    def rows(self, moments: Moments, joke: Int[np.ndarray, " N"]) -> sparse.csr_matrix:
        """Features of moments with the joke told at each, (N, F).

        Raises ValueError for a joke that does not exist.
        """
        if len(joke) and not 0 <= joke.min() <= joke.max() < len(self.jokes):
            raise ValueError(f"joke: expected numbers in 0..{len(self.jokes) - 1}, got {joke.max()}")
        past = Past(moments, self.jokes, self.label)
        return sparse.hstack([block.rows(past, joke) for block in self.blocks], format="csr")

    def scores(self, model: Logistic, moments: Moments) -> Float[np.ndarray, "N J"]:
        """Log-odds of every joke at every moment."""
        past, total, start = Past(moments, self.jokes, self.label), np.zeros((1, 1)), 0
        empty = np.full(1, max(NOBODY, 0))
        one = Past(moments.take(empty), self.jokes, self.label) if len(moments) else past
        for block in self.blocks:
            size = block.rows(one, empty).shape[1]
            total = total + block.scores(model.weights[start : start + size], past)
            start += size
        return np.broadcast_to(total + model.intercept, (len(moments), len(self.jokes)))


WHO_AND_WHEN: tuple[Block, ...] = (Customer(), Context())
PLAIN: tuple[Block, ...] = (*WHO_AND_WHEN, Identity(), Description())
CROSSED: tuple[Block, ...] = (*PLAIN, CrossIdentity(), CrossGroup("category"), CrossGroup("kind"))
WITH_TEXT: tuple[Block, ...] = (*CROSSED, CrossText(), Similarity())
# For jokes that were never told: nothing that needs a joke's number.
BY_TEXT: tuple[Block, ...] = (
    *WHO_AND_WHEN,
    Description(),
    CrossGroup("category"),
    CrossGroup("kind"),
    CrossText(),
    Similarity(),
)
