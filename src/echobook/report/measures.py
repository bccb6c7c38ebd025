"""The figures behind a verdict: value in each seed, aggregate, interval, p value, share of seeds.

Intervals over items take the per-item scores of all seeds together; hierarchical ones draw seeds, then items.
Item scores must average to the recorded value, else the interval would describe something else, and that is
refused. Every function is pure; resampling is seeded by the name of the test.
"""

import itertools
import math
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from echobook.metrics.statistics import (
    Interval,
    aggregated,
    bootstrap_aggregate,
    mean_interval_t,
    permutation_test,
    resampled_sums,
    sign_test,
    sum_by_group,
)
from echobook.report.claims import Test
from echobook.report.errors import ClaimsError
from echobook.report.results import Metric, Results

RESAMPLES = 10_000


def seed_value(test: Test, results: Results) -> float:
    """Return the compared value of a test in one seed (see the claims module for the comparisons)."""
    values = [
        results.value(name) for name in ([test.metric] if isinstance(test.metric, str) else test.metric)
    ]
    if test.comparison == "order":
        return min(left - right for left, right in itertools.pairwise(values))
    other = results.value(test.against) if isinstance(test.against, str) else test.against
    return _compare(test, values[0], other)


def _compare(test: Test, value: float, other: float | None) -> float:
    if other is None:
        return value
    if test.comparison in ("ratio", "relative_change") and other == 0:
        raise ClaimsError(f"test {test.name}: {test.comparison} against {test.against}, which is 0")
    return {
        "difference": value - other,
        "equality": abs(value - other),
        "ratio": value / other if other else math.nan,
        "relative_change": (value - other) / abs(other) if other else math.nan,
    }[test.comparison]


def _columns(metric: Metric, name: str, result: Results) -> Float[np.ndarray, "N 2"]:
    """Columns w s and w of the per-item scores, checked against the recorded value."""
    where = f"{result.slug} ({result.profile}, seed {result.seed}): {name}"
    if not metric.items:
        raise ClaimsError(f"{where}: a criterion needs per-item scores; pass items= when recording")
    items = np.asarray(metric.items, dtype=np.float64)
    weights = np.ones_like(items) if metric.weights is None else np.asarray(metric.weights, dtype=np.float64)
    mean = float(items @ weights / weights.sum()) if weights.sum() > 0 else math.nan
    if not math.isclose(mean, metric.value, rel_tol=1e-4, abs_tol=1e-6):  # items carry six digits
        raise ClaimsError(
            f"{where}: per-item scores average to {mean:.6g}, but the value is {metric.value:.6g}"
        )
    return np.stack([items * weights, weights], axis=1)


def _item_table(test: Test, result: Results) -> Float[np.ndarray, "G C"]:
    """Sums for each unit (item or group) of one seed: two columns, or four with a second metric."""
    names = test.metrics
    metrics = [result.metric(name) for name in names]
    tables = [_columns(metric, name, result) for name, metric in zip(names, metrics, strict=True)]
    if len({len(table) for table in tables}) > 1:
        raise ClaimsError(
            f"test {test.name}: {' and '.join(names)} have unequal numbers of items, so no pairs"
        )
    groups = metrics[0].groups
    if test.interval.over == "groups" and groups is None:
        raise ClaimsError(f"test {test.name}: {names[0]} has no groups; pass groups= when recording")
    joined = np.concatenate(tables, axis=1)
    return sum_by_group(joined, groups) if test.interval.over == "groups" else joined


def _from_sums(test: Test, sums: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "D"]:
    """The compared value of each draw; D < R where draws have no mean or no finite ratio."""
    sums = sums[(sums[:, 1::2] > 0).all(axis=1)]  # a draw of only zero-weight items has no mean
    value = sums[:, 0] / sums[:, 1]
    if test.against is None:
        return value
    other = sums[:, 2] / sums[:, 3] if sums.shape[1] == 4 else np.full_like(value, float(test.against))
    with np.errstate(divide="ignore", invalid="ignore"):
        compared = {
            "difference": value - other,
            "ratio": value / other,
            "relative_change": (value - other) / np.abs(other),
        }[test.comparison]
    compared = compared[np.isfinite(compared)]
    if not len(compared):
        raise ClaimsError(f"test {test.name}: no resample of the items has a finite {test.comparison}")
    return compared


