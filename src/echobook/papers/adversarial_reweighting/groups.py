"""Error rates by group, and what each speaker contributes to them.

Trials are all pairs of utterances of the judged speakers. A group's trials are those whose *both* speakers
are in the group (the harder choice: impostors of one's own group), and each group has its own equal-error
threshold; `at_one_threshold` gives the groups' FRR and FAR at everybody's threshold, too.

An equal error rate is no mean of items, so an interval over speakers needs more than item scores. Left out
one at a time, speakers move a crossing in jumps, and a jackknife of jumps is wrong as that of a median is. So
the crossing is linearised: with r the rate, t its threshold, and slopes f of FRR and g of -FAR around it,

    theta_-s = r + [ g (FRR_-s(t) - FRR(t)) + f (FAR_-s(t) - FAR(t)) ] / (f + g)
    x_s = theta + (S - 1) (mean over r of theta_-r - theta_-s)

The x_s are S numbers with mean theta whose spread is the jackknife's of the linear figure (Efron and
Tibshirani 1993, chapter 11): recorded as items, they give the book's intervals their speakers. The slopes are
those between the points where FRR - FAR is -r and r. `bootstrap` draws speakers with replacement instead, as
a second opinion: trial (i, j) counts as often as both were drawn together.

Axes: U utterances, N trials, S speakers, L slices (everybody, each group, each cell), B draws.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from echobook.metrics.verification import ErrorCurve, Trials, equal_error

ROUNDING = 1e-12  # of cosines: the threshold may be one of the scores
Speakers = Int[np.ndarray, " N"]
Measure = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def slices_of(speakers: pd.DataFrame, attributes: tuple[str, ...]) -> dict[str, Bool[np.ndarray, " S"]]:
    """Speakers of each slice: all, the values of each attribute, and the combinations of two (`f-child`)."""
    found = {"all": np.ones(len(speakers), dtype=bool)}
    for attribute in attributes:
        for value in sorted(speakers[attribute].unique()):
            found[str(value)] = (speakers[attribute] == value).to_numpy(dtype=bool)
    joined = speakers[list(attributes)].agg("-".join, axis=1)
    if len(attributes) > 1:
        found |= {str(cell): (joined == cell).to_numpy(dtype=bool) for cell in sorted(joined.unique())}
    return found


@dataclass(frozen=True)
class ScoredFold:
    """All pairs of the utterances of judged speakers, scored by the cosine of their embeddings.

    `speaker`: number of each utterance's speaker among all S; `slices`: from :func:`slices_of`.
    """

    embeddings: Float[np.ndarray, "U D"]
    speaker: Int[np.ndarray, " U"]
    slices: Mapping[str, Bool[np.ndarray, " S"]]
    _made: dict[str, tuple[Trials, Speakers, Speakers]] = field(default_factory=dict, repr=False)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores, and the two speakers of each pair."""
        unit = self.embeddings / np.linalg.norm(self.embeddings, axis=1, keepdims=True)
        first, second = np.triu_indices(len(unit), 1)
        scores = np.einsum("nd,nd->n", unit[first].astype(np.float64), unit[second].astype(np.float64))
        return scores, self.speaker[first], self.speaker[second]

    def trials(self, name: str) -> tuple[Trials, Speakers, Speakers]:
        """Trials of a slice, and the two speakers of each; kept once made."""
        if name not in self._made:
            scores, left, right = self._pairs
            inside = self.slices[name]
            kept = inside[left] & inside[right]
            a, b = left[kept], right[kept]
            self._made[name] = (Trials(scores[kept], a == b), a, b)
        return self._made[name]

    def rates(self, times: Float[np.ndarray, " S"] | None = None) -> dict[str, float]:
        """Equal error rate of each slice; `times`: how often each speaker was drawn, once each by default."""
        return {name: self.rate(name, times) for name in self.slices}

    def rate(self, name: str, times: Float[np.ndarray, " S"] | None = None) -> float:
        """Equal error rate of one slice; `times` as in :meth:`rates`."""
        trials, a, b = self.trials(name)
        weights = None if times is None else np.where(a == b, times[a], times[a] * times[b])
        return equal_error(trials.curve(weights)).rate

    def without_each(self, judged: Int[np.ndarray, " S"]) -> dict[str, Float[np.ndarray, " S"]]:
        """Linearised rates without the trials of one speaker, for each of some speakers.

        Those of another fold change nothing. Raises ValueError naming a slice of two speakers or fewer.
        """
        return {name: self._without(name, len(self.slices[name]))[judged] for name in self.slices}

    def _without(self, name: str, size: int) -> Float[np.ndarray, " S"]:
        trials, a, b = self.trials(name)
        curve = trials.curve()
        found = equal_error(curve)
        genuine = np.asarray(trials.genuine)
        accepted = np.asarray(trials.scores) >= found.threshold - ROUNDING
        frr = _left_out(a, b, genuine, ~accepted, size, name)
        far = _left_out(a, b, ~genuine, accepted, size, name)
        of_frr = frr_share(curve, found.rate)
        return found.rate + of_frr * frr + (1 - of_frr) * far

    def at_one_threshold(self) -> pd.DataFrame:
        """FRR and FAR of each slice at the equal-error threshold of all."""
        threshold = equal_error(self.trials("all")[0].curve()).threshold
        rows = []
        for name in self.slices:
            trials, _, _ = self.trials(name)
            frr, far = trials.curve().at(threshold)
            rows.append({"group": name, "FRR": frr, "FAR": far})
        return pd.DataFrame(rows)


