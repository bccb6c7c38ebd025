"""One set of answers, three questions: how good for an interaction, for a device, for a light device?

A model answers every test example once. Examples belong to items (intents in simulated worlds, users in
the real one), and a weighting says how much an item counts:

    all        by its test examples: what an average interaction meets (heavy devices rule)
    balanced   each device counts once: by the share of a device's use that falls on the item
    light      the same over the lightest quarter of the devices

Axes: N test examples, G items, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from echobook.federated.models import Model


@dataclass(frozen=True)
class TestSet:
    """Test examples, the item of each, and the weight of each item by weighting.

    Raises:
        ValueError: an item without an example, a weighting of the wrong length, negative, or all zero.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    x: Float32[np.ndarray, "N D"]
    y: Int[np.ndarray, " N"]
    item: Int[np.ndarray, " N"]
    weights: Mapping[str, Float[np.ndarray, " G"]]

    def __post_init__(self) -> None:
        sizes = np.bincount(self.item)
        if (sizes == 0).any():
            raise ValueError(f"test set: item {int(np.argmin(sizes))} has no example")
        for name, weight in self.weights.items():
            if len(weight) != len(sizes) or (weight < 0).any() or weight.sum() <= 0:
                raise ValueError(
                    f"weighting {name!r}: expected {len(sizes)} weights, none negative, not all 0; "
                    f"got {len(weight)} with sum {weight.sum():g}"
                )

    @property
    def sizes(self) -> Int[np.ndarray, " G"]:
        """Test examples of each item."""
        return np.bincount(self.item)

    def correct(self, model: Model, theta: Float32[np.ndarray, " P"]) -> Bool[np.ndarray, " N"]:
        """Which examples a model gets right."""
        return model.scores(theta, self.x).argmax(axis=1) == self.y

    def by_item(self, correct: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " G"]:
        """Share of each item's examples that are right."""
        return np.bincount(self.item, weights=correct) / self.sizes

    def accuracy(self, scores: Float[np.ndarray, " G"], weighting: str) -> float:
        """Weighted mean of item scores."""
        return float(scores @ self.weights[weighting] / self.weights[weighting].sum())


def share_of_heaviest(
    taken: Int[np.ndarray, " C"], counts: Int[np.ndarray, " C"], share: float = 0.1
) -> float:
    """Share of all participations that fell on the heaviest ``share`` of the devices."""
    heaviest = np.argsort(-counts, kind="stable")[: max(1, round(share * len(counts)))]
    return float(taken[heaviest].sum() / taken.sum())
