"""One plain fine-tuning loop: cross-entropy on one or several tasks, with exact resume.

Each update averages the loss over ``accumulate`` batches of one task, clips the gradient norm and takes an
AdamW step under a linear schedule with warm-up. Tasks of a step are drawn with probability proportional to
N_task ** ``temperature`` (1: by size, 0: evenly; one task: always that one). The batches of a task follow
:func:`echobook.text.batches.epoch_batches`, epoch after epoch. Parameters fall into four groups: encoder and
heads, each with its learning rate, and without decay for biases and layer norms.

The state of a run is (weights, optimiser, step, generator of torch, best so far); everything else is a
function of seed, data and step, and the file holds digests of settings and data. A run that was killed and
resumed from its file ends with the same bits as one that was not, on one machine and thread count.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from echobook.text.batches import Encoded, epoch_batches, pad_batch
from echobook.text.heads import Classifier


@dataclass(frozen=True)
class Task:
    """Training examples of one task: N encoded texts and their class numbers from 0."""

    encoded: Encoded
    labels: Int[np.ndarray, " N"]

    def __post_init__(self) -> None:
        if len(self.encoded) != len(self.labels):
            raise ValueError(f"labels: expected {len(self.encoded)}, one an example, got {len(self.labels)}")

    @property
    def digest(self) -> str:
        """SHA-256 of tokens, segments and labels."""
        content = repr((self.encoded.ids, self.encoded.types, self.labels.tolist()))
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of a run.

    Attributes:
        steps: parameter updates.
        batch_size: examples of a batch; ``accumulate`` batches make an update.
        learning_rate, head_learning_rate: peaks, for the encoder and for the heads.
        weight_decay: decoupled, not on biases and layer norms.
        warmup: share of the steps with a rising rate.
        max_grad_norm: clip length of the whole gradient.
        evaluate_every: updates between two dev evaluations; 0 only after the last.
        patience: evaluations without a better dev score before the run stops; 0 never stops.
        temperature: exponent of task sizes in sampling.
        bf16: bfloat16 autocast of the forward pass; bits then differ from float32.
        seed: of batches, task choice and dropout.
    """

    steps: int
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 5e-5
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    evaluate_every: int = 0
    patience: int = 0
    temperature: float = 1.0
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "head_learning_rate", "weight_decay", "evaluate_every", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or above, got {getattr(self, name)}")
        if not 0 <= self.warmup < 1 or self.max_grad_norm <= 0:
            raise ValueError(
                f"expected warmup in [0, 1) and max_grad_norm > 0, got {self.warmup} and {self.max_grad_norm}"
            )


@dataclass
class Run:
    """What a run leaves: losses by update, (update, dev score) pairs, the best, whether it stopped."""

    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = -np.inf
    stopped: bool = False


