"""How many seeds a test needs before it is decided, by simulation of the plan.

A plan knows the standard deviation between seeds beyond item noise (`spread`, sigma), the standard error that
items give to one seed (`item_error`, tau), and what seeds share (`design`). With S seeds, a simulated run has

    estimate = effect + N(0, (sigma^2 + W) / S + c),   M = (sigma^2 + W) chi^2_{S-1} / (S - 1)
    crossed: c = shared tau^2, W = (1 - shared) tau^2;  nested: c = 0, W = tau^2;  seeds: c = W = 0

and is decided by the interval that M, c and W make (`echobook.metrics.confidence`, without skew). `shared`
is the part of the item variance that is the same in every seed; 1, the default, is the cautious choice.
More seeds never make c smaller: a crossed plan can be out of reach of any number of them, and the answer
says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from echobook.metrics.confidence import Bound, Direction, Number, check_bound, check_level

Design = Literal["crossed", "nested", "seeds"]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A test as planned: what varies, what is true (`effect`), and how it is decided.

    `units`: number of items or clusters a seed is scored on. Other fields: module docstring and `decide`.
    """

    spread: Number
    item_error: Number = 0.0
    design: Design
    effect: Number
    bound: Bound
    smallest_effect: Number | None = None
    direction: Direction = "above"
    level: float = 0.95
    shared: Number = 1.0
    units: int = 200

    def __post_init__(self) -> None:
        for name, value in (("spread", self.spread), ("item_error", self.item_error)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: expected a finite number of at least 0, found {value}")
        if not 0 <= self.shared <= 1:
            raise ValueError(f"shared: expected between 0 and 1, found {self.shared}")
        if self.design not in ("crossed", "nested", "seeds"):
            raise ValueError(f"design: expected crossed, nested or seeds, found {self.design!r}")
        if self.units < 2:
            raise ValueError(f"units: expected at least 2, found {self.units}")
        check_level(self.level)
        check_smallest_effect(self.bound, self.smallest_effect, self.direction)

    @property
    def common(self) -> float:
        """Variance c that all seeds share."""
        return self.shared * self.item_error**2 if self.design == "crossed" else 0.0

    @property
    def own(self) -> float:
        """Item variance W of one seed alone."""
        return 0.0 if self.design == "seeds" else self.item_error**2 - self.common

    @property
    def gap(self) -> float:
        """How far the effect lies beyond the (nearer) bound; negative where it falls short."""
        if isinstance(self.bound, tuple):
            return min(self.effect - self.bound[0], self.bound[1] - self.effect)
        return self.effect - self.bound if self.direction == "above" else self.bound - self.effect


@dataclass(frozen=True)
class Rates:
    """Probabilities of the four decisions; they add up to 1."""

    holds: float
    smaller: float  # holds, but the interval is short of the smallest effect that matters
    fails: float
    undecided: float


@dataclass(frozen=True)
class SeedsNeeded:
    """The smallest number of seeds with enough power and the power there; else None, the most, and why."""

    seeds: int | None
    power: float
    reason: str


def check_smallest_effect(bound: Bound, smallest_effect: Number | None, direction: Direction) -> None:
    """Refuse a smallest effect on the wrong side of the bound, or beside a pair of bounds."""
    check_bound(bound, direction)
    if smallest_effect is None:
        return
    if isinstance(bound, tuple):
        raise ValueError("smallest_effect: not allowed for direction within")
    if (smallest_effect - bound) * (1 if direction == "above" else -1) < 0:
        raise ValueError(
            f"smallest_effect: {smallest_effect} is on the wrong side of the bound {bound} ({direction})"
        )


def decide(
    low: Float[np.ndarray, "R"],
    high: Float[np.ndarray, "R"],
    *,
    bound: Bound,
    smallest_effect: Number | None = None,
    direction: Direction = "above",
) -> tuple[Bool[np.ndarray, "R"], Bool[np.ndarray, "R"]]:
    """Return whether each interval *holds* and whether it *fails*.

    Both: it holds, but smaller. above: low > bound, high < smallest effect (none given:
    the bound); below is the mirror image; within: the interval inside both bounds, or
    wholly beyond one of them.
    """
    check_smallest_effect(bound, smallest_effect, direction)
    if isinstance(bound, tuple):
        inside = (low > bound[0]) & (high < bound[1])
        return inside, (high < bound[0]) | (low > bound[1])
    least = bound if smallest_effect is None else smallest_effect
    if direction == "below":
        return high < bound, low > least
    return low > bound, high < least


def simulated_intervals(
    plan: Scenario, seeds: int, *, seed: int = 0, trials: int = 20_000
) -> tuple[Float[np.ndarray, "R"], Float[np.ndarray, "R"]]:
    """Return both ends of `trials` simulated intervals with S >= 2 seeds each."""
    if seeds < 2:
        raise ValueError(f"seeds: expected at least 2, found {seeds}")
    rng = np.random.default_rng([seed, seeds])
    noise = (plan.spread**2 + plan.own) / seeds
    estimate = plan.effect + rng.normal(size=trials) * math.sqrt(noise + plan.common)
    between = noise * rng.chisquare(seeds - 1, size=trials) / (seeds - 1)
    common = plan.common * rng.chisquare(plan.units - 1, size=trials) / (plan.units - 1)
    t_seeds, t_items = stats.t.ppf((1 + plan.level) / 2, [seeds - 1, plan.units - 1])
    both = np.hypot(t_seeds * np.sqrt(between), t_items * np.sqrt(common))
    half = np.maximum(both, t_items * np.sqrt(plan.own / seeds + common))
    return estimate - half, estimate + half


def power(plan: Scenario, seeds: int, *, seed: int = 0, trials: int = 20_000) -> Rates:
    """Return the probability of each decision with this many seeds when the truth is the plan's effect.

    Monte Carlo error at most .5 / sqrt(trials).
    """
    low, high = simulated_intervals(plan, seeds, seed=seed, trials=trials)
    holds, fails = decide(
        low, high, bound=plan.bound, smallest_effect=plan.smallest_effect, direction=plan.direction
    )
    return Rates(
        float(np.mean(holds & ~fails)),
        float(np.mean(holds & fails)),
        float(np.mean(fails & ~holds)),
        float(np.mean(~holds & ~fails)),
    )


def seeds_needed(
    plan: Scenario, *, target: float = 0.8, most: int = 200, seed: int = 0, trials: int = 20_000
) -> SeedsNeeded:
    """Return the smallest number of seeds (2 to `most`) at which `power(...).holds` reaches `target`."""
    if not 0 < target < 1 or most < 2:
        raise ValueError(f"expected target between 0 and 1 and most at least 2, found {target} and {most}")
    if plan.gap <= 0:
        reason = f"no number of seeds: the effect {plan.effect:g} is not beyond the bound"
        return SeedsNeeded(None, power(plan, most, seed=seed, trials=trials).holds, reason)

    def reached(seeds: int) -> float:
        return power(plan, seeds, seed=seed, trials=trials).holds

    best = reached(most)
    if best < target:
        return SeedsNeeded(None, best, _why_not(plan, most, best, target))
    found = _first(reached, target, most)
    return SeedsNeeded(found, reached(found), f"{found} seeds are enough")


def _why_not(plan: Scenario, most: int, best: float, target: float) -> str:
    short = f"the power is {best:.2f} with {most} seeds, short of {target:g}"
    error = math.sqrt(plan.common)
    wanted = float(stats.norm.ppf((1 + plan.level) / 2) + stats.norm.ppf(target))
    if error * wanted <= plan.gap:
        return f"more than {most} seeds: {short}"
    times = (error * wanted / plan.gap) ** 2
    return (
        f"no number of seeds: all share the items, whose standard error of {error:.3g} stays; {short};"
        f" it takes at least {times:.1f} times as many items"
    )


def _first(reached: Callable[[int], float], target: float, most: int) -> int:
    """Smallest number with enough power, by halving: power grows with seeds up to Monte Carlo error."""
    low, high = 1, most  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= target else (middle, high)
    return high
