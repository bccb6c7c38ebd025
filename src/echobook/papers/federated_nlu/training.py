"""One run of one arm on one world: its accuracy along rounds, samples and bytes.

Everything the figures and claims need is watched on the way: item scores at chosen rounds and when chosen
numbers of processed samples are reached, and how often each device took part.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from echobook.federated.local import LocalTraining
from echobook.federated.rounds import FLOAT_BYTES, run_rounds
from echobook.papers.federated_nlu.evaluation import TestSet
from echobook.papers.federated_nlu.material import World
from echobook.papers.federated_nlu.method import Arm


@dataclass(frozen=True)
class Budget:
    """Sizes shared by all arms of a comparison: devices a round, local epochs and batch, rounds."""

    m: int
    rounds: int
    epochs: int = 1
    batch: int = 16


@dataclass(frozen=True)
class Curve:
    """What was watched. Axes: W watched rounds, G items, C devices.

    Attributes:
        rounds, samples, bytes: of each watched point, cumulative.
        scores: share right of each item.
        taken: rounds in which each device took part.
        test: the test set.
    """

    rounds: Int[np.ndarray, " W"]
    samples: Int[np.ndarray, " W"]
    bytes: Int[np.ndarray, " W"]
    scores: Float[np.ndarray, "W G"]
    taken: Int[np.ndarray, " C"]
    test: TestSet

    def at_round(self, number: int) -> Float[np.ndarray, " G"]:
        """Item scores after a watched round. Raises ValueError for one that was not watched."""
        place = np.flatnonzero(self.rounds == number)
        if not place.size:
            raise ValueError(f"round {number} was not watched; watched are {self.rounds.tolist()}")
        return self.scores[place[0]]

    def at_samples(self, samples: int) -> Float[np.ndarray, " G"]:
        """Item scores at the first watched point with at least so many samples. Raises ValueError past the
        end.
        """
        place = int(np.searchsorted(self.samples, samples))
        if place == len(self.samples):
            raise ValueError(f"{samples} samples were not reached; the run ended at {self.samples[-1]}")
        return self.scores[place]

    def samples_at(self, number: int) -> int:
        """Samples processed up to a watched round."""
        return int(self.samples[np.flatnonzero(self.rounds == number)[0]])

    def accuracy(self, weighting: str = "all") -> Float[np.ndarray, " W"]:
        """Accuracy at each watched point."""
        weight = self.test.weights[weighting]
        return self.scores @ weight / weight.sum()

    def rounds_to(self, target: float) -> int:
        """First watched round with at least ``target`` accuracy on all test examples; the last + 1 if
        none.
        """
        reached = np.flatnonzero(self.accuracy() >= target)
        return int(self.rounds[reached[0]] if reached.size else self.rounds[-1] + 1)


def watched_rounds(rounds: int, further: Iterable[int] = ()) -> list[int]:
    """The first two rounds, every fifth one to a hundred, every twentieth after, the last one, the asked
    ones.
    """
    grid = [r for r in range(1, rounds + 1) if (r % 5 == 0 and r <= 100) or r % 20 == 0]
    return sorted({1, min(2, rounds), rounds, *grid, *(r for r in further if r <= rounds)})


def train_arm(
    world: World,
    arm: Arm,
    budget: Budget,
    *,
    rate: float,
    seed: int,
    watch: Collection[int] | None = None,
    marks: Sequence[int] = (),
    longest: int = 0,
    stop: float | None = None,
) -> Curve:
    """Train an arm for ``budget.rounds`` rounds, and on until all sample ``marks`` are reached.

    Args:
        rate: learning rate of the devices.
        seed: of devices, order and start.
        watch: rounds at which to look; by default :func:`watched_rounds`.
        marks: numbers of processed samples at which to look as well.
        longest: rounds after which to stop all the same; by default no further than needed.
        stop: accuracy on all test examples at which to stop early.
    """
    model, last = world.model, max(budget.rounds, longest if marks else 0)
    local = LocalTraining(rate, budget.epochs, budget.batch)
    federation = arm.federation(model, local, budget.m)
    looks = set(watched_rounds(last) if watch is None else watch) | {budget.rounds}
    open_marks, samples, taken = sorted(marks), 0, np.zeros(world.fleet.clients, dtype=np.int64)
    seen: list[tuple[int, int, np.ndarray]] = []
    for state in run_rounds(federation, world.fleet, model.start(seed), rounds=last, seed=seed):
        samples += state.samples
        taken[state.chosen] += 1
        passed = [mark for mark in open_marks if mark <= samples]
        open_marks = open_marks[len(passed) :]
        if passed or state.number in looks:
            scores = world.test.by_item(world.test.correct(model, state.theta))
            seen.append((state.number, samples, scores))
            if stop is not None and world.test.accuracy(scores, "all") >= stop:
                break
        if state.number >= budget.rounds and not open_marks:
            break
    rounds = np.array([number for number, _, _ in seen])
    traffic = rounds * federation.bytes_a_round
    return Curve(
        rounds, np.array([s for _, s, _ in seen]), traffic, np.stack([s for *_, s in seen]), taken, world.test
    )


def centralised(world: World, *, rate: float, epochs: int, batch: int, seed: int) -> Float[np.ndarray, " G"]:
    """Item scores of plain SGD on all examples in one place: the ceiling."""
    local, fleet = LocalTraining(rate, epochs, batch), world.fleet
    rng = np.random.default_rng((seed, 3))
    x, y = fleet.features[fleet.rows], fleet.labels[fleet.rows]
    theta = local.train(world.model, world.model.start(seed), x, y, rng)
    return world.test.by_item(world.test.correct(world.model, theta))


def model_bytes(world: World) -> int:
    """Bytes of one model on the wire."""
    return world.model.size * FLOAT_BYTES
