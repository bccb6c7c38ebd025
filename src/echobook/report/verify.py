"""Verifying: is a new run of a chapter within tolerance of the recorded ones?

For a seed that is recorded, a figure may differ from that seed's record by the half-width of the recorded
95 % t interval over seeds, or by `relative` of the recorded value, whichever is larger. For a new seed it
must lie in the 99 % prediction interval of one further run, mean +- t s sqrt(1 + 1/S). Measured times, by
the word of both sides, are not compared. With one recorded seed only `relative` counts. On the machine that
made the record, the same seed gives the same bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from echobook.report.errors import ResultsError
from echobook.report.results import Results

RELATIVE = 1e-6
PREDICTION_LEVEL = 0.99


@dataclass(frozen=True)
class Check:
    """One figure of the new run beside the range the records allow."""

    metric: str
    value: float
    low: float
    high: float
    within: bool
    identical: bool


@dataclass(frozen=True)
class Verification:
    """All figures of a new run checked; figures that only one side holds are listed by name."""

    slug: str
    seed: int
    checks: tuple[Check, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def within(self) -> bool:
        """Whether every recorded figure is there and inside its range."""
        return not self.missing and all(check.within for check in self.checks)

    def report(self) -> str:
        """Return the answer in words, with the figures that are outside."""
        outside = [check for check in self.checks if not check.within]
        same = sum(check.identical for check in self.checks)
        lines = [
            f"{self.slug}, seed {self.seed}: {'within' if self.within else 'outside'} tolerance; "
            f"{len(self.checks) - len(outside)} of {len(self.checks)} figures inside, "
            f"{same} equal to the last bit"
        ]
        for check in outside:
            # Six decimals: a narrow range must not look like a point.
            span = f"[{check.low:.6f}, {check.high:.6f}]"
            lines.append(f"  {check.metric}: {check.value:.6f} is outside {span}")
        lines += [f"  {name}: recorded, but not in this run" for name in self.missing]
        lines += [f"  {name}: new, nothing recorded to compare with" for name in self.unknown]
        return "\n".join(lines)


def allowed(
    values: Sequence[float], same: float | None, *, relative: float = RELATIVE
) -> tuple[float, float]:
    """Return the range a new figure may take, from the recorded values of all seeds.

    `same`: the record of the very seed that was run again, or None when it has none.
    """
    count, mean = len(values), float(np.mean(values))
    centre, slack = (mean if same is None else same), relative * abs(mean if same is None else same)
    if count > 1:
        spread = float(np.std(values, ddof=1))
        level = PREDICTION_LEVEL if same is None else 0.95
        scale = math.sqrt(1 + 1 / count) if same is None else math.sqrt(1 / count)
        slack = max(slack, float(stats.t.ppf((1 + level) / 2, count - 1)) * spread * scale)
    return centre - slack, centre + slack


def verify(new: Results, recorded: Sequence[Results], *, relative: float = RELATIVE) -> Verification:
    """Compare a new run with all recorded runs of its chapter and profile.

    Raises ResultsError when nothing is recorded, or for another chapter or profile.
    """
    if not recorded:
        raise ResultsError(
            f"{new.slug}: nothing is recorded for profile {new.profile}, so nothing to compare"
        )
    for field in ("slug", "profile"):
        if getattr(new, field) != getattr(recorded[0], field):
            raise ResultsError(
                f"{field}: expected {getattr(recorded[0], field)!r}, found {getattr(new, field)!r}"
            )
    again = next((result for result in recorded if result.seed == new.seed), None)
    checks = []
    for name in sorted(recorded[0].metrics.keys() & new.metrics.keys()):
        if new.metrics[name].timing and recorded[0].metrics[name].timing:
            continue
        same = None if again is None else again.value(name)
        low, high = allowed([result.value(name) for result in recorded], same, relative=relative)
        value = new.value(name)
        checks.append(Check(name, value, low, high, low <= value <= high, value == same))
    missing = tuple(sorted(recorded[0].metrics.keys() - new.metrics.keys()))
    unknown = tuple(sorted(new.metrics.keys() - recorded[0].metrics.keys()))
    return Verification(new.slug, new.seed, tuple(checks), missing, unknown)
