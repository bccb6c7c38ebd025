"""A fleet of devices: who holds which examples, without copying an example.

All examples lie in one table; a device is a run of row numbers in it. So a hundred thousand devices that
share a table of sentence vectors cost four bytes an example, and the same table serves any number of
partitions.

Axes: U rows of the table, D features, P examples on devices, C clients, C1 = C + 1. Memory O(U D + P).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int, Shaped


@dataclass(frozen=True)
class Fleet:
    """Devices and their examples.

    Attributes:
        features: vector of each row of the table, float32.
        labels: class of each row, from 0.
        rows: row of each example on a device, device after device.
        offsets: where each device's examples begin in ``rows``; the last entry is their number.

    Raises:
        ValueError: a device without an example (named by number), a row outside the table, NaN features, or
            lengths that disagree.
    """

    features: Float32[np.ndarray, "U D"]
    labels: Int[np.ndarray, " U"]
    rows: Int[np.ndarray, " P"]
    offsets: Int[np.ndarray, " C1"]

    def __post_init__(self) -> None:
        if len(self.features) != len(self.labels):
            raise ValueError(f"{len(self.features)} vectors, but {len(self.labels)} labels: expected as many")
        if not np.isfinite(self.features).all():
            raise ValueError(
                f"features: row {int(np.argmin(np.isfinite(self.features).all(1)))} is not finite"
            )
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.rows) or len(self.offsets) < 2:
            raise ValueError(f"offsets: expected to run from 0 to {len(self.rows)} over at least one device")
        if (empty := np.flatnonzero(np.diff(self.offsets) < 1)).size:
            raise ValueError(f"device {empty[0]} has no example; leave out devices without data")
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(self.labels):
            raise ValueError(
                f"rows: expected in 0..{len(self.labels) - 1}, got {self.rows.min()}..{self.rows.max()}"
            )

    @cached_property
    def counts(self) -> Int[np.ndarray, " C"]:
        """Examples on each device: its activity."""
        return np.diff(self.offsets)

    @property
    def clients(self) -> int:
        """Number of devices."""
        return len(self.offsets) - 1

    def rows_of(self, client: int) -> Int[np.ndarray, " B"]:
        """Table rows of one device, in their stored order."""
        return self.rows[self.offsets[client] : self.offsets[client + 1]]

    def pooled(self) -> "Fleet":
        """All examples on one device: what training in one place would see."""
        return Fleet(self.features, self.labels, self.rows, np.array([0, len(self.rows)]))


def fleet_of_parts(
    features: Float32[np.ndarray, "U D"], labels: Int[np.ndarray, " U"], parts: Sequence[Int[np.ndarray, "_"]]
) -> Fleet:
    """Fleet whose device k holds the table rows ``parts[k]``. Raises as :class:`Fleet`."""
    if not len(parts):
        raise ValueError("parts: expected at least one device")
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Fleet(features, labels, np.concatenate(parts).astype(np.int64), offsets)


def fleet_of_users(
    features: Float32[np.ndarray, "U D"], labels: Int[np.ndarray, " U"], users: Shaped[np.ndarray, " U"]
) -> tuple[Fleet, Shaped[np.ndarray, " C"]]:
    """Fleet with one device a user, in sorted order of the user; and the user of each device.

    Within a device the table's order is kept. Raises ValueError when lengths disagree.
    """
    if len(users) != len(labels):
        raise ValueError(f"{len(users)} users, but {len(labels)} labels: expected as many")
    names, device = np.unique(users, return_inverse=True)
    order = np.argsort(device, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(device, minlength=len(names)))])
    return Fleet(features, labels, order, offsets), names
