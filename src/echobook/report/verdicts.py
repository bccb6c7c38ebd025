"""Verdicts: claims and recorded results in, one verdict a claim out. Pure functions; no file is read here.

A test is `reproduced` when its `reproduced` rule holds, `not reproduced` when its `not_reproduced` rule
holds and `partly reproduced` when neither does; both at once is an error in the criteria. Over a claim's
tests, `all` asks for all of them, `any` for one, `at_least` for k; if that fails, the claim is `not
reproduced` when every test is, else `partly reproduced`.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from echobook.metrics.statistics import holm, mean_interval_t
from echobook.report.claims import Claim, Claims, Condition, Rule, Test
from echobook.report.errors import ClaimsError
from echobook.report.measures import (
    aggregate,
    interval_of,
    p_value_of,
    seed_value,
    share_of_seeds,
    standard_errors,
)
from echobook.report.results import Results

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


def measure(test: Test, results: Sequence[Results], *, p_value: float | None = None) -> TestOutcome:
    """Return the outcome of a test on the results of its seeds (at least one); `p_value` is Holm-adjusted."""
    values = [seed_value(test, result) for result in results]
    centre = aggregate(test, values)
    interval = interval_of(test, values, results)
    outcome = TestOutcome(
        name=test.name,
        estimate=centre,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        level=test.interval.level,
        standard_errors=standard_errors(centre, test.null, interval),
        p_value=p_value,
        share_of_seeds=share_of_seeds(test, values),
        seeds=tuple(result.seed for result in results),
        values=tuple(values),
        unit=""
        if test.comparison in ("ratio", "relative_change")
        else results[0].metric(test.metrics[0]).unit,
        verdict="partly reproduced",
    )
    return replace(outcome, verdict=judge(test, outcome))


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
    """Return a claim's verdict from those of its tests.

    `all`, `any` and `at_least` count the tests that hold, and mixed answers are a part; with `worst` one test
    that is not reproduced settles the claim.
    """
    if claim.combine == "worst" and "not reproduced" in verdicts:
        return "not reproduced"
    wins = sum(verdict == "reproduced" for verdict in verdicts)
    needed = (
        {"all": len(verdicts), "worst": len(verdicts), "any": 1}[claim.combine]
        if isinstance(claim.combine, str)
        else 0
    )
    if wins >= (needed or getattr(claim.combine, "at_least", 1)):
        return "reproduced"
    return (
        "not reproduced" if all(verdict == "not reproduced" for verdict in verdicts) else "partly reproduced"
    )


def _adjusted(claims: Claims, results: Sequence[Results]) -> dict[tuple[str, str], float]:
    """Holm-adjusted p values of all tests of the chapter that ask for one, by claim id and test name."""
    raw: dict[tuple[str, str], float] = {}
    for claim in claims.claims if results else []:
        for test in [] if claim.not_testable else claim.tests:
            values = [seed_value(test, result) for result in results]
            found = p_value_of(test, values, results)
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
