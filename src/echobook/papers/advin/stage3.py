"""Stage III: which domains do the new intents belong to?

Each intent becomes one vector, the normalised mean of its utterances under a second projection trained with
the same loss on domain labels. The threshold is the one that best separates the domains of known intents not
used in that training. Known and new intents are then linked together: a new intent in a cluster with known
ones joins their most frequent domain, and a cluster of new intents only is a new domain.

Letters: N utterances, E features, K intents.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from echobook.clustering.agglomerative import average_linkage, cut, learn_threshold


@dataclass(frozen=True)
class Taxonomy:
    """Cluster of each intent, known ones first; the domain a new intent joins (-1: a new domain); the cut."""

    clusters: Int[np.ndarray, " K"]
    joined: Int[np.ndarray, " K2"]
    threshold: float


def intent_vectors(
    vectors: Float[np.ndarray, "N E"], intents: Int[np.ndarray, " N"]
) -> Float[np.ndarray, "K E"]:
    """Return the normalised mean vector of each intent, in the order of the intent numbers."""
    means = np.stack([vectors[intents == number].mean(axis=0) for number in np.unique(intents)])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(f"vectors: those of intent {int(np.argmin(lengths))} cancel out")
    return means / lengths


def build_taxonomy(
    known: Float[np.ndarray, "K1 E"],
    domains: Int[np.ndarray, " K1"],
    new: Float[np.ndarray, "K2 E"],
    *,
    held_out: Int[np.ndarray, " H"],
) -> Taxonomy:
    """Link known and new intent vectors, cut where the domains of `held_out` known intents separate best."""
    threshold = learn_threshold(known[held_out], domains[held_out]).height
    clusters = cut(average_linkage(np.concatenate([known, new])), threshold)
    joined = np.full(len(new), -1, dtype=np.int64)
    for number, cluster in enumerate(clusters[len(known) :]):
        companions = domains[clusters[: len(known)] == cluster]
        if len(companions):
            joined[number] = np.bincount(companions).argmax()
    return Taxonomy(clusters, joined, threshold)


def random_domains(
    domains: Int[np.ndarray, " K"], clusters: Int[np.ndarray, " K"], *, seed: int
) -> Int[np.ndarray, " K"]:
    """Return the clusters dealt out at random with their sizes kept: what chance reaches."""
    if len(domains) != len(clusters):
        raise ValueError(f"clusters: expected {len(domains)} entries (as domains), found {len(clusters)}")
    return np.random.default_rng(seed).permutation(clusters)
