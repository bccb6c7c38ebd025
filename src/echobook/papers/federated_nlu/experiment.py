"""The chapter's comparisons: which worlds, which arms, and what is read off their curves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from echobook.data.generators.devices import DeviceWorld
from echobook.federated.fleet import Fleet
from echobook.federated.local import LocalTraining
from echobook.federated.rounds import run_rounds
from echobook.papers.federated_nlu.baselines import arm
from echobook.papers.federated_nlu.evaluation import TestSet
from echobook.papers.federated_nlu.material import PeriodWorld, Texts, World, simulated_world
from echobook.papers.federated_nlu.method import Arm, learn_over_periods, pooled_up_to
from echobook.papers.federated_nlu.rates import chosen_rate
from echobook.papers.federated_nlu.training import Budget, Curve, centralised, train_arm, watched_rounds

# What differs between the simulated worlds: the devices' mixes of intents.
WORLDS: dict[str, Mapping[str, float]] = {
    "mixed": {"skew": 0.3},
    "iid": {"skew": 0.0},
    "personal": {"skew": 0.03},
}
MAIN = ("uniform-n", "uniform-equal", "activity-n", "activity-equal")
FURTHER = ("half-corrected", "activity-corrected", "top-m", "power-of-choice", "fedprox", "shuffled")


@dataclass(frozen=True)
class Points:
    """Rounds at which arms are compared, and the budget that reaches them."""

    early: int
    late: int
    budget: Budget

    @property
    def named(self) -> dict[str, int]:
        """The rounds by name."""
        return {"early": self.early, "late": self.late}


def points(m: int, early: int, late: int, *, batch: int = 16) -> Points:
    """Budget to the later of two rounds."""
    return Points(early, late, Budget(m=m, rounds=late, batch=batch))


def build_world(
    name: str,
    texts: Texts,
    *,
    seed: int,
    devices: int,
    split: str = "test",
    hidden: int = 0,
    **changes: float,
) -> World:
    """A simulated world of :data:`WORLDS`; ``changes`` replace settings of the devices.

    Raises ValueError for an unknown world.
    """
    if name not in WORLDS:
        raise ValueError(f"world {name!r}: expected one of {', '.join(WORLDS)}")
    setting = DeviceWorld(devices=devices, **(dict(WORLDS[name]) | changes))  # type: ignore[arg-type]
    return simulated_world(texts, setting, seed=seed, name=name, split=split, hidden=hidden)


def run_arms(world: World, names: Iterable[str], at: Points, *, rates: str, seed: int) -> dict[str, Curve]:
    """Curves of named arms, each at the rate tuned for it in the world ``rates``."""
    watch = watched_rounds(at.late, at.named.values())
    return {
        name: train_arm(world, arm(name), at.budget, rate=chosen_rate(rates, name), seed=seed, watch=watch)
        for name in names
    }


def run_to_samples(
    world: World, name: str, at: Points, marks: Sequence[int], *, rates: str, seed: int
) -> Curve:
    """An arm trained until it has processed given numbers of samples, at the rate tuned for long runs."""
    rate = chosen_rate(rates, name, long=True)
    longest = 40 * at.late
    return train_arm(
        world, arm(name), at.budget, rate=rate, seed=seed, watch=[], marks=marks, longest=longest
    )


def gain(left: Float[np.ndarray, " G"], right: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
    """What the left item scores are above the right ones."""
    return left - right


@dataclass(frozen=True)
class PeriodCurve:
    """Item scores over periods. Axes: W watched rounds, G items.

    Attributes:
        rounds, period: of each watched point.
        scores: share right of each item, by a model that knows the classes seen by then.
        weights: items that count at each point: all of whose classes have been seen.
    """

    rounds: np.ndarray
    period: np.ndarray
    scores: Float[np.ndarray, "W G"]
    weights: Float[np.ndarray, "W G"]

    def area(self, first: int) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
        """Mean item scores over the points from period ``first`` on, and the weight of each item."""
        kept = self.period >= first
        weights = self.weights[kept].sum(axis=0)
        total = (self.scores[kept] * self.weights[kept]).sum(axis=0)
        return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0), weights

    def at_end(self, period: int) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
        """Item scores and weights at the last point of a period."""
        place = np.flatnonzero(self.period == period)[-1]
        return self.scores[place], self.weights[place]

    def accuracy(self) -> Float[np.ndarray, " W"]:
        """Accuracy over the items that count, at each point."""
        return (self.scores * self.weights).sum(axis=1) / self.weights.sum(axis=1)


def counted_items(test: TestSet, seen: np.ndarray) -> Float[np.ndarray, " G"]:
    """Weight of each item over test examples of seen classes only."""
    return np.bincount(test.item, weights=seen[test.y], minlength=len(test.sizes)).astype(np.float64)


def _item_scores(test: TestSet, correct: np.ndarray, seen: np.ndarray) -> Float[np.ndarray, " G"]:
    right = np.bincount(test.item, weights=correct & seen[test.y], minlength=len(test.sizes))
    counts = counted_items(test, seen)
    return np.divide(right, counts, out=np.zeros(len(counts)), where=counts > 0)


def run_continual(
    world: PeriodWorld, which: Arm, at: Budget, *, rate: float, seed: int, every: int
) -> PeriodCurve:
    """Train over the periods (``at.rounds`` rounds in each) and look after every few rounds."""
    model, test = world.once.model, world.once.test
    federation = which.federation(model, LocalTraining(rate, at.epochs, at.batch), at.m)
    found = []
    states = learn_over_periods(
        federation, world.fleets, world.seen, model.start(seed), rounds=at.rounds, seed=seed
    )
    for period, state in states:
        if state.number % every == 0:
            seen = world.seen[period]
            correct = test.correct(replace(model, known=seen), state.theta)
            found.append((state.number, period, _item_scores(test, correct, seen), counted_items(test, seen)))
    return _curve(found)


def run_at_once(
    world: PeriodWorld,
    which: Arm,
    at: Budget,
    *,
    rate: float,
    seed: int,
    every: int,
    period: int | None = None,
) -> PeriodCurve:
    """All data at once for as many rounds as the periods have together, looked at as the periods go by.

    ``period``: only data up to it, and only so many rounds; all by default. What counts at a round are the
    classes that continual learning has seen by then.
    """
    last = len(world.fleets) - 1 if period is None else period
    fleet: Fleet = pooled_up_to(world.parts, world.once.fleet, last)
    model, test = replace(world.once.model, known=world.seen[last]), world.once.test
    federation = which.federation(model, LocalTraining(rate, at.epochs, at.batch), at.m)
    found = []
    rounds = at.rounds * (last + 1)
    for state in run_rounds(federation, fleet, model.start(seed), rounds=rounds, seed=seed):
        if state.number % every == 0:
            now = (state.number - 1) // at.rounds
            seen = world.seen[now]
            correct = test.correct(replace(model, known=seen), state.theta)
            found.append((state.number, now, _item_scores(test, correct, seen), counted_items(test, seen)))
    return _curve(found)


def _curve(found: list[tuple[int, int, np.ndarray, np.ndarray]]) -> PeriodCurve:
    rounds, period, scores, weights = zip(*found, strict=True)
    return PeriodCurve(np.array(rounds), np.array(period), np.stack(scores), np.stack(weights))


def local_only(world: World, *, rate: float, epochs: int, devices: int, seed: int) -> Float[np.ndarray, " G"]:
    """Item scores of a sample of devices that learn alone, averaged over the devices.

    In worlds whose items are intents only: every device is asked about every intent.
    """
    model, fleet, rng = world.model, world.fleet, np.random.default_rng((seed, 5))
    local, found = LocalTraining(rate, epochs), np.zeros(len(world.test.sizes))
    chosen = rng.choice(fleet.clients, min(devices, fleet.clients), replace=False)
    for device in chosen:
        rows = fleet.rows_of(int(device))
        theta = local.train(model, model.start(seed), fleet.features[rows], fleet.labels[rows], rng)
        found += world.test.by_item(world.test.correct(model, theta))
    return found / len(chosen)


def reference_scores(
    world: World, *, rate: float, epochs: int, seed: int
) -> dict[str, Float[np.ndarray, " G"]]:
    """Ceiling and floor: trained in one place, and always the commonest class."""
    commonest = int(np.bincount(world.fleet.labels[world.fleet.rows]).argmax())
    return {
        "one-place": centralised(world, rate=rate, epochs=epochs, batch=16, seed=seed),
        "commonest-class": world.test.by_item(world.test.y == commonest),
    }
