"""Random operations: every back-end answers, refuses and charges alike. The chapter sends ten thousand."""

import numpy as np

from echobook.store.differential import RANDOM, Operations, compare
from echobook.store.memory import MemoryStore
from echobook.store.port import Change


def test_memory_and_sqlite(open_store):
    kinds = Operations(transactions=True)
    assert compare(MemoryStore(), open_store("sqlite"), np.random.default_rng(0), 2000, kinds=kinds) == []


def test_memory_and_dynalite_units_included(open_store):
    store = open_store("dynalite", (RANDOM,))
    assert compare(MemoryStore(), store, np.random.default_rng(1), 500) == []


def test_memory_and_moto(open_store):
    """moto charges alike for both kinds of read and fails on unlike types, so neither is asked of it."""
    store, kinds = open_store("moto", (RANDOM,)), Operations(clashes=False, transactions=True)
    assert compare(MemoryStore(), store, np.random.default_rng(2), 150, kinds=kinds, units=False) == []


def test_a_wrong_back_end_is_found_out():
    class Forgetful(MemoryStore):
        """Loses what an update removes... from the removal."""

        def update(self, table, key, change, *, condition=None):
            kept = Change(change.add, change.set) if change.add or change.set else change
            return super().update(table, key, kept, condition=condition)

    class Cheap(MemoryStore):
        """Charges one unit for any put."""

        def put(self, table, item, *, condition=None):
            before = self.spent.write_units
            super().put(table, item, condition=condition)
            self.spent.write_units = before + 1

    for wrong, verbs in ((Forgetful(), {"update"}), (Cheap(), {"put", "put_many"})):
        found = compare(MemoryStore(), wrong, np.random.default_rng(3), 400)
        assert verbs & {difference.verb for difference in found}


def test_draws_repeat_with_the_seed():
    verbs = [
        [Operations(transactions=True).draw(rng)[0] for _ in range(50)]
        for rng in (np.random.default_rng(4), np.random.default_rng(4))
    ]
    assert verbs[0] == verbs[1]
    assert len(set(verbs[0])) >= 6
