"""The two-table protocol, step by step, on every back-end, and killed between any two calls."""

import os
import signal
import subprocess
import sys

import pytest

from echobook.store.errors import StoreFull
from echobook.store.events import Code, Event, references, state
from echobook.store.faults import Failing
from echobook.store.interleave import Ticks
from echobook.store.memory import MemoryStore
from echobook.store.protocol import ENTRIES, TEXTS, VECTORS, TwoTables, drive
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


@pytest.mark.parametrize("dies_before", range(10))
def test_a_death_between_any_two_calls_loses_nothing(dies_before):
    """The queue delivers again what was not confirmed; the sweeper finishes what was claimed."""
    calls = [(number, call) for number, event in enumerate(EVENTS) for call in worker_calls(event)]
    if dies_before >= len(calls):
        pytest.skip("there are fewer calls")
    store, clock, done = MemoryStore(), Ticks(), 0
    for event in EVENTS:
        steps = worker(store, clock, "mortal").steps(event)
        for _ in steps:
            if done == dies_before:
                steps.close()
                break
            done += 1
        done = 10**6 if done == dies_before else done
        if done == 10**6:
            drive(worker(store, clock, "second").steps(event))
            dies_before = -1
            done = 0
    for image in store.scan(ENTRIES):
        refs = references(image)
        kept = {"#".join(TEXTS.identity(item)) for item in store.scan(TEXTS)}
        assert refs <= kept, "a reference dangles"
    clock.now += 10
    recover(worker(store, clock, "heir"))
    assert worker(store, clock).read("i1") is not None


def worker_calls(event):
    store = MemoryStore()
    design = worker(store)
    play(design, [one for one in EVENTS if one is not event])
    return list(design.steps(event))


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
