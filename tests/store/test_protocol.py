"""The two-table protocol, step by step, on every back-end, and killed between any two calls."""

import os
import signal
import subprocess
import sys

import pytest

from echobook.store.deciding import ENTRIES, TEXTS, VECTORS
from echobook.store.errors import StoreError, StoreFull
from echobook.store.events import Code, Event, references, state
from echobook.store.faults import Failing
from echobook.store.interleave import Ticks
from echobook.store.memory import MemoryStore
from echobook.store.port import Change
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.sqlite import SqliteStore
from echobook.store.sweeping import recover, sweep

KEYS = KeyRing({"k1": bytes(range(32))})
EVENTS = (
    Event("i1", Code.REQUEST, 1.0),
    Event("i1", Code.HEARD, 2.0, "utterance", b"call meg"),
    Event("i1", Code.CONTEXT, 2.1, "contacts", b"meg jones, meg bauer"),
    Event("i1", Code.SPEAK, 2.5, "reply", b"meg jones or meg bauer"),
    Event("i1", Code.EXPECT, 2.6),
)


def joined(texts):
    return b"|".join(texts.values())


def worker(store, clock=None, name="w", **more):
    return TwoTables(store, KEYS, clock or Ticks(), joined, name, **more)


def play(design, events=EVENTS):
    return [drive(design.steps(event)) for event in events]


@pytest.mark.parametrize("backend", ["memory", "sqlite", "dynalite", "moto"])
def test_the_last_event_triggers_and_the_vector_can_be_read(backend, open_store):
    store = open_store(backend)
    design = worker(store)
    assert play(design) == [False, False, False, False, True]
    expected = b"meg jones, meg bauer|meg jones or meg bauer|call meg"  # contacts, reply, utterance
    assert design.read("i1") == expected
    image = store.get(ENTRIES, ENTRIES.key("i1"))
    assert state(image) == "ready"
    assert len(references(image)) == 3
    assert (image["t_asr"], image["owner"], image["done"]) == (2000, "w.1", 1)
    assert (design.tally.seals, design.tally.opens, design.tally.embeddings) == (4, 4, 1)


def test_calls_in_order():
    steps = worker(MemoryStore()).steps
    assert list(steps(EVENTS[1])) == ["put-text", "update-entry"]
    assert list(steps(EVENTS[3])) == ["put-text", "update-entry"]
    wanted = ["update-entry", "claim", "get-texts", "embed", "put-vector", "mark-done"]
    assert list(steps(EVENTS[4])) == wanted


def test_without_the_microphone_nothing_is_opened():
    store = MemoryStore()
    design = worker(store)
    play(design, (*EVENTS[:4], Event("i1", Code.CLOSED)))
    assert (design.tally.opens, design.tally.embeddings) == (0, 0)
    assert design.read("i1") is None


def test_tables_hold_no_plaintext():
    store = MemoryStore()
    play(worker(store))
    kept = repr([list(store.scan(table)) for table in (ENTRIES, TEXTS, VECTORS)])
    assert not [word for word in ("meg", "bauer", "call") if word in kept]


def test_batches_write_the_same_as_single_events():
    single, batch = MemoryStore(), MemoryStore()
    play(worker(single))
    design = worker(batch)
    ((image, token),) = design.write(EVENTS)
    assert design.publish("i1", design.vector(design.collect(image)), token)
    assert worker(batch).read("i1") == worker(single).read("i1")
    assert batch.get(ENTRIES, ENTRIES.key("i1")) == single.get(ENTRIES, ENTRIES.key("i1"))
    assert batch.spent.calls["update"] == 3  # the event set at once, the claim, the mark


def test_one_claim_wins_and_can_be_repeated():
    store = MemoryStore()
    first, second = worker(store, name="a"), worker(store, name="b")
    for event in EVENTS:
        first.save([event])
        first.note([event])
    assert first.claim("i1", "a.1")
    assert not second.claim("i1", "b.1")
    assert first.claim("i1", "a.1")  # its answer was lost: asked again, it still holds


