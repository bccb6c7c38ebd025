"""Claims files: what a paper says, and the criterion by which code judges it. Written before any result.

`data/claims/<slug>.yml` holds the schema below. A test compares one metric with another (`against`: a
metric or a number) in each seed, and aggregates over seeds:

- `value`: the metric itself;
- `difference`: metric - against;
- `ratio`: metric / against;
- `relative_change`: (metric - against) / |against|;
- `order`: `metric` is a list, expected from largest to smallest; the smallest step between neighbours;
- `equality`: |metric - against|, with a `tolerance`.

Rules name quantities: `estimate`, `low`, `high`, `standard_errors` (|estimate - null| / standard error),
`p_value` (Holm-adjusted over the chapter), `seeds`, and `share_of_seeds` (share of seeds whose value is above
`null_value`; for `equality`, within `tolerance`). `null_value` is 1 for `ratio` and 0 otherwise unless given.
A quantity that cannot be computed (an interval from one seed) satisfies no condition.
"""

from pathlib import Path
from typing import Annotated, Literal

import pydantic
import yaml

from echobook.report.errors import ClaimsError
from echobook.report.paths import check_slug, claims_file
from echobook.report.results import MetricName, Strict, explain

Quantity = Literal["estimate", "low", "high", "standard_errors", "p_value", "seeds", "share_of_seeds"]
Comparison = Literal["value", "difference", "ratio", "relative_change", "order", "equality"]
Level = Annotated[float, pydantic.Field(gt=0.5, lt=1)]


class Condition(Strict):
    """One comparison of a quantity with a number."""

    quantity: Quantity
    relation: Annotated[Literal["<", "<=", ">", ">=", "=="], pydantic.Field(alias="is")]
    value: float


class Rule(Strict):
    """Conditions that must hold: all of them, or any of them (exactly one of the two lists)."""

    all: list[Condition] | None = None
    any: list[Condition] | None = None

    @pydantic.model_validator(mode="after")
    def _one_list(self) -> "Rule":
        if (self.all is None) == (self.any is None) or not (self.all or self.any):
            raise ValueError("expected exactly one of `all` and `any`, with at least one condition")
        return self

    @property
    def conditions(self) -> list[Condition]:
        """All conditions of the rule."""
        return self.all or self.any or []


class IntervalRule(Strict):
    """How the interval is made. `items` needs per-item scores; `groups` also their groups."""

    method: Literal["t", "bootstrap", "hierarchical", "none"] = "t"
    over: Literal["seeds", "items", "groups"] = "seeds"
    level: Level = 0.95

    @pydantic.model_validator(mode="after")
    def _known_pair(self) -> "IntervalRule":
        if self.method == "t" and self.over != "seeds":
            raise ValueError("method t is over seeds; for items or groups use bootstrap")
        return self


class PValueRule(Strict):
    """How a p value is made: paired sign flips or the sign test, over seeds or per-item scores."""

    method: Literal["permutation", "sign"] = "permutation"
    over: Literal["seeds", "items"] = "seeds"
    alternative: Literal["two-sided", "greater", "less"] = "two-sided"


