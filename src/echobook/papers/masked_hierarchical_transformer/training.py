"""One way of training for every model that scores candidates: Adam, warm-up, linear decay, the best epoch.

The dev score is taken before the first epoch and after each; the earliest best state is kept.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from echobook.papers.masked_hierarchical_transformer.batches import Batch, Case, length_of, make_batch
from echobook.papers.masked_hierarchical_transformer.material import Pool
from echobook.papers.masked_hierarchical_transformer.model import Reading, reading_mask
from echobook.text.batches import epoch_batches

Loss = Callable[[Tensor, Batch], Tensor]
Order = Callable[[Sequence[Case], np.ndarray, int, int, int], list[list[Case]]]
SCORED = 256  # targets scored at once


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Attributes:
        epochs: passes over the training targets.
        rate: peak learning rate.
        batch_size: targets of a batch.
        warm_up: share of the updates in which the rate rises.
        clip: largest norm of the gradient.
        bf16: bfloat16 arithmetic in the linear maps.
    """

    epochs: int
    rate: float
    batch_size: int = 32
    warm_up: float = 0.1
    clip: float = 1.0
    bf16: bool = False


@dataclass(frozen=True)
class FixedMasks:
    """Masks of one reading; what is random in them depends on seed and target alone."""

    reading: Reading
    seed: int

    def __call__(self, case: Case, steps: np.ndarray) -> np.ndarray:
        return reading_mask(self.reading, steps, lambda: np.random.default_rng([self.seed, *case]))


@dataclass(frozen=True)
class Scorer:
    """A trained model with what it reads.

    Attributes:
        model: batch to logits.
        masks: of its targets.
        curve: dev score before training and after each epoch.
        seconds: CPU seconds of training.
        bf16: as in training.
    """

    model: nn.Module
    masks: FixedMasks
    curve: tuple[float, ...]
    seconds: float
    bf16: bool

    def logits(
        self, pool: Pool, cases: Sequence[Case], steps: Sequence[np.ndarray] | None = None
    ) -> list[Float[np.ndarray, " L"]]:
        """Logits of each target's candidates and of the target itself."""
        found: list[np.ndarray] = [np.empty(0)] * len(cases)
        lengths = [length_of(pool, case) for case in cases]
        order = np.argsort(lengths, kind="stable")
        self.model.eval()
        for start in range(0, len(order), SCORED):
            rows = order[start : start + SCORED].tolist()
            batch = make_batch(pool, [cases[row] for row in rows], self.masks, steps)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                scores = self.model(batch).float().numpy()
            for row, values in zip(rows, scores, strict=True):
                found[row] = values[-lengths[row] :]
        return found


def by_length(
    cases: Sequence[Case], lengths: np.ndarray, size: int, seed: int, epoch: int
) -> list[list[Case]]:
    """Batches of targets with about as many candidates."""
    batches = epoch_batches(lengths, size, seed=seed, epoch=epoch)
    return [[cases[row] for row in rows] for rows in batches]


def fit(
    model: nn.Module,
    pool: Pool,
    dev: Pool,
    *,
    reading: Reading,
    loss: Loss,
    plan: Plan,
    judge: Callable[["Scorer", Pool], float],
    seed: int,
    order: Order = by_length,
) -> Scorer:
    """Train a model on the pool's targets and keep its best epoch on ``dev``.

    Args:
        judge: dev score of a scorer, larger is better.
        order: batches of an epoch, from cases, lengths, batch size, seed and epoch.

    Raises:
        ValueError: no target has a true parent among its candidates.
    """
    began = time.process_time()
    cases, masks = pool.trainable, FixedMasks(reading, seed)
    if not cases:
        raise ValueError("no target has its parent among its candidates; expected at least one to train on")
    lengths = np.array([length_of(pool, case) for case in cases])
    updates = plan.epochs * -(-len(cases) // plan.batch_size)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=plan.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate_of(updates, plan.warm_up))
    best = _scored(model, masks, plan, dev, judge)
    curve, kept = [best], copy.deepcopy(model.state_dict())
    for epoch in range(plan.epochs):
        model.train()
        for chosen in order(cases, lengths, plan.batch_size, seed, epoch):
            step(model, make_batch(pool, chosen, masks), loss, optimiser, plan)
            schedule.step()
        curve.append(_scored(model, masks, plan, dev, judge))
        if curve[-1] > best:
            best, kept = curve[-1], copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return Scorer(model, masks, tuple(curve), time.process_time() - began, plan.bf16)


def rate_of(updates: int, warm_up: float) -> Callable[[int], float]:
    """Factor of the learning rate: rises over the first share of the updates, then falls to 0."""
    first = max(1, round(warm_up * updates))
    return lambda done: min((done + 1) / first, max(0.0, (updates - done) / max(1, updates - first)))


def step(model: nn.Module, batch: Batch, loss: Loss, optimiser: torch.optim.Optimizer, plan: Plan) -> float:
    """One update; returns the loss."""
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
        logits = model(batch)
    value = loss(logits, batch)
    optimiser.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    optimiser.step()
    return float(value.detach())


def _scored(
    model: nn.Module, masks: FixedMasks, plan: Plan, dev: Pool, judge: Callable[[Scorer, Pool], float]
) -> float:
    return judge(Scorer(model, masks, (), 0.0, plan.bf16), dev)
