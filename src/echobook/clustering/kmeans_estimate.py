"""k-means, and the estimate of K by dropping small clusters.

The estimate follows the idea published with DeepAligned (Zhang et al. 2021): run k-means with a K' that is
surely too large, expect N / K' members in each cluster, and count the clusters that reach `share` of that
size; clusters that do not reach it are taken for fragments. Letters: N vectors, D features, K clusters.

Cost: O(N D K') for each round of Lloyd's algorithm. Sums are in float64, so that the clusters do not depend
on the order of additions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans


@dataclass(frozen=True)
class EstimatedClusters:
    """Estimated number of clusters, and the assignment of k-means run again with that number."""

    count: int
    clusters: Int[np.ndarray, " N"]


def k_means(
    vectors: Float[np.ndarray, "N D"], clusters: int, *, seed: int, starts: int = 5
) -> Int[np.ndarray, " N"]:
    """Return cluster numbers from k-means with `clusters` groups, best of `starts` k-means++ starts."""
    if not 1 <= clusters <= len(vectors):
        raise ValueError(f"clusters: expected 1 to {len(vectors)} (the number of vectors), found {clusters}")
    model = KMeans(n_clusters=clusters, n_init=starts, random_state=seed)
    return model.fit_predict(np.asarray(vectors, dtype=np.float64)).astype(np.int64)


def large_clusters(sizes: Int[np.ndarray, " K"], *, total: int, share: float = 0.9) -> int:
    """Count clusters with at least `share` of the expected size total / K; never less than one."""
    return max(1, int(np.sum(sizes >= share * total / len(sizes))))


def estimate_clusters(
    vectors: Float[np.ndarray, "N D"], *, largest: int, seed: int, share: float = 0.9, starts: int = 3
) -> EstimatedClusters:
    """Estimate K from k-means with `largest` clusters, then cluster again with the estimate."""
    first = k_means(vectors, min(largest, len(vectors)), seed=seed, starts=starts)
    sizes = np.bincount(first, minlength=min(largest, len(vectors)))
    count = large_clusters(sizes, total=len(vectors), share=share)
    return EstimatedClusters(count, k_means(vectors, count, seed=seed, starts=starts))
