"""The figures behind a decision: a test's value in each seed, their aggregate, and the interval.

Intervals over items take the per-item scores of all seeds: the same units in every seed (`crossed`) or units
of its own in each (`nested`). Item scores must average to the recorded value, else the interval would
describe something else, and that is refused. Every function is pure, and nothing is random.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from echobook.metrics.intervals import Components, crossed_components, nested_components, seed_interval
from echobook.metrics.statistics import Interval, sum_by_group
from echobook.report.claims import CheckTest, Test
from echobook.report.errors import ClaimsError
from echobook.report.results import Metric, Results


def seed_value(test: Test | CheckTest, results: Results) -> float:
    """Return the compared value of a test in one seed (see the claims_tests module for the comparisons)."""
    if isinstance(test.metric, list):
        values = [results.value(name) for name in test.metric]
        return min(left - right for left, right in itertools.pairwise(values))
    value = np.asarray(results.value(test.metric))
    against = results.value(test.against) if isinstance(test.against, str) else test.against
    if against == 0 and test.comparison in ("ratio", "relative_change"):
        raise ClaimsError(
            f"{results.slug} (seed {results.seed}): test {test.name}: {test.comparison} against "
            f"{test.against}, which is 0"
        )
    return float(_compared(test, value, np.asarray(0.0 if against is None else against)))


def _compared(
    test: Test | CheckTest, value: Float[np.ndarray, "*R"], against: Float[np.ndarray, "*R"]
) -> Float[np.ndarray, "*R"] | np.floating:
    """The compared value, one for each entry; NaN or infinite where `against` is 0 in a quotient."""
    if test.comparison == "value":
        return value
    if test.comparison == "difference":
        return value - against
    if test.comparison == "equality":
        return np.abs(value - against)
    return value / against if test.comparison == "ratio" else (value - against) / np.abs(against)


def aggregate(test: Test, values: Sequence[float]) -> float:
    """Return the test's aggregate (mean or median) of the values of the seeds."""
    return float(np.median(values) if test.aggregate == "median" else np.mean(values))


def _columns(metric: Metric, where: str) -> Float[np.ndarray, "N 2"]:
    """Columns w s and w of the per-item scores, checked against the recorded value."""
    if not metric.items:
        raise ClaimsError(
            f"{where}: expected per-item scores for an interval over items, found none; pass items= when "
            "recording, or resample seeds"
        )
    items = np.asarray(metric.items, dtype=np.float64)
    weights = np.ones_like(items) if metric.weights is None else np.asarray(metric.weights, dtype=np.float64)
    mean = float(items @ weights / weights.sum()) if weights.sum() > 0 else math.nan
    if not math.isclose(mean, metric.value, rel_tol=1e-4, abs_tol=1e-6):  # items carry six digits
        raise ClaimsError(
            f"{where}: per-item scores average to {mean:.6g}, but the value is {metric.value:.6g}"
        )
    return np.stack([items * weights, weights], axis=1)


def _unit_table(test: Test, result: Results) -> Float[np.ndarray, "G C"]:
    """Sums for each unit (item or group) of one seed: two columns, or four with a second metric."""
    where = f"{result.slug} ({result.profile}, seed {result.seed}): test {test.name}"
    metrics = [result.metric(name) for name in test.metrics]
    tables = [
        _columns(metric, f"{where}: {name}") for metric, name in zip(metrics, test.metrics, strict=True)
    ]
    if len({len(table) for table in tables}) > 1:
        raise ClaimsError(f"{where}: {_sizes(test.metrics, tables)}; expected equal numbers, as items pair")
    joined = np.concatenate(tables, axis=1)
    return joined if test.resampling.unit == "items" else sum_by_group(joined, _groups(test, metrics, where))


def _groups(test: Test, metrics: Sequence[Metric], where: str) -> list[int]:
    """The group of each item, which must be the same for all metrics compared."""
    for metric, name in zip(metrics, test.metrics, strict=True):
        if metric.groups is None:
            raise ClaimsError(
                f"{where}: {name}: expected groups of items, found none; pass groups= when recording"
            )
        if metric.groups != metrics[0].groups:
            raise ClaimsError(f"{where}: {' and '.join(test.metrics)}: expected the same groups")
    return list(metrics[0].groups or [])


def _sizes(names: Sequence[str], tables: Sequence[Float[np.ndarray, "_ C"]]) -> str:
    return ", ".join(f"{name} has {len(table)} items" for name, table in zip(names, tables, strict=True))


def _statistic(test: Test) -> Callable[[Float[np.ndarray, "R C"]], Float[np.ndarray, "R"]]:
    """The compared value as a function of column sums (w s and w of each metric)."""
    fixed = test.against if isinstance(test.against, int | float) else 0.0

    def statistic(sums: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R"]:
        means = sums[:, 0::2] / sums[:, 1::2]
        against = means[:, 1] if means.shape[1] == 2 else np.full(len(means), float(fixed))
        return np.asarray(_compared(test, means[:, 0], against))

    return statistic


def _check_shared(test: Test, tables: Sequence[Float[np.ndarray, "_ C"]], results: Sequence[Results]) -> None:
    """Refuse crossed seeds whose units cannot be the same ones."""
    unit, first = test.resampling.unit, results[0]
    where = f"{first.slug} ({first.profile}): test {test.name}: crossed, but"
    for table, result in zip(tables, results, strict=True):
        if len(table) != len(tables[0]):
            raise ClaimsError(
                f"{where} seed {first.seed} has {len(tables[0])} {unit} and seed {result.seed} has "
                f"{len(table)}; expected the same ones in every seed (else `seeds: nested`)"
            )
        if unit == "groups" and _labels(test, result) != _labels(test, first):
            raise ClaimsError(
                f"{where} seeds {first.seed} and {result.seed} name different groups; expected the same ones "
                "in every seed (else `seeds: nested`)"
            )


def _labels(test: Test, result: Results) -> set[int]:
    return set(result.metric(test.metrics[0]).groups or [])


def components_of(test: Test, values: Sequence[float], results: Sequence[Results]) -> Components:
    """Return what seeds and items bring to the estimate; for one seed and unit seeds there is nothing."""
    if test.resampling.unit == "seeds":
        return Components(np.asarray(values, dtype=np.float64), 0.0, 0.0, 0.0, math.inf)
    tables = [_unit_table(test, result) for result in results]
    make = nested_components
    if test.resampling.seeds == "crossed":
        _check_shared(test, tables, results)
        make = crossed_components
    try:
        return make(tables, _statistic(test))
    except ValueError as error:
        raise ClaimsError(f"{results[0].slug}: test {test.name}: {error}") from error


def interval_of(
    test: Test, values: Sequence[float], results: Sequence[Results], *, level: float | None = None
) -> Interval | None:
    """The test's interval at its level (or at `level`); None for one seed when seeds are resampled."""
    wanted = test.resampling.level if level is None else level
    if test.resampling.unit != "seeds":
        return components_of(test, values, results).confidence().interval(wanted)
    return seed_interval(values, level=wanted, aggregate=test.aggregate) if len(values) > 1 else None
