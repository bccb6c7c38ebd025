"""One plain training loop for the speech chapters: read it from top to bottom.

Each step: pick the batch, set the learning rate, compute the loss, clip the gradient, update. Every so many
steps the model is evaluated on the development set; the best weights are kept and put back at the end, and
training stops early when the development score has not improved for a while.

Whatever is random in step k depends on the seed and k alone (batch order, augmentation, dropout). So a run
that was killed goes on from its checkpoint exactly as if nothing had happened, and on one thread two runs
agree to the last bit. The global random state is put back afterwards.

Schedules, k from 1: "inverse-root" (Vaswani et al. 2017, form) is peak * min(k / warmup, sqrt(warmup / k));
"drop" is peak * min(k / warmup, 1), times 0.3 after `drop_at` of the steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

DROP = 0.3


class Example(NamedTuple):
    """Features (T, D), labels, and a name for messages."""

    features: Tensor
    labels: tuple[int, ...]
    name: str = ""


class Batch(NamedTuple):
    """Padded features and labels with their lengths; arguments of `Transducer.loss` in order, then the
    names.
    """

    frames: Float[Tensor, "B T D"]
    lengths: Int[Tensor, " B"]
    labels: Int[Tensor, "B U"]
    label_lengths: Int[Tensor, " B"]
    names: tuple[str, ...]


@dataclass(frozen=True)
class TrainingSettings:
    """`evaluate_every`, `warmup` in steps, `patience` in evaluations, `drop_at`: share of the steps."""

    steps: int
    batch_size: int = 32
    peak_rate: float = 2e-3
    warmup: int = 100
    clip_norm: float = 5.0
    weight_decay: float = 0.0
    evaluate_every: int = 100
    patience: int = 5
    seed: int = 0
    schedule: str = "inverse-root"
    drop_at: float = 0.75

    def __post_init__(self) -> None:
        counts = (self.steps, self.batch_size, self.warmup, self.evaluate_every, self.patience)
        if min(counts) < 1 or self.peak_rate <= 0 or self.clip_norm <= 0:
            raise ValueError(f"expected positive counts, rate and norm; got {self}")
        if self.schedule not in ("inverse-root", "drop") or not 0 < self.drop_at <= 1:
            raise ValueError(f"expected schedule inverse-root or drop, and 0 < drop_at <= 1; got {self}")


@dataclass
class History:
    """Loss of each step, development score of each evaluation as (step, score), and the best step."""

    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = math.inf


class TrainingStopped(RuntimeError):
    """The loss or the gradient was not a finite number; the message names step and utterances."""


def train(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    settings: TrainingSettings,
    evaluate: Callable[[nn.Module], float] | None,
    loss: Callable[[nn.Module, Batch], Tensor] | None = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> History:
    """Train in place and leave the model in evaluation mode with its best weights.

    evaluate: development score, lower is better; None keeps the last weights. loss: of one batch; default
    `model.loss(...)`. augment: applied to the features of each example when it is used.
    checkpoint: file written after each evaluation; when it exists, training goes on from it.
    Raises ValueError for no examples or for a checkpoint of other settings, TrainingStopped for a loss that
    is not finite.
    """
    optimiser = torch.optim.Adam(
        model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=settings.weight_decay
    )
    history, best, done = _resume(checkpoint, model, optimiser, settings)
    batches = BatchOrder([len(e.features) for e in examples], settings.batch_size, settings.seed)
    with torch.random.fork_rng(devices=[]):
        for step in tqdm(range(done + 1, settings.steps + 1), desc="training", disable=not progress):
            torch.manual_seed(_step_seed(settings.seed, step))  # dropout of this step
            batch = batch_of_step(examples, step, settings, augment, batches)
            history.losses.append(_update(model, optimiser, batch, step, settings, loss or transducer_step))
            if step % settings.evaluate_every and step < settings.steps:
                continue
            best = _evaluate(model, evaluate, step, history, best) if evaluate else _copy(model)
            if checkpoint is not None:
                _save(checkpoint, model, optimiser, settings, history, best)
            if _is_over(history, settings):
                break
    model.load_state_dict(best)
    model.eval()
    return history


def transducer_step(model: Any, batch: Batch) -> Tensor:
    """Mean transducer loss of a batch."""
    return model.loss(*batch[:4])


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up to the peak, then the settings' schedule; steps count from 1."""
    if settings.schedule == "drop":
        dropped = step > settings.drop_at * settings.steps
        return settings.peak_rate * min(step / settings.warmup, 1) * (DROP if dropped else 1)
    return settings.peak_rate * min(step / settings.warmup, math.sqrt(settings.warmup / step))


