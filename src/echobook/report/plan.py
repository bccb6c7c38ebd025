"""How many seeds decide each test of a chapter, from its recorded runs or from pilot runs.

For each test: half of its interval's width now, the decision, the effect planned for, the number of seeds at
which the test holds with 80 % power if that effect is true, and the CPU minutes that they take. The effect is
the paper's; else one twice as far beyond the bound as the smallest that matters; else (the bound is the
smallest effect, as in 'no worse than') no effect at all; each only where it is beyond the bound, and else the
one seen so far. Within a pair of bounds it is the paper's effect or the middle. The spread between seeds and
the error that items bring are those of the runs at hand; `echobook.metrics.planning` does the simulation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from echobook.metrics.intervals import Components
from echobook.metrics.planning import Scenario, SeedsNeeded, seeds_needed
from echobook.report.claims import Claims, Finding, Test
from echobook.report.claims_parts import FIRST_PILOT_SEED
from echobook.report.errors import ReportError, ResultsError
from echobook.report.measures import components_of
from echobook.report.outcomes import Decision, TestOutcome
from echobook.report.records import load_recorded, load_seeds
from echobook.report.results import Results, read_results
from echobook.report.verdicts import measure

POWER = 0.8
MOST_SEEDS = 200
MEDIAN = math.sqrt(math.pi / 2)  # standard error of a median over that of the mean, many normal values


@dataclass(frozen=True)
class Effect:
    """The effect planned for, and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class TestPlan:
    """What is known of one test and what it would take; `needed` is None where `reason` says why not."""

    __test__ = False  # not a test class of pytest

    finding: str
    test: Test
    estimate: float | None = None
    half_width: float | None = None
    decision: Decision = "undecided"
    effect: Effect | None = None
    spread: float | None = None
    item_error: float | None = None
    needed: SeedsNeeded | None = None
    reason: str = ""

    @property
    def seeds(self) -> int | None:
        """The number of seeds needed, None where no number is enough or nothing is known."""
        return self.needed.seeds if self.needed else None


def beyond(test: Test, value: float) -> bool:
    """Whether a value is beyond the bound, on the side where the test holds."""
    if isinstance(test.bound, list):
        return test.bound[0] < value < test.bound[1]
    return value > test.bound if test.direction == "above" else value < test.bound


def effect_of(test: Test, seen: float) -> Effect | None:
    """Return the effect to plan for (see the module's first lines), None where none is beyond the bound."""
    if isinstance(test.bound, list):
        second = Effect((test.bound[0] + test.bound[1]) / 2, "middle of the bounds")
    else:
        smallest = test.bound if test.smallest_effect is None else test.smallest_effect
        second = Effect(2 * smallest - test.bound, "twice the smallest effect")
    none = [] if test.comparison == "value" else [Effect(test.null, "no effect")]
    candidates = [second, *none, Effect(seen, "as seen so far")]
    if test.paper_effect is not None:
        candidates.insert(0, Effect(test.paper_effect, "the paper's"))
    return next((effect for effect in candidates if beyond(test, effect.value)), None)


def _known(plan: TestPlan, outcome: TestOutcome) -> TestPlan:
    half = None if outcome.low is None or outcome.high is None else (outcome.high - outcome.low) / 2
    effect = effect_of(outcome.test, outcome.estimate)
    return replace(plan, estimate=outcome.estimate, half_width=half, decision=outcome.decision, effect=effect)


def _scenario(test: Test, effect: Effect, found: Components, chances: int) -> Scenario:
    """The test as the simulation sees it; `chances`: tests of which any may hold."""
    over = test.resampling
    return Scenario(
        spread=found.spread * (MEDIAN if test.aggregate == "median" else 1.0),
        item_error=found.item_error,
        design=over.seeds or "seeds",
        effect=effect.value,
        bound=(test.bound[0], test.bound[1]) if isinstance(test.bound, list) else test.bound,
        smallest_effect=test.smallest_effect,
        direction=test.direction,
        level=1 - (1 - over.level) / chances,
        shared=found.shared_part,
        units=int(min(found.item_degrees, 10**6)) + 1,
    )


def plan_test(
    finding: Finding, test: Test, results: Sequence[Results], *, power: float = POWER, most: int = MOST_SEEDS
) -> TestPlan:
    """Return what is known of a test from runs, and the number of seeds that it needs, at most `most`.

    With *any* of several tests, each is planned at the level of Holm's first step. A metric that the runs do
    not hold is the `reason` of a plan without figures.
    """
    plan = TestPlan(finding.id, test)
    try:
        outcome = measure(test, results)
        found = components_of(test, outcome.values, results)
    except ReportError as error:
        return replace(plan, reason=str(error))
    plan = _known(plan, outcome)
    if plan.effect is None:
        return replace(plan, reason="no effect beyond the bound to plan for")
    if len(results) < 2:
        return replace(plan, reason="one run shows no spread between seeds; run two or more")
    scenario = _scenario(test, plan.effect, found, len(finding.tests) if finding.combine == "any" else 1)
    needed = seeds_needed(scenario, target=power, most=most)
    items = None if test.resampling.unit == "seeds" else found.item_error
    return replace(
        plan,
        spread=float(scenario.spread),
        item_error=items,
        needed=needed,
        reason="" if needed.seeds else needed.reason,
    )


def plan_tests(
    claims: Claims, results: Sequence[Results], *, power: float = POWER, most: int = MOST_SEEDS
) -> list[TestPlan]:
    """Return the plan of every test of the findings that can be tested, in the order of the file."""
    return [
        plan_test(finding, test, results, power=power, most=most)
        for finding in claims.findings
        if not finding.not_testable
        for test in finding.tests
    ]


def load_pilots(folder: Path, slug: str) -> list[Results]:
    """Read all pilot runs of a folder, `seed-1000.json` and so on, of one profile.

    Raises ResultsError for an empty folder, for a seed below 1000, and as `load_seeds` does.
    """
    files = sorted(folder.glob("seed-*.json")) if folder.is_dir() else []
    if not files:
        raise ResultsError(
            f"{folder}: expected pilot runs such as seed-{FIRST_PILOT_SEED}.json, found none; run "
            f"echobook run {slug} --profile public --seed {FIRST_PILOT_SEED} --output-root _build/pilots"
        )
    first = read_results(files[0], slug=slug)
    for path in files:
        seed = path.stem.removeprefix("seed-")
        if seed.isdigit() and int(seed) < FIRST_PILOT_SEED:
            raise ResultsError(
                f"{path}: expected pilot seeds from {FIRST_PILOT_SEED} on, which are never recorded"
            )
    return load_seeds(folder, slug, first.profile)


def runs_to_plan_from(root: Path, slug: str, pilots: Path | None = None) -> list[Results]:
    """Return the pilot runs of a folder, or without one the recorded public runs; none at all is refused."""
    if pilots is not None:
        return load_pilots(pilots, slug)
    recorded = load_recorded(root, slug)
    if not recorded:
        raise ResultsError(
            f"{slug}: nothing is recorded to plan from; make pilot runs and give their folder with --pilots"
        )
    return recorded
