"""What personal models are compared with: popularity, and factors of the labels; both score all jokes.

Popularity is the paper's benchmark: one number a joke, here a rate drawn towards the overall rate (else a
joke told twice wins) in which old tellings count less. Factors are the collaborative peer: alternating least
squares on the residuals (outcome minus own rate), the customer's factors folded in from the history so far.

Axes: N moments, U customers, J jokes, K factors.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.special import logit

from echobook.papers.joke_skill.features import DAY, residuals
from echobook.papers.joke_skill.history import Moments

SMOOTHING, HALF_LIFE_DAYS = 30.0, 14.0


def popularity(
    joke: Int[np.ndarray, " N"], label: Bool[np.ndarray, " N"], time: Int[np.ndarray, " N"], jokes: int
) -> Float[np.ndarray, " J"]:
    """Smoothed, time-aware log-odds of the label for each joke.

    Raises ValueError for no rows.
    """
    if not len(joke):
        raise ValueError("popularity: expected at least one told joke")
    weight = 0.5 ** ((time.max() - time) / (HALF_LIFE_DAYS * DAY))
    overall = float(weight @ label / weight.sum())
    positive = np.bincount(joke, weights=weight * label, minlength=jokes)
    total = np.bincount(joke, weights=weight, minlength=jokes)
    rate = (positive + SMOOTHING * overall) / (total + SMOOTHING)
    return logit(rate.clip(1e-6, 1 - 1e-6))


@dataclass(frozen=True)
class Constant:
    """The same score of each joke for everybody."""

    score: Float[np.ndarray, " J"]

    def __call__(self, moments: Moments) -> Float[np.ndarray, "N J"]:
        return np.broadcast_to(self.score, (len(moments), len(self.score)))


@dataclass(frozen=True)
class Factors:
    """Popularity plus the product of a customer's and a joke's factors.

    Attributes:
        base: score of each joke for everybody.
        vectors: factors of the jokes.
        ridge: penalty on a customer's factors.
    """

    base: Float[np.ndarray, " J"]
    vectors: Float[np.ndarray, "J K"]
    ridge: float
    label: str

    def __call__(self, moments: Moments) -> Float[np.ndarray, "N J"]:
        known = residuals(moments, self.label, len(self.base))
        return self.base + fold_in(known, self.vectors, self.ridge) @ self.vectors.T


def fold_in(
    known: sparse.csr_matrix, vectors: Float[np.ndarray, "J K"], ridge: float
) -> Float[np.ndarray, "N K"]:
    """Factors of each row that explain its stored entries best, with a ridge penalty."""
    factors = vectors.shape[1]
    outer = (vectors[:, :, None] * vectors[:, None, :]).reshape(len(vectors), -1)
    seen = sparse.csr_matrix((np.ones_like(known.data), known.indices, known.indptr), shape=known.shape)
    left = (seen @ outer).reshape(-1, factors, factors) + ridge * np.eye(factors)
    return np.linalg.solve(left, (known @ vectors)[:, :, None])[:, :, 0]


def factorise(
    known: sparse.csr_matrix, *, factors: int, ridge: float, sweeps: int, seed: int
) -> Float[np.ndarray, "J K"]:
    """Factors of the columns by alternating least squares over the stored entries.

    Raises ValueError for no factors or no sweeps.
    """
    if factors < 1 or sweeps < 1:
        raise ValueError(f"expected factors and sweeps >= 1, got {factors} and {sweeps}")
    vectors = 0.1 * np.random.default_rng((seed, 94)).standard_normal((known.shape[1], factors))
    turned = known.T.tocsr()
    for _ in range(sweeps):
        vectors = fold_in(turned, fold_in(known, vectors, ridge), ridge)
    return vectors
