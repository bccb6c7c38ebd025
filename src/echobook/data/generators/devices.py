"""Utterances dealt to simulated devices: a few heavy ones, many light ones, each with its own mix of
intents.

    size of device k     in proportion to exp(tail * z_k), z standard normal, at least 1; all utterances
    dealt mix of device k      Dirichlet(skew, ..., skew) over the intents; skew 0 means no mix of its own
    (iid)
    atypical             share of a device's mix that is moved to the intents of its group: the tenth of
    the devices
                         with the most utterances has one group of intents, all others have the rest

With ``tail`` 0 all devices are of one size: activity then says nothing, and selection by activity *is*
uniform selection (the control setting). With ``atypical`` 0 what a device asks does not depend on how much
it asks.

Over periods, log sizes are re-drawn with a given rank correlation from one period to the next, and intents
appear one group after the other: of an intent that appears in period t, the utterances spread evenly over
t and all later periods. An utterance is dealt once.

Axes: C devices, V intents, N utterances, T periods.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

HEAVY_SHARE = 0.1  # of the devices


@dataclass(frozen=True)
class DeviceWorld:
    """How a fleet is simulated; see the module's text.

    Raises:
        ValueError: no device, a negative tail or skew, atypical outside [0, 1].
    """

    devices: int = 600
    tail: float = 1.5
    skew: float = 0.3
    atypical: float = 0.0

    def __post_init__(self) -> None:
        if self.devices < 1 or self.tail < 0 or self.skew < 0 or not 0 <= self.atypical <= 1:
            raise ValueError(
                "devices: expected devices >= 1, tail >= 0, skew >= 0 and atypical in [0, 1]; got "
                f"{self.devices}, {self.tail}, {self.skew}, {self.atypical}"
            )


@dataclass(frozen=True)
class Dealt:
    """Utterances on devices.

    Attributes:
        parts: row numbers of each device's utterances; a device may have none in a period.
        mixes: each device's probabilities of the intents, from which its future use is thought to come.
    """

    parts: list[Int[np.ndarray, "_"]]
    mixes: Float[np.ndarray, "C V"]

    @property
    def sizes(self) -> Int[np.ndarray, " C"]:
        """Utterances of each device."""
        return np.array([len(part) for part in self.parts])


def device_sizes(
    z: Float[np.ndarray, " C"], *, total: int, tail: float, least: int = 1
) -> Int[np.ndarray, " C"]:
    """Sizes in proportion to exp(tail z), each at least ``least``, that sum to ``total``.

    Raises ValueError when there are fewer utterances than ``least`` a device.
    """
    if total < least * len(z):
        raise ValueError(f"{total} utterances are too few for {len(z)} devices of at least {least}")
    raw = np.exp(tail * (z - z.max()))
    low, high = 0.0, total / raw.sum() + 1
    for _ in range(100):
        middle = (low + high) / 2
        fits = np.maximum(least, np.floor(middle * raw)).sum() <= total
        low, high = (middle, high) if fits else (low, middle)
    sizes = np.maximum(least, np.floor(low * raw)).astype(np.int64)
    missing = total - int(sizes.sum())
    sizes[np.argsort(-raw, kind="stable")[:missing]] += 1
    return sizes


def device_mixes(
    world: DeviceWorld, sizes: Int[np.ndarray, " C"], intents: int, rng: np.random.Generator
) -> np.ndarray:
    """Intent probabilities of each device (C, V)."""
    if world.skew == 0:
        mixes = np.full((len(sizes), intents), 1 / intents)
    else:
        mixes = rng.dirichlet(np.full(intents, world.skew), len(sizes))
    if world.atypical == 0:
        return mixes
    heavy = np.zeros(len(sizes), dtype=bool)
    heavy[np.argsort(-sizes, kind="stable")[: max(1, round(HEAVY_SHARE * len(sizes)))]] = True
    share = sizes[heavy].sum() / sizes.sum()  # of the utterances, so of the intents
    theirs = np.zeros(intents, dtype=bool)
    theirs[rng.permutation(intents)[: min(max(1, round(share * intents)), intents - 1)]] = True
    group = np.where(heavy[:, None], theirs, ~theirs)
    own = np.where(group, mixes + 1e-12, 0)
    return (1 - world.atypical) * mixes + world.atypical * own / own.sum(axis=1, keepdims=True)


def deal(
    labels: Int[np.ndarray, " N"],
    rows: Int[np.ndarray, " R"],
    sizes: Int[np.ndarray, " C"],
    mixes: Float[np.ndarray, "C V"],
    rng: np.random.Generator,
) -> list[Int[np.ndarray, "_"]]:
    """Deal ``rows`` (of intents ``labels``) to devices without replacement, each by its mix as long as it
    lasts.

    Devices come in random order; where an intent of a mix has run out, the rest of the mix is scaled up,
    and where all of it has, what is left of any intent is taken. Raises ValueError unless the sizes sum to
    the rows.
    """
    if sizes.sum() != len(rows):
        raise ValueError(f"sizes sum to {sizes.sum()}, but there are {len(rows)} utterances")
    shuffled = rng.permutation(rows)
    stacks = [shuffled[labels[shuffled] == intent] for intent in range(mixes.shape[1])]
    left = np.array([len(stack) for stack in stacks])
    parts: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(sizes)
    for device in rng.permutation(len(sizes)):
        taken = _take(int(sizes[device]), mixes[device], left, rng)
        parts[device] = np.concatenate(
            [stacks[k][left[k] - taken[k] : left[k]] for k in np.flatnonzero(taken)] or [parts[device]]
        )
        left -= taken
    return parts


def _take(
    size: int, mix: Float[np.ndarray, " V"], left: Int[np.ndarray, " V"], rng: np.random.Generator
) -> Int[np.ndarray, " V"]:
    """How many utterances of each intent a device gets: at most what is left."""
    taken = np.zeros_like(left)
    while (open_ := size - int(taken.sum())) > 0:
        rest = left - taken
        mass = np.where(rest > 0, mix, 0)
        mass = mass if mass.sum() > 1e-9 else rest.astype(float)
        taken += np.minimum(rng.multinomial(open_, mass / mass.sum()), rest)
    return taken


def simulate_devices(labels: Int[np.ndarray, " N"], world: DeviceWorld, *, seed: int) -> Dealt:
    """Deal all utterances to the devices of ``world``; deterministic for a seed. Every device gets one at
    least.
    """
    rng = np.random.default_rng((seed, 101))
    sizes = device_sizes(rng.standard_normal(world.devices), total=len(labels), tail=world.tail)
    mixes = device_mixes(world, sizes, int(labels.max()) + 1, rng)
    return Dealt(deal(labels, np.arange(len(labels)), sizes, mixes, rng), mixes)


@dataclass(frozen=True)
class Periods:
    """Periods of one fleet: what each deals, and which intents have been seen by then (T, V)."""

    dealt: list[Dealt]
    seen: np.ndarray


def simulate_periods(
    labels: Int[np.ndarray, " N"],
    world: DeviceWorld,
    *,
    seed: int,
    growth: Sequence[float] = (0.6, 0.75, 0.9, 1.0),
    correlation: float = 0.7,
) -> Periods:
    """Deal the utterances over periods.

    Args:
        growth: share of the intents seen by the end of each period; increasing, the last one 1.
        correlation: rank correlation of a device's activity with its activity in the period before.

    Raises:
        ValueError: growth that does not increase to 1, correlation outside [-1, 1].
    """
    if list(growth) != sorted(growth) or not growth[0] > 0 or growth[-1] != 1 or not -1 <= correlation <= 1:
        raise ValueError(
            f"expected growth that increases to 1 and a correlation in [-1, 1]; got {growth}, {correlation}"
        )
    rng, intents = np.random.default_rng((seed, 102)), int(labels.max()) + 1
    rank = rng.permutation(intents)
    seen = np.stack([rank < round(share * intents) for share in growth])
    when = _periods_of_rows(labels, seen.argmax(axis=0), len(growth), rng)
    linear = 2 * np.sin(np.pi / 6 * correlation)  # of normal variables with this rank correlation
    dealt, z = [], rng.standard_normal(world.devices)
    for period in range(len(growth)):
        rows = np.flatnonzero(when == period)
        sizes = device_sizes(z, total=len(rows), tail=world.tail, least=0)
        if period == 0:
            mixes = device_mixes(world, sizes, intents, rng)
        dealt.append(Dealt(deal(labels, rows, sizes, mixes, rng), mixes))
        z = linear * z + np.sqrt(1 - linear**2) * rng.standard_normal(world.devices)
    return Periods(dealt, seen)


def _periods_of_rows(
    labels: Int[np.ndarray, " N"], first: Int[np.ndarray, " V"], periods: int, rng: np.random.Generator
) -> Int[np.ndarray, " N"]:
    """Period of each utterance: evenly over its intent's first period and the later ones, in random order."""
    when = np.empty(len(labels), dtype=np.int64)
    for intent, start in enumerate(first):
        rows = rng.permutation(np.flatnonzero(labels == intent))
        when[rows] = start + np.arange(len(rows)) * (periods - start) // max(1, len(rows))
    return when
