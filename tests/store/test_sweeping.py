"""Expiry to the second, on every back-end; recovery takes what is due and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.store.deciding import ENTRIES, TABLES, TEXTS, VECTORS
from echobook.store.designs import DESIGNS
from echobook.store.errors import ConditionFailed, StoreError
from echobook.store.events import Code, Event
from echobook.store.interleave import Ticks
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import orphans, recover, sweep

KEYS = KeyRing.generate()


def worker(store, clock, name="w", **more):
    return TwoTables(store, KEYS, clock, lambda texts: b"v", name, **more)


def follow_up(name="i1"):
    return (
        Event(name, Code.HEARD, 0.0, "utterance", b"call meg"),
        Event(name, Code.SPEAK, 0.0, "reply", b"which meg"),
        Event(name, Code.EXPECT),
    )


@pytest.mark.parametrize(
    ("now", "kept"),
    [(1599.0, True), (1599.99, True), (1600.0, False), (1600.01, False), (1601.0, False), (99_999.0, False)],
)
def test_an_item_lives_until_its_second(now, kept):
    """Written at 1000 with a span of 600: readable before 1600, gone and swept from then on."""
    store, clock = MemoryStore(), Ticks(1000.0)
    for event in follow_up():
        drive(worker(store, clock).steps(event))
    clock.now = now
    assert (worker(store, clock).read("i1") is not None) is kept
    assert sweep(store, clock) == (0 if kept else 4)
    assert sum(len(list(store.scan(table))) for table in TABLES) == (4 if kept else 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.floats(0, 40, allow_nan=False))
def test_sweeping_deletes_what_cannot_be_read_and_only_that(ttls, now):
    store, clock = MemoryStore(), Ticks(now)
    design = worker(store, clock)
    for number, ttl in enumerate(ttls):
        store.put(VECTORS, {**VECTORS.key(f"i{number}"), "ttl": ttl})
    readable = [item for item in store.scan(VECTORS) if design.live(item)]
    assert sweep(store, clock) == len(ttls) - len(readable)
    assert sorted(map(str, store.scan(VECTORS))) == sorted(map(str, readable))
    assert sweep(store, clock) == 0


@pytest.mark.parametrize("backend", ["memory", "sqlite", "dynalite", "moto"])
def test_on_every_back_end(backend, open_store):
    store, clock = open_store(backend), Ticks(1000.0)
    for event in follow_up("old"):
        drive(worker(store, clock).steps(event))
    clock.now += 400
    for event in follow_up("young"):
        drive(worker(store, clock).steps(event))
    clock.now += 300
    assert sweep(store, clock) == 4  # entry, two texts, vector
    for table, count in ((ENTRIES, 1), (TEXTS, 2), (VECTORS, 1)):
        found = list(store.scan(table))
        assert len(found) == count
        assert {item["interaction"] for item in found} == {"young"}


def test_items_without_a_time_to_live_stay():
    store = MemoryStore()
    store.put(VECTORS, {**VECTORS.key("a"), "n": 1})
    store.put(VECTORS, {**VECTORS.key("b"), "ttl": "1"})  # text is no time to live, as in DynamoDB
    assert sweep(store, Ticks(1e9)) == 0


def test_an_expired_item_is_not_read_although_it_is_there():
    store, clock = MemoryStore(), Ticks(1000.0)
    design = worker(store, clock, span_s=5)
    for event in follow_up():
        drive(design.steps(event))
    clock.now += 5
    assert store.get(VECTORS, VECTORS.key("i1")) is not None
    assert design.read("i1") is None


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("swept", [True, False])
def test_a_delivery_after_the_span_begins_anew_whether_or_not_the_entry_was_deleted(design, swept):
    """The last event alone brings nothing back; all of them bring the vector, as for a new interaction."""
    store, clock = MemoryStore(), Ticks(1000.0)
    made = DESIGNS[design](store, KEYS, clock, lambda texts: b"v")
    for event in follow_up():
        drive(made.steps(event))
    clock.now += 601
    if swept:
        assert sweep(store, clock) > 0
    assert drive(made.steps(follow_up()[-1])) is False
    assert made.read("i1") is None
    if design != "fat-entry":
        assert store.get(ENTRIES, ENTRIES.key("i1")) == {
            "interaction": "i1",
            "ev": frozenset({"EXPECT"}),
            "t_expect": 0,
            "ttl": 2201,
        }
    assert [drive(made.steps(event)) for event in follow_up()[:2]] == [False, True]
    assert made.read("i1") == b"v"


@pytest.mark.parametrize("backend", ["memory", "sqlite", "dynalite", "moto"])
@pytest.mark.parametrize(("now", "joins"), [(1599.99, True), (1600.0, False), (1600.99, False)])
def test_an_event_joins_an_entry_until_its_second_as_long_as_it_can_be_read(backend, now, joins, open_store):
    """The same second ends an entry for writers and for readers."""
    store, clock = open_store(backend), Ticks(1000.0)
    worker(store, clock).note(follow_up()[:1])
    clock.now = now
    image = worker(store, clock).note(follow_up()[1:2])
    assert image["ev"] == ({"ASR", "SPEAK"} if joins else {"SPEAK"})


def test_a_claim_ends_with_its_entry():
    """After the span nobody claims, renews or marks what was claimed before it; nothing is brought back."""
    store, clock = MemoryStore(), Ticks(1000.0)
    slow, heir = worker(store, clock, "slow"), worker(store, clock, "heir")
    slow.save(follow_up()[:2])
    slow.note(follow_up())
    assert slow.claim("i1", "slow.1")
    before = store.get(ENTRIES, ENTRIES.key("i1"))
    clock.now += 601
    assert not heir.claim("i1", "heir.1")
    assert not slow.renew("i1", "slow.1")
    assert not slow.finish("i1", "slow.1")
    assert store.get(ENTRIES, ENTRIES.key("i1")) == before


def test_an_entry_whose_time_to_live_is_no_number_has_not_expired():
    """Nobody can say when it ends, so the next event gives it a time to live."""
    store, clock = MemoryStore(), Ticks(1000.0)
    store.put(ENTRIES, {**ENTRIES.key("i1"), "ttl": "soon", "ev": frozenset({"REQ"})})
    image = worker(store, clock).note(follow_up())
    assert image["ttl"] == 1600
    assert image["ev"] == {"REQ", "ASR", "SPEAK", "EXPECT"}


class Fickle(MemoryStore):
    """A store whose entry has expired whenever it is updated, and come back whenever it is replaced."""

    def update(self, table, key, change, *, condition=None):
        raise ConditionFailed("expired")

    def put(self, table, item, *, condition=None):
        raise ConditionFailed("alive")


def test_an_entry_that_changes_under_every_try_is_named():
    with pytest.raises(StoreError, match="i1: the entry expired and came back 8 times meanwhile"):
        worker(Fickle(), Ticks(1000.0)).note(follow_up())


def test_recovery_makes_what_is_due():
    """Armed and unclaimed, armed with a lease run out: due. Held, done, unarmed, expired: not."""
    store, clock = MemoryStore(), Ticks(1000.0)
    made = {name: worker(store, clock, name) for name in ("unclaimed", "dead", "held", "done", "unarmed")}
    for name, design in made.items():
        *texts, last = follow_up(name)
        design.save(texts)
        design.note(texts if name == "unarmed" else [*texts, last])
    assert made["dead"].claim("dead", "dead.1")
    assert made["done"].claim("done", "done.1")
    made["done"].put_vector("done", b"v")
    assert made["done"].finish("done", "done.1")
    clock.now += 6  # the lease of five seconds is over
    assert made["held"].claim("held", "held.1")
    heir = worker(store, clock, "heir")
    assert sorted(str(image["interaction"]) for image in orphans(heir)) == ["dead", "unclaimed"]
    assert recover(heir) == 2
    assert [heir.read(name) is not None for name in made] == [True, True, False, True, False]
    assert recover(heir) == 0
    clock.now += 10_000
    assert list(orphans(heir)) == []


def test_two_sweepers_recover_once():
    store, clock = MemoryStore(), Ticks(1000.0)
    first, second = worker(store, clock, "first"), worker(store, clock, "second")
    first.save(follow_up()[:2])
    first.note(follow_up())
    images = [list(orphans(design)) for design in (first, second)]  # both look before either claims
    assert [len(found) for found in images] == [1, 1]
    assert drive(first.embedding(images[0][0])) is True
    assert drive(second.embedding(images[1][0])) is False
    assert first.tally.embeddings + second.tally.embeddings == 1
