"""What the designs pay, what workers that decide on other images miss, and what is left after the time span.

`cost_table` counts capacity units, seals, openings and embeddings of the same events; `race` counts missed
and double embeddings over random interleavings, by what a worker decides on; `age` counts what is left of
old interactions, by reading and in the tables, before and after sweeping.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from echobook.papers.context_store.material import START_S, Interaction, deliveries, interactions, play
from echobook.store.deciding import ENTRIES, TABLES, Look, Tally, read_again, returned
from echobook.store.designs import DESIGNS
from echobook.store.errors import StoreError
from echobook.store.events import Event, codes, references
from echobook.store.faults import StaleReplica
from echobook.store.interleave import TICK_S, Outcome, Ticks, interleave
from echobook.store.memory import MemoryStore
from echobook.store.port import Store
from echobook.store.protocol import Embed, TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import recover, sweep
from echobook.store.vectors import hashed_trigrams


@dataclass(frozen=True)
class Cost:
    """Means an interaction: units, store calls, seals, openings, embeddings."""

    write_units: float
    read_units: float
    calls: float
    seals: float
    opens: float
    embeddings: float


def cost_of(name: str, stream: Sequence[Interaction], *, opened: Callable[[], Store] = MemoryStore) -> Cost:
    """Return what a design named in `DESIGNS` pays for a stream, on a fresh store from `opened`.

    Raises StoreError for an unknown name or a stream without interactions.
    """
    if name not in DESIGNS:
        raise StoreError(f"design {name!r}: expected one of {', '.join(DESIGNS)}")
    if not stream:
        raise StoreError(f"design {name!r}: expected at least one interaction to take the mean of, got none")
    store, tally = opened(), Tally()
    design = DESIGNS[name](store, KeyRing.generate(), lambda: START_S, hashed_trigrams, tally=tally)
    play(design, stream)
    count = len(stream)
    return Cost(
        write_units=store.spent.write_units / count,
        read_units=store.spent.read_units / count,
        calls=sum(store.spent.calls.values()) / count,
        seals=tally.seals / count,
        opens=tally.opens / count,
        embeddings=tally.embeddings / count,
    )


def cost_table(
    *, sizes: Sequence[int], count: int, follow_ups: float, seed: int, names: Sequence[str] = tuple(DESIGNS)
) -> pd.DataFrame:
    """Return the cost of each design at each size of the context list (bytes), one row each."""
    rows = []
    for size in sizes:
        stream = interactions(seed=seed, count=count, follow_ups=follow_ups, context_bytes=size)
        rows += [{"design": name, "context_bytes": size, **vars(cost_of(name, stream))} for name in names]
    return pd.DataFrame(rows)


def crossover(table: pd.DataFrame, first: str, second: str, column: str = "write_units") -> float | None:
    """Return the context size (bytes) from which `first` costs less than `second`, or None.

    Between two measured sizes the difference is taken as linear; the smallest size when it is less
    everywhere.
    """
    wide = table.pivot(index="context_bytes", columns="design", values=column)
    sizes, gaps = [int(str(size)) for size in wide.index], (wide[first] - wide[second]).to_list()
    dearer = [place for place, value in enumerate(gaps) if value >= 0]
    if not dearer:
        return float(sizes[0])
    if (at := max(dearer)) + 1 == len(gaps):
        return None
    (low, high), (before, after) = sizes[at : at + 2], gaps[at : at + 2]
    return float(low + (high - low) * before / (before - after))


def trace(design: TwoTables, events: Sequence[Event]) -> pd.DataFrame:
    """Handle events one by one and return a row for each store call: event, call, and the units it cost."""
    rows: list[dict[str, object]] = []
    for event in events:
        steps, call = design.steps(event), ""
        spent = (design.store.spent.write_units, design.store.spent.read_units)
        while (following := next(steps, None)) is not None or call:
            now = (design.store.spent.write_units, design.store.spent.read_units)
            if call:
                units = {"write units": now[0] - spent[0], "read units": now[1] - spent[1]}
                rows.append({"event": str(event.code), "call": call, **units})
            spent, call = now, following or ""
    return pd.DataFrame(rows)


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


@dataclass(frozen=True)
class Leftovers:
    """Counts after the time span.

    Attributes:
        old_readable: vectors of old interactions that can be read, also after late deliveries.
        left_before, left_after: items of old interactions before and after sweeping. What a late delivery
            wrote itself is not counted, unless it holds anything from before.
        swept: items swept.
        delivered_late: old interactions whose last event was delivered again after the span.
        revived: codes and references from before the span in their entries.
        embedded_late: of those that got all their events again, how many have a vector again.
        late_expected: how many of those there are.
        young_readable, young_expected: vectors of young interactions that can be read, and should be.
    """

    old_readable: int
    left_before: int
    left_after: int
    swept: int
    delivered_late: int
    revived: int
    embedded_late: int
    late_expected: int
    young_readable: int
    young_expected: int


def age(*, count: int, seed: int, span_s: int = 600) -> Leftovers:
    """Play half of `count` interactions, let the time span pass, deliver the last event of half of these
    again, play the other half, sweep, and deliver all events of some old follow-ups again."""
    stream = interactions(seed=seed, count=count, follow_ups=0.5, context_bytes=100)
    old, young = stream[: count // 2], stream[count // 2 :]
    clock, store = Ticks(START_S), MemoryStore()
    worker = TwoTables(store, KeyRing.generate(), clock, hashed_trigrams, span_s=span_s)
    play(worker, old)
    clock.now += span_s + 1
    names, late = {one.name for one in old}, [one.events[-1] for one in old[::2]]
    before = len(_left(store, names))
    for event in late:
        drive(worker.steps(event))
    revived = sum(_revived(store, event) for event in late)
    play(worker, young)
    readable = sum(worker.read(name) is not None for name in names)
    swept = sweep(store, clock)
    fresh = sum(_left(store, {event.interaction}) == [ENTRIES.name] for event in late if not revived)
    after = len(_left(store, names)) - fresh
    again = [one for one in old[::2] if one.follow_up]
    play(worker, again)
    embedded = sum(worker.read(one.name) is not None for one in again)
    wanted = [one.name for one in young if one.follow_up]
    found = sum(worker.read(name) is not None for name in wanted)
    return Leftovers(
        readable, before, after, swept, len(late), revived, embedded, len(again), found, len(wanted)
    )


def _left(store: MemoryStore, names: set[str]) -> list[str]:
    """The table of each item of some interactions."""
    return [table.name for table in TABLES for item in store.scan(table) if item["interaction"] in names]


def _revived(store: MemoryStore, event: Event) -> int:
    """Codes and references in an entry beyond those of the one event that was delivered since."""
    image = store.get(ENTRIES, ENTRIES.key(event.interaction))
    return len(codes(image) - {str(event.code)}) + len(references(image))
