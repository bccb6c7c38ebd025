"""One training loop for every arm: whole histories in batches, the loss on training targets only.

A batch holds users with histories of similar length, at most ``items`` places with padding. The loss is the
cross-entropy of the training targets of the batch; later interactions are cut off before the model sees
them. AdamW, rate falling linearly to zero. After each epoch, and before the first, dev targets are scored;
the earliest epoch with the best dev accuracy is kept (the untrained model counts as one).

With probability ``forget`` a user of a batch is treated as one without past, so that the text alone stays
enough for newcomers. Everything random comes from the seed; the global generator is left as it was.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor
from torch.nn import functional as F

from echobook.papers.incremental_user_embedding.material import Users
from echobook.papers.incremental_user_embedding.model import Personal


@dataclass(frozen=True)
class Plan:
    """Settings of a run, the same for all arms but for the rate, which one grid gives.

    Attributes:
        rate: peak learning rate of AdamW.
        epochs: passes over the training targets.
        items: interactions of a batch, padding included.
        decay: weight decay.
        forget: probability that a user's past is hidden in a batch.
    """

    rate: float = 3e-2
    epochs: int = 8
    items: int = 512
    decay: float = 1e-2
    forget: float = 0.2

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.epochs < 0 or self.items < 1 or not 0 <= self.forget < 1 or self.decay < 0:
            raise ValueError(
                f"expected rate > 0, epochs >= 0, items >= 1, decay >= 0 and forget in [0, 1); got {self}"
            )


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        model: in evaluation mode, with the weights of the best epoch.
        dev: dev accuracy before training and after each epoch.
        loss: mean training loss of each epoch.
        best: epoch that was kept.
    """

    model: Personal
    dev: list[float]
    loss: list[float]
    best: int


def lengths_until(wanted: Bool[Tensor, "B S"]) -> Int[Tensor, " B"]:
    """Interactions of each user up to the last wanted one; 0 without any."""
    place = torch.arange(1, wanted.shape[1] + 1)
    return (wanted * place).amax(dim=1)


def batches(
    lengths: Int[Tensor, " B"], *, items: int, rng: np.random.Generator | None = None
) -> Iterator[Int[Tensor, " b"]]:
    """Users with at least one interaction, in groups of similar length and at most ``items`` places.

    A single user may be longer. With a generator the order within a length and of the batches is random.
    """
    numbers = lengths.numpy()
    there = np.flatnonzero(numbers > 0)
    if rng is not None:
        there = rng.permutation(there)
    there = there[np.argsort(numbers[there], kind="stable")]
    groups: list[np.ndarray] = []
    start = 0
    for stop in range(1, len(there) + 1):
        if stop == len(there) or (stop - start + 1) * numbers[there[stop]] > items:
            groups.append(there[start:stop])
            start = stop
    order = range(len(groups)) if rng is None else rng.permutation(len(groups))
    for number in order:
        yield torch.from_numpy(groups[number])


@torch.no_grad()
def log_probabilities(
    model: Personal, users: Users, split: str, *, items: int = 8192
) -> Float32[Tensor, "B S C"]:
    """Log probabilities where the targets of a split are; zeros elsewhere."""
    wanted = users.targets(split)
    lengths = lengths_until(wanted)
    found = torch.zeros(*users.y.shape, users.classes)
    model.eval()
    for group in batches(lengths, items=items):
        size = int(lengths[group].max())
        logits = model(users.x(group, size), users.y[group, :size])
        found[group, :size] = logits.log_softmax(dim=-1)
    return found * wanted[..., None]


def correct_answers(
    model: Personal, users: Users, split: str, *, items: int = 8192
) -> Bool[np.ndarray, "B S"]:
    """Which targets of a split are answered rightly; false elsewhere."""
    answers = log_probabilities(model, users, split, items=items).argmax(dim=-1)
    return ((answers == users.y) & users.targets(split)).numpy()


def accuracy_on(model: Personal, users: Users, split: str) -> float:
    """Share of a split's targets answered rightly."""
    return float(correct_answers(model, users, split).sum() / users.targets(split).sum())


def fit(model: Personal, users: Users, plan: Plan, *, seed: int) -> Fitted:
    """Train ``model`` in place.

    Raises:
        ValueError: no training or dev target.
        FloatingPointError: a loss that is not finite; the epoch is named.
    """
    for split in ("train", "dev"):
        if not users.targets(split).any():
            raise ValueError(f"there is no {split} target; expected some users with one")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fit(model, users, plan, np.random.default_rng((seed, 43)))


def _fit(model: Personal, users: Users, plan: Plan, rng: np.random.Generator) -> Fitted:
    lengths = lengths_until(users.targets("train"))
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=plan.decay)
    dev, loss = [accuracy_on(model, users, "dev")], []
    best, weights = 0, copy.deepcopy(model.state_dict())
    for epoch in range(1, plan.epochs + 1):
        model.train()
        groups = list(batches(lengths, items=plan.items, rng=rng))
        total, targets = 0.0, 0
        for number, group in enumerate(groups):
            done = (epoch - 1 + number / len(groups)) / plan.epochs
            optimiser.param_groups[0]["lr"] = plan.rate * (1 - done)
            summed, count = _step(model, users, group, lengths, optimiser, plan, rng)
            total, targets = total + summed, targets + count
        if not np.isfinite(total):
            raise FloatingPointError(f"epoch {epoch}: the training loss is {total}; try a lower rate")
        loss.append(total / targets)
        dev.append(accuracy_on(model, users, "dev"))
        if dev[-1] > dev[best]:
            best, weights = epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return Fitted(model.eval(), dev, loss, best)


def _step(
    model: Personal,
    users: Users,
    group: Int[Tensor, " b"],
    lengths: Int[Tensor, " B"],
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    rng: np.random.Generator,
) -> tuple[float, int]:
    """One update; the summed loss and the number of targets behind it."""
    size = int(lengths[group].max())
    x, y = users.x(group, size), users.y[group, :size]
    wanted = users.targets("train")[group, :size]
    keep = torch.from_numpy(rng.random(len(group)) >= plan.forget)
    optimiser.zero_grad()
    loss = F.cross_entropy(model(x, y, keep)[wanted], y[wanted])
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    count = int(wanted.sum())
    return loss.item() * count, count
