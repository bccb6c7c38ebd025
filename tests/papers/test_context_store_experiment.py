"""The chapter's experiments: costs by hand, crossover, timing, faults, expiry, load."""

import pandas as pd
import pytest

from echobook.papers.context_store.experiment import age, cost_of, cost_table, crossover, trace
from echobook.papers.context_store.faults import SCENARIOS, SURVIVED, count_faults
from echobook.papers.context_store.material import START_S, interactions
from echobook.papers.context_store.timing import simulate
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables
from echobook.store.sealing import KeyRing
from echobook.store.vectors import hashed_trigrams


def test_costs_of_one_interaction_by_hand():
    """Without a follow-up: five updates, two short puts, and a list of two KiB and a bit: three units."""
    stream = interactions(seed=0, count=1, follow_ups=0.0, context_bytes=2100)
    cost = cost_of("two-tables", stream)
    assert (cost.write_units, cost.read_units, cost.opens, cost.seals, cost.embeddings) == (10, 0, 0, 3, 0)
    assert cost.calls == 8


def test_two_tables_open_only_what_follow_ups_need():
    stream = interactions(seed=0, count=60, follow_ups=0.25)
    wanted = 3 * sum(one.follow_up for one in stream) / 60
    assert cost_of("two-tables", stream).opens == pytest.approx(wanted)
    assert cost_of("fat-entry", stream).opens >= 4


def test_the_cost_table_and_where_lines_cross():
    table = cost_table(sizes=(300, 8000), count=20, follow_ups=0.1, seed=0, names=("two-tables", "fat-entry"))
    assert list(table.design) == ["two-tables", "fat-entry"] * 2
    at = crossover(table, "two-tables", "fat-entry")
    assert 300 < at < 8000


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [((2.0, -2.0), 200.0), ((-1.0, -2.0), 100.0), ((1.0, 2.0), None), ((3.0, -1.0), 250.0)],
)
def test_crossover_literal(gaps, expected):
    rows = []
    for size, gap in zip((100, 300), gaps, strict=True):
        rows += [{"design": "a", "context_bytes": size, "write_units": 5 + gap}]
        rows += [{"design": "b", "context_bytes": size, "write_units": 5.0}]
    assert crossover(pd.DataFrame(rows), "a", "b") == expected


def test_the_trace_lists_each_call_with_its_units():
    one = next(one for one in interactions(seed=0, count=20, follow_ups=0.5) if one.follow_up)
    store = MemoryStore()
    table = trace(TwoTables(store, KeyRing.generate(), lambda: START_S, hashed_trigrams), one.events)
    assert list(table.call[-5:]) == ["claim", "get-texts", "embed", "put-vector", "mark-done"]
    assert table["write units"].sum() == store.spent.write_units
    assert table["read units"].sum() == store.spent.read_units
    assert len(table) == 5 + 3 + 5


def test_quick_embeddings_hide_and_slow_ones_do_not():
    quick, slow = (simulate(seed=0, count=60, embed_s=seconds, follow_ups=0.4) for seconds in (0.1, 6.0))
    assert quick.hit_rate == 1.0
    assert slow.hit_rate < 0.5
    assert quick.embeddings == slow.embeddings == len(quick.hits)
    assert simulate(seed=0, count=60, embed_s=0.1, follow_ups=0.4) == quick


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_fault_reaches_the_recogniser(name):
    counted = count_faults(name, repetitions=4, seed=1)
    assert (counted.raised, counted.wrong) == (0, 0)
    assert (counted.right, counted.nothing) == ((4, 0) if name in SURVIVED else (0, 4))


def test_what_is_left_after_the_time_span():
    left = age(count=30, seed=0)
    assert (left.old_readable, left.left_after) == (0, 0)
    assert left.swept == left.left_before - left.delivered_late > 30  # those entries were begun anew
    assert (left.delivered_late, left.revived) == (8, 0)
    assert left.embedded_late == left.late_expected > 0
    assert left.young_readable == left.young_expected > 0
