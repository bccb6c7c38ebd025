"""Claims files: what is said about the world and how it is judged, and what our own code must do.

Written before any result. `data/claims/<slug>.yml` holds `findings` (judged from intervals), `checks` (pass
or fail), how close the re-run is to the paper (`fidelity`, `coverage`), the `plan` of the record, and what
was touched after results. The page book/claims-format.md explains each field with an example.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import pydantic

from echobook.report.claims_parts import (
    Anchor,
    Coverage,
    Fidelity,
    Grade,
    Identity,
    Plan,
    PlannedTest,
    Printed,
    Touched,
)
from echobook.report.claims_tests import Bound, CheckTest, Direction, Resampling, Test, TestName
from echobook.report.claims_yaml import named_explanation, read_yaml
from echobook.report.errors import ClaimsError
from echobook.report.paths import check_slug, claims_file
from echobook.report.results import Strict

__all__ = [
    "Bound",
    "Check",
    "CheckTest",
    "Claims",
    "Coverage",
    "Direction",
    "Fidelity",
    "Finding",
    "Grade",
    "Plan",
    "PlannedTest",
    "Printed",
    "Resampling",
    "Test",
    "Touched",
    "load_claims",
    "parse_claims",
]


def _refuse_repeated(field: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"{field}: names appear twice in {names}")


class Finding(Strict):
    """Something said about the world, with its tests; `not_testable` gives the reason where there are none.

    `origin`: whose statement it is: the paper's, derived from its figures, or ours. `combine`: whether all
    tests must hold, or any of them (with Holm's correction). `stands_on`: tests that alone can refute it.
    """

    kind: ClassVar[str] = "finding"
    id: Identity
    statement: str
    anchor: Anchor
    origin: Literal["paper", "derived", "ours"]
    printed: Printed
    combine: Literal["all", "any"] = "all"
    stands_on: list[TestName] = pydantic.Field(default_factory=list)
    not_testable: str | None = None
    tests: list[Test] = pydantic.Field(default_factory=list)

    @pydantic.model_validator(mode="after")
    def _testable(self) -> "Finding":
        if not self.tests and not self.not_testable:
            raise ValueError("tests: expected at least one, or a reason in not_testable")
        names = [test.name for test in self.tests]
        _refuse_repeated("tests", names)
        unknown = [name for name in self.stands_on if name not in names]
        if unknown:
            raise ValueError(f"stands_on: no test {unknown[0]!r}; known: {', '.join(names) or 'none'}")
        if self.stands_on and self.combine == "any":
            raise ValueError("stands_on: not allowed beside combine any, where each test alone is enough")
        return self

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics that are needed to judge it, each once; none where it is not testable."""
        tests = [] if self.not_testable else self.tests
        return list(dict.fromkeys(name for test in tests for name in test.metrics))


class Check(Strict):
    """A property that our own code must have, in every seed."""

    kind: ClassVar[str] = "check"
    id: Identity
    statement: str
    anchor: Anchor
    tests: list[CheckTest] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _names(self) -> "Check":
        _refuse_repeated("tests", [test.name for test in self.tests])
        return self

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics that the tests read, each once."""
        return list(dict.fromkeys(name for test in self.tests for name in test.metrics))


Statement = TypeVar("Statement", Finding, Check)


class Claims(Strict):
    """All findings and checks of one paper, judged in one chapter."""

    slug: str
    paper: str
    findings: list[Finding]
    checks: list[Check]
    fidelity: Fidelity
    coverage: list[Coverage]
    plan: Plan
    touched_after_results: list[Touched]

    @pydantic.model_validator(mode="after")
    def _unique(self) -> "Claims":
        for field in ("id", "anchor"):
            names = [getattr(one, field) for one in self.statements]
            if len(set(names)) != len(names):
                raise ValueError(f"findings and checks: {field} appears twice in {names}")
        return self

    @pydantic.model_validator(mode="after")
    def _plan_is_of_tests(self) -> "Claims":
        known = {(finding.id, test.name) for finding in self.findings for test in finding.tests}
        for planned in self.plan.tests:
            if (planned.finding, planned.test) not in known:
                own = [name for identity, name in sorted(known) if identity == planned.finding]
                raise ValueError(
                    f"plan.tests: finding {planned.finding} has no test {planned.test!r}; "
                    f"known: {', '.join(own) or 'none'}"
                )
        return self

    @property
    def statements(self) -> list[Finding | Check]:
        """All findings, then all checks."""
        return [*self.findings, *self.checks]

    def finding(self, identity: str) -> Finding:
        """Return one finding by id; an unknown id is an error that lists the known ones."""
        return self._by_id(self.findings, identity, "finding")

    def check(self, identity: str) -> Check:
        """Return one check by id; an unknown id is an error that lists the known ones."""
        return self._by_id(self.checks, identity, "check")

    def _by_id(self, statements: Sequence[Statement], identity: str, kind: str) -> Statement:
        for statement in statements:
            if statement.id == identity:
                return statement
        known = ", ".join(statement.id for statement in statements) or "none"
        raise ClaimsError(f"{self.slug}: no {kind} {identity!r}; known: {known}")


def parse_claims(text: str, source: str) -> Claims:
    """Parse and check a claims file; `source` names it in errors."""
    plain = read_yaml(text, source)
    try:
        return Claims.model_validate(plain)
    except pydantic.ValidationError as error:
        raise ClaimsError(f"{source}: {named_explanation(error, plain)}") from error


def load_claims(root: Path, slug: str) -> Claims:
    """Read `data/claims/<slug>.yml`; errors name file, claim, field and what was expected."""
    path = claims_file(root, check_slug(slug))
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.yml"))) or "none yet"
        raise ClaimsError(
            f"{path}: no such file; claims are written before results (chapters with claims: {known})"
        )
    claims = parse_claims(path.read_text(encoding="utf-8"), str(path))
    if claims.slug != slug:
        raise ClaimsError(f"{path}: slug: expected {slug!r}, found {claims.slug!r}")
    return claims
