"""The biggest surprise of a chapter in one sentence, picked by a rule and filled from its records.

Among the tests of the paper's findings, and if none is one, among those of ours, in this order:

1. the opposite: a failed test whose whole interval is beyond the value of no effect, away from the claim;
   the one furthest out in units of its interval;
2. a decided test with the paper's effect whose size differs from it by a factor of two or more: the largest
   |log effect ratio|;
3. a failed test, furthest short of the smallest effect that matters in units of its interval.

Without any of these the sentence says so, and how many tests are decided.
"""

import math
from collections.abc import Sequence

from echobook.report.display import figure, figures_text, rounded, with_unit
from echobook.report.outcomes import FindingOutcome, TestOutcome
from echobook.report.scoreboard import Board, plural

FACTOR = 2.0


def widths(outcome: TestOutcome, distance: float) -> float:
    """Return a distance in half lengths of the test's interval; 0 without one."""
    if outcome.low is None or outcome.high is None:
        return 0.0
    half = (outcome.high - outcome.low) / 2
    return distance / half if half > 0 else math.copysign(math.inf, distance) if distance else 0.0


def opposite(outcome: TestOutcome) -> float:
    """Return how far the interval's near end is beyond no effect, against the claim; 0 where it is not."""
    test, low, high = outcome.test, outcome.low, outcome.high
    if outcome.decision != "fails" or test.direction == "within" or low is None or high is None:
        return 0.0
    if test.comparison == "value":
        return 0.0  # a figure alone has no value of no effect
    beyond = test.null - high if test.direction == "above" else low - test.null
    return max(0.0, widths(outcome, beyond))


def log_ratio(outcome: TestOutcome) -> float:
    """Return |log| of our effect over the paper's; 0 where there is none, or it is within the factor."""
    ratio = outcome.effect_ratio
    if ratio is None or ratio <= 0 or outcome.decision == "undecided":
        return 0.0
    size = abs(math.log(ratio))
    return size if size >= math.log(FACTOR) else 0.0


def shortfall(outcome: TestOutcome) -> float:
    """Return how far a failed test is short of what matters, in half widths of its interval; else 0."""
    wanted = outcome.test.smallest_effect
    if outcome.decision != "fails" or wanted is None:
        return 0.0
    return widths(outcome, abs(wanted - outcome.estimate))


def _opposite_words(outcome: TestOutcome) -> str:
    return f"{figures_text(outcome)}, the opposite of the claim{_beside(outcome)}"


def _ratio_words(outcome: TestOutcome) -> str:
    ratio = outcome.effect_ratio or 0.0
    return f"{figures_text(outcome)}, {figure(ratio, 2)} times the paper's effect"


def _short_words(outcome: TestOutcome) -> str:
    wanted = outcome.test.smallest_effect or 0.0
    return f"{figures_text(outcome)}, where {rounded(wanted)} would matter{_beside(outcome)}"


def _beside(outcome: TestOutcome) -> str:
    paper = outcome.test.paper_effect
    if paper is None:
        return ""
    return f" (the paper: {with_unit(rounded(paper), outcome.unit, figures_text(outcome))})"


RULES = ((opposite, _opposite_words), (log_ratio, _ratio_words), (shortfall, _short_words))


def surprise(one: Board) -> str:
    """Return the sentence."""
    if not one.recorded:
        return "Not yet recorded."
    for tests, ahead in ((tests_of(one.of_paper), ""), (tests_of(one.of_ours), "A question of ours: ")):
        found = biggest(tests)
        if found:
            return ahead + (found if ahead else found[0].upper() + found[1:])
    tests = tests_of(one.findings)
    decided = sum(test.decision != "undecided" for test in tests)
    if not decided:
        return "Nothing is decided yet."
    return f"No surprise in what is decided ({decided} of {plural(len(tests), 'test')})."


def biggest(tests: Sequence[TestOutcome]) -> str:
    """Return the sentence for some tests, '' where no rule finds one."""
    for size, words in RULES:
        found = max(tests, key=size, default=None)
        if found is not None and size(found) > 0:
            return f"{found.words}: {words(found)}."
    return ""


def tests_of(outcomes: Sequence[FindingOutcome]) -> list[TestOutcome]:
    """Return the tests of some findings, one after the other."""
    return [test for outcome in outcomes for test in outcome.tests]
