"""Rounds of federated averaging, simulated deterministically, and where they would be cut for a cluster.

Round r: the server chooses m devices S; each trains locally from the server's weights w; the server steps
by the weighted mean of what changed,

    w <- w + server_rate * sum over k in S of a_k (w_k - w).

Determinism: the draw of devices comes from (seed, r, 0), the order of examples on device k from (seed, r,
k + 1). So a device's update does not depend on who else was chosen, on which process computes it, or on
what ran before. Sums are float64, in the order of the devices within a shard and of the shards.

The seam for a cluster: a round is ``sum(mapper(shard_update, tasks))``. A task holds what travels to a
worker: the weights, the settings and the examples of its share of the chosen devices (on a real fleet the
examples are on the devices and do not travel). What returns is *one* float64 vector, the share's weighted
sum, so that the server receives as many vectors as there are workers, not as there are devices. ``mapper``
is the built-in ``map``, an executor's ``map``, or one that submits to a cluster's scheduler; with equal
``shards`` all give the same bits, because sums are made in the same order.

Axes: C clients, M chosen, P parameters. Time of a round O(examples of the chosen * P); memory O(P *
shards).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from echobook.federated.aggregation import Aggregation, check_weights
from echobook.federated.fleet import Fleet
from echobook.federated.local import LocalTraining
from echobook.federated.models import Model, cross_entropy
from echobook.federated.selection import Selection, check_number

Mapper = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Federation:
    """All that defines a run but the fleet and the seed; every part can be replaced by another one.

    Attributes:
        model: what is trained.
        local: what a device does in a round.
        selection: which devices take part.
        aggregation: how they are weighed.
        m: devices of a round.
        server_rate: step of the server along the mean update; 1 is plain FedAvg.
    """

    model: Model
    local: LocalTraining
    selection: Selection
    aggregation: Aggregation
    m: int
    server_rate: float = 1.0

    @property
    def bytes_a_round(self) -> int:
        """Model traffic of a round: each chosen device receives and sends it, each queried one receives
        it.
        """
        return (2 * self.m + self.selection.queried(m=self.m)) * self.model.size * FLOAT_BYTES


class Diverged(ValueError):
    """The weights are no longer finite."""


class ShardTask(NamedTuple):
    """What a worker needs for its share of a round."""

    model: Model
    local: LocalTraining
    server: np.ndarray
    data: Sequence[tuple[np.ndarray, np.ndarray]]
    weights: np.ndarray
    seeds: Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class State:
    """After a round: its number from 1, the weights, who took part, the examples processed in the round."""

    number: int
    theta: Float32[np.ndarray, " P"]
    chosen: Int[np.ndarray, " M"]
    samples: int


def shard_update(task: ShardTask) -> Float[np.ndarray, " P"]:
    """Weighted sum of the updates of a share's devices, float64."""
    total = np.zeros(len(task.server))
    for (x, y), weight, seed in zip(task.data, task.weights, task.seeds, strict=True):
        trained = task.local.train(task.model, task.server, x, y, np.random.default_rng(seed))
        total += weight * (trained - task.server)
    return total


