"""Baselines beside the paper's system: LOF for stage I, HDBSCAN and k-means for stage II.

LOF (Lin and Xu 2019) scores how much thinner the neighbourhood of an utterance is than its neighbours' own,
among the features of a softmax classifier. HDBSCAN, scikit-learn's, finds dense groups without a number of
clusters; what it calls noise is given to the nearest centroid, so that every method answers for every
utterance.
"""

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import LocalOutlierFactor

from echobook.clustering.agglomerative import average_linkage, cut_into, merge_small
from echobook.papers.advin.method import Discovery


def lof_novelty(
    training: Float[np.ndarray, "M E"], vectors: Float[np.ndarray, "N E"], *, neighbours: int = 20
) -> Float[np.ndarray, " N"]:
    """Return the local outlier factor of `vectors` among `training` features, larger meaning newer."""
    model = LocalOutlierFactor(n_neighbors=neighbours, novelty=True).fit(
        np.asarray(training, dtype=np.float64)
    )
    return -model.score_samples(np.asarray(vectors, dtype=np.float64))


def _give_noise(labels: Int[np.ndarray, " N"], vectors: Float[np.ndarray, "N D"]) -> Int[np.ndarray, " N"]:
    """Number every noise point as a cluster of its own and merge those into the nearest real cluster."""
    single = np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)
    _, numbered = np.unique(single, return_inverse=True)
    return merge_small(numbered, vectors, minimum=2)


def hdbscan(vectors: Float[np.ndarray, "N D"], *, smallest: int = 5) -> Discovery:
    """Return HDBSCAN's clusters of at least `smallest` members (noise: -1, or merged)."""
    labels = HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(np.asarray(vectors, dtype=np.float64))
    labels = np.where(labels < 0, -1, labels).astype(np.int64)
    return Discovery(labels, _give_noise(labels, vectors), float("nan"))


def agglomerative_with(vectors: Float[np.ndarray, "N D"], clusters: int) -> Int[np.ndarray, " N"]:
    """Return the average-linkage clusters when their number is given."""
    return cut_into(average_linkage(vectors), clusters)
