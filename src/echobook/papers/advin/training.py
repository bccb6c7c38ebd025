"""How the heads of stage I and the projections of stages II and III are trained.

Adam on full-precision vectors, the order of the batches from an explicit generator. Nothing about novel
intents is used for a choice: early stopping looks at known intents only. Letters as in `method`.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from echobook.clustering.agglomerative import learn_threshold
from echobook.papers.advin.material import View
from echobook.papers.advin.method import IntentHead, ResidualProjection, project

Loss = Callable[[Tensor, Tensor], Tensor]


def softmax_loss(logits: Float[Tensor, "N K"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return the cross-entropy of each utterance."""
    return functional.cross_entropy(logits, labels, reduction="none")


def one_against_rest_loss(logits: Float[Tensor, "N K"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return DOC's loss of each utterance: the sum over classes of the binary cross-entropy."""
    targets = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)


def proxy_weights(labels: Int[Tensor, " N"], proxy_class: int, share: float) -> Float[Tensor, " N"]:
    """Return weights with mean 1 under which the proxy class holds `share` of the total weight."""
    is_proxy = labels == proxy_class
    count = int(is_proxy.sum())
    if not 0 < share < 1:
        raise ValueError(f"share: expected in (0, 1), found {share}")
    if count in (0, len(labels)):
        raise ValueError(f"labels: {count} of {len(labels)} are proxies; both kinds are needed")
    weights = torch.full((len(labels),), (1 - share) * len(labels) / (len(labels) - count))
    weights[is_proxy] = share * len(labels) / count
    return weights


def train_head(
    head: nn.Module,
    vectors: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    *,
    generator: torch.Generator,
    loss: Loss = softmax_loss,
    weights: Float[Tensor, " N"] | None = None,
    steps: int = 1200,
    batch: int = 128,
    learning_rate: float = 1e-3,
) -> None:
    """Train `head` in place with `steps` steps of Adam and leave it in evaluation mode.

    Every utterance is seen once before any is seen again; the last batch of a round may be smaller.
    """
    if len(labels) != len(vectors):
        raise ValueError(f"labels: {len(labels)} for {len(vectors)} vectors")
    weights = torch.ones(len(labels)) if weights is None else weights
    optimiser = torch.optim.Adam(head.parameters(), lr=learning_rate)
    head.train()
    order: list[Tensor] = []
    for _ in range(steps):
        order = order or list(torch.randperm(len(labels), generator=generator).split(batch))
        chosen = order.pop()
        optimiser.zero_grad()
        (weights[chosen] * loss(head(vectors[chosen]), labels[chosen])).mean().backward()
        optimiser.step()
    head.eval()


def fit_head(
    vectors: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    *,
    generator: torch.Generator,
    proxies: Float[np.ndarray, "M D"] | None = None,
    proxy_share: float = 0.25,
) -> IntentHead:
    """Train a head over the known classes, with one more class when proxies are given.

    `proxy_share` is the share of the training weight that the proxies hold together.
    """
    classes = int(labels.max()) + 1
    if proxies is None or len(proxies) == 0:
        head = IntentHead(vectors.shape[1], classes)
        train_head(head, torch.from_numpy(vectors), torch.from_numpy(labels), generator=generator)
        return head
    everything = torch.from_numpy(np.concatenate([vectors, proxies]))
    targets = torch.from_numpy(np.concatenate([labels, np.full(len(proxies), classes)]))
    weights = proxy_weights(targets, classes, proxy_share)
    head = IntentHead(vectors.shape[1], classes + 1)
    train_head(head, everything, targets, generator=generator, weights=weights)
    return head


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


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed torch inside the block (initial weights, dropout), give a generator, restore the state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


LossOf = Callable[[int], nn.Module]  # number of training classes -> loss


@dataclass(frozen=True)
class Learned:
    """A trained projection and its history of held-out scores, one an epoch."""

    projection: nn.Module
    history: list[float]


def learn(
    view: View,
    loss: LossOf,
    *,
    epochs: int,
    batches: int,
    cap: int,
    shuffle: bool = False,
    labels: Callable[[np.ndarray], np.ndarray] | None = None,
    projection: Callable[[int], nn.Module] = ResidualProjection,
    learning_rate: float = 2e-4,
) -> Learned:
    """Train a projection on the training intents, early-stopped on the threshold intents' ARI.

    `shuffle` deals the training labels out at random (a control). `labels` maps positions among the known
    intents to other classes (to domains, for stage III), in training and in the held-out pool. `cap` is the
    number of utterances an intent in the held-out pool.
    """
    vectors, targets = view.part("train", view.split.training)
    targets = labels(targets) if labels else targets
    if shuffle:
        targets = np.random.default_rng(view.seed).permutation(targets)
    held, held_targets = view.part("train", view.split.threshold, cap=cap)
    # Early stopping asks for what is trained: domains in stage III.
    held_targets = labels(held_targets + len(view.split.training)) if labels else held_targets
    with seeded(view.seed) as generator:
        embedding, criterion = projection(vectors.shape[1]), loss(int(targets.max()) + 1)
        history = train_projection(
            embedding,
            criterion,
            vectors,
            targets,
            generator=generator,
            stop=held_out_ari(held, held_targets),
            epochs=epochs,
            batches=batches,
            learning_rate=learning_rate,
        )
    return Learned(embedding, history)
