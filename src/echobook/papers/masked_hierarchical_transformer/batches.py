"""From conversations to padded tensors: the target is always the last position, padding comes in front.

Letters: B batch, L longest, D features of an utterance, F pair features.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from echobook.papers.masked_hierarchical_transformer.material import Pool

Case = tuple[int, int]


class Batch(NamedTuple):
    """Targets with their candidates.

    Attributes:
        vectors: of the candidates in time order, the target last.
        mask: row reads column; padded rows read themselves and the target.
        real: whether a position is a candidate or the target, not padding.
        features: of the target with each candidate; width 0 where there are none.
        gold: true parents; the last position for a start.
    """

    vectors: Float[Tensor, "B L D"]
    mask: Bool[Tensor, "B L L"]
    real: Bool[Tensor, "B L"]
    features: Float[Tensor, "B L F"]
    gold: Bool[Tensor, "B L"]


@runtime_checkable
class Masks(Protocol):
    """The mask of one target: candidates, then the target itself."""

    def __call__(self, case: Case, steps: Int[np.ndarray, "N N"]) -> np.ndarray: ...


def length_of(pool: Pool, case: Case) -> int:
    """Candidates of a target, and the target."""
    one = pool.conversations[case[0]]
    return one.targets[case[1]] - one.starts[case[1]] + 1


def make_batch(
    pool: Pool, cases: Sequence[Case], masks: Masks, steps: Sequence[np.ndarray] | None = None
) -> Batch:
    """Tensors of some targets.

    Args:
        masks: of each target.
        steps: structure of each of the pool's conversations as far as it is known; the true one by default.
    """
    longest = max(length_of(pool, case) for case in cases)
    first = next((one.features for one in pool.conversations if one.features is not None), None)
    rows = np.zeros((len(cases), longest), dtype=np.int64)
    mask = np.tile(np.eye(longest, dtype=bool), (len(cases), 1, 1))
    mask[:, :, -1] = True
    mask[:, -1, :-1] = False
    real, gold = np.zeros((2, len(cases), longest), dtype=bool)
    features = np.zeros((len(cases), longest, 0 if first is None else first.shape[2]), dtype=np.float32)
    for row, (number, place) in enumerate(cases):
        one = pool.conversations[number]
        start, target = one.starts[place], one.targets[place]
        length = target - start + 1
        known = one.steps if steps is None else steps[number]
        rows[row, -length:] = pool.firsts[number] + np.arange(start, target + 1)
        mask[row, -length:, -length:] = masks((number, place), known[start:target, start:target])
        real[row, -length:] = True
        for parent in one.gold[place]:
            if parent >= start:
                gold[row, parent - target - 1] = True
        if one.features is not None:
            features[row, -length:] = one.features[place][-length:]
    parts = (pool.vectors[rows], mask, real, features, gold)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))
