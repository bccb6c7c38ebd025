"""Decisions and verdicts: claims and recorded results in, one outcome a finding and a check out.

A test of a finding is decided by its interval [low, high] alone; a point estimate never decides. Direction
`above` (`below` is the mirror image; all relations strict):

- holds: low > bound;  fails: high < smallest effect;  both: holds, smaller;  neither: undecided.

Direction `within` a pair of bounds: holds with the whole interval inside, fails with the whole interval
outside on one side. Without an interval (one seed, and seeds are resampled) a test is undecided.

A finding is reproduced when all its tests hold, not reproduced when all fail or one that it stands on does,
partly reproduced when all are decided with mixed or smaller answers, else undecided. With `any`, one test
must hold after Holm's correction. A check passes when every test meets its limit in every seed. Pure
functions; no file is read here.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from echobook.metrics.statistics import mean_interval_t
from echobook.report.claims import Check, CheckTest, Claims, Finding, Test
from echobook.report.errors import ReportError
from echobook.report.measures import aggregate, interval_of, seed_value
from echobook.report.outcomes import (
    VERDICTS,
    CheckOutcome,
    CheckTestOutcome,
    Decision,
    Estimate,
    FindingOutcome,
    TestOutcome,
    Verdict,
)
from echobook.report.results import Results

__all__ = [
    "VERDICTS",
    "CheckOutcome",
    "CheckTestOutcome",
    "Decision",
    "Estimate",
    "FindingOutcome",
    "TestOutcome",
    "Verdict",
    "combine",
    "decide",
    "estimate",
    "judge_check",
    "judge_checks",
    "judge_finding",
    "judge_findings",
    "measure",
]
RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


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


def decide(test: Test, low: float | None, high: float | None) -> Decision:
    """Return the decision that the interval [low, high] gives (see the module's first lines)."""
    if low is None or high is None:
        return "undecided"
    holds, fails = _holds(test, low, high), _fails(test, low, high)
    if holds:
        return "holds, smaller" if fails else "holds"
    return "fails" if fails else "undecided"


def _holds(test: Test, low: float, high: float) -> bool:
    if isinstance(test.bound, list):
        return test.bound[0] < low and high < test.bound[1]
    return low > test.bound if test.direction == "above" else high < test.bound


def _fails(test: Test, low: float, high: float) -> bool:
    if isinstance(test.bound, list):
        return high < test.bound[0] or low > test.bound[1]
    assert test.smallest_effect is not None  # the schema has seen to it
    return high < test.smallest_effect if test.direction == "above" else low > test.smallest_effect


def measure(test: Test, results: Sequence[Results]) -> TestOutcome:
    """Return the outcome of a test on the results of its seeds (at least one)."""
    values = [seed_value(test, result) for result in results]
    interval = interval_of(test, values, results)
    low, high = (interval.low, interval.high) if interval else (None, None)
    seeds = tuple(result.seed for result in results)
    return TestOutcome(
        test, aggregate(test, values), low, high, seeds, tuple(values), decide(test, low, high)
    )


def combine(finding: Finding, decisions: Sequence[Decision]) -> Verdict:
    """Return a finding's verdict from the decisions of its tests, in their order."""
    by_name = dict(zip((test.name for test in finding.tests), decisions, strict=True))
    if all(decision == "fails" for decision in decisions):
        return "not reproduced"
    if any(by_name[name] == "fails" for name in finding.stands_on):
        return "not reproduced"
    enough = any if finding.combine == "any" else all
    if enough(decision == "holds" for decision in decisions):
        return "reproduced"
    return "undecided" if "undecided" in decisions else "partly reproduced"


def _holding_any(outcomes: Sequence[TestOutcome], results: Sequence[Results]) -> set[str]:
    """Names of the tests that hold with Holm's correction for all of them.

    With m tests left, those that hold at level 1 - (1 - level) / m are taken out, until none does.
    """
    left = {outcome.name: outcome for outcome in outcomes}
    while True:
        held = [name for name, outcome in left.items() if _holds_among(outcome, len(left), results)]
        left = {name: outcome for name, outcome in left.items() if name not in held}
        if not held or not left:
            return {outcome.name for outcome in outcomes} - left.keys()


def _holds_among(outcome: TestOutcome, count: int, results: Sequence[Results]) -> bool:
    level = 1 - (1 - outcome.test.resampling.level) / count
    interval = interval_of(outcome.test, outcome.values, results, level=level)
    return interval is not None and _holds(outcome.test, interval.low, interval.high)


def _corrected(outcome: TestOutcome, holding: set[str]) -> TestOutcome:
    """Take back a 'holds' that does not stand after the correction."""
    if outcome.name in holding or not outcome.decision.startswith("holds"):
        return outcome
    return replace(outcome, decision="fails" if outcome.decision == "holds, smaller" else "undecided")


def judge_finding(finding: Finding, results: Sequence[Results]) -> FindingOutcome:
    """Return the outcome of one finding; without results, or a way to test it, that is its verdict."""
    if finding.not_testable:
        return FindingOutcome(finding, "not testable here", ())
    if not results:
        return FindingOutcome(finding, "not yet recorded", ())
    outcomes = [measure(test, results) for test in finding.tests]
    if finding.combine == "any":
        holding = _holding_any(outcomes, results)
        outcomes = [_corrected(outcome, holding) for outcome in outcomes]
    verdict = combine(finding, [outcome.decision for outcome in outcomes])
    return FindingOutcome(finding, verdict, tuple(outcomes))


def measure_check(test: CheckTest, results: Sequence[Results]) -> CheckTestOutcome:
    """Return the outcome of a check's test: it passes when the value of every seed meets the limit."""
    relation, limit = test.limit
    values = [seed_value(test, result) for result in results]
    if relation == "==":
        worst = max(values, key=lambda value: abs(value - limit))
    else:
        worst = max(values) if relation in ("<", "<=") else min(values)
    passed = all(RELATIONS[relation](value, limit) for value in values)
    return CheckTestOutcome(test, worst, tuple(result.seed for result in results), passed)


def judge_check(check: Check, results: Sequence[Results]) -> CheckOutcome:
    """Return the outcome of one check; without results it has neither passed nor failed."""
    if not results:
        return CheckOutcome(check, None, ())
    outcomes = tuple(measure_check(test, results) for test in check.tests)
    return CheckOutcome(check, all(outcome.passed for outcome in outcomes), outcomes)


@contextmanager
def _about(slug: str, statement: Finding | Check) -> Iterator[None]:
    """Put chapter and id before the message of what cannot be judged."""
    try:
        yield
    except ReportError as error:
        raise type(error)(f"{slug}: {statement.kind} {statement.id}: {error}") from error


def judge_findings(claims: Claims, results: Sequence[Results]) -> list[FindingOutcome]:
    """Return the outcome of every finding, in the order of the file, from all seeds of one profile.

    Raises ClaimsError for per-item scores or groups that the results do not hold, and ResultsError for a
    metric that they do not hold; both name the finding and the test.
    """
    outcomes = []
    for finding in claims.findings:
        with _about(claims.slug, finding):
            outcomes.append(judge_finding(finding, results))
    return outcomes


def judge_checks(claims: Claims, results: Sequence[Results]) -> list[CheckOutcome]:
    """Return the outcome of every check, in the order of the file; errors as in `judge_findings`."""
    outcomes = []
    for check in claims.checks:
        with _about(claims.slug, check):
            outcomes.append(judge_check(check, results))
    return outcomes
