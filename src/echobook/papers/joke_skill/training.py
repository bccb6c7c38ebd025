"""From a world to a log with labels and a split by time, and the regressions trained on it.

The log is a month. Training, validation and test rows follow each other in time; the last 25 hours, whose
labels are not known yet, are dropped. Every model reads the same moments, which know nothing later than the
request. The penalty is the one of a grid with the highest AUC on the validation rows, as in the paper.

Axes: N told jokes, J jokes, T training rows, V validation rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logit

from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill.baselines import Constant, Factors, factorise, popularity
from echobook.papers.joke_skill.features import DAY, Block, Design, residuals
from echobook.papers.joke_skill.history import History, Moments
from echobook.papers.joke_skill.material import World
from echobook.papers.joke_skill.method import LABELS, RATES, Logistic, fit_logistic
from echobook.papers.joke_skill.policies import Launch
from echobook.papers.joke_skill.simulator import (
    TYPICAL,
    Behaviour,
    Log,
    People,
    Policy,
    Stage,
    draw_people,
    simulate,
    start,
)

MONTH, VALIDATION_FROM, TEST_FROM, ARRIVE_WITHIN = 30 * DAY, 17 * DAY, 21 * DAY, 10 * DAY
PENALTIES = (3.0, 10.0, 30.0, 100.0)
SETTLED = 0.003  # of a rate, when calibration stops
GUESS_NOISE = 0.5  # of the launch policy's first guess, in standard deviations of a liking
FACTORS, RIDGE, SWEEPS = 4, 3.0, 6


def final_labels(history: History, log: Log, end: int) -> dict[str, Int[np.ndarray, " N"]]:
    """Outcome of each telling as known at second ``end``: 1, 0, or -1 where a window is still open."""
    closed = history.copy()
    users = np.flatnonzero(closed.count)
    closed.ask(users, np.maximum(closed.now[users], end) + 1)
    place, user = log.moments.count, log.moments.user
    still_open = closed.told_at[user, place] > end - closed.windows.return_to
    found = {"reuse": closed.reuse[user, place].copy(), "back": closed.back[user, place].copy()}
    for values in found.values():
        values[still_open] = -1
    return {name: values.astype(np.int64) for name, values in found.items()}


def calibrate(
    world: World,
    people: People,
    behaviour: Behaviour,
    policy: Policy,
    *,
    until: int,
    seed: int,
    rounds: int = 12,
) -> Behaviour:
    """Set a0 and d0 so that the label rates of a simulated log are those of the paper's sample."""
    for _ in range(rounds):
        stage = start(world, people)
        log = simulate(stage, world, people, behaviour, policy, until=until, seed=seed)
        labels = final_labels(stage.history, log, until)
        known = labels["reuse"] >= 0
        rates = {name: values[known].mean() for name, values in labels.items()}
        off = {name: float(logit(RATES[name]) - logit(np.clip(rates[name], 0.01, 0.99))) for name in RATES}
        if max(abs(rates[name] - RATES[name]) for name in RATES) < SETTLED:
            break
        behaviour = replace(
            behaviour,
            reuse_base=behaviour.reuse_base + 1.2 * off["reuse"],
            back_base=behaviour.back_base + 1.2 * off["back"],
        )
    return behaviour


@dataclass(frozen=True)
class Study:
    """A month of one world.

    Attributes:
        world, people, behaviour, launch: what made the log.
        stage: where the simulation stands at the end of the month.
        log: told jokes whose labels are known, in order of time.
        labels: both labels of each.
        train, validation, test: rows.
    """

    world: World
    people: People
    behaviour: Behaviour
    launch: Policy
    stage: Stage
    log: Log
    labels: Mapping[str, Bool[np.ndarray, " N"]]
    train: Int[np.ndarray, " T"]
    validation: Int[np.ndarray, " V"]
    test: Int[np.ndarray, " E"]

    @property
    def liking(self) -> Float[np.ndarray, " N"]:
        """What the customer thought of each told joke."""
        return self.world.liking[self.log.moments.user, self.log.joke]

    def sample(self, most: int, *, seed: int) -> Int[np.ndarray, " M"]:
        """Some test rows at random, in order."""
        rng = np.random.default_rng((seed, 95))
        return np.sort(rng.permutation(self.test)[:most])


