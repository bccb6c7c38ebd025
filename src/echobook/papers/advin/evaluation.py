"""The chapter's experiment: one corpus, one split of its intents, every method on the same vectors.

`View` holds the encoded corpus. `detect` scores stage I, `learn` and `compare_discovery` stage II, `taxonomy`
stage III. What is compared is passed in: proxies, losses. Nothing about novel intents is used for a choice:
thresholds and early stopping look at known intents only.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import nn

from echobook.papers.advin.splits import IntentSplit, cap_rows, codes, rows
from echobook.papers.advin.stage2 import ResidualProjection, held_out_ari, train_projection

Loss = Callable[[int], nn.Module]  # number of training classes -> loss
Part = tuple[np.ndarray, np.ndarray]  # vectors (N, D), class numbers (N,)


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed torch inside the block (initial weights, dropout), give a generator, restore the state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class View:
    """An encoded corpus under one split of its intents; `frame` has text, intent, domain, split."""

    frame: pd.DataFrame
    vectors: Float[np.ndarray, "N D"]
    split: IntentSplit
    seed: int

    def part(self, split: str, intents: tuple[str, ...], *, cap: int | None = None) -> Part:
        """Return vectors and class numbers (positions in `intents`) of one split, at most `cap` an intent."""
        mask = rows(self.frame, split, intents)
        if cap is not None:
            mask = cap_rows(mask, self.frame["intent"], cap, seed=self.seed)
        return self.vectors[mask], codes(self.frame["intent"][mask], intents)

    def domains(self, intents: tuple[str, ...]) -> list[str]:
        """Return the domain of each intent."""
        pairs = self.frame.drop_duplicates("intent").set_index("intent")["domain"]
        return [pairs[intent] for intent in intents]


def shrink(frame: pd.DataFrame, *, train: int, test: int, seed: int = 0) -> pd.DataFrame:
    """Keep at most `train` training and `test` test rows of each intent of a big corpus."""
    kept = np.zeros(len(frame), dtype=bool)
    for split, limit in (("train", train), ("validation", test), ("test", test)):
        mask = (frame["split"] == split).to_numpy()
        kept |= cap_rows(mask, frame["intent"], limit, seed=seed)
    return frame[kept].reset_index(drop=True)


@dataclass(frozen=True)
class Learned:
    """A trained projection and its history of held-out scores, one an epoch."""

    projection: nn.Module
    history: list[float]


def learn(
    view: View,
    loss: Loss,
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


def table(scores: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return scores as a table: a row for each method, in order."""
    return pd.DataFrame(list(scores.values()), index=pd.Index(scores, name="method"))
