"""Curves over knobs of the generator or of the budget: what follows from what it was told, never a finding.

A knob is turned while all else stays; at one of its ends nothing should be gained (``tail`` 0), or a gain
should not depend on whom one asks (``atypical`` 0): the controls. All arms of a curve train at the rate of
activity-equal, so that nothing but selection and weights differs.
"""

from dataclasses import dataclass, replace

from echobook.papers.federated_nlu.baselines import arm
from echobook.papers.federated_nlu.experiment import Points, build_world
from echobook.papers.federated_nlu.material import TESTS, Texts
from echobook.papers.federated_nlu.rates import chosen_rate
from echobook.papers.federated_nlu.training import train_arm

ATYPICAL = (0.0, 0.5, 1.0)  # share of a device's mix that belongs to its group
AGAINST = "uniform-equal"  # counts every device alike
RULES = ("activity-equal", "activity-n", "top-m")


@dataclass(frozen=True)
class Knob:
    """One setting that is turned while all others stay: of the devices, or of the budget."""

    name: str
    values: tuple[float, ...]

    def turned(self, value: float, at: Points) -> tuple[dict[str, float], Points]:
        """Changes of the devices' settings, and the points to compare at."""
        if self.name in ("m", "epochs"):
            return {}, replace(at, budget=replace(at.budget, **{self.name: int(value)}))
        return {self.name: value}, at


KNOBS = (
    Knob("tail", (0.0, 0.75, 1.5, 2.25)),
    Knob("skew", (0.0, 1.0, 0.3, 0.03)),
    Knob("m", (5.0, 10.0, 20.0, 40.0)),
    Knob("epochs", (1.0, 2.0, 4.0)),
)


def sweep(
    knob: Knob, texts: Texts, at: Points, *, rates: str, devices: int, seed: int
) -> list[dict[str, float | str]]:
    """Gain of activity-equal over uniform-n at each value of a knob: early and late, for all and balanced.

    Both arms train at the rate of activity-equal, so that nothing but selection and weights differs.
    """
    rows: list[dict[str, float | str]] = []
    for value in knob.values:
        changes, here = knob.turned(value, at)
        world = build_world("mixed", texts, seed=seed, devices=devices, **changes)  # type: ignore[arg-type]
        watch, rate = list(at.named.values()), chosen_rate(rates, "activity-equal")
        curves = {
            name: train_arm(world, arm(name), here.budget, rate=rate, seed=seed, watch=watch)
            for name in ("uniform-n", "activity-equal")
        }
        for weighting in ("all", "balanced"):
            for point, number in at.named.items():
                ends = [world.test.accuracy(c.at_round(number), weighting) for c in curves.values()]
                rows.append(
                    {
                        "knob": knob.name,
                        "value": value,
                        "test": weighting,
                        "point": point,
                        "gain": ends[1] - ends[0],
                    }
                )
    return rows


def whom_it_serves(
    texts: Texts, at: Points, *, rates: str, devices: int, seed: int
) -> list[dict[str, float | str]]:
    """Gain over uniform selection with equal weights at the late round while heavy devices become atypical.

    One row for each value of :data:`ATYPICAL`, rule and test. At 0 all tests ask the same question.
    """
    rows: list[dict[str, float | str]] = []
    rate, watch = chosen_rate(rates, "activity-equal"), [at.late]
    for share in ATYPICAL:
        world = build_world("mixed", texts, seed=seed, devices=devices, atypical=share)
        curves = {
            name: train_arm(world, arm(name), at.budget, rate=rate, seed=seed, watch=watch)
            for name in (AGAINST, *RULES)
        }
        for test in TESTS:
            ends = {name: world.test.accuracy(c.at_round(at.late), test) for name, c in curves.items()}
            rows += [
                {"atypical": share, "rule": name, "test": test, "gain": ends[name] - ends[AGAINST]}
                for name in RULES
            ]
    return rows
