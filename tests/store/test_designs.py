"""The rival designs end where the two tables end, race as safely, and pay what is worked out by hand."""

import numpy as np
import pytest

from echobook.papers.context_store.material import interactions, play
from echobook.store.deciding import ENTRIES
from echobook.store.designs import DESIGNS
from echobook.store.events import Code, Event
from echobook.store.interleave import Ticks, interleave
from echobook.store.memory import MemoryStore
from echobook.store.protocol import drive
from echobook.store.sealing import KeyRing
from echobook.store.vectors import hashed_trigrams

KEYS = KeyRing.generate()
STREAM = interactions(seed=5, count=30, follow_ups=0.5, context_bytes=300)


def built(name, store, clock=None, embed=hashed_trigrams, worker="w"):
    return DESIGNS[name](store, KEYS, clock or Ticks(), embed, worker)


@pytest.mark.parametrize("name", DESIGNS)
def test_all_designs_make_the_same_vectors(name):
    design, reference = built(name, MemoryStore()), built("two-tables", MemoryStore())
    play(design, STREAM)
    play(reference, STREAM)
    for one in STREAM:
        assert design.read(one.name) == reference.read(one.name)
        assert (design.read(one.name) is not None) == one.follow_up
    assert design.tally.embeddings == sum(one.follow_up for one in STREAM)


@pytest.mark.parametrize("name", DESIGNS)
def test_random_interleavings_neither_miss_nor_double(name):
    rng = np.random.default_rng(1)
    for one in interactions(seed=6, count=60, follow_ups=0.8, context_bytes=40):
        store = MemoryStore()

        def make(clock, embed, worker, store=store):
            return built(name, store, clock, embed, worker)

        outcome = interleave(make, [*one.events, one.events[-1]], rng)
        assert not outcome.missed
        assert not outcome.doubled
        assert outcome.ready == one.follow_up


@pytest.mark.parametrize(
    ("name", "opens", "seals"),
    [("two-tables", 3, 4), ("fat-entry", 4 + 1, 5 + 2), ("sealed-attributes", 3, 4), ("transactional", 3, 4)],
)
def test_openings_and_seals_of_one_follow_up_by_hand(name, opens, seals):
    """Three texts and a vector are sealed; the fat entry is opened by all events but the first, and once more
    to be marked, and sealed by all five, once more for the mark, and the vector."""
    design = built(name, MemoryStore())
    play(design, [next(one for one in STREAM if one.follow_up)])
    assert (design.tally.opens, design.tally.seals) == (opens, seals)


@pytest.mark.parametrize("name", DESIGNS)
def test_lost_answers_are_repeated_without_harm(name):
    from echobook.store.faults import Flaky
    from echobook.store.retry import Retrying

    rng = np.random.default_rng(2)
    for one in STREAM[:10]:
        store = Retrying(Flaky(MemoryStore(), rng, lost=0.3), rng, sleep=lambda _: None, attempts=30)
        design = built(name, store)
        assert sum(drive(design.steps(event)) for event in one.events) <= 1
        assert (design.tally.embeddings == 1) == one.follow_up


def test_a_transaction_costs_twice_and_needs_a_read():
    one = next(one for one in STREAM if not one.follow_up)
    plain, doubled = MemoryStore(), MemoryStore()
    play(built("two-tables", plain), [one])
    play(built("transactional", doubled), [one])
    assert doubled.spent.write_units == 2 * plain.spent.write_units
    assert (plain.spent.read_units, doubled.spent.read_units) == (0, len(one.events))


def test_a_fat_entry_that_was_altered_is_refused():
    from echobook.store.errors import SealBroken

    store = MemoryStore()
    design, one = built("fat-entry", store), STREAM[0]
    drive(design.steps(one.events[0]))
    key = ENTRIES.key(one.name)
    whole = store.get(ENTRIES, key)
    damaged = [{**whole, "c": b"\x01\x02k1" + bytes(40)}]
    damaged += [{name: value for name, value in whole.items() if name != lost} for lost in ("c", "version")]
    for item in damaged:
        store.put(ENTRIES, item)
        with pytest.raises(SealBroken):
            drive(design.steps(one.events[1]))
    assert one.events[1].code == Code.HEARD


def events_of(sizes):
    """The five events of an interaction that is closed, with texts of given sizes in bytes."""
    utterance, listing, reply = sizes
    return [
        Event("i", Code.REQUEST, 1.0),
        Event("i", Code.HEARD, 2.0, "utterance", b"u" * utterance),
        Event("i", Code.CONTEXT, 2.1, "contacts", b"c" * listing),
        Event("i", Code.SPEAK, 2.5, "reply", b"r" * reply),
        Event("i", Code.CLOSED, 2.6),
    ]


@pytest.mark.parametrize(
    ("name", "listing", "write", "read"),
    [
        # five updates of a short entry; texts of one unit each; a list of 3,000 bytes passes three KiB once
        # its seal (32 bytes) and its names (over 40) are counted
        ("two-tables", 100, 5 + 3, 0),
        ("two-tables", 3000, 5 + 1 + 4 + 1, 0),
        # each write pays for all so far: short, short, then three times the entry with the list
        ("sealed-attributes", 100, 5, 0),
        ("sealed-attributes", 3000, 1 + 1 + 3 * 4, 0),
        # the same, and a read before each write: a missing entry costs a unit, 4 KiB one
        ("fat-entry", 100, 5, 5),
        ("fat-entry", 3000, 1 + 1 + 3 * 4, 5),
        ("fat-entry", 5000, 1 + 1 + 3 * 6, 1 + 1 + 1 + 2 + 2),
        # everything of the two tables twice, and a consistent read of the entry after each
        ("transactional", 100, 2 * (5 + 3), 5),
        ("transactional", 3000, 2 * (5 + 6), 5),
    ],
)
def test_units_by_hand(name, listing, write, read):
    store = MemoryStore()
    design = built(name, store)
    for event in events_of((20, listing, 20)):
        drive(design.steps(event))
    assert (store.spent.write_units, store.spent.read_units) == (write, read)


def test_a_race_on_the_fat_entry_costs_a_second_round():
    """Two workers read the same version; the second to write is refused, pays for it, and begins again."""
    store = MemoryStore()
    first, second = built("fat-entry", store, worker="a"), built("fat-entry", store, worker="b")
    one, two = (
        design.steps(event) for design, event in zip((first, second), events_of((9, 9, 9)), strict=False)
    )
    assert [next(one), next(two)] == ["get-entry", "get-entry"]
    assert [next(one), next(two)] == ["put-entry", "put-entry"]
    assert list(one) == []
    assert list(two) == ["get-entry", "put-entry"]
    assert dict(store.spent.calls) == {"get": 3, "put": 2, "refused": 1}
    assert store.get(ENTRIES, ENTRIES.key("i"))["version"] == 2


def test_the_fat_entry_shows_nothing_but_its_version():
    store = MemoryStore()
    design = built("fat-entry", store)
    for event in events_of((9, 9, 9)):
        drive(design.steps(event))
    item = store.get(ENTRIES, ENTRIES.key("i"))
    assert set(item) == {"interaction", "c", "version", "ttl"}
    assert b"uuu" not in item["c"]
    assert b"SPEAK" not in item["c"]