def first_guess(world: World, *, seed: int) -> Float[np.ndarray, " J"]:
    """What editors may know of a joke before launch: its mean liking, with noise."""
    rng = np.random.default_rng((seed, 96))
    return np.nanmean(world.liking, axis=0) + GUESS_NOISE * rng.standard_normal(len(world.jokes))


def make_study(world: World, *, seed: int, behaviour: Behaviour = TYPICAL, calibrated: bool = True) -> Study:
    """Simulate a month and split it by time; deterministic for a seed.

    Args:
        calibrated: set the behaviour's bases to the paper's label rates first, on other random numbers.
    """
    people = draw_people(len(world.liking), seed=seed, arrive_within=ARRIVE_WITHIN)
    launch = Launch(first_guess(world, seed=seed))
    if calibrated:
        behaviour = calibrate(world, people, behaviour, launch, until=MONTH, seed=seed + 10_000)
    stage = start(world, people)
    log = simulate(stage, world, people, behaviour, launch, until=MONTH, seed=seed)
    return split_by_time(Study(world, people, behaviour, launch, stage, log, {}, *(_nothing(),) * 3))


def _nothing() -> Int[np.ndarray, " Z"]:
    return np.empty(0, dtype=np.int64)


def split_by_time(study: Study) -> Study:
    """Label the rows of a study's log, drop those that are censored, and split the rest by time."""
    labels = final_labels(study.stage.history, study.log, MONTH)
    known = np.flatnonzero((labels["reuse"] >= 0) & (labels["back"] >= 0))
    log = study.log.take(known)
    time = log.moments.time
    return replace(
        study,
        log=log,
        labels={name: values[known] > 0 for name, values in labels.items()},
        train=np.flatnonzero(time < VALIDATION_FROM),
        validation=np.flatnonzero((time >= VALIDATION_FROM) & (time < TEST_FROM)),
        test=np.flatnonzero(time >= TEST_FROM),
    )


@dataclass(frozen=True)
class Regression:
    """A design with its fitted model; called with moments, it scores all jokes.

    Attributes:
        penalty: the chosen one.
        tried: validation AUC by penalty.
        told: log-odds of all rows of the log it was made from.
    """

    design: Design
    model: Logistic
    penalty: float
    tried: Mapping[float, float] = field(default_factory=dict)
    told: Float[np.ndarray, " N"] = field(default_factory=lambda: np.empty(0))

    def __call__(self, moments: Moments) -> Float[np.ndarray, "N J"]:
        return self.design.scores(self.model, moments)


def train_regression(
    study: Study,
    label: str,
    blocks: Sequence[Block],
    *,
    balanced: bool = False,
    penalties: Sequence[float] = PENALTIES,
) -> Regression:
    """Fit at each penalty on the training rows, keep the best on the validation rows (of equal ones the
    larger).

    Raises:
        ValueError: an unknown label, or rows of one class only.
    """
    if label not in LABELS:
        raise ValueError(f"label {label!r}: expected one of {', '.join(LABELS)}")
    design = Design(study.world.jokes, label, tuple(blocks))
    rows = design.rows(study.log.moments, study.log.joke)
    given, fitted, tried = study.labels[label], {}, {}
    for penalty in penalties:
        fitted[penalty] = fit_logistic(
            rows[study.train], given[study.train], penalty=penalty, balanced=balanced
        )
        scores = fitted[penalty].scores(rows[study.validation])
        tried[penalty] = auroc(scores, given[study.validation])
    best = max(tried, key=lambda penalty: (tried[penalty], penalty))
    return Regression(design, fitted[best], best, tried, fitted[best].scores(rows))


def train_popularity(study: Study, label: str) -> Constant:
    """Popularity on the training rows."""
    rows, log = study.train, study.log
    return Constant(
        popularity(
            log.joke[rows],
            study.labels[label][rows],
            log.moments.time[rows],
            len(study.world.jokes),
        )
    )


def train_factors(study: Study, label: str, *, seed: int) -> Factors:
    """Factors of what each customer had heard, and what had come of it, at its last training row."""
    moments = study.log.moments.take(study.train)
    last = np.r_[np.diff(np.sort(moments.user, kind="stable")) != 0, True]
    latest = np.argsort(moments.user, kind="stable")[last]
    known = residuals(moments.take(latest), label, len(study.world.jokes))
    vectors = factorise(known, factors=FACTORS, ridge=RIDGE, sweeps=SWEEPS, seed=seed)
    return Factors(train_popularity(study, label).score, vectors, RIDGE, label)
