"""The store in dictionaries beside a plainer one still, and its accounts by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from echobook.store.conditions import Absent, Equals
from echobook.store.deciding import ENTRIES, TEXTS
from echobook.store.errors import ConditionFailed
from echobook.store.memory import MemoryStore
from echobook.store.port import Change, Put, Update

KEYS = st.sampled_from([TEXTS.key(name, part) for name in ("a", "b") for part in ("p#0", "p#1", "q#0")])
WORDS = st.frozensets(st.sampled_from("xyz"), min_size=1)


class Beside(RuleBasedStateMachine):
    """Every operation is also done to a plain dictionary, whose meaning is plain to see."""

    def __init__(self):
        super().__init__()
        self.store, self.plain = MemoryStore(), {}

    @rule(key=KEYS, number=st.integers(-5, 5))
    def put(self, key, number):
        self.store.put(TEXTS, {**key, "n": number})
        self.plain[tuple(key.values())] = {**key, "n": number}

    @rule(key=KEYS, words=WORDS, number=st.integers(-5, 5))
    def update(self, key, words, number):
        after = self.store.update(TEXTS, key, Change(add={"w": words}, set={"m": number}))
        held = self.plain.setdefault(tuple(key.values()), dict(key))
        held["w"] = held.get("w", frozenset()) | words
        held["m"] = number
        assert after == held

    @rule(key=KEYS, number=st.integers(-5, 5))
    def guarded(self, key, number):
        held = self.plain.get(tuple(key.values()), {})
        try:
            self.store.update(TEXTS, key, Change(set={"n": 0}), condition=Equals("n", number))
            assert held["n"] == number
            held["n"] = 0
        except ConditionFailed:
            assert held.get("n") != number

    @rule(key=KEYS)
    def delete(self, key):
        self.store.delete(TEXTS, key)
        self.plain.pop(tuple(key.values()), None)

    @invariant()
    def both_hold_the_same(self):
        assert {TEXTS.identity(item): item for item in self.store.scan(TEXTS)} == self.plain
        for name in ("a", "b"):
            wanted = [self.plain[at] for at in sorted(self.plain) if at[0] == name]
            assert self.store.query(TEXTS, name) == wanted
            assert self.store.query(TEXTS, name, prefix="p") == [
                one for one in wanted if one["part"][0] == "p"
            ]


TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_accounts_by_hand():
    """A put of 1,500 bytes: 2 units; an update of it: 2; a consistent get: 1; an eventual one: a half; a
    refusal: 2, the item's; a delete: 2; a missing item: 1 to read, 1 to delete."""
    store, key = MemoryStore(), ENTRIES.key("i")
    store.put(ENTRIES, {**key, "b": bytes(1500)})
    store.update(ENTRIES, key, Change(set={"n": 1}))
    store.get(ENTRIES, key)
    store.get(ENTRIES, key, consistent=False)
    assert (store.spent.write_units, store.spent.read_units) == (4, 1.5)
    try:
        store.put(ENTRIES, key, condition=Absent("n"))
    except ConditionFailed:
        assert store.spent.write_units == 6
    store.delete(ENTRIES, key)
    store.get(ENTRIES, key)
    store.delete(ENTRIES, key)
    assert (store.spent.write_units, store.spent.read_units) == (9, 2.5)
    assert dict(store.spent.calls) == {"put": 1, "update": 1, "get": 3, "refused": 1, "delete": 2}


def test_a_batch_of_reads_costs_each_item_its_own():
    """Three items of 100, 4,000 and 5,000 bytes and a missing one: 1 + 1 + 2 + 1 units."""
    store = MemoryStore()
    for name, size in (("a", 100), ("b", 4000), ("c", 5000)):
        store.put(ENTRIES, {**ENTRIES.key(name), "b": bytes(size)})
    store.get_many(ENTRIES, [ENTRIES.key(name) for name in "abcd"])
    assert store.spent.read_units == 5
    assert store.spent.calls["get_many"] == 1


def test_a_transaction_costs_twice_and_fails_whole():
    store, key = MemoryStore(), ENTRIES.key("i")
    store.transact([Put(ENTRIES, {**key, "b": bytes(1500)}), Put(TEXTS, {**TEXTS.key("i", "p"), "n": 1})])
    assert store.spent.write_units == 2 * (2 + 1)
    before = [list(store.scan(table)) for table in (ENTRIES, TEXTS)]
    writes = [Update(ENTRIES, key, Change(set={"n": 9})), Put(TEXTS, TEXTS.key("i", "p"), Absent("n"))]
    try:
        store.transact(writes)
    except ConditionFailed:
        assert [list(store.scan(table)) for table in (ENTRIES, TEXTS)] == before


@settings(deadline=None)
@given(st.binary(max_size=10))
def test_what_was_read_is_the_callers_to_change(content):
    store, key = MemoryStore(), ENTRIES.key("i")
    store.put(ENTRIES, {**key, "b": content})
    for found in (store.get(ENTRIES, key), *store.query(ENTRIES, "i"), *store.get_many(ENTRIES, [key])):
        found["b"] = b"changed"
    assert store.get(ENTRIES, key)["b"] == content
