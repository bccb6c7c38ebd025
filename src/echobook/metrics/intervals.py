"""Intervals of a comparison that was run with several seeds on scored items, honest with few seeds.

The estimate is the mean over S seeds of theta_s, a smooth function (mean, difference, ratio, relative change)
of column sums over a seed's units; a unit is an item or a cluster of items. What moves it:

    theta_s = theta + a_s + b + e_s
    a_s  what the seed does to training          differs between seeds
    e_s  what the items do to this seed alone    differs between seeds; variance W
    b    what shared items do to all seeds alike  the same in every seed; variance c (0 if none are shared)
    variance of the mean = (var(a) + W) / S + c

M, the sample variance of theta_1 .. theta_S, has expectation var(a) + W. W + c, the variance that items
give to one seed, is the mean jackknife variance (Efron and Tibshirani 1993, chapter 11); c is the mean
covariance of two seeds' jackknife values over the same units, 0 where it comes out negative. So M / S + c
is unbiased: among readers who all read the same cases it is the variance of Obuchowski and Rockette (1995).
How M, c and W make an interval says `echobook.metrics.confidence`: with seeds of their own items c = 0, and
it is Student's t over seeds; one seed leaves c only, the items' error of that seed.

Why not a bootstrap of seeds and items: its percentiles know neither sqrt(S / (S - 1)) nor t, which is how
they cover .7 to .8 in place of .95 with three seeds, and they count e_s up to three times (Owen 2007). Why
not t with Satterthwaite's degrees of freedom (Hillis 2007): three seeds close together by luck look
certain, and it covers .92 where seeds dominate. `bench/interval_coverage.py` makes the table of all three.

Axes: S seeds, G units, C summed columns. Time O(S G (S + C)); nothing is random.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from echobook.metrics.confidence import Confidence, check_level
from echobook.metrics.statistics import Aggregate, Interval, Scores

Table = Shaped[np.ndarray, "..."]  # (G, C), checked by hand; G may differ between seeds
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Components:
    """What the seeds and items of a comparison bring to it.

    `estimates`: theta of each seed; `own`: W; `shared`: c; `skew`: third central moment of the shared
    items' part of the mean; `item_degrees`: of W and c.
    """

    estimates: Float[np.ndarray, "S"]
    own: float
    shared: float
    skew: float
    item_degrees: float

    @property
    def spread(self) -> float:
        """Standard deviation between seeds beyond item noise: sqrt(M - W), at least 0; 0 for one seed."""
        return math.sqrt(max(self._between - self.own, 0.0)) if len(self.estimates) > 1 else 0.0

    @property
    def item_error(self) -> float:
        """Standard error that items give to one seed."""
        return math.sqrt(self.own + self.shared)

    @property
    def shared_part(self) -> float:
        """Part of the items' variance that is the same in every seed, from 0 to 1 (1 where there is none)."""
        return self.shared / (self.own + self.shared) if self.own + self.shared > 0 else 1.0

    @property
    def _between(self) -> float:
        return float(np.var(self.estimates, ddof=1)) if len(self.estimates) > 1 else 0.0

    def confidence(self) -> Confidence:
        """Return the confidence distribution of the mean over seeds."""
        seeds = len(self.estimates)
        return Confidence(
            estimate=float(self.estimates.mean()),
            between=self._between / seeds,
            seed_degrees=max(seeds - 1.0, 1.0),
            shared=self.shared,
            items=self.own / seeds + self.shared,
            item_degrees=self.item_degrees,
            skew=self.skew,
        )


def _check_tables(tables: Sequence[Table], shared: bool) -> list[Float[np.ndarray, "_ C"]]:
    checked = [np.asarray(table, dtype=np.float64) for table in tables]
    if not checked:
        raise ValueError("tables: expected one for each seed, found none")
    for k, table in enumerate(checked):
        if table.ndim != 2 or len(table) < 2:
            raise ValueError(f"tables[{k}]: expected at least 2 units in rows, found shape {table.shape}")
        if not np.isfinite(table).all():
            raise ValueError(f"tables[{k}]: expected finite sums, found {table[~np.isfinite(table)][0]}")
        if table.shape[1] != checked[0].shape[1] or (shared and len(table) != len(checked[0])):
            raise ValueError(
                f"tables[{k}]: expected the shape {checked[0].shape} of tables[0], found {table.shape}"
            )
    return checked


def _values(statistic: Statistic, sums: Float[np.ndarray, "R C"], where: str) -> Float[np.ndarray, "R"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(sums), dtype=np.float64)
    if values.shape != sums.shape[:1]:
        raise ValueError(f"statistic: expected {len(sums)} values, one a row, found shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(
            f"statistic: expected a finite value {where}, found {values[~np.isfinite(values)][0]}"
        )
    return values


def _estimates(tables: list[Float[np.ndarray, "_ C"]], statistic: Statistic) -> Float[np.ndarray, "S"]:
    return _values(statistic, np.stack([table.sum(axis=0) for table in tables]), "in every seed")


def _influences(table: Float[np.ndarray, "G C"], statistic: Statistic) -> Float[np.ndarray, "G"]:
    """What each unit adds to theta, by leaving it out; products sum to jackknife (co)variances."""
    without = _values(statistic, table.sum(axis=0) - table, "without any one unit")
    return (without.mean() - without) * math.sqrt((len(table) - 1) / len(table))