def _item_draws(test: Test, results: Sequence[Results]) -> Float[np.ndarray, "D"]:
    tables = [_item_table(test, result) for result in results]
    rng = np.random.default_rng(_seed(test))
    if test.interval.method == "bootstrap":
        return _from_sums(test, resampled_sums(np.concatenate(tables), rng=rng, resamples=RESAMPLES))
    drawn = rng.integers(len(tables), size=(RESAMPLES, len(tables)))
    spare = RESAMPLES + 500  # some draws may have no mean
    within = np.stack(
        [  # resize repeats draws where more than the spare ones were left out
            np.resize(_from_sums(test, resampled_sums(table, rng=rng, resamples=spare)), RESAMPLES)
            for table in tables
        ]
    )  # (S, R)
    # Shuffled anew for each position: a seed drawn twice must not bring the same items twice.
    picked = [rng.permuted(within, axis=1)[row, np.arange(RESAMPLES)] for row in drawn.T]
    return np.asarray(np.mean(picked, axis=0))


def interval_of(test: Test, values: Sequence[float], results: Sequence[Results]) -> Interval | None:
    """The test's interval, or None where it cannot be made (one seed, or none asked for)."""
    rule = test.interval
    if rule.over in ("items", "groups"):
        draws = _item_draws(test, results)
        low, high = np.quantile(draws, [(1 - rule.level) / 2, (1 + rule.level) / 2])
        centre = aggregate(test, values)
        return Interval(centre, float(low), float(high), rule.level, float(np.std(draws, ddof=1)))
    if rule.method == "none" or len(values) < 2:
        return None
    if rule.method == "t":
        return mean_interval_t(values, level=rule.level)
    return bootstrap_aggregate(
        values, test.aggregate, seed=_seed(test), resamples=RESAMPLES, level=rule.level
    )


def aggregate(test: Test, values: Sequence[float]) -> float:
    """Return the test's aggregate (mean, median, smallest or largest) of the values of the seeds."""
    return float(aggregated(np.asarray(values, dtype=np.float64), test.aggregate))


def p_value_of(test: Test, values: Sequence[float], results: Sequence[Results]) -> float | None:
    """The unadjusted p value, or None when no rule asks for one."""
    if not test.uses_p_value:
        return None
    rule = test.p_value
    left, right = np.asarray(values, dtype=np.float64), np.full(len(values), test.null)
    if rule.over == "items":
        left, right = _item_pairs(test, results)
    if rule.method == "sign":
        return sign_test(left, right, alternative=rule.alternative)
    return permutation_test(left, right, seed=_seed(test), resamples=RESAMPLES, alternative=rule.alternative)


def _item_pairs(
    test: Test, results: Sequence[Results]
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    if test.comparison not in ("value", "difference"):
        raise ClaimsError(f"test {test.name}: p values over items are for value and difference only")
    items = [[_columns(result.metric(name), name, result) for result in results] for name in test.metrics]
    scores = [np.concatenate([table[:, 0] for table in tables]) for tables in items]
    shift = test.null + (float(test.against) if isinstance(test.against, int | float) else 0.0)
    other = scores[1] if len(scores) == 2 else np.zeros_like(scores[0])
    if len(other) != len(scores[0]):
        raise ClaimsError(
            f"test {test.name}: {' and '.join(test.metrics)} have unequal numbers of items, so no pairs"
        )
    return scores[0], other + shift


def standard_errors(centre: float, null: float, interval: Interval | None) -> float | None:
    if interval is None:
        return None
    gap = abs(centre - null)
    if interval.standard_error == 0:
        return math.inf if gap > 0 else 0.0
    return gap / interval.standard_error


def share_of_seeds(test: Test, values: Sequence[float]) -> float:
    """Share of seeds whose value is above the null (for equality: within the tolerance)."""
    if test.tolerance is not None:
        return float(np.mean([value <= test.tolerance for value in values]))
    return float(np.mean([value > test.null for value in values]))


def _seed(test: Test) -> int:
    """A fixed seed for a test's resampling, from its name."""
    return zlib.crc32(test.name.encode())
