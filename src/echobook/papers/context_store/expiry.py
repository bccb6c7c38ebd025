"""What is left of old interactions: by reading, and in the tables, before and after sweeping."""

from dataclasses import dataclass

from echobook.data.generators.interactions import interactions
from echobook.papers.context_store.costs import START_S, play
from echobook.store.deciding import ENTRIES, TABLES
from echobook.store.events import Event, codes, references
from echobook.store.interleave import Ticks
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import sweep
from echobook.store.vectors import hashed_trigrams


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