def test_an_expired_lease_is_taken_over_and_the_old_owner_is_fenced():
    store, clock = MemoryStore(), Ticks()
    slow, heir = worker(store, clock, "slow"), worker(store, clock, "heir")
    play(slow, EVENTS[:4])
    steps = slow.steps(EVENTS[4])
    while next(steps) != "put-vector":
        pass
    clock.now += 6
    assert recover(heir) == 1
    assert list(steps)[-1] == "mark-done"
    assert store.get(ENTRIES, ENTRIES.key("i1"))["owner"].startswith("heir")
    assert heir.read("i1") is not None
    assert recover(heir) == 0


CALLS = ("update-entry",) + ("put-text", "update-entry") * 3
CALLS += ("update-entry", "claim", "get-texts", "embed", "put-vector", "mark-done")


def play_until(store, clock, death):
    """Handle the events until a worker dies before the call of a number; return the events unconfirmed."""
    made = []
    for number, event in enumerate(EVENTS):
        steps = worker(store, clock, "mortal").steps(event)
        for call in steps:
            if len(made) == death:
                steps.close()
                return EVENTS[number:], made
            made.append(call)
    return (), made


def test_the_calls_of_one_interaction():
    assert tuple(play_until(MemoryStore(), Ticks(), len(CALLS))[1]) == CALLS


@pytest.mark.parametrize("death", range(len(CALLS) + 1))
@pytest.mark.parametrize("redelivered_at", ["once", "after the lease"])
def test_a_death_between_any_two_calls_loses_nothing(death, redelivered_at):
    """The queue delivers again what was not confirmed; the sweeper finishes what was claimed."""
    store, clock = MemoryStore(), Ticks()
    left, _ = play_until(store, clock, death)
    kept = {"#".join(TEXTS.identity(item)) for item in store.scan(TEXTS)}
    assert all(references(image) <= kept for image in store.scan(ENTRIES)), "a reference dangles"
    clock.now += 6 if redelivered_at == "after the lease" else 0
    second = worker(store, clock, "second")
    play(second, left)
    clock.now += 6
    heir = worker(store, clock, "heir")
    recover(heir)
    assert heir.read("i1") == b"meg jones, meg bauer|meg jones or meg bauer|call meg"
    image = store.get(ENTRIES, ENTRIES.key("i1"))
    assert (state(image), image["done"]) == ("ready", 1)
    embedded_before = death > CALLS.index("embed")
    assert second.tally.embeddings + heir.tally.embeddings == (death < len(CALLS))
    assert (image["owner"] == "mortal.1") == (death == len(CALLS))
    assert embedded_before or death <= CALLS.index("embed")


@pytest.mark.parametrize("first", range(len(CALLS)))
@pytest.mark.parametrize("second", [0, 2, 5, 8, 11])
def test_two_deaths_lose_nothing_either(first, second):
    store, clock = MemoryStore(), Ticks()
    left, _ = play_until(store, clock, first)
    for event in left:
        for number, _ in enumerate(worker(store, clock, "second").steps(event)):
            if number == second:
                break
        clock.now += 6
        drive(worker(store, clock, "third").steps(event))
    clock.now += 6
    heir = worker(store, clock, "heir")
    recover(heir)
    assert heir.read("i1") is not None


@pytest.mark.parametrize("at", ["before the trigger", "after the embedding"])
def test_keys_may_rotate_at_any_time(at):
    """What was sealed with an older key still opens; what is sealed after the rotation bears the new name."""
    ring, store, clock = KeyRing.generate(), MemoryStore(), Ticks()
    design = TwoTables(store, ring, clock, joined)
    play(design, EVENTS[:3])
    if at == "before the trigger":
        ring.rotate()
    play(design, EVENTS[3:])
    if at == "after the embedding":
        ring.rotate()
    names = {item["part"]: item["c"][2:4] for item in store.scan(TEXTS)}
    newest = b"k2" if at == "before the trigger" else b"k1"
    assert names == {"utterance#0": b"k1", "contacts#0": b"k1", "reply#0": newest}
    assert store.get(VECTORS, VECTORS.key("i1"))["v"][2:4] == newest
    assert design.read("i1") is not None
    ring.rotate()
    ring.forget("k1")
    assert (design.read("i1") is None) == (newest == b"k1")


