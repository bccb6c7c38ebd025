"""What selection by activity is compared with, and the controls that must not profit.

uniform-n            FedAvg: uniform selection, weights n_k
uniform-equal        uniform selection, equal weights: light devices count as much as heavy ones
half-corrected       p_k in proportion to the square root of n_k, importance-corrected
activity-corrected   by activity, importance-corrected: exact where heavy devices are nearly certain
top-m                always the m most active, equal weights: all others starve
power-of-choice      of 2m uniform candidates the m with the highest loss, equal weights
fedprox              uniform-n with a proximal term
shuffled             the probabilities of selection by activity, handed to the wrong devices: as
                     concentrated, but without the data (control)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from echobook.federated.aggregation import ByInverseInclusion, BySamples, Equally
from echobook.federated.selection import ByActivity, LossOf, MostActive, PowerOfChoice
from echobook.papers.federated_nlu.method import PAPER_ARMS, Arm


@dataclass(frozen=True)
class ShuffledActivity:
    """Selection by the activity of another device, the same one in every round."""

    seed: int = 0

    def _wrong(self, counts: Int[np.ndarray, " C"]) -> Int[np.ndarray, " C"]:
        return np.random.default_rng((self.seed, len(counts))).permutation(counts)

    def choose(
        self,
        counts: Int[np.ndarray, " C"],
        *,
        m: int,
        rng: np.random.Generator,
        loss_of: LossOf | None = None,
    ) -> Int[np.ndarray, " M"]:
        """As :class:`echobook.federated.selection.ByActivity`, by the permuted counts."""
        return ByActivity(1.0).choose(self._wrong(counts), m=m, rng=rng)

    def inclusion(self, counts: Int[np.ndarray, " C"], *, m: int) -> Float[np.ndarray, " C"]:
        """Of the permuted counts."""
        return ByActivity(1.0).inclusion(self._wrong(counts), m=m)

    def queried(self, *, m: int) -> int:
        """Nobody."""
        return 0


BASELINES = {
    "uniform-n": Arm(ByActivity(0.0), BySamples()),
    "uniform-equal": Arm(ByActivity(0.0), Equally()),
    "half-corrected": Arm(ByActivity(0.5), ByInverseInclusion()),
    "activity-corrected": Arm(ByActivity(1.0), ByInverseInclusion()),
    "top-m": Arm(MostActive(), Equally()),
    "power-of-choice": Arm(PowerOfChoice(factor=2), Equally()),
    "fedprox": Arm(ByActivity(0.0), BySamples(), proximal=0.01),
    "shuffled": Arm(ShuffledActivity(), Equally()),
}
ARMS = PAPER_ARMS | BASELINES


def arm(name: str) -> Arm:
    """An arm by name. Raises ValueError for an unknown one, listing the known."""
    if name not in ARMS:
        raise ValueError(f"arm {name!r}: expected one of {', '.join(ARMS)}")
    return ARMS[name]
