"""The paper's method: devices take part in proportion to how much they have to say.

A round's devices are drawn with

    p_k in proportion to n_k^alpha,   n_k the examples on device k in the present period,

where alpha = 1 is the paper's selection by activity as we read it and alpha = 0 is uniform. What the paper
did with the weights of the chosen ones we could not read; both readings are here:

    activity-n        FedAvg's weighted average on top: a_k in proportion to n_k (activity counts twice)
    activity-equal    equal weights: each example counts once, as with uniform selection and weights n_k

Over consecutive periods the same is done on each period's data alone, from the weights of the period
before, with that period's counts and devices (:func:`learn_over_periods`); :func:`pooled_up_to` is what it
is compared with, all data so far at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from echobook.federated.aggregation import Aggregation, BySamples, Equally
from echobook.federated.fleet import Fleet, fleet_of_parts
from echobook.federated.local import LocalTraining
from echobook.federated.models import Softmax, TwoLayer
from echobook.federated.rounds import Federation, State, run_periods
from echobook.federated.selection import ByActivity, Selection


@dataclass(frozen=True)
class Arm:
    """One way of running a fleet: who takes part, how they are weighed, and FedProx's pull.

    Attributes:
        selection, aggregation: see :mod:`echobook.federated`.
        proximal: of local training.
        width: devices of a round, as a multiple of the experiment's m.
    """

    selection: Selection
    aggregation: Aggregation
    proximal: float = 0.0
    width: float = 1.0

    def federation(self, model: Softmax | TwoLayer, local: LocalTraining, m: int) -> Federation:
        """The arm as a federation of a model."""
        local = replace(local, proximal=self.proximal)
        return Federation(model, local, self.selection, self.aggregation, round(self.width * m))


PAPER_ARMS = {
    "activity-n": Arm(ByActivity(1.0), BySamples()),
    "activity-equal": Arm(ByActivity(1.0), Equally()),
}


def learn_over_periods(
    federation: Federation,
    fleets: Sequence[Fleet],
    seen: Bool[np.ndarray, "T V"],
    theta: Float32[np.ndarray, " P"],
    *,
    rounds: int,
    seed: int,
) -> Iterator[tuple[int, State]]:
    """Continual learning, ``rounds`` in each period; ``seen``: classes by then."""
    model: Any = federation.model
    models = [replace(model, known=mask) for mask in seen]
    known = [replace(federation, model=one) for one in models]
    return run_periods(known, fleets, theta, rounds=rounds, seed=seed)


def pooled_up_to(fleets: Sequence[Sequence[np.ndarray]], table: Fleet, period: int) -> Fleet:
    """Fleet of all data up to a period (from 0): each device with its examples of these periods.

    ``fleets``: rows of each device in each period, possibly none; ``table``: any fleet on the same table.
    """
    parts = [np.concatenate(device) for device in zip(*fleets[: period + 1], strict=True)]
    return fleet_of_parts(table.features, table.labels, [part for part in parts if len(part)])
