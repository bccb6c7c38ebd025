"""Intervals of a comparison that was run with several seeds on scored items, honest with few seeds.

The estimate is the mean over S seeds of theta_s, a smooth function (mean, difference, ratio, relative change)
of column sums over a seed's units; a unit is an item or a cluster of items. Its variance has two sources:

    theta_s = theta + a_s + b + e_s
    a_s  what the seed does to training          differs between seeds
    e_s  what the items do to this seed alone    differs between seeds; variance W
    b    what shared items do to all seeds alike  the same in every seed; variance c (0 if nothing is shared)
    V    = max(M, W) / S + c                     M: sample variance of theta_1 .. theta_S
    nu   = V^2 / ((max(M, W) / S)^2 / (S - 1) + c^2 / (G - 1))
    ends = estimate -+ t_{nu} sqrt(V), skewed as the bootstrap of the items is

E[M] = var(a) + W, so M / S + c is unbiased for the variance of the mean. Among readers (here seeds) who all
read the same cases (here items) this is the variance of Obuchowski and Rockette (1995), with the degrees of
freedom of Hillis (2007) after Satterthwaite (1946); we add the term in c, which matters for few clusters.
c is the mean covariance of two seeds' jackknife values (Efron and Tibshirani 1993, chapter 11), W their mean
variance less c. With seeds of their own items c = 0, and the interval is Student's t over seeds. max(M, W):
three seeds that agree by luck do not make the items certain.

A percentile bootstrap of seeds and items has neither sqrt(S / (S - 1)) nor t_{nu}, and counts e_s up to three
times (Owen 2007). Skew: each side of the item part is stretched by the ratio of the bootstrap's quantile to
the normal one (z), so that one seed gives the percentile interval widened by t / z.

Axes: S seeds, G units, C summed columns, R resamples. Time O(R G S C), in chunks of 2^22 counts.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from echobook.metrics.confidence import Confidence, check_level, holm_p_values
from echobook.metrics.planning import power, seeds_needed
from echobook.metrics.statistics import Aggregate, Interval, Scores

Table = Shaped[np.ndarray, "_ C"]  # as many units as a seed has
Statistic = Callable[[np.ndarray], np.ndarray]
_CHUNK = 2**22
__all__ = [
    "Confidence",
    "crossed_bootstrap",
    "crossed_confidence",
    "holm_p_values",
    "nested_bootstrap",
    "nested_confidence",
    "power",
    "seed_confidence",
    "seed_interval",
    "seeds_needed",
]


def _check_tables(tables: Sequence[Table], resamples: int, shared: bool) -> list[Float[np.ndarray, "_ C"]]:
    if resamples < 100:
        raise ValueError(f"resamples: expected at least 100, found {resamples}")
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


def _values(statistic: Statistic, sums: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(sums), dtype=np.float64)
    if values.shape != sums.shape[:1]:
        raise ValueError(f"statistic: expected {len(sums)} values, one a row, found shape {values.shape}")
    return values


def _finite(values: Float[np.ndarray, "N"], what: str) -> Float[np.ndarray, "N"]:
    if not np.isfinite(values).all():
        raise ValueError(
            f"statistic: expected a finite value {what}, found {values[~np.isfinite(values)][0]}"
        )
    return values


def _estimates(tables: list[Float[np.ndarray, "_ C"]], statistic: Statistic) -> Float[np.ndarray, "S"]:
    return _finite(_values(statistic, np.stack([t.sum(axis=0) for t in tables])), "in every seed")


def _jackknife(table: Float[np.ndarray, "G C"], statistic: Statistic) -> Float[np.ndarray, "G"]:
    """Return deviations whose products add up to jackknife variances and covariances."""
    without = _finite(_values(statistic, table.sum(axis=0) - table), "without any one unit")
    return (without - without.mean()) * math.sqrt((len(table) - 1) / len(table))


def _unit_draws(
    table: Float[np.ndarray, "G C"], rng: np.random.Generator, resamples: int
) -> Float[np.ndarray, "R C"]:
    """Return column sums over units drawn with replacement: counts of each unit times the table."""
    units, parts = len(table), []
    step = max(1, _CHUNK // units)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(units, size=(rows, units), dtype=np.int64)
        drawn += units * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)
        parts.append(counts.astype(np.float64) @ table)
    return np.concatenate(parts)


def _shape(means: Float[np.ndarray, "R"]) -> Float[np.ndarray, "N"]:
    """Sort and standardise draws, leaving out those without a value (NaN); none if they do not vary."""
    usable = np.sort(means[np.isfinite(means)])
    spread = float(np.std(usable)) if len(usable) > 1 else 0.0
    return (usable - usable.mean()) / spread if spread > 0 else np.empty(0)


def _confidence(
    estimates: Float[np.ndarray, "S"],
    own: float,
    shared: float,
    units: int | float,
    shape: Float[np.ndarray, "_"],
) -> Confidence:
    """Put the parts together (module docstring): own = W, shared = c, units = G."""
    seeds = len(estimates)
    spread = float(np.var(estimates, ddof=1)) if seeds > 1 else own
    between = max(spread, own) / seeds
    free = between**2 / max(seeds - 1, units - 1 if seeds == 1 else 0) + shared**2 / (units - 1)
    degrees = (between + shared) ** 2 / free if free > 0 else math.inf
    items = own / seeds + shared
    return Confidence(float(estimates.mean()), between + shared - items, items, degrees, shape)


def crossed_confidence(
    tables: Sequence[Table], statistic: Statistic, *, seed: int, resamples: int = 10_000
) -> Confidence:
    """As `crossed_bootstrap`, for any level and bound."""
    checked = _check_tables(tables, resamples, shared=True)
    estimates = _estimates(checked, statistic)
    seeds, (units, columns) = len(checked), checked[0].shape
    parts = np.stack([_jackknife(table, statistic) for table in checked])  # (S, G)
    covariance = parts @ parts.T
    mean_variance = float(np.trace(covariance)) / seeds
    total = float(covariance.sum())
    shared = max((total - seeds * mean_variance) / (seeds * (seeds - 1)), 0.0) if seeds > 1 else 0.0
    drawn = _unit_draws(np.concatenate(checked, axis=1), np.random.default_rng(seed), resamples)
    values = _values(statistic, drawn.reshape(resamples * seeds, columns))
    shape = _shape(values.reshape(resamples, seeds).mean(axis=1))
    return _confidence(estimates, mean_variance - shared, shared, units, shape)


def nested_confidence(
    tables: Sequence[Table], statistic: Statistic, *, seed: int, resamples: int = 10_000
) -> Confidence:
    """As `nested_bootstrap`, for any level and bound."""
    checked = _check_tables(tables, resamples, shared=False)
    estimates, rng = _estimates(checked, statistic), np.random.default_rng(seed)
    own = float(np.mean([(_jackknife(table, statistic) ** 2).sum() for table in checked]))
    draws = [_values(statistic, _unit_draws(table, rng, resamples)) for table in checked]
    units = float(np.mean([len(table) for table in checked]))
    return _confidence(estimates, own, 0.0, units, _shape(np.mean(draws, axis=0)))


def crossed_bootstrap(
    tables: Sequence[Table],
    statistic: Statistic,
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return the interval of the mean over seeds of `statistic`, where all seeds share their units.

    `tables`: for each seed the G >= 2 units' column sums, row for row the same units in each seed.
    `statistic`: maps (R, C) sums over units to R values, such as `lambda s: s[:, 0] / s[:, 1]`; a draw for
    which it is NaN or infinite is left out. One seed gives the interval over items alone, that is, for
    this seed only. Raises ValueError for ragged, empty or non-finite tables, and where the statistic is not
    finite on all units of a seed or without one of them.
    """
    check_level(level)
    return crossed_confidence(tables, statistic, seed=seed, resamples=resamples).interval(level)


def nested_bootstrap(
    tables: Sequence[Table],
    statistic: Statistic,
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return the same where each seed has units of its own, as many as it likes (at least 2)."""
    check_level(level)
    return nested_confidence(tables, statistic, seed=seed, resamples=resamples).interval(level)


def seed_confidence(values: Scores) -> Confidence:
    """Return Student's t for the mean of S >= 2 seeds' values, for any level and bound."""
    table = _seed_values(values)
    error = float(np.var(table, ddof=1)) / len(table)
    return Confidence(float(table.mean()), error, 0.0, len(table) - 1.0, np.empty(0))


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
