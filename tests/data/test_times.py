"""Times in other units are named: bounds by hand, real dates, and every place that reads a time."""

import datetime

import pandas as pd
import pytest

from echobook.data.times import END, check_seconds, suspicion
from echobook.papers.self_learning.baselines import rephrase_pairs
from echobook.papers.self_learning.own_data import rewrite_table
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import count
from echobook.store.deciding import ENTRIES, alive
from echobook.store.errors import StoreError
from echobook.store.events import Code, Event
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.sweeping import sweep
from echobook.store.vectors import hashed_trigrams

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC).timestamp()
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


def log(factor: float) -> pd.DataFrame:
    times = [(NOW + k) * factor for k in range(4)]
    rows = {"device": "a", "time": times, "text": list("uvuv"), "outcome": [0, 1, 0, 1]}
    return pd.DataFrame(rows | {"interpretation": list("xyxy")})


@pytest.mark.parametrize("seconds", [0.0, -1e10, NOW, 4e9, 9.9e10])
def test_seconds_of_any_origin_pass(seconds):
    check_seconds(seconds, "time")
    assert suspicion(seconds) == ""


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("year", [1974, 2026, 2200])
def test_units_are_told_apart_for_two_centuries(unit, year):
    then = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()
    with pytest.raises(ValueError, match=rf"^t reaches .*: this looks like {unit} since 1970"):
        check_seconds(then * UNITS[unit], "t")
    assert f"divide by {UNITS[unit]:,.0f}" in suspicion(-then * UNITS[unit])


def test_the_bound_itself_is_no_second():
    assert suspicion(END).startswith("this looks like milliseconds")


@pytest.mark.parametrize("unit", UNITS)
def test_a_log_in_another_unit_is_refused_and_not_empty(unit):
    for read in (
        lambda rows: count(duckdb_table(rows), gap_s=45.0),
        lambda rows: rewrite_table(rows),
        lambda rows: rephrase_pairs(rows, gap_s=45.0),
    ):
        with pytest.raises(ValueError, match=f"column time of the log reaches .*{unit} since 1970"):
            read(log(UNITS[unit]))


def test_whole_numbers_and_one_odd_row_are_noticed():
    rows = log(1.0)
    rows.loc[3, "time"] *= 1000
    with pytest.raises(ValueError, match="milliseconds"):
        count(duckdb_table(rows.astype({"time": "int64"})), gap_s=45.0)


def test_the_same_log_in_seconds_stamps_or_without_times_counts():
    seconds = count(duckdb_table(log(1.0)), gap_s=45.0)
    stamps = log(1.0).assign(time=pd.to_datetime(log(1.0).time, unit="s"))
    pd.testing.assert_frame_equal(count(duckdb_table(stamps), gap_s=45.0).moves, seconds.moves)
    assert len(seconds.moves) == 2
    without = log(1.0).assign(time=pd.array([None] * 4, dtype="Float64"))
    assert count(duckdb_table(without), gap_s=45.0).moves.empty


def worker(clock):
    return TwoTables(MemoryStore(), KeyRing.generate(), clock, hashed_trigrams)


def test_a_store_refuses_a_clock_in_milliseconds():
    drive(worker(lambda: NOW).steps(Event("i", Code.REQUEST, NOW)))
    with pytest.raises(StoreError, match=r"the clock reaches .*milliseconds since 1970: divide by 1,000"):
        drive(worker(lambda: NOW * 1000).steps(Event("i", Code.REQUEST, NOW)))
    with pytest.raises(StoreError, match="milliseconds"):
        alive(NOW * 1000)


def test_sweeping_by_a_clock_in_milliseconds_deletes_nothing():
    design = worker(lambda: NOW)
    drive(design.steps(Event("i", Code.REQUEST, NOW)))
    with pytest.raises(StoreError, match="milliseconds"):
        sweep(design.store, lambda: NOW * 1000)
    assert sweep(design.store, lambda: NOW) == 0
    assert len(list(design.store.scan(ENTRIES))) == 1


def test_an_event_in_milliseconds_is_refused():
    with pytest.raises(StoreError, match=r"^i: at 1\.77232e\+12: expected seconds; .*milliseconds"):
        Event("i", Code.REQUEST, NOW * 1000)