def frr_share(curve: ErrorCurve, rate: float) -> float:
    """g / (f + g): how much a change of the FRR counts in the crossing; the rest is the FAR's.

    Slopes are taken between the points where FRR - FAR is minus and plus `rate` (at least a hundredth).
    """
    gap, width = curve.frr - curve.far, max(rate, 0.01)
    low, high = np.searchsorted(gap, [-width, width])
    low, high = max(int(low) - 1, 0), min(int(high), len(gap) - 1)
    f, g = curve.frr[high] - curve.frr[low], curve.far[low] - curve.far[high]
    return float(g / (f + g))


def _left_out(
    a: Speakers, b: Speakers, kind: np.ndarray, wrong: np.ndarray, size: int, name: str
) -> Float[np.ndarray, " S"]:
    """Change of an error rate over trials of one kind when the trials of each speaker are left out."""

    def count(chosen: np.ndarray) -> Int[np.ndarray, " S"]:
        both = np.bincount(a[chosen], minlength=size) + np.bincount(b[chosen], minlength=size)
        return both - np.bincount(a[chosen & (a == b)], minlength=size)

    trials, errors = count(kind), count(kind & wrong)
    left = kind.sum() - trials
    if (left <= 0).any():
        raise ValueError(f"group {name!r}: nothing is left without speaker {int(np.argmin(left))}; too small")
    return ((kind & wrong).sum() - errors) / left - (kind & wrong).sum() / kind.sum()


@dataclass(frozen=True)
class GroupRates:
    """Rates of each slice averaged over folds, and the same without each speaker.

    Every speaker is judged in one fold; leaving one out changes that fold only.
    """

    full: Mapping[str, float]
    without: Mapping[str, Float[np.ndarray, " S"]]

    @classmethod
    def over(cls, folds: list[ScoredFold]) -> "GroupRates":
        """Average over the folds of one arm; S are the speakers judged in any of them, in rising order."""
        judged = np.unique(np.concatenate([fold.speaker for fold in folds]))
        full = [fold.rates() for fold in folds]
        without = [fold.without_each(judged) for fold in folds]
        names = folds[0].slices
        return cls(
            {name: float(np.mean([one[name] for one in full])) for name in names},
            {name: np.mean([one[name] for one in without], axis=0) for name in names},
        )


def lag(behind: str, ahead: str) -> Measure:
    """Rate of one group less that of another."""
    return lambda rates: np.asarray(rates[behind] - rates[ahead])


def gap(left: str, right: str) -> Measure:
    """Absolute difference of two groups' rates."""
    return lambda rates: np.abs(rates[left] - rates[right])


def spread(names: list[str]) -> Measure:
    """Standard deviation over groups, of the groups at hand (ddof 0), as the paper's figures have it."""
    return lambda rates: np.std([rates[name] for name in names], axis=0)


def rate_of(name: str) -> Measure:
    """The rate of one slice."""
    return lambda rates: np.asarray(rates[name])


def contributions(
    value: float,
    without: Float[np.ndarray, " S"],
) -> Float[np.ndarray, " S"]:
    """What each speaker contributes: mean `value`, and the jackknife's spread."""
    return value + (len(without) - 1) * (without.mean() - without)


def measured(rates: GroupRates, measure: Measure) -> tuple[float, Float[np.ndarray, " S"]]:
    """A measure of one arm and the speakers' contributions to it."""
    value = float(measure({name: np.asarray(rate) for name, rate in rates.full.items()}))
    return value, contributions(value, measure(rates.without))


def relative_gain(
    arm: GroupRates, baseline: GroupRates, better: str, worse: str
) -> tuple[float, Float[np.ndarray, " S"]]:
    """How much further, in relative terms, the worse group's rate falls than the better group's.

    Above zero: the worse group gains more.
    """

    def measure(new: Mapping[str, np.ndarray], old: Mapping[str, np.ndarray]) -> np.ndarray:
        gains = [(old[name] - new[name]) / old[name] for name in (worse, better)]
        return np.asarray(gains[0] - gains[1])

    full = [{name: np.asarray(rate) for name, rate in one.full.items()} for one in (arm, baseline)]
    value = float(measure(*full))
    return value, contributions(value, measure(arm.without, baseline.without))


def jackknife_error(contributed: Float[np.ndarray, " S"]) -> float:
    """Standard error over speakers from their contributions."""
    return float(np.std(contributed, ddof=1) / np.sqrt(len(contributed)))


def bootstrap(
    folds: list[ScoredFold], names: list[str], measure: Measure, *, draws: int, seed: int
) -> Float[np.ndarray, " B"]:
    """The measure of some slices for speakers drawn with replacement; the same draws whatever the arm."""
    rng = np.random.default_rng((seed, 41))
    size = len(folds[0].slices["all"])
    found = []
    for _ in range(draws):
        tables = []
        for fold in folds:
            here = np.unique(fold.speaker)
            times = np.bincount(rng.choice(here, len(here)), minlength=size).astype(np.float64)
            tables.append({name: fold.rate(name, times) for name in names})
        found.append(float(measure({n: np.mean([table[n] for table in tables], axis=0) for n in names})))
    return np.array(found)


def bootstrap_of_difference(
    arm: list[ScoredFold], baseline: list[ScoredFold], names: list[str], measure: Measure, **how: int
) -> Float[np.ndarray, " B"]:
    """The measure of an arm less that of the baseline, on the same drawn speakers."""
    return bootstrap(arm, names, measure, **how) - bootstrap(baseline, names, measure, **how)
