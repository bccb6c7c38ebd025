"""Stage I: is the intent of an utterance new?

Two heads on sentence vectors h, after the two published versions of the paper (equations are ours: the
paper's could not be read):

    I-a  z = W ReLU(V h + b) + c, m known classes and, where proxy utterances are given, one more for them;
         cross-entropy, the proxies weighted so that together they weigh `proxy_share` of the data;
         novelty s(x) = 1 - max over known classes of p_c(x)
    I-b  DOC (Shu et al. 2017): m sigmoids, one against the rest; for each class the training scores p of its
         members are mirrored around 1, {p} and {2 - p}, sigma_c is their standard deviation, and an
         utterance is new when p_c < t_c = max(0.5, 1 - alpha sigma_c) for all c; novelty s(x) = 1 - max p_c

Letters: N utterances, D features, K outputs (m or m + 1). Training is Adam on full-precision vectors, order
of the batches from an explicit generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


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
