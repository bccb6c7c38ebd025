"""What our own code must do, as one figure each: a distance that has to be (nearly) zero.

Each check runs the kernel against something that needs no trust in it: a round worked out by hand, a loop
that adds one example's gradient at a time in float64, or an enumeration of every draw.
"""

from itertools import permutations

import numpy as np

from echobook.federated.aggregation import BySamples, Equally, horvitz_thompson
from echobook.federated.fleet import Fleet, fleet_of_parts
from echobook.federated.inclusion import inclusion_probabilities
from echobook.federated.local import LocalTraining
from echobook.federated.models import Softmax
from echobook.federated.rounds import Federation, run_round, run_rounds
from echobook.federated.selection import ByActivity

Sets = dict[tuple[int, ...], float]


def hand_round() -> float:
    """Largest gap to a round worked out by hand.

    Two devices with one feature of value 1: three examples of class 0, one of class 1. From zero weights,
    with rate 1, they end at (1/2, -1/2) and (-1/2, 1/2); by samples the server ends at (1/4, -1/4).
    """
    fleet = fleet_of_parts(
        np.ones((4, 1), dtype=np.float32), np.array([0, 0, 0, 1]), [np.arange(3), np.arange(3, 4)]
    )
    federation = Federation(Softmax(1, 2), LocalTraining(rate=1.0), ByActivity(), BySamples(), m=2)
    state = run_round(federation, fleet, np.zeros(4, dtype=np.float32), number=1, seed=0)
    return float(np.abs(state.theta - np.array([0.25, -0.25, 0.25, -0.25])).max())


def small_fleet(seed: int) -> Fleet:
    """Twelve devices of one to forty random examples of five features and four classes."""
    rng = np.random.default_rng((seed, 21))
    sizes = np.sort(rng.integers(1, 41, 12))
    x = rng.standard_normal((sizes.sum(), 5)).astype(np.float32)
    y = rng.integers(0, 4, sizes.sum())
    return fleet_of_parts(x, y, np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1]))


def slow_loop(seed: int, *, rounds: int = 10) -> float:
    """Largest gap between the kernel's weights after some rounds and those of a loop over single examples."""
    fleet, model = small_fleet(seed), Softmax(5, 4)
    local = LocalTraining(rate=0.3, epochs=2, batch=7, proximal=0.1)
    federation = Federation(model, local, ByActivity(), Equally(), m=4)
    *_, last = run_rounds(federation, fleet, model.start(0), rounds=rounds, seed=seed)
    theta = np.zeros(model.size)
    for number in range(1, rounds + 1):
        theta = _slow_round(federation, fleet, theta, number, seed)
    return float(np.abs(last.theta - theta).max())


def _slow_round(
    federation: Federation, fleet: Fleet, theta: np.ndarray, number: int, seed: int
) -> np.ndarray:
    rng = np.random.default_rng((seed, number, 0))
    chosen = ByActivity().choose(fleet.counts, m=federation.m, rng=rng)
    ends = []
    for client in chosen:
        rows, w = fleet.rows_of(int(client)), theta.copy()
        order = np.random.default_rng((seed, number, 1 + int(client)))
        for _ in range(federation.local.epochs):
            shuffled = rows[order.permutation(len(rows))]
            for first in range(0, len(rows), federation.local.batch):
                batch = shuffled[first : first + federation.local.batch]
                step = sum(
                    _example_gradient(w, fleet.features[r], int(fleet.labels[r])) for r in batch
                ) / len(batch)
                w = w - federation.local.rate * (step + federation.local.proximal * (w - theta))
        ends.append(w)
    return theta + sum((end - theta) / len(chosen) for end in ends)


def _example_gradient(w: np.ndarray, x: np.ndarray, y: int) -> np.ndarray:
    """Gradient of one example's loss for weights (5 x 4) and biases (4), float64."""
    z = x.astype(np.float64) @ w[:-4].reshape(5, 4) + w[-4:]
    p = np.exp(z) / np.exp(z).sum()
    p[y] -= 1
    return np.concatenate([np.outer(x, p).ravel(), p])


def every_draw(weights: np.ndarray, m: int) -> Sets:
    """Probability of each set of m devices drawn one after the other, by enumeration."""
    found: Sets = {}
    for order in permutations(range(len(weights)), m):
        probability, left = 1.0, float(weights.sum())
        for device in order:
            probability *= weights[device] / left
            left -= weights[device]
        key = tuple(sorted(order))
        found[key] = found.get(key, 0.0) + probability
    return found


def inclusion(seed: int) -> float:
    """Largest gap between the kernel's inclusion probabilities and those of the enumeration."""
    weights = np.exp(np.random.default_rng((seed, 22)).normal(0, 1.5, 7))
    sets = every_draw(weights, 3)
    counted = np.array([sum(p for chosen, p in sets.items() if device in chosen) for device in range(7)])
    return float(np.abs(inclusion_probabilities(weights, 3) - counted).max())


def bias(seed: int, *, corrected: bool) -> float:
    """Largest gap between the mean update over all draws and that of all devices together.

    Selection by activity; ``corrected``: weights n_k / (N pi_k), else n_k over the sum of the round.
    """
    rng = np.random.default_rng((seed, 23))
    counts = np.sort(np.exp(rng.normal(1, 1.5, 6)).astype(int) + 1)
    updates = rng.standard_normal((6, 8))
    weights, mean = counts.astype(float), np.zeros(8)
    pi = inclusion_probabilities(weights, 2)
    for chosen, probability in every_draw(weights, 2).items():
        part = list(chosen)
        a = (
            horvitz_thompson(counts[part], pi[part], total=int(counts.sum()))
            if corrected
            else (counts[part] / counts[part].sum())
        )
        mean += probability * a @ updates[part]
    return float(np.abs(mean - counts / counts.sum() @ updates).max())


def shards(seed: int) -> float:
    """Largest gap between a round in one process and the same round cut into three tasks, mapped in
    reverse.
    """
    fleet, model = small_fleet(seed), Softmax(5, 4)
    federation = Federation(model, LocalTraining(rate=0.3), ByActivity(), Equally(), m=6)

    def backwards(function, tasks):  # type: ignore[no-untyped-def]
        listed = list(tasks)
        return [function(task) for task in listed[::-1]][::-1]

    one, other = (
        run_round(federation, fleet, model.start(0), number=1, seed=seed, shards=3, mapper=mapper).theta
        for mapper in (map, backwards)
    )
    return float(np.abs(one - other).max())
