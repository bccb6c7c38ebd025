"""Tests of findings and of checks: what is compared, in which unit, and what decides. Part of a claims file.

A test compares one metric with another (`against`: a metric or a number) in each seed:

- `value`: the metric itself;
- `difference`: metric - against;
- `ratio`: metric / against;
- `relative_change`: (metric - against) / |against|;
- `order` (findings): `metric` is a list, expected from largest to smallest; the smallest step between
  neighbours;
- `equality` (checks): |metric - against|, at most `tolerance`.

A finding's test has a `direction`, a `bound` that its whole interval must clear to hold, and the
`smallest_effect` that matters, short of which the whole interval must lie to fail. A check's test compares
the value of every seed with a number.
"""

import re
from typing import Annotated, Any, Literal, get_args

import pydantic

from echobook.report.results import METRIC_NAME, MetricName, Strict

Direction = Literal["above", "below", "within"]
Relation = Literal["<", "<=", ">", ">=", "=="]
Bound = float | Annotated[list[float], pydantic.Field(min_length=2, max_length=2)]
TestName = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Words = Annotated[str, pydantic.StringConstraints(min_length=1, pattern=r"\S")]
Control = Literal[
    "trivial answer",
    "simple baseline",
    "no training",
    "shuffled labels",
    "random structure",
    "equal budget",
]
CONTROLS: tuple[Control, ...] = get_args(Control)
PAIRED = ("difference", "ratio", "relative_change", "equality")


class Resampling(Strict):
    """What is drawn anew for the interval, and its level.

    `unit`: seeds, items, or groups of items (the recorded metric has `groups`). `seeds`: `crossed` where all
    seeds share the items, `nested` where each has its own; none for unit `seeds`.
    """

    unit: Literal["seeds", "items", "groups"]
    seeds: Literal["crossed", "nested"] | None = None
    level: Annotated[float, pydantic.Field(gt=0.5, lt=1)] = 0.95

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Resampling":
        if self.unit == "seeds" and self.seeds is not None:
            raise ValueError(f"seeds: not allowed for unit seeds, found {self.seeds!r}")
        if self.unit != "seeds" and self.seeds is None:
            raise ValueError(f"seeds: expected crossed or nested for unit {self.unit}, found none")
        return self


