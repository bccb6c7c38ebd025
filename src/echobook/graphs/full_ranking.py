"""Every user's ranking of all items, judged in blocks of users.

For user u with relevant items T_u, after the items that u has in training are taken out,

    Recall@K = |top K and T_u| / |T_u|
    NDCG@K   = sum over ranks r <= K of [item at r in T_u] / log2(r + 1)  /  the same sum if the first
               min(|T_u|, K) ranks were all relevant.

Scores of a block of users are one matrix; only the K largest of a row are ever sorted. Equal scores are
ranked by item number, smaller first. Users without relevant items have no score and are left out.

Axes: U users, I items. Time O(U I) plus O(U K log K), memory O(block I).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

Scorer = Callable[[Int[np.ndarray, " B"]], Float[np.ndarray, "B I"]]


@dataclass(frozen=True)
class FullRanking:
    """Scores of each judged user, in increasing order of user number."""

    user: Int[np.ndarray, " V"]
    recall: Float[np.ndarray, " V"]
    ndcg: Float[np.ndarray, " V"]


def top_items(scores: Float[np.ndarray, "B I"], k: int) -> Int[np.ndarray, "B K"]:
    """The k best items of each row, best first; equal scores by item number."""
    k = min(k, scores.shape[1])
    edge = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # (B, 1) the k-th largest
    above, level = scores > edge, scores == edge
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (level & (np.cumsum(level, axis=1) <= room))
    items = np.nonzero(chosen)[1].reshape(len(scores), k)  # increasing item numbers
    order = np.argsort(-np.take_along_axis(scores, items, axis=1), axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1)


def rank_all(
    score: Scorer, *, seen: csr_matrix, relevant: csr_matrix, k: int = 20, block: int = 256
) -> FullRanking:
    """Judge every user that has a relevant item.

    Args:
        score: scores of all items for a block of users.
        seen: users x items, nonzero where an item is taken out of the ranking.
        relevant: users x items, nonzero where an item is to be found.
        k: ranks that count, >= 1.
        block: users scored at a time.

    Raises:
        ValueError: shapes that differ, k < 1, a relevant item that is taken out (user and item named), a
            block of scores of the wrong shape, or a NaN among them.
    """
    _check(seen, relevant, k)
    users = np.flatnonzero(np.diff(relevant.indptr) > 0)
    recall, ndcg = np.zeros(len(users)), np.zeros(len(users))
    for first in range(0, len(users), block):
        part = users[first : first + block]
        scores = np.array(score(part), dtype=np.float64)
        _check_block(scores, (len(part), seen.shape[1]))
        scores[seen[part].nonzero()] = -np.inf
        hits = _hits(scores, relevant[part], k)
        recall[first : first + block], ndcg[first : first + block] = _judge(hits, relevant[part], k)
    return FullRanking(users, recall, ndcg)


def _hits(scores: np.ndarray, relevant: csr_matrix, k: int) -> np.ndarray:
    best = top_items(scores, k)
    return np.take_along_axis(relevant.toarray() > 0, best, axis=1)  # (B, K)


def _judge(hits: np.ndarray, relevant: csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.diff(relevant.indptr)
    gains = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gains)[np.minimum(sizes, k) - 1]
    return hits.sum(axis=1) / sizes, hits @ gains[: hits.shape[1]] / ideal


def _check(seen: csr_matrix, relevant: csr_matrix, k: int) -> None:
    if seen.shape != relevant.shape or k < 1:
        raise ValueError(f"expected equal shapes and k >= 1, got {seen.shape}, {relevant.shape}, {k}")
    both = seen.astype(bool).multiply(relevant.astype(bool)).tocoo()
    if both.nnz:
        raise ValueError(
            f"user {both.row[0]}: item {both.col[0]} is to be found and taken out of the ranking at once"
        )


def _check_block(scores: np.ndarray, shape: tuple[int, int]) -> None:
    if scores.shape != shape:
        raise ValueError(f"scores of shape {scores.shape}, expected {shape}: users by items")
    if np.isnan(scores).any():
        raise ValueError("scores: a NaN among them, expected numbers")
