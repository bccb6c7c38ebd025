"""The simulated A/B test with known truth, its A/A control, and what the log alone could have told.

Every arm goes on from the same stage with the same luck, so arms differ by the policy alone. What is
measured for each customer: jokes told, their likings (which no real test can see), interruptions, requests
a day. Intervals take customers as units; rows of a customer are alike, and counting rows would make them
too narrow. Axes: U customers, N told jokes, J jokes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from echobook.metrics.off_policy import NORMAL_95, OffPolicy, doubly_robust, ips, snips, weights_of
from echobook.papers.joke_skill.features import DAY
from echobook.papers.joke_skill.policies import Softened
from echobook.papers.joke_skill.simulator import Log, Policy, simulate
from echobook.papers.joke_skill.training import MONTH, Regression, Study

FORTNIGHT = 14 * DAY


@dataclass(frozen=True)
class Arm:
    """What an arm of the test did to each of U customers.

    Attributes:
        told: jokes told.
        liking, cut: summed liking, and interruptions.
        days: length of the test.
        log: the tellings.
    """

    told: Int[np.ndarray, " U"]
    liking: Float[np.ndarray, " U"]
    cut: Float[np.ndarray, " U"]
    days: int
    log: Log

    @property
    def means(self) -> Mapping[str, float]:
        """Mean liking and interruption rate of a told joke, and jokes a customer and day."""
        total = self.told.sum()
        return {
            "liking": float(self.liking.sum() / total),
            "interruptions": float(self.cut.sum() / total),
            "jokes-a-day": float(self.told.mean() / self.days),
        }


def run_arm(study: Study, policy: Policy, *, seed: int, days: int = 14) -> Arm:
    """Go on from the end of the month with a policy; the study is left as it was."""
    stage = study.stage.copy()
    log = simulate(
        stage,
        study.world,
        study.people,
        study.behaviour,
        policy,
        until=MONTH + days * DAY,
        seed=seed + 20_000,
    )
    return summed_up(log, study.world.liking, days)


def summed_up(log: Log, liking: Float[np.ndarray, "U J"], days: int) -> Arm:
    """Sums for each customer."""
    user, users = log.moments.user, len(liking)
    return Arm(
        told=np.bincount(user, minlength=users),
        liking=np.bincount(user, weights=liking[user, log.joke], minlength=users),
        cut=np.bincount(user, weights=log.cut, minlength=users),
        days=days,
        log=log,
    )


@dataclass(frozen=True)
class Difference:
    """A difference of two groups of customers with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def covers_zero(self) -> bool:
        """Whether no difference lies inside."""
        return self.low <= 0 <= self.high


def ratio_difference(
    total: Float[np.ndarray, " U"], count: Int[np.ndarray, " U"], treated: Bool[np.ndarray, " U"]
) -> Difference:
    """Difference of sum(total) / sum(count) between two groups of customers, customers being the units.

    The error of each ratio is that of its linear form: total - ratio x count, summed by customer.
    Raises ValueError for a group without a telling.
    """
    values, variances = [], []
    for group in (treated, ~treated):
        size = count[group].sum()
        if size == 0:
            raise ValueError("a group has heard nothing")
        ratio = total[group].sum() / size
        terms = (total[group] - ratio * count[group]) / count[group].mean()
        values.append(float(ratio))
        variances.append(float(terms.var(ddof=1) / group.sum()))
    return _difference(values, variances)


def row_difference(
    values: Float[np.ndarray, " N"], user: Int[np.ndarray, " N"], treated: Bool[np.ndarray, " U"]
) -> Difference:
    """The same as if every telling stood by itself: the mistake to compare with."""
    groups = [values[treated[user]], values[~treated[user]]]
    return _difference([float(g.mean()) for g in groups], [float(g.var(ddof=1) / len(g)) for g in groups])


def _difference(values: list[float], variances: list[float]) -> Difference:
    gap, error = values[0] - values[1], NORMAL_95 * sum(variances) ** 0.5
    return Difference(gap, gap - error, gap + error)


def a_a_coverage(
    arm: Arm, liking: Float[np.ndarray, "U J"], *, splits: int, seed: int
) -> Mapping[str, float]:
    """Share of A/A tests whose interval holds zero, with customers and with tellings as units.

    One arm's customers are split in two at random, again and again; nothing differs between the halves.
    """
    rng, log = np.random.default_rng((seed, 97)), arm.log
    values = liking[log.moments.user, log.joke]
    covered = {"customers": 0, "tellings": 0}
    heard = arm.told > 0
    for _ in range(splits):
        half = rng.permutation(len(arm.told)) < len(arm.told) // 2
        covered["customers"] += ratio_difference(arm.liking[heard], arm.told[heard], half[heard]).covers_zero
        covered["tellings"] += row_difference(values, log.moments.user, half).covers_zero
    return {name: count / splits for name, count in covered.items()}


def off_policy(study: Study, scorer: Regression) -> Mapping[str, OffPolicy | float]:
    """Value of a softened policy, reuse a told joke, from the test rows of the log and from the truth.

    Returns:
        ``truth``, ``logged`` (what the log's own policy earned), ``no-propensities`` (rows weighted by the
        new policy alone), ``model`` (the regression's own opinion), and the three estimates.
    """
    log = study.log.take(study.test)
    reward, user = study.labels["reuse"][study.test].astype(float), log.moments.user
    policy = Softened(scorer)
    scores = scorer(log.moments)
    chances = policy.probabilities(log.moments, log.allowed)
    target = chances[np.arange(len(log)), log.joke]
    weight = weights_of(target, log.propensity)
    opinion = 1 / (1 + np.exp(-scores))
    value = (chances * opinion).sum(axis=1)
    chosen = opinion[np.arange(len(log)), log.joke]
    liking = np.nan_to_num(study.world.liking[user])
    known = study.behaviour.expected_again(liking, study.people.talk[user], log.moments)
    return {
        "truth": float((chances * known).sum(axis=1).mean()),
        "logged": float(reward.mean()),
        "no-propensities": float(target @ reward / target.sum()),
        "model": float(value.mean()),
        "ips": ips(reward, weight, user),
        "snips": snips(reward, weight, user),
        "doubly-robust": doubly_robust(reward, weight, user, chosen=chosen, policy=value),
    }