class _Compared(Strict):
    """What tests of findings and of checks share: a name, words for readers, and what is compared."""

    name: TestName
    words: Words
    metric: MetricName | list[MetricName]
    against: MetricName | float | None = None
    comparison: Literal["value", "difference", "ratio", "relative_change", "order", "equality"]
    unit: str

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> "_Compared":
        if (self.comparison == "order") != isinstance(self.metric, list):
            raise ValueError("metric: expected a list for comparison order, one name for the others")
        if isinstance(self.metric, list) and (len(self.metric) < 2 or self.against is not None):
            raise ValueError("metric: expected at least two for comparison order, and no `against`")
        if (self.comparison in PAIRED) != (self.against is not None):
            wanted = "expected" if self.comparison in PAIRED else "not allowed"
            raise ValueError(f"against: {wanted} for comparison {self.comparison}")
        if self.against == 0 and self.comparison in ("ratio", "relative_change"):
            raise ValueError(f"against: expected a number other than 0 for comparison {self.comparison}")
        return self

    @pydantic.model_validator(mode="after")
    def _words_are_words(self) -> "_Compared":
        if "/" in self.words and re.fullmatch(METRIC_NAME, self.words):
            raise ValueError(f"words: expected what readers understand, found a metric's name {self.words!r}")
        return self

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics the test reads."""
        named = list(self.metric) if isinstance(self.metric, list) else [self.metric]
        return [*named, self.against] if isinstance(self.against, str) else named

    @property
    def null(self) -> float:
        """The value of no effect: 1 for a ratio, else 0."""
        return 1.0 if self.comparison == "ratio" else 0.0


class Test(_Compared):
    """One test of a finding; how it is decided stands in `echobook.report.verdicts`.

    `words` are what readers see; `unit` is that of the compared value. `smallest_effect` equals the bound for
    'no worse than', and is left out for direction `within`, whose bound is a pair. `paper_effect`: the
    paper's, in the same unit. `differs`, `otherwise`: what differs between the two arms, and what else could
    explain the result and which test is about that; needed where two metrics are compared. `control`: the
    kind of the other arm, where it is one that a method must beat to mean anything; the synthesis counts it.
    """

    __test__ = False  # not a test class of pytest

    comparison: Literal["value", "difference", "ratio", "relative_change", "order"]
    direction: Direction
    bound: Bound
    smallest_effect: float | None = None
    paper_effect: float | None = None
    aggregate: Literal["mean", "median"] = "mean"
    resampling: Resampling
    differs: str = ""
    otherwise: str = ""
    control: Control | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _has_direction(cls, plain: Any) -> Any:
        if isinstance(plain, dict) and "bound" in plain and plain.get("direction") is None:
            raise ValueError("direction: expected above, below or within beside the bound, found none")
        return plain

    @pydantic.model_validator(mode="after")
    def _bound_fits(self) -> "Test":
        if (self.direction == "within") != isinstance(self.bound, list):
            wanted = "[low, high]" if self.direction == "within" else "one number"
            raise ValueError(f"bound: expected {wanted} for direction {self.direction}, found {self.bound}")
        if isinstance(self.bound, list):
            if not self.bound[0] < self.bound[1]:
                raise ValueError(f"bound: expected the lower number first, found {self.bound}")
            if self.smallest_effect is not None:
                raise ValueError("smallest_effect: not allowed for direction within, whose bound says it")
        elif self.smallest_effect is None:
            raise ValueError(f"smallest_effect: expected a number for direction {self.direction}")
        elif (self.smallest_effect - self.bound) * (1 if self.direction == "above" else -1) < 0:
            raise ValueError(
                f"smallest_effect: {self.smallest_effect} is on the wrong side of the bound {self.bound}; "
                f"expected it {self.direction} the bound or equal to it"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _resampling_fits(self) -> "Test":
        if self.resampling.unit != "seeds":
            if self.comparison == "order":
                raise ValueError("resampling: order is over seeds; for items write one difference a step")
            if self.aggregate == "median":
                raise ValueError(f"aggregate: expected mean for unit {self.resampling.unit}")
        return self

    @pydantic.model_validator(mode="after")
    def _arms_explained(self) -> "Test":
        if len(self.metrics) > 1:
            for field in ("differs", "otherwise"):
                if not getattr(self, field).strip():
                    raise ValueError(f"{field}: expected a sentence, as two metrics are compared")
        return self


class CheckTest(_Compared):
    """One test of a check: in every seed the compared value `is` (<, <=, ...) `value`.

    For `equality`, `tolerance` stands in place of `is` and `value`.
    """

    comparison: Literal["value", "difference", "ratio", "relative_change", "equality"]
    relation: Relation | None = pydantic.Field(default=None, alias="is")
    value: float | None = None
    tolerance: Annotated[float, pydantic.Field(ge=0)] | None = None

    @pydantic.model_validator(mode="after")
    def _limit_fits(self) -> "CheckTest":
        equality = self.comparison == "equality"
        if equality != (self.tolerance is not None):
            wanted = "expected" if equality else "only for comparison equality, not"
            raise ValueError(f"tolerance: {wanted} for comparison {self.comparison}")
        for field, found in (("is", self.relation), ("value", self.value)):
            if equality != (found is None):
                wanted = "not allowed beside a tolerance" if equality else "expected"
                raise ValueError(f"{field}: {wanted} for comparison {self.comparison}")
        return self

    @property
    def limit(self) -> tuple[Relation, float]:
        """The relation and the number that the value of every seed must meet."""
        if self.tolerance is not None:
            return "<=", self.tolerance
        assert self.relation is not None  # as `_limit_fits` has seen to
        assert self.value is not None
        return self.relation, self.value