class Test(Strict):
    """One criterion: what is compared, how it is aggregated, and when it counts as reproduced or not."""

    __test__ = False  # not a test class of pytest

    name: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    metric: MetricName | list[MetricName]
    against: MetricName | float | None = None
    comparison: Comparison
    aggregate: Literal["mean", "median", "min", "max"] = "mean"
    interval: IntervalRule = pydantic.Field(default_factory=IntervalRule)
    p_value: PValueRule = pydantic.Field(default_factory=PValueRule)
    null_value: float | None = None
    tolerance: Annotated[float, pydantic.Field(ge=0)] | None = None
    reproduced: Rule
    not_reproduced: Rule

    @pydantic.model_validator(mode="after")
    def _shape(self) -> "Test":
        if (self.comparison == "order") != isinstance(self.metric, list):
            raise ValueError("metric: a list for comparison `order`, one name for the others")
        if isinstance(self.metric, list) and (len(self.metric) < 2 or self.against is not None):
            raise ValueError("order: expected at least two metrics and no `against`")
        needs = self.comparison in ("difference", "ratio", "relative_change", "equality")
        if needs != (self.against is not None):
            raise ValueError(
                f"against: {'expected' if needs else 'not allowed'} for comparison {self.comparison}"
            )
        if (self.comparison == "equality") != (self.tolerance is not None):
            raise ValueError("tolerance: expected for comparison `equality`, and only there")
        if self.interval.method == "t" and self.aggregate != "mean":
            raise ValueError(
                f"interval: method t is for the mean, not the {self.aggregate}; use bootstrap or none"
            )
        if self.interval.over in ("items", "groups") and self.comparison in ("order", "equality"):
            raise ValueError(f"interval: {self.comparison} has intervals over seeds only")
        return self

    @property
    def null(self) -> float:
        """The value of no effect."""
        if self.null_value is not None:
            return self.null_value
        return 1.0 if self.comparison == "ratio" else 0.0

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics the test reads."""
        named = list(self.metric) if isinstance(self.metric, list) else [self.metric]
        return [*named, self.against] if isinstance(self.against, str) else named

    @property
    def uses_p_value(self) -> bool:
        """Whether any rule names the p value."""
        rules = (*self.reproduced.conditions, *self.not_reproduced.conditions)
        return any(condition.quantity == "p_value" for condition in rules)


class Printed(Strict):
    """The paper's own figure and where it comes from."""

    value: float | None
    unit: str
    text: str
    source: str
    provenance: Literal["read", "derived", "recalled", "inferred"]


class AtLeast(Strict):
    """Combine tests: reproduced when at least this many are."""

    at_least: Annotated[int, pydantic.Field(ge=1)]


class Claim(Strict):
    """One claim of the paper with its tests; `not_testable` gives the reason where there can be none."""

    id: Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Z][0-9]+[a-z]?$")]
    statement: str
    anchor: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    printed: Printed
    tests: list[Test] = pydantic.Field(default_factory=list)
    combine: Literal["all", "any", "worst"] | AtLeast = "all"
    not_testable: str | None = None

    @pydantic.model_validator(mode="after")
    def _testable(self) -> "Claim":
        if not self.tests and not self.not_testable:
            raise ValueError("tests: expected at least one, or a reason in not_testable")
        names = [test.name for test in self.tests]
        if len(set(names)) != len(names):
            raise ValueError(f"tests: names appear twice in {names}")
        if isinstance(self.combine, AtLeast) and self.combine.at_least > len(self.tests):
            raise ValueError(f"combine: at_least {self.combine.at_least} of {len(self.tests)} tests")
        return self


class Claims(Strict):
    """All claims of one paper, judged in one chapter."""

    slug: str
    paper: str
    claims: list[Claim]

    @pydantic.model_validator(mode="after")
    def _unique(self) -> "Claims":
        for field in ("id", "anchor"):
            names = [getattr(claim, field) for claim in self.claims]
            if len(set(names)) != len(names):
                raise ValueError(f"claims: {field} appears twice in {names}")
        return self

    def claim(self, identity: str) -> Claim:
        """Return one claim by id; an unknown id is an error that lists the known ones."""
        for claim in self.claims:
            if claim.id == identity:
                return claim
        known = ", ".join(claim.id for claim in self.claims)
        raise ClaimsError(f"{self.slug}: no claim {identity!r}; known: {known}")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, refusing a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
        if repeated:
            raise ClaimsError(f"line {node.start_mark.line + 1}: {repeated[0]!r} appears twice")
        return super().construct_mapping(node, deep)


def _name_claims(error: pydantic.ValidationError, plain: object) -> str:
    """Explain a validation error with claim ids in place of positions."""
    text = explain(error)
    claims = plain.get("claims") if isinstance(plain, dict) else None
    for position, claim in enumerate(claims if isinstance(claims, list) else []):
        if isinstance(claim, dict) and "id" in claim:
            text = text.replace(f"claims.{position}.", f"claim {claim['id']}: ")
            text = text.replace(f"claims.{position}:", f"claim {claim['id']}:")
    return text


def parse_claims(text: str, source: str) -> Claims:
    """Parse and check a claims file; `source` names it in errors."""
    try:
        plain = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ClaimsError) as error:
        raise ClaimsError(f"{source}: not a claims file: {error}") from error
    try:
        return Claims.model_validate(plain)
    except pydantic.ValidationError as error:
        raise ClaimsError(f"{source}: {_name_claims(error, plain)}") from error


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