def run_round(
    federation: Federation,
    fleet: Fleet,
    theta: Float32[np.ndarray, " P"],
    *,
    number: int,
    seed: int,
    inclusion: Float[np.ndarray, " C"] | None = None,
    mapper: Mapper = map,
    shards: int = 1,
) -> State:
    """One round from ``theta``; see the module's text.

    Args:
        number: the round's number, from 1.
        seed: of the whole run.
        inclusion: of all devices; needed by an importance-corrected aggregation.
        mapper: applies :func:`shard_update` to the tasks.
        shards: into how many tasks the chosen devices are cut, at least 1.

    Raises:
        ValueError: more devices asked than there are, weights that do not sum to one.
        Diverged: the round ended with weights that are not finite.
    """
    check_number(federation.m, fleet.clients)
    rng = np.random.default_rng((seed, number, 0))
    chosen = federation.selection.choose(
        fleet.counts,
        m=federation.m,
        rng=rng,
        loss_of=lambda clients: mean_losses(federation.model, fleet, theta, clients),
    )
    counts = fleet.counts[chosen]
    known = None if inclusion is None else inclusion[chosen]
    weights = federation.aggregation(counts, known)
    check_weights(weights, len(chosen))
    tasks = [
        _task(federation, fleet, theta, chosen[part], weights[part], (seed, number))
        for part in np.array_split(np.arange(len(chosen)), min(shards, len(chosen)))
    ]
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is refused below
        update = sum(mapper(shard_update, tasks))
        new = (theta + federation.server_rate * update).astype(np.float32)
    if not np.isfinite(new).all():
        lower = f"try a lower rate than {federation.local.rate}"
        raise Diverged(f"round {number}: the weights diverged; {lower}")
    return State(number, new, chosen, int(counts.sum()) * federation.local.epochs)


def _task(
    federation: Federation,
    fleet: Fleet,
    theta: Float32[np.ndarray, " P"],
    clients: Int[np.ndarray, " K"],
    weights: Float[np.ndarray, " K"],
    stream: tuple[int, int],
) -> ShardTask:
    rows = [fleet.rows_of(int(client)) for client in clients]
    data = [(fleet.features[part], fleet.labels[part]) for part in rows]
    seeds = [(*stream, 1 + int(client)) for client in clients]  # 0 is the draw of devices
    return ShardTask(federation.model, federation.local, theta, data, weights, seeds)


def mean_losses(
    model: Model, fleet: Fleet, theta: Float32[np.ndarray, " P"], clients: Int[np.ndarray, " K"]
) -> Float[np.ndarray, " K"]:
    """Mean loss of a model on the examples of each of some devices."""
    found = np.empty(len(clients))
    for place, client in enumerate(clients):
        rows = fleet.rows_of(int(client))
        found[place] = cross_entropy(model.scores(theta, fleet.features[rows]), fleet.labels[rows]).mean()
    return found


def run_rounds(
    federation: Federation,
    fleet: Fleet,
    theta: Float32[np.ndarray, " P"],
    *,
    rounds: int,
    seed: int,
    first: int = 1,
    mapper: Mapper = map,
    shards: int = 1,
) -> Iterator[State]:
    """States after each of the rounds ``first``, ``first`` + 1, ...; arguments as in :func:`run_round`.

    Inclusion probabilities are computed once, where the aggregation needs them.
    """
    inclusion = None
    if federation.aggregation.needs_inclusion:
        inclusion = federation.selection.inclusion(fleet.counts, m=federation.m)
    for number in range(first, first + rounds):
        state = run_round(
            federation,
            fleet,
            theta,
            number=number,
            seed=seed,
            inclusion=inclusion,
            mapper=mapper,
            shards=shards,
        )
        theta = state.theta
        yield state


def run_periods(
    federations: Sequence[Federation],
    fleets: Sequence[Fleet],
    theta: Float32[np.ndarray, " P"],
    *,
    rounds: int,
    seed: int,
) -> Iterator[tuple[int, State]]:
    """Continual learning: period after period on its own data alone, from the weights of the one before.

    Args:
        federations: of each period (its model may know more classes); all of one model size.
        fleets: the devices that were active in each period, with that period's data and counts.
        rounds: in each period.

    Yields:
        the period's number from 0, and the state; rounds are numbered through.
    """
    if len(federations) != len(fleets) or len({federation.model.size for federation in federations}) != 1:
        raise ValueError("periods: expected one federation for each fleet, all of one model size")
    for period, (federation, fleet) in enumerate(zip(federations, fleets, strict=True)):
        for state in run_rounds(
            federation, fleet, theta, rounds=rounds, seed=seed, first=1 + period * rounds
        ):
            theta = state.theta
            yield period, state
