"""Pairs for Bayesian personalised ranking: an item that a user has, one that the user has not.

    loss = - mean ln sigma(score(u, i) - score(u, j)) ,   i in the user's items, j not

(Rendle et al. 2009). Negatives are drawn uniformly among all items, or among a given set for each pair,
and drawn anew while they are items of the user, a fixed number of times; what still is one then is marked
and carries no loss, because it teaches nothing.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional

TRIES = 20


def owned(
    matrix: csr_matrix, users: Int[np.ndarray, " B"], items: Int[np.ndarray, " B"]
) -> Bool[np.ndarray, " B"]:
    """Whether each user has each item."""
    return np.asarray(matrix[users, items]).ravel() > 0


def sample_negatives(
    users: Int[np.ndarray, " B"],
    matrix: csr_matrix,
    rng: np.random.Generator,
    *,
    pool: Int[np.ndarray, "B W"] | None = None,
) -> tuple[Int[np.ndarray, " B"], Bool[np.ndarray, " B"]]:
    """One item for each user that the user does not have, and whether one was found.

    Args:
        users: of each pair.
        matrix: users x items, nonzero where the user has the item.
        pool: for each pair the items to draw from, padded with -1 at the end; a row that is all -1 draws
            from all items.

    Raises:
        ValueError: a user out of range, or no items.
    """
    count, items = matrix.shape
    if items < 1 or (len(users) and not 0 <= users.min() <= users.max() < count):
        raise ValueError(f"users {users.min()} to {users.max()}; expected 0 <= user < {count}, and items")
    drawn = _draw(len(users), items, pool, rng)
    bad = owned(matrix, users, drawn)
    for _ in range(TRIES):
        if not bad.any():
            break
        some = np.flatnonzero(bad)
        drawn[some] = _draw(len(some), items, None if pool is None else pool[some], rng)
        bad[some] = owned(matrix, users[some], drawn[some])
    return drawn, ~bad


def _draw(
    count: int, items: int, pool: Int[np.ndarray, "B W"] | None, rng: np.random.Generator
) -> Int[np.ndarray, " B"]:
    drawn = rng.integers(0, items, count)
    if pool is None:
        return drawn
    sizes = (pool >= 0).sum(axis=1)
    place = (rng.random(count) * np.maximum(sizes, 1)).astype(np.int64)
    return np.where(sizes > 0, pool[np.arange(count), place], drawn)


def bpr_loss(
    better: Float[Tensor, " B"], worse: Float[Tensor, " B"], weight: Float[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Weighted mean of -ln sigma(better - worse). Raises ValueError when no weight is above zero."""
    if not bool(weight.sum() > 0) or bool((weight < 0).any()):
        raise ValueError("weights: expected none negative and one above zero")
    return (weight * functional.softplus(worse - better)).sum() / weight.sum()


def info_nce(
    one: Float[Tensor, "B D"], other: Float[Tensor, "B D"], *, temperature: float
) -> Float[Tensor, ""]:
    """Mean of -ln exp(cos(one_b, other_b)/t) / sum over b' of exp(cos(one_b, other_b')/t).

    Raises ValueError for a temperature that is not above zero, or fewer than two rows: nothing to tell apart.
    """
    if temperature <= 0 or len(one) < 2:
        raise ValueError(f"expected temperature > 0 and two rows, got {temperature} and {len(one)}")
    cosine = functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T  # (B, B)
    return functional.cross_entropy(cosine / temperature, torch.arange(len(one)))