def collate(examples: Sequence[Example]) -> Batch:
    """Pad with zeros (features) and class 1 (labels), which the lengths exclude."""
    labels = [torch.tensor(e.labels, dtype=torch.long) for e in examples]
    return Batch(
        nn.utils.rnn.pad_sequence([e.features for e in examples], batch_first=True),
        torch.tensor([len(e.features) for e in examples]),
        nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=1),
        torch.tensor([len(row) for row in labels]),
        tuple(e.name for e in examples),
    )


def bucketed(lengths: Sequence[int], batch_size: int, *, generator: torch.Generator) -> list[list[int]]:
    """Indices in batches of similar length: shuffle, sort within pools of 16 batches, cut, shuffle the
    batches.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    pool = 16 * batch_size
    batches = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda i: lengths[i])
        batches += [near[i : i + batch_size] for i in range(0, len(near), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


class BatchOrder:
    """Which examples each step trains on, from lengths that are measured once; one epoch is kept.

    Each epoch uses every example once. The order depends on lengths, batch size, seed and step alone.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        if not lengths:
            raise ValueError("no examples to train on")
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        pool = 16 * batch_size
        self.per_epoch = sum(
            math.ceil(min(pool, len(lengths) - start) / batch_size) for start in range(0, len(lengths), pool)
        )
        self._epoch, self._batches = -1, [[0]]

    def __call__(self, step: int) -> list[int]:
        """Indices of the examples of step `step` (from 1)."""
        epoch, place = divmod(step - 1, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_step_seed(self.seed, -1 - epoch))
            self._batches = bucketed(self.lengths, self.batch_size, generator=generator)
            self._epoch = epoch
        return self._batches[place]


def batch_of_step(
    examples: Sequence[Example],
    step: int,
    settings: TrainingSettings,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    batches: BatchOrder | None = None,
) -> Batch:
    """The batch that step `step` (from 1) trains on; `batches` saves measuring the examples again."""
    if batches is None:
        batches = BatchOrder([len(e.features) for e in examples], settings.batch_size, settings.seed)
    chosen = [examples[i] for i in batches(step)]
    if augment is not None:
        generator = torch.Generator().manual_seed(_step_seed(settings.seed, step))
        chosen = [e._replace(features=augment(e.features, generator)) for e in chosen]
    return collate(chosen)


def _step_seed(seed: int, step: int) -> int:
    return (seed * 1_000_003 + step * 7919) % 2**63


def _update(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    step: int,
    settings: TrainingSettings,
    loss: Callable[[nn.Module, Batch], Tensor],
) -> float:
    model.train()
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, settings)
    optimiser.zero_grad()
    where = f"step {step}, utterances {', '.join(batch.names)}"
    try:
        value = loss(model, batch)
    except ValueError as error:
        raise TrainingStopped(f"{where}: {error}") from error
    value.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    if not (value.isfinite() and norm.isfinite()):
        raise TrainingStopped(
            f"{where}: loss {value.item()}, gradient norm {norm.item()}; try a lower peak_rate"
        )
    optimiser.step()
    return value.item()


def _evaluate(
    model: nn.Module,
    evaluate: Callable[[nn.Module], float],
    step: int,
    history: History,
    best: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Score the model; return the best weights so far."""
    model.eval()
    with torch.no_grad():
        score = float(evaluate(model))
    history.scores.append((step, score))
    if not score < history.best_score:
        return best
    history.best_step, history.best_score = step, score
    return _copy(model)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _is_over(history: History, settings: TrainingSettings) -> bool:
    """Early stopping: the last `patience` evaluations brought nothing."""
    return sum(step > history.best_step for step, _ in history.scores) >= settings.patience


def _save(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: TrainingSettings,
    history: History,
    best: dict[str, Tensor],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "best": best}
    torch.save(state | {"settings": asdict(settings), "history": asdict(history)}, temporary)
    temporary.replace(path)


def _resume(
    path: Path | None, model: nn.Module, optimiser: torch.optim.Optimizer, settings: TrainingSettings
) -> tuple[History, dict[str, Tensor], int]:
    """History, best weights and number of steps done."""
    if path is None or not path.is_file():
        return History(), _copy(model), 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != asdict(settings):
        raise ValueError(
            f"checkpoint {path.name} is of other settings: {state['settings']}; delete it to start again"
        )
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    history = History(**state["history"])
    over = _is_over(history, settings)
    return history, state["best"], settings.steps if over else len(history.losses)
