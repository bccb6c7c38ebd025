"""The fault proxies do what they say, and repeating with jitter gets through."""

import numpy as np
import pytest

from echobook.store.deciding import ENTRIES
from echobook.store.errors import StoreError, StoreFull, Throttled
from echobook.store.faults import Failing, Flaky, StaleReplica
from echobook.store.interleave import Ticks
from echobook.store.memory import MemoryStore
from echobook.store.port import Change, Put, Update
from echobook.store.retry import Retrying

KEY = ENTRIES.key("i")


def test_throttled_calls_do_not_reach_the_store_and_lost_answers_do(rng):
    inner = MemoryStore()
    throttling = Flaky(inner, rng, throttled=0.999)
    with pytest.raises(Throttled, match="throttled on purpose"):
        throttling.put(ENTRIES, {**KEY, "n": 1})
    assert inner.get(ENTRIES, KEY) is None
    losing = Flaky(inner, rng, lost=0.999)
    with pytest.raises(Throttled, match="the answer was lost"):
        losing.put(ENTRIES, {**KEY, "n": 1})
    assert inner.get(ENTRIES, KEY) == {**KEY, "n": 1}


def test_shares_are_met(rng):
    flaky, failed = Flaky(MemoryStore(), rng, throttled=0.2, lost=0.1), 0
    for _ in range(2000):
        try:
            flaky.get(ENTRIES, KEY)
        except Throttled:
            failed += 1
    assert abs(failed - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)  # five standard errors


@pytest.mark.parametrize("shares", [(-0.1, 0.0), (0.6, 0.5), (0.0, 1.0)])
def test_bad_shares_are_refused(shares, rng):
    with pytest.raises(ValueError, match="sum below 1"):
        Flaky(MemoryStore(), rng, throttled=shares[0], lost=shares[1])


def test_a_stale_replica_shows_old_images_in_order_and_catches_up(rng):
    clock = Ticks()
    store = StaleReplica(MemoryStore(), rng, clock=clock, lag_s=0.05, share=1.0)
    seen = []
    for number in range(200):
        store.put(ENTRIES, {**KEY, "n": number})
        clock.now += 0.005
        found = store.get(ENTRIES, KEY, consistent=False)
        seen.append(found["n"] if found else -1)
        assert store.get(ENTRIES, KEY)["n"] == number
    assert seen == sorted(seen), "a replica never goes back"
    assert np.mean([number - at for number, at in enumerate(seen)]) > 2
    clock.now += 10
    assert store.get(ENTRIES, KEY, consistent=False)["n"] == 199


def test_without_lag_or_share_reads_are_fresh(rng):
    for settings in ({"lag_s": 0.0, "share": 1.0}, {"lag_s": 9.0, "share": 0.0}):
        store = StaleReplica(MemoryStore(), rng, clock=Ticks(), **settings)
        image = store.update(ENTRIES, KEY, Change(add={"n": 1}))
        assert store.get(ENTRIES, KEY, consistent=False) == image
    with pytest.raises(ValueError, match="lag_s >= 0"):
        StaleReplica(MemoryStore(), rng, clock=Ticks(), lag_s=-1.0)


def test_failing_counts_calls():
    store = Failing(MemoryStore(), [1], StoreFull("full"))
    store.put(ENTRIES, {**KEY, "n": 1})
    with pytest.raises(StoreFull):
        store.get(ENTRIES, KEY)
    assert store.get(ENTRIES, KEY) == {**KEY, "n": 1}


def test_retries_are_bounded_jittered_and_growing(rng):
    pauses = []
    store = Retrying(
        Flaky(MemoryStore(), rng, throttled=0.999),
        rng,
        sleep=pauses.append,
        attempts=8,
        base_s=0.1,
        ceiling_s=1.0,
    )
    with pytest.raises(Throttled):
        store.get(ENTRIES, KEY)
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert len(pauses) == len(bounds) == store.repeats
    assert all(0 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) == len(pauses)


def test_a_repeated_set_update_counts_once(rng):
    store = Retrying(Flaky(MemoryStore(), rng, lost=0.5), rng, sleep=lambda _: None, attempts=40)
    for code in ("REQ", "ASR", "SPEAK"):
        image = store.update(ENTRIES, KEY, Change(add={"ev": frozenset({code})}))
    assert image["ev"] == {"REQ", "ASR", "SPEAK"}


