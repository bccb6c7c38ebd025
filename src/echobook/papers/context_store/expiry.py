"""What is left of old interactions: by reading, and in the tables, before and after sweeping."""

from dataclasses import dataclass

from echobook.data.generators.interactions import interactions
from echobook.papers.context_store.costs import START_S, play
from echobook.store.deciding import TABLES
from echobook.store.interleave import Ticks
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import sweep
from echobook.store.vectors import hashed_trigrams


@dataclass(frozen=True)
class Leftovers:
    """Counts after the time span: vectors of old interactions that can be read, items left, items swept, and
    vectors of young interactions that can be read, with how many there should be."""

    old_readable: int
    left_before: int
    left_after: int
    swept: int
    young_readable: int
    young_expected: int


def age(*, count: int, seed: int, span_s: int = 600) -> Leftovers:
    """Play half of `count` interactions, let the time span pass, play the other half, then sweep."""
    stream = interactions(seed=seed, count=count, follow_ups=0.5, context_bytes=100)
    old, young = stream[: count // 2], stream[count // 2 :]
    clock, store = Ticks(START_S), MemoryStore()
    worker = TwoTables(store, KeyRing.generate(), clock, hashed_trigrams, span_s=span_s)
    play(worker, old)
    clock.now += span_s + 1
    play(worker, young)
    names = {interaction.name for interaction in old}
    before = _left(store, names)
    readable = sum(worker.read(name) is not None for name in names)
    swept = sweep(store, clock)
    wanted = [interaction.name for interaction in young if interaction.follow_up]
    found = sum(worker.read(name) is not None for name in wanted)
    return Leftovers(readable, before, _left(store, names), swept, found, len(wanted))


def _left(store: MemoryStore, names: set[str]) -> int:
    return sum(item["interaction"] in names for table in TABLES for item in store.scan(table))
