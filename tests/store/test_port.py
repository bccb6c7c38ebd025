"""One contract, four back-ends: memory, SQLite, dynalite, moto."""

import threading

import pytest

from echobook.store.conditions import Absent, Below, Equals
from echobook.store.deciding import ENTRIES, TEXTS
from echobook.store.errors import ConditionFailed, StoreError, Unsupported
from echobook.store.port import Change, Put, Update, changed

BACKENDS = ("memory", "sqlite", "dynalite", "moto")
KEY = ENTRIES.key("i1")


@pytest.fixture(params=BACKENDS)
def store(request, open_store):
    return open_store(request.param)


def test_put_get_delete(store):
    item = {**KEY, "n": -3, "s": "text", "b": b"\x00\xff", "w": frozenset({"a", "b"})}
    store.put(ENTRIES, item)
    assert store.get(ENTRIES, KEY) == item
    store.delete(ENTRIES, KEY)
    assert store.get(ENTRIES, KEY) is None
    store.delete(ENTRIES, KEY)  # a missing item is no error


def test_update_returns_the_new_image(store):
    first = store.update(ENTRIES, KEY, Change(add={"ev": frozenset({"REQ"}), "n": 2}, set={"s": "x"}))
    assert first == {**KEY, "ev": frozenset({"REQ"}), "n": 2, "s": "x"}
    second = store.update(ENTRIES, KEY, Change(add={"ev": frozenset({"ASR"}), "n": 3}, remove=("s",)))
    assert second == {**KEY, "ev": frozenset({"REQ", "ASR"}), "n": 5}
    assert store.get(ENTRIES, KEY) == second


def test_conditions_guard_every_write(store):
    store.put(ENTRIES, {**KEY, "n": 1}, condition=Absent("n"))
    for write in (
        lambda: store.put(ENTRIES, {**KEY, "n": 2}, condition=Absent("n")),
        lambda: store.update(ENTRIES, KEY, Change(set={"n": 2}), condition=Equals("n", 5)),
        lambda: store.delete(ENTRIES, KEY, condition=Below("n", 1)),
    ):
        with pytest.raises(ConditionFailed):
            write()
    assert store.get(ENTRIES, KEY) == {**KEY, "n": 1}


def test_many_items_and_queries(store):
    items = [{**TEXTS.key("i1", f"p#{number:02}"), "n": number} for number in range(30)]
    store.put_many(TEXTS, items)
    store.put(TEXTS, {**TEXTS.key("i2", "p#00"), "n": 99})
    keys = [TEXTS.key("i1", "p#07"), TEXTS.key("i1", "none"), TEXTS.key("i1", "p#03")]
    assert [item["n"] for item in store.get_many(TEXTS, keys)] == [7, 3]
    assert [item["n"] for item in store.query(TEXTS, "i1")] == list(range(30))
    assert [item["n"] for item in store.query(TEXTS, "i1", prefix="p#1")] == list(range(10, 20))
    assert store.query(TEXTS, "i3") == []
    assert sorted(item["n"] for item in store.scan(TEXTS)) == [*range(30), 99]


def test_malformed_calls_are_refused(store):
    for call, said in (
        (lambda: store.put(ENTRIES, {"n": 1}), "key attribute 'interaction'"),
        (lambda: store.update(ENTRIES, KEY, Change()), "distinct attributes"),
        (lambda: store.update(ENTRIES, KEY, Change(set={"interaction": "x"})), "other than the key"),
        (lambda: store.update(ENTRIES, KEY, Change(set={"a": 1}, remove=("a",))), "distinct"),
        (lambda: store.put_many(ENTRIES, [KEY, KEY]), "appears twice"),
        (lambda: store.get_many(ENTRIES, [KEY, KEY]), "appears twice"),
    ):
        with pytest.raises(StoreError, match=said):
            call()


@pytest.mark.parametrize("backend", ["memory", "sqlite", "dynalite"])
def test_racing_writers_see_one_completed_set(backend, open_store):
    """Of two writers that complete a set together, exactly the one that was applied last sees it complete.

    Moto is left out: it answers in threads and reads the new image after the update, so both may see it.
    """
    store = open_store(backend)
    for number in range(20):
        key, seen = ENTRIES.key(f"race{number}"), []
        barrier = threading.Barrier(2)

        def add(word, key=key, seen=seen, barrier=barrier):
            barrier.wait()
            seen.append(store.update(ENTRIES, key, Change(add={"ev": frozenset({word})}))["ev"])

        threads = [threading.Thread(target=add, args=(word,)) for word in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(image == {"a", "b"} for image in seen) == 1


@pytest.mark.parametrize("backend", ["memory", "sqlite", "moto"])
def test_transactions_are_all_or_nothing(backend, open_store):
    store = open_store(backend)
    item = {**TEXTS.key("i1", "p"), "n": 1}
    add = Update(ENTRIES, KEY, Change(add={"n": 1}))
    store.transact([Put(TEXTS, item), add])
    assert store.get(TEXTS, TEXTS.key("i1", "p")) == item
    with pytest.raises(ConditionFailed):
        store.transact([add, Put(TEXTS, {**item, "n": 2}, Absent("n"))])
    assert store.get(ENTRIES, KEY) == {**KEY, "n": 1}
    with pytest.raises(StoreError):
        store.transact([add, add])
    assert store.get(ENTRIES, KEY) == {**KEY, "n": 1}


def test_dynalite_has_no_transactions(open_store):
    with pytest.raises(Unsupported, match="does not know the operation"):
        open_store("dynalite").transact([Update(ENTRIES, KEY, Change(add={"n": 1}))])


def test_changed_is_pure_and_refuses_unlike_sums():
    before = {**KEY, "n": 1}
    assert changed(ENTRIES, KEY, before, Change(add={"n": 2}))["n"] == 3
    assert before["n"] == 1
    with pytest.raises(StoreError, match="cannot add frozenset to 'n', a int"):
        changed(ENTRIES, KEY, before, Change(add={"n": frozenset({"a"})}))
