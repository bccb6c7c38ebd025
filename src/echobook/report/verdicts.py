"""Verdicts: claims and recorded results in, one verdict a claim out. Pure functions; no file is read here.

A test is `reproduced` when its `reproduced` rule holds, `not reproduced` when its `not_reproduced` rule
holds and `partly reproduced` when neither does; both at once is an error in the criteria. Over a claim's
tests, `all` asks for all of them, `any` for one, `at_least` for k; if that fails, the claim is `not
reproduced` when every test is, else `partly reproduced`.

Intervals over items take the per-item scores of all seeds together; hierarchical ones draw seeds, then
items. Item scores must average to the recorded value, else the interval would describe something else, and
that is refused.
"""

import itertools
import math
import operator
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from echobook.metrics.statistics import (
    Interval,
    aggregated,
    bootstrap_aggregate,
    holm,
    mean_interval_t,
    permutation_test,
    resampled_sums,
    sign_test,
    sum_by_group,
)
from echobook.report.claims import Claim, Claims, Condition, Rule, Test
from echobook.report.errors import ClaimsError
from echobook.report.results import Metric, Results

Verdict = Literal[
    "reproduced", "partly reproduced", "not reproduced", "not testable here", "not yet recorded"
]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "partly reproduced",
    "not reproduced",
    "not testable here",
    "not yet recorded",
)
RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A metric over seeds: mean, 95 % t interval (None with one seed), seeds and their values."""

    mean: float
    low: float | None
    high: float | None
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    unit: str = ""


@dataclass(frozen=True)
class TestOutcome:
    """What a test came to: estimate, interval, seeds, value of each seed, p value, verdict."""

    __test__ = False  # not a test class of pytest

    name: str
    estimate: float
    low: float | None
    high: float | None
    level: float
    standard_errors: float | None
    p_value: float | None
    share_of_seeds: float
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    unit: str
    verdict: Verdict


@dataclass(frozen=True)
class ClaimOutcome:
    """A claim with its verdict and the outcome of each of its tests."""

    claim: Claim
    verdict: Verdict
    tests: tuple[TestOutcome, ...]


def estimate(results: Sequence[Results], metric: str, *, level: float = 0.95) -> Estimate | None:
    """Return a metric's mean over seeds with its t interval, or None without results."""
    if not results:
        return None
    values = [result.value(metric) for result in results]
    seeds = tuple(result.seed for result in results)
    unit = results[0].metric(metric).unit
    if len(values) < 2:
        return Estimate(values[0], None, None, seeds, tuple(values), unit)
    interval = mean_interval_t(values, level=level)
    return Estimate(interval.estimate, interval.low, interval.high, seeds, tuple(values), unit)


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


