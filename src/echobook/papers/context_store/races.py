"""Missed and double embeddings over random interleavings, by what a worker decides on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from echobook.data.generators.interactions import Interaction, deliveries, interactions
from echobook.store.deciding import Look, read_again, returned
from echobook.store.events import Event
from echobook.store.faults import StaleReplica
from echobook.store.interleave import TICK_S, Outcome, Ticks, interleave
from echobook.store.memory import MemoryStore
from echobook.store.port import Store
from echobook.store.protocol import Embed, TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import recover


@dataclass(frozen=True)
class Variant:
    """A way to decide: on what image, and whether the embedding is claimed with a condition."""

    look: Look = returned
    claims: bool = True


FOLLOW_UPS, DUPLICATES, LOSSES = 0.8, 0.1, 0.02  # shares of the interactions, and of the deliveries
LAG_S = 0.02  # mean lag of the replica, seconds

VARIANTS = {
    "returned": Variant(),
    "returned-no-claim": Variant(claims=False),
    "strong-read": Variant(partial(read_again, consistent=True)),
    "eventual-read": Variant(partial(read_again, consistent=False)),
    "eventual-read-no-claim": Variant(partial(read_again, consistent=False), claims=False),
}


def race(
    variant: Variant,
    *,
    runs: int,
    seed: int,
    follow_ups: float = FOLLOW_UPS,
    duplicates: float = DUPLICATES,
    losses: float = LOSSES,
    lag_s: float = LAG_S,
    kill: float = 0.0,
    opened: Callable[[], Store] = MemoryStore,
) -> list[Outcome]:
    """Run `runs` random interleavings of one interaction's deliveries each, over a lagging replica.

    `lag_s`: mean lag of one of three replicas, in seconds; a call takes `TICK_S`. `kill`: probability
    that a worker dies before a call; what the dead left is then finished by the sweeper. Deterministic for
    a seed.
    """
    rng, keys = np.random.default_rng([seed, 1]), KeyRing.generate()
    stream = interactions(seed=seed, count=runs, follow_ups=follow_ups, context_bytes=40)
    found = []
    for interaction in stream:
        clock = Ticks()
        store = StaleReplica(opened(), rng, clock=clock, lag_s=lag_s)
        events = _delivered(interaction, rng, duplicates, losses)
        if events:
            found.append(
                interleave(
                    _Maker(variant, store, keys),
                    events,
                    rng,
                    clock=clock,
                    kill=kill,
                    recover=recover if kill else None,
                )
            )
    return found


@dataclass(frozen=True)
class _Maker:
    """Builds workers that decide as a variant says, over one store."""

    variant: Variant
    store: Store
    keys: KeyRing

    def __call__(self, clock: Callable[[], float], embed: Embed, name: str) -> TwoTables:
        look, claims = self.variant.look, self.variant.claims
        return TwoTables(self.store, self.keys, clock, embed, name, look=look, claims=claims)


def _delivered(
    interaction: Interaction, rng: np.random.Generator, duplicates: float, losses: float
) -> list[Event]:
    """Events of one interaction with copies and losses; the scheduler mixes their order anyway."""
    seed = int(rng.integers(2**31))
    return [event for _, event in deliveries([interaction], seed=seed, duplicates=duplicates, losses=losses)]


def setting() -> str:
    """Say in words with what shares and times `race` plays."""
    return (
        f"{FOLLOW_UPS:.0%} of the interactions have a follow-up, {DUPLICATES:.0%} of the events are "
        f"delivered twice and {LOSSES:.0%} not at all, a call takes {1000 * TICK_S:g} ms, and the replica "
        f"lags by {1000 * LAG_S:g} ms in the mean"
    )


def rates(outcomes: list[Outcome]) -> dict[str, int]:
    """Count the interleavings, those that want an embedding, miss it, double it, end ready, and the kills."""
    return {
        "runs": len(outcomes),
        "wanted": sum(one.wanted for one in outcomes),
        "missed": sum(one.missed for one in outcomes),
        "doubled": sum(one.doubled for one in outcomes),
        "ready": sum(one.ready for one in outcomes),
        "kills": sum(one.kills for one in outcomes),
    }