def test_other_errors_are_not_repeated(rng):
    store = Retrying(Failing(MemoryStore(), [0], StoreFull("full")), rng, sleep=lambda _: None)
    with pytest.raises(StoreFull):
        store.get(ENTRIES, KEY)
    assert store.repeats == 0
    with pytest.raises(StoreError, match="attempts >= 1"):
        Retrying(MemoryStore(), rng, sleep=lambda _: None, attempts=0)


def test_a_replica_applies_writes_in_their_order_by_hand():
    """Lags of 3 s and 1 s, a second apart: the later write waits for the earlier one and shows with it at 3.

    The third, with no lag, at 4 s: at once.
    """
    lags = iter([3.0, 1.0, 0.0])
    kind = type(
        "Given", (np.random.Generator,), {"exponential": lambda *_: next(lags), "random": lambda _: 0.0}
    )
    clock = Ticks(0.0)
    store = StaleReplica(MemoryStore(), kind(np.random.PCG64(0)), clock=clock, lag_s=1.0, share=0.5)
    seen = []
    for now in range(5):
        clock.now = float(now)
        if now in (0, 1, 4):
            store.update(ENTRIES, KEY, Change(add={"n": 1}))
        found = store.get(ENTRIES, KEY, consistent=False)
        seen.append(found["n"] if found else None)
    assert seen == [None, None, None, 2, 3]


def test_a_replica_lags_a_key_at_a_time(rng):
    clock = Ticks(0.0)
    store = StaleReplica(MemoryStore(), rng, clock=clock, lag_s=5.0, share=1.0)
    other = ENTRIES.key("other")
    store.put_many(ENTRIES, [{**KEY, "n": 1}, {**other, "n": 1}])
    clock.now = 1000.0
    store.update(ENTRIES, other, Change(set={"n": 2}))
    assert store.get(ENTRIES, KEY, consistent=False) == {**KEY, "n": 1}
    assert store.get(ENTRIES, other, consistent=False) == {**other, "n": 1}
    assert store.get(ENTRIES, other) == {**other, "n": 2}


def test_deletes_and_transactions_lag_like_writes():
    """A lag of 3 s each: put at 0, changed in a transaction at 1, deleted at 2; it shows at 3, 4 and 5."""
    kind = type("Given", (np.random.Generator,), {"exponential": lambda *_: 3.0, "random": lambda _: 0.0})
    clock, seen = Ticks(0.0), []
    store = StaleReplica(MemoryStore(), kind(np.random.PCG64(0)), clock=clock, lag_s=1.0, share=0.5)
    acts = {
        0: lambda: store.transact([Put(ENTRIES, {**KEY, "n": 1})]),
        1: lambda: store.transact([Update(ENTRIES, KEY, Change(add={"n": 1}))]),
        2: lambda: store.delete(ENTRIES, KEY),
    }
    for now in range(7):
        clock.now = float(now)
        acts.get(now, lambda: None)()
        found = store.get(ENTRIES, KEY, consistent=False)
        seen.append(found["n"] if found else None)
    assert seen == [None, None, None, 1, 2, None, None]
    assert store.get(ENTRIES, KEY) is None


@pytest.mark.parametrize(
    "verb", ["put", "put_many", "update", "get", "get_many", "query", "delete", "scan", "transact"]
)
def test_every_verb_can_be_throttled(verb, rng):
    calls = {
        "put": lambda store: store.put(ENTRIES, KEY),
        "put_many": lambda store: store.put_many(ENTRIES, [KEY]),
        "update": lambda store: store.update(ENTRIES, KEY, Change(set={"n": 1})),
        "get": lambda store: store.get(ENTRIES, KEY),
        "get_many": lambda store: store.get_many(ENTRIES, [KEY]),
        "query": lambda store: store.query(ENTRIES, "i"),
        "delete": lambda store: store.delete(ENTRIES, KEY),
        "scan": lambda store: store.scan(ENTRIES),
        "transact": lambda store: store.transact([Update(ENTRIES, KEY, Change(set={"n": 1}))]),
    }
    with pytest.raises(Throttled, match=f"{verb}: throttled on purpose"):
        calls[verb](Flaky(MemoryStore(), rng, throttled=0.999))
    calls[verb](Flaky(MemoryStore(), rng))


def test_a_fault_repeats_with_its_seed():
    def outcomes(seed):
        flaky, found = Flaky(MemoryStore(), np.random.default_rng(seed), throttled=0.3, lost=0.3), []
        for number in range(50):
            try:
                flaky.update(ENTRIES, KEY, Change(set={"n": number}))
                found.append("done")
            except Throttled as error:
                found.append(str(error))
        return found

    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)
    assert len(set(outcomes(1))) == 3