def _from_sums(test: Test, sums: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R"]:
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
    return compared[np.isfinite(compared)]


def _item_draws(test: Test, results: Sequence[Results], seed: int) -> Float[np.ndarray, "R"]:
    tables = [_item_table(test, result) for result in results]
    rng = np.random.default_rng(seed)
    if test.interval.method == "bootstrap":
        return _from_sums(test, resampled_sums(np.concatenate(tables), rng=rng, resamples=RESAMPLES))
    drawn = rng.integers(len(tables), size=(RESAMPLES, len(tables)))
    spare = RESAMPLES + 500  # some draws may have no mean
    within = np.stack(
        [_from_sums(test, resampled_sums(table, rng=rng, resamples=spare))[:RESAMPLES] for table in tables]
    )  # (S, R)
    # Shuffled anew for each position: a seed drawn twice must not bring the same items twice.
    picked = [rng.permuted(within, axis=1)[row, np.arange(RESAMPLES)] for row in drawn.T]
    return np.asarray(np.mean(picked, axis=0))


def _interval(test: Test, values: Sequence[float], results: Sequence[Results], seed: int) -> Interval | None:
    """The test's interval, or None where it cannot be made (one seed, or none asked for)."""
    rule = test.interval
    if rule.over in ("items", "groups"):
        draws = _item_draws(test, results, seed)
        low, high = np.quantile(draws, [(1 - rule.level) / 2, (1 + rule.level) / 2])
        centre = aggregate(test, values)
        return Interval(centre, float(low), float(high), rule.level, float(np.std(draws, ddof=1)))
    if rule.method == "none" or len(values) < 2:
        return None
    if rule.method == "t":
        return mean_interval_t(values, level=rule.level)
    return bootstrap_aggregate(values, test.aggregate, seed=seed, resamples=RESAMPLES, level=rule.level)


def aggregate(test: Test, values: Sequence[float]) -> float:
    """Return the test's aggregate (mean, median, smallest or largest) of the values of the seeds."""
    return float(aggregated(np.asarray(values, dtype=np.float64), test.aggregate))


def _p_value(test: Test, values: Sequence[float], results: Sequence[Results], seed: int) -> float | None:
    """The unadjusted p value, or None when no rule asks for one."""
    if not test.uses_p_value:
        return None
    rule = test.p_value
    left, right = np.asarray(values, dtype=np.float64), np.full(len(values), test.null)
    if rule.over == "items":
        left, right = _item_pairs(test, results)
    if rule.method == "sign":
        return sign_test(left, right, alternative=rule.alternative)
    return permutation_test(left, right, seed=seed, resamples=RESAMPLES, alternative=rule.alternative)


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


def _standard_errors(centre: float, null: float, interval: Interval | None) -> float | None:
    if interval is None:
        return None
    gap = abs(centre - null)
    if interval.standard_error == 0:
        return math.inf if gap > 0 else 0.0
    return gap / interval.standard_error


def _share(test: Test, values: Sequence[float]) -> float:
    """Share of seeds whose value is above the null (for equality: within the tolerance)."""
    if test.tolerance is not None:
        return float(np.mean([value <= test.tolerance for value in values]))
    return float(np.mean([value > test.null for value in values]))


def measure(test: Test, results: Sequence[Results], *, p_value: float | None = None) -> TestOutcome:
    """Return the outcome of a test on the results of its seeds (at least one); `p_value` is Holm-adjusted."""
    values = [seed_value(test, result) for result in results]
    centre = aggregate(test, values)
    interval = _interval(test, values, results, _seed(test))
    outcome = TestOutcome(
        name=test.name,
        estimate=centre,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        level=test.interval.level,
        standard_errors=_standard_errors(centre, test.null, interval),
        p_value=p_value,
        share_of_seeds=_share(test, values),
        seeds=tuple(result.seed for result in results),
        values=tuple(values),
        unit=""
        if test.comparison in ("ratio", "relative_change")
        else results[0].metric(test.metrics[0]).unit,
        verdict="partly reproduced",
    )
    return replace(outcome, verdict=judge(test, outcome))


def _seed(test: Test) -> int:
    """A fixed seed for a test's resampling, from its name."""
    return zlib.crc32(test.name.encode())


def holds(condition: Condition, outcome: TestOutcome) -> bool:
    """Return whether a condition holds; a quantity that could not be computed satisfies none."""
    found = len(outcome.seeds) if condition.quantity == "seeds" else getattr(outcome, condition.quantity)
    if found is None:
        return False
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
    return bool(compare[condition.relation](found, condition.value))


def rule_holds(rule: Rule, outcome: TestOutcome) -> bool:
    """Return whether all (or any) of a rule's conditions hold."""
    met = [holds(condition, outcome) for condition in rule.conditions]
    return all(met) if rule.all else any(met)


def judge(test: Test, outcome: TestOutcome) -> Verdict:
    """Return the verdict of one test; criteria that say both yes and no are refused."""
    yes, no = rule_holds(test.reproduced, outcome), rule_holds(test.not_reproduced, outcome)
    if yes and no:
        raise ClaimsError(
            f"test {test.name}: both `reproduced` and `not_reproduced` hold; the criteria contradict"
        )
    return "reproduced" if yes else "not reproduced" if no else "partly reproduced"


def combine(claim: Claim, verdicts: Sequence[Verdict]) -> Verdict:
    """Return a claim's verdict from those of its tests."""
    wins = sum(verdict == "reproduced" for verdict in verdicts)
    needed = {"all": len(verdicts), "any": 1}[claim.combine] if isinstance(claim.combine, str) else 0
    if wins >= (needed or getattr(claim.combine, "at_least", 1)):
        return "reproduced"
    return (
        "not reproduced" if all(verdict == "not reproduced" for verdict in verdicts) else "partly reproduced"
    )


def _adjusted(claims: Claims, results: Sequence[Results]) -> dict[tuple[str, str], float]:
    """Holm-adjusted p values of all tests of the chapter that ask for one, by claim id and test name."""
    raw: dict[tuple[str, str], float] = {}
    for claim in claims.claims:
        for test in [] if claim.not_testable else claim.tests:
            values = [seed_value(test, result) for result in results]
            found = _p_value(test, values, results, _seed(test))
            if found is not None:
                raw[claim.id, test.name] = found
    return dict(zip(raw, (float(p) for p in holm(list(raw.values()))), strict=True))


def judge_claims(claims: Claims, results: Sequence[Results]) -> list[ClaimOutcome]:
    """Return the outcome of every claim, in the order of the file, from all seeds of one profile.

    Without results a claim is `not yet recorded`, unless it is not testable here. Raises ClaimsError or
    ResultsError for a metric or per-item scores that the results do not hold.
    """
    adjusted = _adjusted(claims, results)
    outcomes = []
    for claim in claims.claims:
        if claim.not_testable or not results:
            verdict: Verdict = "not testable here" if claim.not_testable else "not yet recorded"
            outcomes.append(ClaimOutcome(claim, verdict, ()))
            continue
        tests = [measure(test, results, p_value=adjusted.get((claim.id, test.name))) for test in claim.tests]
        outcomes.append(ClaimOutcome(claim, combine(claim, [test.verdict for test in tests]), tuple(tests)))
    return outcomes
