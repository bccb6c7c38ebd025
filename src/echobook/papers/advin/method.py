"""ADVIN (Vedula et al., ICASSP 2022), stages I to III, top to bottom.

Stage I: is the intent of an utterance new?

Two heads on sentence vectors h, after the two published versions of the paper (equations are ours: the
paper's could not be read):

    I-a  z = W ReLU(V h + b) + c, m known classes and, where proxy utterances are given, one more for them;
         cross-entropy, the proxies weighted so that together they weigh `proxy_share` of the data;
         novelty s(x) = 1 - max over known classes of p_c(x)
    I-b  DOC (Shu et al. 2017): m sigmoids, one against the rest; for each class the training scores p of its
         members are mirrored around 1, {p} and {2 - p}, sigma_c is their standard deviation, and an
         utterance is new when p_c < t_c = max(0.5, 1 - alpha sigma_c) for all c; novelty s(x) = 1 - max p_c

Stage II: which new intents are there, without being told how many?

A projection e = norm(P h) is trained on labelled intents so that utterances of one intent lie together. The
threshold that best separates other labelled intents, kept out of that training, cuts the tree of the
unlabelled utterances; the number of clusters follows. Our reading of the abstract: layer sizes, margins,
batches and the early stop are ours.

Stage III: which domains do the new intents belong to?

Each intent becomes one vector, the normalised mean of its utterances under a second projection trained with
the same loss on domain labels. The threshold is the one that best separates the domains of known intents not
used in that training. Known and new intents are then linked together: a new intent in a cluster with known
ones joins their most frequent domain, and a cluster of new intents only is a new domain.

Letters: N utterances, D features of the encoder, K outputs of a head (m or m + 1) or intents, E features of
the projection, B batch. Training is in `training`, the losses of stages II and III in `losses`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from echobook.clustering.agglomerative import (
    UNASSIGNED,
    Threshold,
    average_linkage,
    coverage,
    cut,
    drop_small,
    learn_threshold,
    merge_small,
)


class IntentHead(nn.Module):
    """W ReLU(V h + b) + c: logits over the intents (and the proxy class, if any)."""

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        hidden: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        layers = [nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.output = nn.Linear(hidden, classes)

    def forward(self, vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Return logits."""
        return self.output(self.body(vectors))


@torch.no_grad()
def probabilities(
    head: nn.Module, vectors: Float[Tensor, "N D"], *, classes: int, sigmoid: bool = False
) -> Float[np.ndarray, "N K"]:
    """Return the probabilities of the first `classes` outputs: a softmax over all outputs, or sigmoids."""
    logits = head(vectors)
    scores = torch.sigmoid(logits) if sigmoid else torch.softmax(logits, dim=1)
    return scores[:, :classes].numpy()


def novelty(known: Float[np.ndarray, "N K"]) -> Float[np.ndarray, " N"]:
    """Return 1 - max over known classes, the novelty score of both heads."""
    return 1 - known.max(axis=1)


def half_gaussian_thresholds(
    scores: Float[np.ndarray, "N K"],
    labels: Int[np.ndarray, " N"],
    *,
    alpha: float = 3.0,
) -> Float[np.ndarray, " K"]:
    """Return DOC's acceptance threshold of each class from its own training scores."""
    thresholds = np.full(scores.shape[1], 0.5)
    for number in range(scores.shape[1]):
        own = scores[labels == number, number]
        if len(own) == 0:
            raise ValueError(f"labels: class {number} has no member to fit to")
        # Mirrored around 1, the deviation is the root mean square of 1 - p.
        deviation = np.sqrt(np.mean((1 - own) ** 2))
        thresholds[number] = max(0.5, 1 - alpha * deviation)
    return thresholds