def test_a_sealed_text_moved_to_another_interaction_does_not_open():
    store, clock = MemoryStore(), Ticks()
    for name, words in (("i1", b"call meg"), ("i2", b"call ann")):
        for event in EVENTS[:4]:
            text = words if event.kind == "utterance" else event.text
            drive(worker(store, clock).steps(Event(name, event.code, event.at, event.kind, text)))
    foreign = store.get(TEXTS, TEXTS.key("i2", "utterance#0"))["c"]
    store.update(TEXTS, TEXTS.key("i1", "utterance#0"), Change(set={"c": foreign}))
    design = worker(store, clock)
    assert drive(design.steps(EVENTS[4])) is False
    assert (design.tally.broken, design.tally.embeddings) == (1, 0)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (4, 0, 3, 1, 2), (1, 3, 4, 2, 0)])
def test_the_trigger_is_the_event_that_completes_the_set(order):
    """Whichever of utterance, reply and the microphone comes last makes its worker the one to embed."""
    design = worker(MemoryStore())
    answers = play(design, [EVENTS[at] for at in order])
    last = max(order.index(at) for at in (1, 3, 4))
    assert [place for place, embedded in enumerate(answers) if embedded] == [last]


def test_duplicates_of_any_event_change_nothing():
    store = MemoryStore()
    design = worker(store)
    play(design)
    before = store.get(ENTRIES, ENTRIES.key("i1"))
    assert play(design, EVENTS * 2) == [False] * 10
    assert store.get(ENTRIES, ENTRIES.key("i1")) == before
    assert design.tally.embeddings == 1
    assert len(list(store.scan(TEXTS))) == 3


def test_leases_by_hand():
    """Claimed at 1000.0 s for 5 s: the lease ends at 1,005,000 ms and may be taken after it, not at it."""
    store, clock = MemoryStore(), Ticks(1000.0)
    first, second = worker(store, clock, "a", lease_s=5.0), worker(store, clock, "b")
    first.save(EVENTS)
    image = first.note(EVENTS)
    assert first.due(image)
    assert first.claim("i1", "a.1")
    image = store.get(ENTRIES, ENTRIES.key("i1"))
    assert image["lease"] == 1_005_000
    for now, free in ((1004.999, False), (1005.0, False), (1005.001, True)):
        clock.now = now
        assert second.due(image) is free
    assert second.claim("i1", "b.1")
    assert not first.finish("i1", "a.1")  # fenced
    assert second.finish("i1", "b.1")
    assert not second.due(store.get(ENTRIES, ENTRIES.key("i1")))
    clock.now += 60
    assert not first.claim("i1", "a.2")  # what is done is never claimed again, whatever image was looked at


