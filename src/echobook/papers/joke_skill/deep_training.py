"""From moments to the deep model's rows; training with early stopping; scores of all jokes.

The model is trained on the log with Adam, and looked at after every epoch on the validation rows; the epoch
with the highest validation AUC is kept, the untrained state counting as epoch 0 and the earliest best
winning. Axes: N rows, J jokes, M past jokes, X numbers of the context.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill.features import DAY, Context, Customer
from echobook.papers.joke_skill.history import Moments
from echobook.papers.joke_skill.material import JokeTable
from echobook.papers.joke_skill.method import HOUR, LABELS
from echobook.papers.joke_skill.model import JokeRanker, Rows, Tasks, ranker_loss

AGE_LIMITS = np.array([HOUR // 12, HOUR, DAY, 3 * DAY, 7 * DAY])


@dataclass(frozen=True)
class Settings:
    """How the deep model is trained.

    Attributes:
        past: jokes of the history, M.
        epochs, batch, rate: of Adam; the rate was the best of three on the validation rows of a pilot seed.
    """

    past: int = 8
    epochs: int = 6
    batch: int = 512
    rate: float = 5e-3

    def __post_init__(self) -> None:
        if min(self.past, self.batch) < 1 or self.epochs < 0 or not self.rate > 0:
            raise ValueError(f"settings: expected past, batch >= 1, epochs >= 0, rate > 0, got {self}")


@dataclass(frozen=True)
class Trained:
    """A trained model, its validation AUC after every epoch (from epoch 0), and the epoch that was kept."""

    model: JokeRanker
    curve: tuple[float, ...]
    epoch: int
    settings: Settings


def context_numbers(moments: Moments) -> Float[np.ndarray, "N X"]:
    """Who asks and when: what the regression knows too."""
    return np.concatenate([Customer().dense(moments), Context().dense(moments)], axis=1)


def rows_of(moments: Moments, past: int) -> Rows:
    """The last ``past`` jokes of each moment, newest first, with outcomes and ages, and the context."""
    place = moments.count[:, None] - 1 - np.arange(past)  # (N, M)
    there = place >= 0
    at = np.maximum(place, 0)
    pick = [np.take_along_axis(values, at, axis=1) for values in (moments.told, moments.told_at)]
    outcomes = [np.take_along_axis(moments.outcome(name), at, axis=1).astype(np.int64) + 1 for name in LABELS]
    age = np.searchsorted(AGE_LIMITS, moments.time[:, None] - pick[1])
    arrays = (pick[0], outcomes[0] * 3 + outcomes[1], age)
    numbers = [torch.from_numpy(np.where(there, values, 0).astype(np.int64)) for values in arrays]
    context = torch.from_numpy(context_numbers(moments).astype(np.float32))
    return Rows(numbers[0], numbers[1], numbers[2], torch.from_numpy(there), context)


def tensor_of(values: Int[np.ndarray, " N"]) -> Int[Tensor, " N"]:
    """Whole numbers as a tensor."""
    return torch.from_numpy(values.astype(np.int64))


def build(
    make_encoder: Callable[[int], torch.nn.Module],
    make_customer: Callable[[int], torch.nn.Module],
    jokes: JokeTable,
    *,
    seed: int,
) -> JokeRanker:
    """A model with parts of one's own, initialised from a seed.

    Args:
        make_encoder: vocabulary size to joke encoder.
        make_customer: number of features to customer part.
    """
    torch.manual_seed(seed)
    encoder = make_encoder(jokes.vocabulary)
    sizes = {name: len(jokes.names[name]) for name in ("category", "kind")}
    width = context_numbers(_nobody()).shape[1]
    return JokeRanker(
        encoder,  # type: ignore[arg-type]
        make_customer(encoder.features),  # type: ignore[arg-type]
        context=width,
        categories=sizes["category"],
        kinds=sizes["kind"],
    )


def _nobody() -> Moments:
    one, empty = np.zeros(1, dtype=np.int64), np.full((1, 1), -1)
    return Moments(one, one, one, one, empty, empty, empty, empty)


def train_ranker(
    model: JokeRanker,
    jokes: JokeTable,
    moments: Moments,
    joke: Int[np.ndarray, " N"],
    labels: Float[np.ndarray, "N 2"],
    *,
    train: Int[np.ndarray, " T"],
    validation: Int[np.ndarray, " V"],
    tasks: Tasks,
    settings: Settings,
    main: int = 0,
    seed: int = 0,
) -> Trained:
    """Train on some rows, keep the epoch with the best validation AUC of label number ``main``.

    Raises:
        ValueError: no rows to train on, or a validation part of one class.
    """
    if not len(train):
        raise ValueError("train: expected at least one row")
    rows, told = rows_of(moments, settings.past), torch.from_numpy(joke.astype(np.int64))
    given = torch.from_numpy(labels.astype(np.float32))
    tokens = torch.from_numpy(jokes.tokens)
    share = np.clip(labels[train].mean(axis=0), 0.01, 0.99)
    positive = (float((1 - share[0]) / share[0]), float((1 - share[1]) / share[1]))
    groups = {name: torch.from_numpy(numbers) for name, numbers in jokes.groups.items()}
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    order = torch.Generator().manual_seed(seed)

    def look() -> float:
        scores = told_scores(model, jokes, rows, told, torch.from_numpy(validation))
        return auroc(scores[:, main], labels[validation, main] > 0)

    curve, kept, epoch = [look()], copy.deepcopy(model.state_dict()), 0
    picked = torch.from_numpy(train)
    for number in range(1, settings.epochs + 1):
        model.train()
        for batch in picked[torch.randperm(len(picked), generator=order)].split(settings.batch):
            vectors = model.encoder(tokens)
            logits = model.score(vectors, rows.take(batch), told[batch])
            loss = ranker_loss(model, vectors, logits, given[batch], groups, tasks, positive)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        curve.append(look())
        if curve[-1] > curve[epoch]:
            kept, epoch = copy.deepcopy(model.state_dict()), number
    model.load_state_dict(kept)
    return Trained(model.eval(), tuple(curve), epoch, settings)


@torch.no_grad()
def told_scores(
    model: JokeRanker, jokes: JokeTable, rows: Rows, joke: Tensor, chosen: Tensor
) -> Float[np.ndarray, "N 2"]:
    """Log-odds of both labels for the joke told at each chosen row, float64."""
    model.eval()
    vectors = model.encoder(torch.from_numpy(jokes.tokens))
    parts = [model.score(vectors, rows.take(part), joke[part]) for part in chosen.split(4096)]
    return torch.cat(parts).double().numpy()


@torch.no_grad()
def all_scores(
    model: JokeRanker, jokes: JokeTable, moments: Moments, *, past: int, main: int, most: int = 40_000
) -> Float[np.ndarray, "N J"]:
    """Log-odds of one label for every joke at every moment, at most ``most`` pairs at a time."""
    model.eval()
    vectors, rows, count = model.encoder(torch.from_numpy(jokes.tokens)), rows_of(moments, past), len(jokes)
    every, found = torch.arange(count), []
    for part in torch.arange(len(moments)).split(max(1, most // count)):
        pairs = rows.take(part.repeat_interleave(count))
        scores = model.score(vectors, pairs, every.repeat(len(part)))[:, main]
        found.append(scores.reshape(len(part), count))
    return torch.cat(found).double().numpy()