def crossed_components(tables: Sequence[Table], statistic: Statistic) -> Components:
    """Return W, c and the rest where all seeds share their units.

    Arguments and errors as in `crossed_interval`.
    """
    checked = _check_tables(tables, shared=True)
    estimates = _estimates(checked, statistic)
    influences = np.stack([_influences(table, statistic) for table in checked])
    seeds, units = influences.shape  # (S, G)
    covariance = influences @ influences.T  # (S, S)
    variance = float(np.trace(covariance)) / seeds
    pairs = seeds * (seeds - 1)
    common = (float(covariance.sum()) - seeds * variance) / pairs if pairs else variance
    shared = max(common, 0.0)
    skew = float((influences.mean(axis=0) ** 3).sum())
    return Components(estimates, variance - shared, shared, skew, units - 1.0)


def nested_components(tables: Sequence[Table], statistic: Statistic) -> Components:
    """Return W and the rest where each seed has its own units; arguments as in `nested_interval`."""
    if len(tables) == 1:
        return crossed_components(tables, statistic)
    checked = _check_tables(tables, shared=False)
    own = [float((_influences(table, statistic) ** 2).sum()) for table in checked]
    degrees = float(sum(len(table) - 1 for table in checked))
    return Components(_estimates(checked, statistic), float(np.mean(own)), 0.0, 0.0, degrees)


def crossed_interval(tables: Sequence[Table], statistic: Statistic, *, level: float = 0.95) -> Interval:
    """Return the interval of the mean over seeds of `statistic`, where all seeds share their units.

    `tables`: for each seed the G >= 2 units' column sums, row for row the same units in each seed.
    `statistic`: maps (R, C) sums over units to R values, such as `lambda s: s[:, 0] / s[:, 1]`. One seed
    gives the interval over items alone, that is, for this seed only. Raises ValueError for ragged, empty or
    non-finite tables, and where the statistic is not finite on all units of a seed or without one of them.
    """
    check_level(level)
    return crossed_components(tables, statistic).confidence().interval(level)


def nested_interval(tables: Sequence[Table], statistic: Statistic, *, level: float = 0.95) -> Interval:
    """Return the same where each seed has units of its own, as many as it likes (at least 2)."""
    check_level(level)
    return nested_components(tables, statistic).confidence().interval(level)


def seed_confidence(values: Scores) -> Confidence:
    """Return Student's t for the mean of S >= 2 seeds' values, for any level and bound."""
    table = _seed_values(values)
    return Components(table, 0.0, 0.0, 0.0, math.inf).confidence()


def seed_interval(values: Scores, level: float = 0.95, aggregate: Aggregate = "mean") -> Interval:
    """Return the interval of the mean or the median of S >= 2 seeds' values.

    Mean: Student's t. Median: between order statistics, by binomial probabilities that hold for every
    continuous distribution, interpolated to the level (Hettmansperger and Sheather 1986). Too few seeds for
    that (less than six at level .95: all of five lie on one side of the median in 1 of 16 cases): median
    -+ t_{S-1} sqrt(pi / 2) s / sqrt(S), the standard error of the median of many normal values, which is
    too large for few.
    """
    check_level(level)
    if aggregate == "mean":
        return seed_confidence(values).interval(level)
    if aggregate != "median":
        raise ValueError(f"aggregate: expected mean or median, found {aggregate}")
    table = np.sort(_seed_values(values))
    centre = float(np.median(table))
    error = float(np.std(table, ddof=1)) * math.sqrt(math.pi / 2 / len(table))
    if 1 - 2 * 0.5 ** len(table) < level:
        half = float(stats.t.ppf((1 + level) / 2, len(table) - 1)) * error
        return Interval(centre, centre - half, centre + half, level, error)
    low, high = _between_orders(table, level)
    return Interval(centre, low, high, level, error)


def _seed_values(values: Scores) -> Float[np.ndarray, "S"]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 1 or len(table) < 2:
        raise ValueError(f"values: expected at least 2 seeds, found shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"values: expected finite values, found {table[~np.isfinite(table)][0]}")
    return table


def _between_orders(ordered: Float[np.ndarray, "S"], level: float) -> tuple[float, float]:
    """Interpolate between the two symmetric order-statistic intervals next to `level`."""
    count = len(ordered)
    depth = 1  # the interval from the depth-th smallest to the depth-th largest
    while depth + 1 <= count - depth and _order_level(count, depth + 1) >= level:
        depth += 1
    outer, inner = _order_level(count, depth), _order_level(count, depth + 1)
    share = (outer - level) / (outer - inner)
    weight = (count - depth) * share / (depth + (count - 2 * depth) * share)
    low = (1 - weight) * ordered[depth - 1] + weight * ordered[depth]
    high = (1 - weight) * ordered[count - depth] + weight * ordered[count - depth - 1]
    return float(low), float(high)


def _order_level(count: int, depth: int) -> float:
    """Probability that the median lies between the depth-th smallest and the depth-th largest of `count`."""
    return 1 - 2 * float(stats.binom.cdf(depth - 1, count, 0.5))