def doc_answers(
    scores: Float[np.ndarray, "N K"], thresholds: Float[np.ndarray, " K"]
) -> Int[np.ndarray, " N"]:
    """Return the best accepted class, or OPEN (-1) where no class reaches its threshold."""
    accepted = np.where(scores >= thresholds, scores, -np.inf)
    return np.where(np.isfinite(accepted).any(axis=1), accepted.argmax(axis=1), -1)


@dataclass(frozen=True)
class ProxyFilter:
    """Positions of proxies kept, and the share dropped because they look like known intents."""

    kept: Int[np.ndarray, " M"]
    dropped_share: float


def centroids(vectors: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"]) -> Float[np.ndarray, "K D"]:
    """Return the normalised mean vector of each class, in the order of the class numbers."""
    means = np.stack([vectors[labels == number].mean(axis=0) for number in np.unique(labels)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def filter_proxies(
    proxies: Float[np.ndarray, "M D"],
    vectors: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
) -> ProxyFilter:
    """Drop proxies as close to a known centroid as the median known utterance is to its own centroid.

    Other corpora hold intents that are among the known ones (weather, alarms, music); taught as "unknown"
    they would make the head reject known utterances. Only labelled data are used. All vectors have length
    one.
    """
    middle = centroids(vectors, labels)
    _, position = np.unique(labels, return_inverse=True)
    own = np.einsum("nd,nd->n", vectors, middle[position])
    nearest = (proxies @ middle.T).max(axis=1)
    kept = np.flatnonzero(nearest < np.median(own))
    return ProxyFilter(kept, 1 - len(kept) / len(proxies))


class Projection(nn.Module):
    """norm(P h): two linear layers with ReLU and dropout between them, scaled to length one."""

    def __init__(
        self, features: int = 384, hidden: int = 256, outputs: int = 128, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )

    def forward(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
        """Return projected vectors of length one."""
        return functional.normalize(self.layers(vectors), dim=1)


class ResidualProjection(nn.Module):
    """norm(h + P h) with P starting at zero: training begins in the encoder's space, as fine-tuning does."""

    def __init__(self, features: int = 384, hidden: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        last = nn.Linear(hidden, features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), last)

    def forward(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Return projected vectors of length one."""
        return functional.normalize(vectors + self.layers(vectors), dim=1)


@torch.no_grad()
def project(projection: nn.Module, vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N E"]:
    """Return projected vectors in evaluation mode; the training mode is restored afterwards."""
    training = projection.training
    result = projection.eval()(torch.from_numpy(np.asarray(vectors, dtype=np.float32))).numpy()
    projection.train(training)
    return result


@dataclass(frozen=True)
class Discovery:
    """Clusters of a pool: `assigned` leaves small ones out (-1), `merged` gives them to the nearest."""

    assigned: Int[np.ndarray, " N"]
    merged: Int[np.ndarray, " N"]
    threshold: float

    @property
    def count(self) -> int:
        """Number of clusters that are large enough to count as an intent."""
        return len(np.unique(self.assigned[self.assigned != UNASSIGNED]))

    @property
    def coverage(self) -> float:
        """Share of utterances in such a cluster."""
        return coverage(self.assigned)


def cluster_pool(vectors: Float[np.ndarray, "N E"], threshold: float, *, minimum: int = 3) -> Discovery:
    """Cut the average-linkage tree of a pool at `threshold` (a distance)."""
    clusters = cut(average_linkage(vectors), threshold)
    return Discovery(
        drop_small(clusters, minimum=minimum), merge_small(clusters, vectors, minimum=minimum), threshold
    )


def transfer(
    labelled: Float[np.ndarray, "M E"],
    labels: Int[np.ndarray, " M"],
    pool: Float[np.ndarray, "N E"],
    *,
    minimum: int = 3,
) -> tuple[Discovery, Threshold]:
    """Learn the threshold on labelled vectors and cut the tree of the pool with it."""
    threshold = learn_threshold(labelled, labels)
    return cluster_pool(pool, threshold.height, minimum=minimum), threshold


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
