"""What the designs pay for the same events: capacity units, seals, openings and embeddings an interaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from echobook.data.generators.interactions import Interaction, interactions
from echobook.store.deciding import Tally
from echobook.store.designs import DESIGNS
from echobook.store.errors import StoreError
from echobook.store.events import Event
from echobook.store.memory import MemoryStore
from echobook.store.port import Store
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.vectors import hashed_trigrams

START_S = 1_700_000_000.0


@dataclass(frozen=True)
class Cost:
    """Means an interaction: units, store calls, seals, openings, embeddings."""

    write_units: float
    read_units: float
    calls: float
    seals: float
    opens: float
    embeddings: float


def play(design: TwoTables, stream: Sequence[Interaction]) -> None:
    """Let one worker handle every event of a stream in order."""
    for interaction in stream:
        for event in interaction.events:
            drive(design.steps(event))


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
