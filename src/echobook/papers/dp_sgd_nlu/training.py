"""One training loop for all estimators: Poisson lots, the estimator's gradient, Adam; a snapshot after each
epoch.

Adam sees only the (private) gradient, so it costs no privacy; every arm uses it, and every arm the same
numbers of epochs and lots. Weights and lots of a run depend on its seed alone; the noise has a generator of
its own, so that runs which differ in the estimator see the same lots."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.papers.dp_sgd_nlu.material import Batch
from echobook.papers.dp_sgd_nlu.model import joint_losses
from echobook.privacy.mechanism import Losses, Step, poisson_lot
from echobook.privacy.taps import Gradients, PrivacyError


@runtime_checkable
class Estimator(Protocol):
    """Anything that turns a lot into a gradient: see `MicroBatches`, `PerExample`, `Plain`."""

    @property
    def multiplier(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def sensitivity(self) -> float: ...

    def gradient(self, model: nn.Module, losses: Losses, lot: Int[Tensor, "B"], step: Step) -> Gradients: ...


@runtime_checkable
class Readable(Protocol):
    """What is trained on: utterances by number."""

    def __len__(self) -> int: ...
    def batch(self, numbers: Int[Tensor, "B"]) -> Batch: ...


@dataclass(frozen=True)
class Schedule:
    """How long, in what lots, how fast: `lot` is the expected size, so the sampling rate is lot / N."""

    epochs: int
    lot: int
    rate: float

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lot < 1 or not self.rate > 0:
            raise PrivacyError(
                f"expected epochs >= 1, lot >= 1 and a rate above 0, "
                f"found {self.epochs}, {self.lot}, {self.rate}"
            )

    def sampling(self, population: int) -> float:
        """Sampling rate q = lot / N; PrivacyError above 1."""
        if self.lot > population:
            raise PrivacyError(f"lot: {self.lot} of {population} examples is a sampling rate above 1")
        return self.lot / population

    def steps(self, population: int) -> int:
        """Lots in an epoch."""
        return max(1, round(population / self.lot))


@dataclass
class Run:
    """A trained model: CPU seconds of the steps, and what `observe` returned after each epoch."""

    model: nn.Module
    seconds: float = 0.0
    steps: int = 0
    seen: list[object] = field(default_factory=list)


def train(
    model: nn.Module,
    data: Readable,
    estimator: Estimator,
    schedule: Schedule,
    *,
    seed: int,
    observe: Callable[[nn.Module], object] | None = None,
) -> Run:
    """Train in place and return the run.

    Args:
        model: maps a `Batch` to intent and tag logits.
        data: the N members.
        estimator: makes the gradient of a lot.
        schedule: epochs, expected lot, learning rate.
        seed: of lots and noise.
        observe: called after every epoch; what it returns is kept in `seen`.
    """
    lots, noise = (torch.Generator().manual_seed(2 * seed + part) for part in (0, 1))
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.Adam(named.values(), lr=schedule.rate)
    run, q = Run(model), schedule.sampling(len(data))
    for epoch in range(schedule.epochs):
        start = time.process_time()
        for _ in range(schedule.steps(len(data))):
            lot = poisson_lot(len(data), q, lots)
            step = Step(float(schedule.lot), epoch, noise)
            found = estimator.gradient(model, _losses_of(model, data), lot, step)
            for name, weight in named.items():
                weight.grad = found[name]
            optimizer.step()
            run.steps += 1
        run.seconds += time.process_time() - start
        if observe is not None:
            run.seen.append(observe(model))
    return run


def _losses_of(model: nn.Module, data: Readable) -> Losses:
    def losses(numbers: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        batch = data.batch(numbers)
        return joint_losses(model(batch), batch)

    return losses
