"""Stage II: which new intents are there, without being told how many?

A projection e = norm(P h) is trained on labelled intents so that utterances of one intent lie together. The
threshold that best separates other labelled intents, kept out of that training, cuts the tree of the
unlabelled utterances; the number of clusters follows. Our reading of the abstract: layer sizes, margins,
batches and the early stop are ours.

Letters: N utterances, D features of the encoder, E features of the projection, B batch.
"""

import copy
from collections.abc import Callable, Iterator
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
from echobook.metrics.clustering import adjusted_rand_index


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


def class_batches(
    labels: Int[Tensor, " N"], *, classes: int, each: int, batches: int, generator: torch.Generator
) -> Iterator[Int[Tensor, " B"]]:
    """Yield positions of `classes` classes with `each` members (drawn again where a class has fewer)."""
    members = [torch.nonzero(labels == number).flatten() for number in labels.unique()]
    if len(members) < 2:
        raise ValueError("labels: one class only; pairs of different classes are needed")
    for _ in range(batches):
        chosen = torch.randperm(len(members), generator=generator)[:classes]
        draws = [torch.randint(len(members[k]), (each,), generator=generator) for k in chosen.tolist()]
        yield torch.cat([members[k][draw] for k, draw in zip(chosen.tolist(), draws, strict=True)])


@torch.no_grad()
def project(projection: nn.Module, vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N E"]:
    """Return projected vectors in evaluation mode; the training mode is restored afterwards."""
    training = projection.training
    result = projection.eval()(torch.from_numpy(np.asarray(vectors, dtype=np.float32))).numpy()
    projection.train(training)
    return result


def train_projection(
    projection: nn.Module,
    loss: nn.Module,
    vectors: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    *,
    generator: torch.Generator,
    stop: Callable[[nn.Module], float] | None = None,
    epochs: int = 20,
    batches: int = 60,
    classes: int = 24,
    each: int = 4,
    learning_rate: float = 1e-3,
) -> list[float]:
    """Train `projection` in place and return the score of `stop` after each epoch (the loss without it).

    With `stop`, the weights of the epoch with the highest score are kept.
    """
    data, targets = torch.from_numpy(np.asarray(vectors, dtype=np.float32)), torch.from_numpy(labels)
    optimiser = torch.optim.Adam([*projection.parameters(), *loss.parameters()], lr=learning_rate)
    history: list[float] = []
    best = copy.deepcopy(projection.state_dict())
    for _ in range(epochs):
        projection.train()
        total = 0.0
        for chosen in class_batches(
            targets, classes=classes, each=each, batches=batches, generator=generator
        ):
            optimiser.zero_grad()
            value = loss(projection(data[chosen]), targets[chosen])
            value.backward()
            optimiser.step()
            total += float(value.detach())
        history.append(stop(projection) if stop else total / batches)
        if stop and history[-1] >= max(history):
            best = copy.deepcopy(projection.state_dict())
    if stop and history:
        projection.load_state_dict(best)
    projection.eval()
    return history


def held_out_ari(
    vectors: Float[np.ndarray, "M D"], labels: Int[np.ndarray, " M"]
) -> Callable[[nn.Module], float]:
    """Return the early-stopping score: the best ARI a cut reaches on labelled intents not trained on."""
    return lambda projection: learn_threshold(project(projection, vectors), labels).score


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


def end_to_end_ari(
    truth: Int[np.ndarray, " N"], flagged: Int[np.ndarray, " F"], clusters: Int[np.ndarray, " F"]
) -> float:
    """Return the ARI over flagged and novel utterances, both stages' errors counted.

    `truth` holds novel classes from 0 and -1 for known intents; `flagged` are positions, `clusters` their
    clusters. A known utterance that leaked into the pool is a class of its own, so whatever cluster it joins
    is wrong; a novel utterance that was not flagged is a cluster of its own.
    """
    answers = -np.arange(1, len(truth) + 1)
    answers[flagged] = clusters
    classes = np.where(truth == -1, -np.arange(1, len(truth) + 1), truth)
    taking_part = truth != -1
    taking_part[flagged] = True
    return adjusted_rand_index(classes[taking_part], answers[taking_part])