BODY = """
import os, signal, sys
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.sqlite import SqliteStore
sys.path.insert(0, sys.argv[3])
from test_protocol import EVENTS, KEYS, joined
store = SqliteStore(sys.argv[1], durable="process")
left = int(sys.argv[2])
for event in EVENTS:
    for call in TwoTables(store, KEYS, lambda: 1e6, joined, "mortal").steps(event):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    print(event.code, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("calls", [0, 3, 6, 9, 11, 12])
def test_a_killed_process_leaves_a_file_that_another_finishes(calls, tmp_path):
    path = tmp_path / "store.db"
    command = [sys.executable, "-c", BODY, str(path), str(calls), os.path.dirname(__file__)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    confirmed = died.stdout.split()
    store, clock = SqliteStore(path), Ticks(1e6)
    for event in EVENTS[len(confirmed) :]:
        drive(worker(store, clock, "second").steps(event))
    clock.now += 10
    recover(worker(store, clock, "heir"))
    assert worker(store, clock).read("i1") is not None
    store.close()


@pytest.mark.parametrize("at", range(13))
def test_a_disk_that_fills_at_any_call_raises_and_dangles_nothing(at):
    inner = MemoryStore()
    design = worker(Failing(inner, range(at, 99), StoreFull("full")))
    for event in EVENTS:
        try:
            drive(design.steps(event))
        except StoreFull:
            break
    kept = {"#".join(TEXTS.identity(item)) for item in inner.scan(TEXTS)}
    assert all(references(image) <= kept for image in inner.scan(ENTRIES))
    assert worker(inner).read("i1") is None or at >= 11  # call 10 puts the vector


def test_reading_never_raises():
    store, clock = MemoryStore(), Ticks()
    design = worker(store, clock)
    assert design.read("nobody") is None
    play(design)
    assert TwoTables(store, KeyRing.generate(), clock, joined).read("i1") is None
    assert worker(Failing(store, range(9), StoreFull("full")), clock).read("i1") is None
    clock.now += 601
    assert design.read("i1") is None


def test_items_that_lost_an_attribute_are_broken_seals():
    store = MemoryStore()
    design = worker(store)
    play(design)
    store.update(VECTORS, VECTORS.key("i1"), Change(remove=("v",)))
    assert design.read("i1") is None
    store.update(VECTORS, VECTORS.key("i1"), Change(set={"v": "text in place of bytes"}))
    assert design.read("i1") is None
    assert design.tally.broken == 2
    store.update(TEXTS, TEXTS.key("i1", "reply#0"), Change(remove=("c",)))
    assert design.collect(store.get(ENTRIES, ENTRIES.key("i1"))) is None
    assert design.tally.broken == 3


def test_a_required_text_that_does_not_open_means_no_vector():
    store = MemoryStore()
    design = worker(store)
    play(design, EVENTS[:4])
    item = store.get(TEXTS, TEXTS.key("i1", "reply#0"))
    store.put(TEXTS, {**item, "c": item["c"][:-1] + b"\x00\x00"})
    assert drive(design.steps(EVENTS[4])) is False
    assert (design.tally.broken, design.tally.embeddings) == (1, 0)


def test_time_to_live_is_whole_seconds_and_starts_anew_with_each_event():
    store, clock = MemoryStore(), Ticks(1000.75)
    design = worker(store, clock, span_s=60)
    play(design, EVENTS[:1])
    assert store.get(ENTRIES, ENTRIES.key("i1"))["ttl"] == 1060
    clock.now += 50
    play(design, EVENTS[1:2])
    assert store.get(ENTRIES, ENTRIES.key("i1"))["ttl"] == 1110


def test_sweeping_deletes_only_what_expired():
    store, clock = MemoryStore(), Ticks()
    play(worker(store, clock))
    assert sweep(store, clock) == 0
    clock.now += 400
    young = Event("i2", Code.HEARD, 0.0, "utterance", b"hello")
    drive(worker(store, clock).steps(young))
    clock.now += 300
    assert sweep(store, clock) == 5  # an entry, three texts, a vector
    assert [item["interaction"] for item in store.scan(TEXTS)] == ["i2"]
    assert [item["interaction"] for item in store.scan(ENTRIES)] == ["i2"]


def test_a_swept_item_that_was_written_again_stays():
    class Rewriting(MemoryStore):
        """Writes an entry again between the sweeper's look and its delete."""

        def delete(self, table, key, *, condition=None):
            if table is ENTRIES:
                drive(worker(self, clock).steps(EVENTS[0]))
            super().delete(table, key, condition=condition)

    store, clock = Rewriting(), Ticks()
    play(worker(store, clock), EVENTS[:1])
    clock.now += 601
    assert sweep(store, clock) == 0
    assert store.get(ENTRIES, ENTRIES.key("i1")) is not None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"span_s": -1}, "span_s: expected a whole number of seconds, at least one, got -1"),
        ({"span_s": 0}, "span_s"),
        ({"lease_s": 0.0}, "lease_s: expected seconds above 0, got 0.0"),
        ({"lease_s": float("nan")}, "lease_s"),
    ],
)
def test_times_that_make_no_sense_are_refused(more, said):
    with pytest.raises(StoreError, match=said):
        worker(MemoryStore(), **more)


def test_an_entry_takes_events_of_one_interaction():
    design = worker(MemoryStore())
    with pytest.raises(StoreError, match="expected events of one interaction, got none"):
        design.note([])
    with pytest.raises(StoreError, match="got i1, i2; try `write` for several"):
        design.note([EVENTS[0], Event("i2", Code.REQUEST)])
    assert not list(design.store.scan(ENTRIES))
