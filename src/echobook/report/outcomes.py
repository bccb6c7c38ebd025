"""What judging gives: words for decisions and verdicts, and outcomes of tests, findings and checks."""

from dataclasses import dataclass
from typing import Literal

from echobook.report.claims import Check, CheckTest, Finding, Test

Decision = Literal["holds", "holds, smaller", "fails", "undecided"]
Verdict = Literal[
    "reproduced",
    "partly reproduced",
    "not reproduced",
    "undecided",
    "not testable here",
    "not yet recorded",
]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "partly reproduced",
    "not reproduced",
    "undecided",
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
    """What a test came to: estimate, interval (None with one seed), value of each seed, decision."""

    __test__ = False  # not a test class of pytest

    test: Test
    estimate: float
    low: float | None
    high: float | None
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    decision: Decision

    @property
    def name(self) -> str:
        """Name of the test in the claims file."""
        return self.test.name

    @property
    def words(self) -> str:
        """What readers see in place of the name."""
        return self.test.words

    @property
    def unit(self) -> str:
        """Unit of the compared value; '' for a pure ratio."""
        return self.test.unit

    @property
    def effect_ratio(self) -> float | None:
        """Our effect over the paper's, both from the value of no effect; None where the paper has none."""
        paper = self.test.paper_effect
        if paper is None or paper == self.test.null:
            return None
        return (self.estimate - self.test.null) / (paper - self.test.null)


@dataclass(frozen=True)
class FindingOutcome:
    """A finding with its verdict and the outcome of each of its tests."""

    finding: Finding
    verdict: Verdict
    tests: tuple[TestOutcome, ...]


@dataclass(frozen=True)
class CheckTestOutcome:
    """A check's test: the value furthest from its limit, the seeds, and whether all met the limit."""

    test: CheckTest
    worst: float
    seeds: tuple[int, ...]
    passed: bool


@dataclass(frozen=True)
class CheckOutcome:
    """A check with whether it passed (None: not yet recorded) and the outcome of each of its tests."""

    check: Check
    passed: bool | None
    tests: tuple[CheckTestOutcome, ...]
