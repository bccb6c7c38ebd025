"""A confidence distribution: intervals at every level and p values of every bound, from the same few numbers.

`echobook.metrics.intervals` says where the numbers come from: A = M / S (variance of the estimate seen
between seeds, S - 1 degrees of freedom), c (variance from shared items, k degrees), I (variance from items
alone), skew (third central moment of the shared items' part). With t the quantile of Student's t at a level,

    half = max( sqrt(t_{S-1}^2 A + t_k^2 c), t_k sqrt(I) )
    se   = sqrt(max(A + c, I)),  kappa = skew / se^3
    ends = estimate - se h(+- half / se),  h(x) = 3 ((1 + kappa y)^(1/3) - 1) / kappa,  y = x - kappa / 6

Half widths of independent parts add in quadrature (Zou and Donner 2008): each part brings its own t, so
that an interval of one part alone is exact, and one of two parts covers at least as often as it says (tests
and page). I is the hybrid of random-effects meta-analysis (Jackson et al. 2017): never narrower than items
alone allow, so that seeds that agree by luck prove nothing. h takes the skew out of the t ratio (Hall
1992); where kappa y < 0 the cube root runs away, and its expansion stands in: y - kappa y^2 / 3 + 5 kappa^2
y^3 / 27, which is within a tenth of the exact binomial interval of 96 right answers of 100 (test). h grows
with x, so that no level crosses another. The p value of a bound is 1 - level of the interval that just
touches it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from echobook.metrics.statistics import Interval, holm

Direction = Literal["above", "below", "within"]
Number = int | float
Bound = Number | tuple[Number, Number]
LEAST_P = 1e-12


@dataclass(frozen=True)
class Confidence:
    """The numbers of the module docstring; variances in squared units of the estimate."""

    estimate: float
    between: float = 0.0  # A
    seed_degrees: float = 1.0
    shared: float = 0.0  # c
    items: float = 0.0  # I
    item_degrees: float = math.inf
    skew: float = 0.0

    @property
    def standard_error(self) -> float:
        """Standard error of the estimate, seeds and items together."""
        return math.sqrt(max(self.between + self.shared, self.items))

    def half_width(self, tail: float) -> float:
        """Return half the width of the interval that leaves `tail` (0 to .5) on each side, without skew."""
        seeds, items = (-_student(free, tail) for free in (self.seed_degrees, self.item_degrees))
        both = math.hypot(seeds * math.sqrt(self.between), items * math.sqrt(self.shared))
        return max(both, items * math.sqrt(self.items))

    def ends(self, tail: float) -> tuple[float, float]:
        """Return both ends of the interval that leaves `tail` on each side."""
        error = self.standard_error
        if error == 0:
            return self.estimate, self.estimate
        kappa, reach = self.skew / error**3, self.half_width(tail) / error
        low, high = (self.estimate - error * unskewed(side * reach, kappa) for side in (1, -1))
        return low, high

    def interval(self, level: float = 0.95) -> Interval:
        """Return the two-sided interval at `level`."""
        check_level(level)
        return Interval(self.estimate, *self.ends((1 - level) / 2), level, self.standard_error)

    def p_value(self, bound: Bound, direction: Direction) -> float:
        """Return the two-sided p value of `bound`.

        It is below 1 - level exactly where the test *holds* at `level`. within: the larger
        one of both bounds (two one-sided tests). Never less than 1e-12.
        """
        check_bound(bound, direction)
        if isinstance(bound, tuple):
            return max(self.p_value(bound[0], "above"), self.p_value(bound[1], "below"))

        def beyond(log_p: float) -> float:
            low, high = self.ends(math.exp(log_p) / 2)
            return low - bound if direction == "above" else bound - high

        if beyond(0.0) <= 0:
            return 1.0
        least = math.log(LEAST_P)
        if beyond(least) >= 0:
            return LEAST_P
        return math.exp(optimize.brentq(beyond, least, 0.0))


def _student(degrees: float, tail: float) -> float:
    """Quantile of Student's t, of the normal law for infinite degrees."""
    return float(special.stdtrit(degrees, tail) if math.isfinite(degrees) else special.ndtri(tail))


def unskewed(value: float, kappa: float) -> float:
    """Return h of the module docstring: how far a t ratio reaches for skew items."""
    shifted = value - kappa / 6
    if abs(kappa) < 1e-6:  # the cube root would lose more digits than kappa moves
        return shifted
    if kappa * shifted < 0:
        return shifted - kappa * shifted**2 / 3 + 5 * kappa**2 * shifted**3 / 27
    return 3 * (float(np.cbrt(1 + kappa * shifted)) - 1) / kappa


def holm_p_values(
    tests: Sequence[Confidence], bounds: Sequence[Bound], directions: Sequence[Direction]
) -> Float[np.ndarray, "N"]:
    """Return each test's p value against its bound after Holm's correction.

    Among all of them, test k *holds* at `level` where the k-th is less than 1 - level.
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
