"""Customers who ask for jokes: they listen or interrupt, ask again at once, come back the next day, or later.

After a joke with standardised liking r, told as number l (from 0) of its session to a customer of
talkativeness c (mean 0, variance 1):

    interrupted      with probability sigma(b0 - b1 r)
    asks again       within 5 minutes with probability
                     sigma(a0 + s a1 r + a2 c - a3 l + a4 evening - s a5 interrupted)
    else later       between 5 minutes and an hour, with a fixed probability: counts for neither label
    else comes back  1 to 25 hours later with probability sigma(d0 + s d1 (mean r of the session) + d2 c),
                     at an hour drawn from the profile of the day
    else             at least 25 hours later, an exponential time more

``s`` (``strength``) is the knob: 0 makes both labels say nothing about taste, below 0 means that people ask
again because the joke was *bad*. Interruption follows taste at every strength. a0 and d0 are set so that the
label rates are those of the paper's sample (``training.calibrate``). Nothing here knows how jokes are
chosen: a policy is a function from moments to probabilities, and the probability of what was told is kept.

Axes: U customers, N tellings, J jokes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from echobook.papers.joke_skill.features import DAY, DEVICES, evening
from echobook.papers.joke_skill.history import History, Moments, allowed_jokes, join_moments
from echobook.papers.joke_skill.material import World
from echobook.papers.joke_skill.method import HOUR, MINUTE, PAPER_WINDOWS, Windows

NEVER = np.iinfo(np.int64).max
PROFILE = np.array([1, 1, 1, 1, 1, 2, 4, 7, 8, 6, 5, 5, 6, 6, 5, 6, 8, 10, 12, 13, 12, 9, 5, 2], dtype=float)
PROFILE /= PROFILE.sum()  # of requests over the hours of a day
LUCK = 7  # uniform numbers a telling: choice, interruption, again, later, back, when, pause


@dataclass(frozen=True)
class Behaviour:
    """Coefficients of the module's text."""

    strength: float = 1.0
    reuse_base: float = 0.0
    reuse_taste: float = 0.6
    reuse_talk: float = 0.8
    reuse_tired: float = 0.2
    reuse_evening: float = 0.4
    reuse_cut: float = 0.6
    cut_base: float = -1.5
    cut_taste: float = 0.7
    back_base: float = -1.4
    back_taste: float = 0.5
    back_talk: float = 0.6
    later: float = 0.08
    pause_hours: float = 60.0

    def cut(self, liking: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
        """Probability of an interruption."""
        return expit(self.cut_base - self.cut_taste * liking)

    def again(
        self,
        liking: Float[np.ndarray, "*N"],
        talk: Float[np.ndarray, "*M"],
        position: Int[np.ndarray, "*M"],
        late: Float[np.ndarray, "*M"],
        cut: Bool[np.ndarray, "*N"] | bool,
    ) -> Float[np.ndarray, "*N"]:
        """Probability of asking again within five minutes; ``late``: 1 in the evening."""
        taste = self.reuse_taste * liking - self.reuse_cut * np.asarray(cut)
        mood = self.reuse_evening * late - self.reuse_tired * position
        rest = self.reuse_base + self.reuse_talk * talk + mood
        return expit(self.strength * taste + rest)

    def back(
        self, mean_liking: Float[np.ndarray, " N"], talk: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """Probability of coming back within 1 to 25 hours."""
        return expit(self.back_base + self.strength * self.back_taste * mean_liking + self.back_talk * talk)

    def expected_again(
        self, liking: Float[np.ndarray, "N J"], talk: Float[np.ndarray, " N"], moments: Moments
    ) -> Float[np.ndarray, "N J"]:
        """Probability of reuse of every joke at every moment, interruptions averaged out: the truth."""
        side = (talk[:, None], moments.position[:, None], evening(moments.time)[:, None])
        cut = self.cut(liking)
        return cut * self.again(liking, *side, True) + (1 - cut) * self.again(liking, *side, False)


TYPICAL = Behaviour()
UNCONFOUNDED: Mapping[str, float] = {
    "reuse_talk": 0.0, "reuse_tired": 0.0, "reuse_evening": 0.0, "back_talk": 0.0
}  # fmt: skip


@dataclass(frozen=True)
class People:
    """Talkativeness, device and first request (s) of each customer."""

    talk: Float[np.ndarray, " U"]
    device: Int[np.ndarray, " U"]
    first: Int[np.ndarray, " U"]


def draw_people(users: int, *, seed: int, arrive_within: int) -> People:
    """Customers who first ask within ``arrive_within`` seconds, at hours of the day's profile."""
    rng = np.random.default_rng((seed, 91))
    day = rng.integers(0, max(1, arrive_within // DAY), users)
    hour = rng.choice(24, users, p=PROFILE)
    first = day * DAY + hour * HOUR + rng.integers(0, HOUR, users)
    return People(rng.standard_normal(users), rng.choice(DEVICES, users, p=[0.6, 0.3, 0.1]), first)


@runtime_checkable
class Policy(Protocol):
    """How the next joke is chosen."""

    def probabilities(self, moments: Moments, allowed: Bool[np.ndarray, "N J"]) -> Float[np.ndarray, "N J"]:
        """Probability of each joke; 0 where it is not allowed, and each row sums to one."""
        ...


@dataclass(frozen=True)
class Log:
    """N tellings in order of time.

    Attributes:
        moments: what was known at each request.
        joke, propensity: what was told, and with which probability.
        cut: whether it was interrupted.
        allowed: jokes that could have been told.
    """

    moments: Moments
    joke: Int[np.ndarray, " N"]
    propensity: Float[np.ndarray, " N"]
    cut: Bool[np.ndarray, " N"]
    allowed: Bool[np.ndarray, "N J"]

    def __len__(self) -> int:
        return len(self.joke)

    def take(self, rows: np.ndarray) -> "Log":
        """Some of the rows."""
        return Log(
            self.moments.take(rows),
            self.joke[rows],
            self.propensity[rows],
            self.cut[rows],
            self.allowed[rows],
        )


@dataclass
class Stage:
    """Where a simulation stands: histories, next requests (s), and liking summed over the open session."""

    history: History
    next_time: Int[np.ndarray, " U"]
    session_liking: Float[np.ndarray, " U"]

    def copy(self) -> "Stage":
        """An independent copy."""
        return Stage(self.history.copy(), self.next_time.copy(), self.session_liking.copy())


def start(world: World, people: People, windows: Windows = PAPER_WINDOWS) -> Stage:
    """Before the first request."""
    longest = int(world.tellable.sum(axis=1).max())
    history = History(people.device, jokes=len(world.jokes), longest=longest, windows=windows)
    return Stage(history, people.first.copy(), np.zeros(len(people.talk)))


def simulate(
    stage: Stage,
    world: World,
    people: People,
    behaviour: Behaviour,
    policy: Policy,
    *,
    until: int,
    seed: int,
) -> Log:
    """Go on from a stage, which is changed, until second ``until``; deterministic for a seed.

    Random numbers belong to a customer and a number of jokes heard, so two policies meet the same luck.
    A customer without a joke left never asks again.
    """
    shape = stage.history.told.shape
    luck = np.random.default_rng((seed, 92)).random((LUCK, *shape), dtype=np.float32).astype(np.float64)
    parts: list[tuple[Moments, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    while len(asking := np.flatnonzero(stage.next_time < until)):
        stage.history.ask(asking, stage.next_time[asking])
        could = allowed_jokes(stage.history, world.tellable, asking)
        could &= world.released[None, :] <= stage.next_time[asking, None]
        left = could.any(axis=1)
        stage.next_time[asking[~left]] = NEVER
        users, could = asking[left], could[left]
        if len(users):
            own = luck[:, users, stage.history.count[users]]
            parts.append(_tell(stage, world, people, behaviour, policy, users, could, own))
    if not parts:
        raise ValueError(f"nobody asks before second {until}")
    moments, joke, propensity, cut, allowed = zip(*parts, strict=True)
    joined = Log(join_moments(list(moments)), *map(np.concatenate, (joke, propensity, cut, allowed)))
    return joined.take(np.lexsort((joined.moments.user, joined.moments.time)))


def _tell(
    stage: Stage,
    world: World,
    people: People,
    behaviour: Behaviour,
    policy: Policy,
    users: Int[np.ndarray, " N"],
    could: Bool[np.ndarray, "N J"],
    luck: Float[np.ndarray, "_ N"],
) -> tuple[Moments, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One joke to each of some customers, and when they will ask next."""
    moments = stage.history.moments(users)
    chances = policy.probabilities(moments, could)
    joke = drawn(chances, luck[0])
    stage.history.tell(users, joke)
    liking = world.liking[users, joke]
    fresh = moments.position == 0
    stage.session_liking[users] = np.where(fresh, 0.0, stage.session_liking[users]) + liking
    cut = luck[1] < behaviour.cut(liking)
    mean = stage.session_liking[users] / (moments.position + 1)
    stage.next_time[users] = moments.time + _wait(behaviour, moments, people, liking, mean, cut, luck)
    return moments, joke, chances[np.arange(len(users)), joke], cut, could


def drawn(chances: Float[np.ndarray, "N J"], luck: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """One joke a row with the given probabilities, from uniform numbers; never one of probability 0.

    Raises ValueError where a row does not sum to one.
    """
    reached = chances.cumsum(axis=1)
    if not np.allclose(reached[:, -1], 1.0, atol=1e-6):
        raise ValueError(f"probabilities: expected rows that sum to one, got {reached[:, -1].min():g}")
    place = (reached <= (luck * reached[:, -1])[:, None]).sum(axis=1)
    last = chances.shape[1] - 1 - (chances[:, ::-1] > 0).argmax(axis=1)
    return np.minimum(place, last)


def _wait(
    behaviour: Behaviour,
    moments: Moments,
    people: People,
    liking: Float[np.ndarray, " N"],
    mean: Float[np.ndarray, " N"],
    cut: Bool[np.ndarray, " N"],
    luck: Float[np.ndarray, "_ N"],
) -> Int[np.ndarray, " N"]:
    """Seconds until the next request."""
    talk = people.talk[moments.user]
    again = luck[2] < behaviour.again(liking, talk, moments.position, evening(moments.time), cut)
    later = luck[3] < behaviour.later
    back = luck[4] < behaviour.back(mean, talk)
    soon = 15 + luck[5] * (5 * MINUTE - 15)
    between = 5 * MINUTE + 1 + luck[5] * (55 * MINUTE - 2)
    pause = -np.log1p(-np.minimum(luck[6], 0.999999)) * behaviour.pause_hours * HOUR
    next_day = HOUR + _offset(moments.time + HOUR, luck[5])
    away = 25 * HOUR + 1 + pause
    away = away + _offset((moments.time + away).astype(np.int64), luck[5])
    return np.select([again, later, back], [soon, between, next_day], away).astype(np.int64)


def _offset(time: Int[np.ndarray, " N"], luck: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Seconds in 0..24 hours from ``time`` on, to an hour of the day that is drawn from the profile."""
    first = time % DAY // HOUR
    order = PROFILE[(first[:, None] + np.arange(24)) % 24].cumsum(axis=1)
    hours = (order <= luck[:, None] * order[:, -1:]).sum(axis=1).clip(max=23)
    below = np.take_along_axis(np.c_[np.zeros(len(time)), order], hours[:, None], axis=1)[:, 0]
    step = np.take_along_axis(order, hours[:, None], axis=1)[:, 0] - below
    return (hours + ((luck * order[:, -1] - below) / step).clip(0, 0.999)) * HOUR