def parameter_groups(model: Classifier, settings: Settings) -> list[dict[str, Any]]:
    """AdamW groups: encoder and heads, each with and without decay; vectors (biases, norms) have none."""
    groups = []
    for part, rate in ((model.encoder, settings.learning_rate), (model.heads, settings.head_learning_rate)):
        parameters = [p for p in part.parameters() if p.requires_grad]
        for decay, members in (
            (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            groups.append({"params": members, "lr": rate, "weight_decay": decay})
    return [group for group in groups if group["params"]]


def linear_schedule(step: int, *, steps: int, warmup: float) -> float:
    """Factor of the learning rate at update ``step`` (from 0): up to 1 over the warm-up, then down to 0."""
    rising = int(warmup * steps)
    return (step + 1) / (rising + 1) if step < rising else (steps - step) / max(steps - rising, 1)


def task_order(sizes: Mapping[str, int], settings: Settings) -> list[str]:
    """Task of each update, a function of sizes, seed and temperature alone."""
    weights = np.array([size**settings.temperature for size in sizes.values()], dtype=np.float64)
    random = np.random.default_rng([settings.seed, 1])
    drawn = random.choice(len(weights), size=settings.steps, p=weights / weights.sum())
    return [list(sizes)[number] for number in drawn]


def fine_tune(
    model: Classifier,
    tasks: Mapping[str, Task],
    settings: Settings,
    *,
    evaluate: Callable[[Classifier], float] | None = None,
    state_file: Path | None = None,
    save_every: int = 0,
) -> Run:
    """Train ``model`` in place; with ``evaluate`` it ends with the weights of the best dev score.

    Args:
        tasks: examples by task name; each name has a head.
        evaluate: dev score of the model, higher is better; called in evaluation mode without gradients.
        state_file: where the run is kept; an existing file is resumed, and is left in place at the end.
        save_every: updates between two saves; 0 saves only at the end.

    Raises:
        ValueError: no tasks, a task without head, patience without ``evaluate``, labels outside the head, or
            a state file of other settings or other data.
        FloatingPointError: a loss that is not finite; step and task are named.
    """
    _check(model, tasks, settings, evaluate)
    optimiser = torch.optim.AdamW(parameter_groups(model, settings), eps=1e-8, fused=True)
    peaks = [group["lr"] for group in optimiser.param_groups]
    order = task_order({name: len(task.labels) for name, task in tasks.items()}, settings)
    belongs = repr((settings, {name: task.digest for name, task in tasks.items()})) if state_file else ""
    with _seeded(settings.seed):
        run, start, best = _resume(state_file, model, optimiser, belongs)
        streams = {name: _stream(task, settings, order[:start].count(name)) for name, task in tasks.items()}
        for step in range(start, settings.steps):
            if run.stopped:
                break
            factor = linear_schedule(step, steps=settings.steps, warmup=settings.warmup)
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            task = order[step]
            run.losses.append(_update(model, task, tasks[task], streams[task], optimiser, settings, step))
            done = step + 1
            due = done == settings.steps or (settings.evaluate_every and done % settings.evaluate_every == 0)
            if evaluate is not None and due:
                best = _judge(model, evaluate, run, done, settings.patience, best)
            if state_file and (
                done == settings.steps or run.stopped or (save_every and done % save_every == 0)
            ):
                _save(state_file, model, optimiser, belongs, run, done, best)
        if best is not None:
            model.load_state_dict(best)
    return run


def _update(
    model: Classifier,
    name: str,
    task: Task,
    stream: Iterator[list[int]],
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    step: int,
) -> float:
    """One update; returns the mean loss over its examples."""
    model.train()
    optimiser.zero_grad()
    rows = [next(stream) for _ in range(settings.accumulate)]
    examples, total = sum(map(len, rows)), 0.0
    for part in rows:
        targets = torch.from_numpy(task.labels[part])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
            logits = model(pad_batch(task.encoded, part), name)
        loss = nn.functional.cross_entropy(logits.float(), targets, reduction="sum") / examples
        if not torch.isfinite(loss):
            raise FloatingPointError(f"step {step + 1}, task {name!r}: loss {loss.item()}; try a lower rate")
        loss.backward()
        total += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
    optimiser.step()
    return total


def _stream(task: Task, settings: Settings, updates: int) -> Iterator[list[int]]:
    """Batches of a task, epoch after epoch, from where ``updates`` updates have left off."""
    skip, epoch, lengths = updates * settings.accumulate, 0, task.encoded.lengths
    while True:
        batches = epoch_batches(lengths, settings.batch_size, seed=settings.seed, epoch=epoch)
        yield from batches[skip:]
        skip, epoch = max(skip - len(batches), 0), epoch + 1


def _judge(
    model: Classifier,
    evaluate: Callable[[Classifier], float],
    run: Run,
    step: int,
    patience: int,
    best: dict[str, Tensor] | None,
) -> dict[str, Tensor] | None:
    model.eval()
    with torch.no_grad():
        score = float(evaluate(model))
    run.scores.append((step, score))
    if score > run.best_score:
        run.best_step, run.best_score = step, score
        best = {name: value.clone() for name, value in model.state_dict().items()}
    since = sum(at > run.best_step for at, _ in run.scores)
    run.stopped = bool(patience) and since >= patience
    return best


def _check(model: Classifier, tasks: Mapping[str, Task], settings: Settings, evaluate: object) -> None:
    if not tasks:
        raise ValueError("tasks: expected at least one, got none")
    if settings.patience and evaluate is None:
        raise ValueError(f"patience {settings.patience} needs `evaluate`, the dev score to wait for")
    for name, task in tasks.items():
        if name not in model.heads:
            raise ValueError(f"task {name!r} has no head; the model has {sorted(model.heads)}")
        output: Any = model.heads[name].output
        classes = int(output.out_features)
        if task.labels.min() < 0 or task.labels.max() >= classes:
            low, high = task.labels.min(), task.labels.max()
            raise ValueError(f"task {name!r}: expected labels 0..{classes - 1}, got {low}..{high}")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Dropout draws from torch's generator: seed it inside, give the old state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _save(
    path: Path,
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    belongs: str,
    run: Run,
    step: int,
    best: dict[str, Tensor] | None,
) -> None:
    state = {
        "belongs": belongs,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
        "run": vars(run),
        "step": step,
        "best": best,
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(
    path: Path | None, model: Classifier, optimiser: torch.optim.Optimizer, belongs: str
) -> tuple[Run, int, dict[str, Tensor] | None]:
    if path is None or not path.is_file():
        return Run(), 0, None
    state = torch.load(path, weights_only=True)
    if state["belongs"] != belongs:
        raise ValueError(
            f"{path} belongs to other settings or data: {state['belongs']}, not to {belongs}; "
            "use another state_file"
        )
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    return Run(**state["run"]), state["step"], state["best"]
