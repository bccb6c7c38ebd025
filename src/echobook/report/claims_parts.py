"""Parts of a claims file beside its tests: the printed figure, fidelity, coverage, and the plan."""

from typing import Annotated, Literal

import pydantic

from echobook.report.claims_tests import TestName, Words
from echobook.report.results import Strict

FIRST_PILOT_SEED = 1000
Identity = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Z][0-9]+[a-z]?$")]
Anchor = TestName


class Printed(Strict):
    """The paper's own figure and where it comes from."""

    value: float | None
    unit: str
    text: str
    source: str
    provenance: Literal["read", "derived", "recalled", "inferred"]


class Grade(Strict):
    """How close one side of the re-run is to the paper, with a few words."""

    grade: Literal["same", "smaller", "stand-in", "inferred"]
    words: Words


class Fidelity(Strict):
    """The five sides of a re-run, each graded."""

    data: Grade
    model: Grade
    training: Grade
    evaluation: Grade
    details: Grade


class Coverage(Strict):
    """One part of the paper: whether it was done here, and if not, why."""

    kind: Literal["component", "baseline", "ablation", "experiment", "control"]
    part: Words
    status: Literal["done", "stand-in", "absent"]
    why: str = ""

    @pydantic.model_validator(mode="after")
    def _says_why(self) -> "Coverage":
        if self.status != "done" and not self.why.strip():
            raise ValueError(f"why: expected a reason, as the status is {self.status}")
        return self


class PlannedTest(Strict):
    """The plan of one test, in the unit of the test.

    `effect`: the one planned for; `seed_spread`: standard deviation over pilot seeds; `item_error`: standard
    error over items within a seed, if any; `seeds_needed` at `power`, None where no number is enough.
    """

    finding: Identity
    test: TestName
    effect: float
    seed_spread: Annotated[float, pydantic.Field(ge=0)]
    item_error: Annotated[float, pydantic.Field(ge=0)] | None = None
    seeds_needed: Annotated[int, pydantic.Field(ge=1)] | None
    power: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.8


class Plan(Strict):
    """What was planned before the record: seeds, CPU minutes a seed, and each test's number of seeds."""

    profile: Literal["default", "public", "paper"]
    pilot_seeds: list[Annotated[int, pydantic.Field(ge=FIRST_PILOT_SEED)]]
    seeds: Annotated[int, pydantic.Field(ge=1)]
    minutes: Annotated[float, pydantic.Field(gt=0)]
    tests: list[PlannedTest]
    note: str = ""


class Touched(Strict):
    """Something changed after a result had been seen: what, when (a date), and why."""

    what: Words
    when: Annotated[str, pydantic.StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    why: Words
