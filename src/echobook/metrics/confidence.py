"""A confidence distribution: intervals at every level and p values of every bound.

The parts are the variances that seeds and items bring to an estimate, the degrees of freedom of Student's t,
and the shape of the items' bootstrap; `echobook.metrics.intervals` makes them and says how. An interval and a
p value cannot disagree here: the p value of a bound is 1 - level of the interval that just touches it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from echobook.metrics.statistics import Interval, holm

Direction = Literal["above", "below", "within"]
Number = int | float
Bound = Number | tuple[Number, Number]


@dataclass(frozen=True)
class Confidence:
    """Everything an interval is made of: it gives the interval at any level and the p value of any bound.

    `seed_variance` and `item_variance` add up to the variance of the estimate; `degrees` are those of t;
    `shape`: sorted standardised bootstrap values of the item part (empty: normal shape).
    """

    estimate: float
    seed_variance: float
    item_variance: float
    degrees: float
    shape: Float[np.ndarray, "R"]

    @property
    def standard_error(self) -> float:
        """Standard error of the estimate, seeds and items together."""
        return math.sqrt(self.seed_variance + self.item_variance)

    def reach(self, tail: float) -> float:
        """Return the distance from the estimate to the end that leaves `tail` (< .5) below it, if negative.

        A positive number is the distance to the end that leaves 1 - `tail` above.
        """
        if not 0 < tail < 1 or tail == 0.5:
            raise ValueError(f"tail: expected between 0 and 1, not 0.5, found {tail}")
        student = float(stats.t.ppf(tail, self.degrees))
        stretch = float(np.quantile(self.shape, tail) / stats.norm.ppf(tail)) if len(self.shape) else 1.0
        width = math.sqrt(self.seed_variance + max(stretch, 0.0) ** 2 * self.item_variance)
        return student * width

    def interval(self, level: float = 0.95) -> Interval:
        """Return the two-sided interval at `level`."""
        check_level(level)
        tail = (1 - level) / 2
        low, high = self.estimate + self.reach(tail), self.estimate + self.reach(1 - tail)
        return Interval(self.estimate, low, high, level, self.standard_error)

    def p_value(self, bound: Bound, direction: Direction) -> float:
        """Return the two-sided p value of `bound`: below 1 - level exactly where the test *holds* at `level`.

        above, below: 1 where the estimate is not beyond the bound. within: the larger of the p values of both
        bounds (two one-sided tests).
        """
        check_bound(bound, direction)
        if isinstance(bound, tuple):
            return max(self.p_value(bound[0], "above"), self.p_value(bound[1], "below"))
        gap = self.estimate - bound if direction == "above" else bound - self.estimate
        if gap <= 0:
            return 1.0
        return 2 * self._tail(gap, below=direction == "above")

    def _tail(self, gap: float, *, below: bool) -> float:
        """The tail whose end lies `gap` below (above) the estimate; never less than 1e-12."""

        def spare(tail: float) -> float:
            return gap - abs(self.reach(tail if below else 1 - tail))

        least, most = 1e-12, 0.5 - 1e-9
        if spare(least) >= 0:
            return least
        return float(optimize.brentq(spare, least, most)) if spare(most) > 0 else 0.5


def holm_p_values(
    tests: Sequence[Confidence], bounds: Sequence[Bound], directions: Sequence[Direction]
) -> Float[np.ndarray, "N"]:
    """Return each test's p value against its bound after Holm's correction: test k *holds* among all of them
    at `level` where the k-th is less than 1 - level.
    """
    triples = zip(tests, bounds, directions, strict=True)
    return holm([test.p_value(bound, direction) for test, bound, direction in triples])


def check_bound(bound: Bound, direction: Direction) -> None:
    """Refuse a single number for *within*, a pair for the others, and a pair out of order."""
    if isinstance(bound, tuple) != (direction == "within"):
        wanted = "a pair" if direction == "within" else "one number"
        raise ValueError(f"bound: expected {wanted} for direction {direction}, found {bound}")
    if isinstance(bound, tuple) and not bound[0] < bound[1]:
        raise ValueError(f"bound: expected the lower one first, found {bound}")


def check_level(level: float) -> None:
    """Refuse a level that is not between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected between 0 and 1, found {level}")
