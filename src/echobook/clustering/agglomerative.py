"""Agglomerative clustering with a cut that is learned on labelled data and transferred.

Average linkage builds a tree in which two groups A and B are joined at the height

    h(A, B) = 1 / (|A| |B|) * sum over a in A, b in B of ||a - b||,

and a cut at threshold tau keeps every join with h <= tau. The threshold is chosen on vectors whose labels are
known, as the tau on a grid that gives the best adjusted Rand index, and is then applied to vectors without
labels. Letters: N vectors, D features, K clusters, M known vectors.

Cost: O(N^2) time (SciPy's nearest-neighbour chain) and 8 N^2 / 2 bytes for the distances, so 144 MB at the
6000 vectors that are the default limit. Distances are in float64: ties in float32 make the tree depend on the
order of the rows. Clusters smaller than `minimum` are noise or are given to the nearest centroid.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage

from echobook.metrics.clustering import adjusted_rand_index

UNASSIGNED = -1
LARGEST = 6000


@dataclass(frozen=True)
class Threshold:
    """A learned cut: its height, the score it reached, and the whole curve of scores over the grid."""

    height: float
    score: float
    grid: Float[np.ndarray, " G"]
    scores: Float[np.ndarray, " G"]


def check_vectors(vectors: Float[np.ndarray, "N D"], *, limit: int = LARGEST) -> None:
    """Refuse fewer than two vectors, more than `limit`, and values that are not finite."""
    if len(vectors) < 2:
        raise ValueError(f"vectors: expected at least 2 rows, found {len(vectors)}")
    if len(vectors) > limit:
        raise ValueError(
            f"vectors: {len(vectors)} rows, but the tree grows with their square and the limit is "
            f"{limit}; draw a sample with `subsample` first, or raise `limit`"
        )
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"vectors: row {row} holds a value that is not finite")


def subsample(count: int, *, limit: int, seed: int) -> Int[np.ndarray, " M"]:
    """Return sorted positions of at most `limit` of `count` rows, drawn without replacement."""
    if limit < 1:
        raise ValueError(f"limit: expected at least 1, found {limit}")
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size=limit, replace=False))


def average_linkage(vectors: Float[np.ndarray, "N D"], *, limit: int = LARGEST) -> Float[np.ndarray, "N1 4"]:
    """Return SciPy's linkage matrix (N-1 joins: two groups, height, size) for Euclidean distances."""
    check_vectors(vectors, limit=limit)
    return linkage(np.asarray(vectors, dtype=np.float64), method="average", metric="euclidean")


def cut(tree: Float[np.ndarray, "N1 4"], height: float) -> Int[np.ndarray, " N"]:
    """Return cluster numbers from 0 after undoing every join above `height` (in units of distance)."""
    return fcluster(tree, t=height, criterion="distance").astype(np.int64) - 1


def cut_into(tree: Float[np.ndarray, "N1 4"], clusters: int) -> Int[np.ndarray, " N"]:
    """Return cluster numbers from 0 of the cut that leaves exactly `clusters` groups."""
    size = len(tree) + 1
    if not 1 <= clusters <= size:
        raise ValueError(f"clusters: expected 1 to {size}, found {clusters}")
    return fcluster(tree, t=clusters, criterion="maxclust").astype(np.int64) - 1


def height_grid(tree: Float[np.ndarray, "N1 4"], points: int = 60) -> Float[np.ndarray, " G"]:
    """Return `points` evenly spaced heights from the lowest join of the tree to just above the highest."""
    if points < 2:
        raise ValueError(f"points: expected at least 2, found {points}")
    lowest, highest = float(tree[:, 2].min()), float(tree[:, 2].max())
    return np.linspace(lowest, highest * (1 + 1e-9), points)


def learn_threshold(
    vectors: Float[np.ndarray, "M D"],
    labels: Int[np.ndarray, " M"],
    *,
    points: int = 60,
) -> Threshold:
    """Return the cut of the labelled vectors' tree with the best adjusted Rand index.

    Where several heights of the grid share the best score, the middle one is taken: it
    is the farthest from both mistakes. At least two different labels are needed,
    otherwise any single cluster would be perfect.
    """
    if len(labels) != len(vectors):
        raise ValueError(f"labels: {len(labels)} for {len(vectors)} vectors")
    if len(np.unique(labels)) < 2:
        raise ValueError("labels: one class only; a threshold needs two or more")
    tree = average_linkage(vectors)
    grid = height_grid(tree, points)
    found = [adjusted_rand_index(labels, cut(tree, height)) for height in grid]
    scores = np.array(found)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    chosen = int(best[len(best) // 2])
    return Threshold(
        height=float(grid[chosen]),
        score=float(scores[chosen]),
        grid=grid,
        scores=scores,
    )


def drop_small(clusters: Int[np.ndarray, " N"], *, minimum: int = 3) -> Int[np.ndarray, " N"]:
    """Mark members of clusters smaller than `minimum` as UNASSIGNED and renumber the rest from 0."""
    sizes = np.bincount(clusters, minlength=1)
    number = np.full(len(sizes), UNASSIGNED, dtype=np.int64)
    kept = np.flatnonzero(sizes >= minimum)
    number[kept] = np.arange(len(kept))
    return number[clusters]


def merge_small(
    clusters: Int[np.ndarray, " N"], vectors: Float[np.ndarray, "N D"], *, minimum: int = 3
) -> Int[np.ndarray, " N"]:
    """Give members of clusters smaller than `minimum` to the kept cluster with the nearest centroid.

    When no cluster is large enough, all vectors form one cluster.
    """
    kept = drop_small(clusters, minimum=minimum)
    if (kept == UNASSIGNED).all():
        return np.zeros(len(kept), dtype=np.int64)
    centroids = np.stack([vectors[kept == k].mean(axis=0) for k in range(kept.max() + 1)])  # (K, D)
    loose = np.flatnonzero(kept == UNASSIGNED)
    distances = np.linalg.norm(vectors[loose, None, :] - centroids[None], axis=2)  # (loose, K)
    merged = kept.copy()
    merged[loose] = distances.argmin(axis=1)
    return merged


def coverage(clusters: Int[np.ndarray, " N"]) -> float:
    """Return the share of vectors that belong to a cluster."""
    return float(np.mean(clusters != UNASSIGNED))
