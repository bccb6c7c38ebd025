"""Counting sessions: a log by hand, bad logs one by one, and a slow program in plain Python as oracle."""

import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.sessions.backends import duckdb_table, local_spark, spark_table
from echobook.sessions.program import COLUMNS, NOTHING, Counts, count


def log(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


def counted(frame: pd.DataFrame, gap_s: float = 45.0, by_text: bool = False) -> Counts:
    return count(duckdb_table(frame), gap_s=gap_s, by_text=by_text)


def as_dict(frame: pd.DataFrame, keys: int) -> dict:
    return {
        (tuple(row[:keys]) if keys > 1 else row[0]): (tuple(row[keys:]) if len(row) > keys + 1 else row[keys])
        for row in frame.itertuples(index=False, name=None)
    }


BY_HAND = log(
    ("a", 0.0, "Play  Maj", "play:maj", 0),
    ("a", 10.0, "play imagine", "play:imagine", 1),
    ("a", 100.0, "stop", "stop", 1),
    ("b", 5.0, "play maj", "play:maj", 0),
    ("b", 6.0, "play maj", "play:maj", 0),
)


def test_a_log_by_hand() -> None:
    counts = counted(BY_HAND)
    assert as_dict(counts.emissions, 2) == {
        ("play imagine", "play:imagine"): 1,
        ("play maj", "play:maj"): 3,
        ("stop", "stop"): 1,
    }
    assert as_dict(counts.moves, 2) == {("play:maj", "play:imagine"): 1}
    assert as_dict(counts.ends, 1) == {"play:imagine": (1, 1), "play:maj": (1, 0), "stop": (1, 1)}
    assert as_dict(counts.visits, 1) == {"play:imagine": (1, 1, 0), "play:maj": (3, 0, 1), "stop": (1, 1, 0)}


def test_the_gap_belongs_to_the_session() -> None:
    assert len(counted(BY_HAND, gap_s=9.99).moves) == 0
    assert len(counted(BY_HAND, gap_s=10.0).moves) == 1
    assert len(counted(BY_HAND, gap_s=90.0).moves) == 2


def test_sessions_out_of_order_count_the_same() -> None:
    assert_same(counted(BY_HAND), counted(BY_HAND.sample(frac=1, random_state=1)))


def test_duplicated_events_count_once() -> None:
    assert_same(counted(BY_HAND), counted(pd.concat([BY_HAND, BY_HAND])))


def test_a_clock_set_back_starts_a_session() -> None:
    rows = log(("a", 50.0, "x", "x", 0), ("a", 20.0, "y", "y", 1)).assign(sequence=[1, 2])
    assert len(counted(rows).moves) == 0
    assert as_dict(counted(rows.assign(time=[10.0, 20.0])).moves, 2) == {("x", "y"): 1}
    assert as_dict(counted(rows.drop(columns="sequence")).moves, 2) == {("y", "x"): 1}


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_interpretation_is_a_failed_state(empty: str | None) -> None:
    counts = counted(log(("a", 0.0, "hm", empty, 1), ("a", 1.0, "play", "play", 1)))
    assert as_dict(counts.visits, 1) == {f"{NOTHING} hm": (1, 0, 0), "play": (1, 1, 0)}
    assert as_dict(counts.moves, 2) == {(f"{NOTHING} hm", "play"): 1}


def test_a_missing_outcome_ends_nowhere() -> None:
    rows = log(("a", 0.0, "x", "x", 0), ("a", 1.0, "y", "y", None))
    counts = counted(rows.astype({"outcome": "Int64"}))
    assert len(counts.ends) == 0
    assert as_dict(counts.moves, 2) == {("x", "y"): 1}
    assert as_dict(counts.visits, 1) == {"x": (1, 0, 0)}


def test_the_text_can_be_the_state() -> None:
    counts = counted(BY_HAND, by_text=True)
    assert as_dict(counts.moves, 2) == {("play maj", "play imagine"): 1}


def test_an_empty_log_counts_nothing() -> None:
    types = {"device": "str", "time": "float64", "text": "str", "interpretation": "str", "outcome": "int64"}
    counts = counted(BY_HAND.head(0).astype(types))
    assert len(counts.visits) == len(counts.moves) == len(counts.ends) == 0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="the log lacks outcome; it has device, time, text, interpretation"):
        counted(BY_HAND.drop(columns="outcome"))
    with pytest.raises(ValueError, match="gap_s must be above 0 seconds, got 0"):
        counted(BY_HAND, gap_s=0.0)


def random_log(seed: int, rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "device": rng.integers(0, 4, rows).astype(str),
            "time": rng.permutation(rows * 20)[:rows].astype(float),
            "text": rng.choice(["a", "A b", "c"], rows),
            "interpretation": rng.choice(["h", "i", "j", ""], rows),
            "outcome": rng.integers(0, 2, rows),
        }
    )


def slow(frame: pd.DataFrame, gap_s: float) -> tuple[Counter, Counter]:
    """Moves and last turns by a loop over each device's sorted turns."""
    moves: Counter = Counter()
    ends: Counter = Counter()
    for _, turns in frame.sort_values("time").groupby("device"):
        rows = [(t.time, t.interpretation or f"{NOTHING} {t.text.lower()}") for t in turns.itertuples()]
        for i, (time, state) in enumerate(rows):
            if i + 1 == len(rows) or rows[i + 1][0] - time > gap_s:
                ends[state] += 1
            elif rows[i + 1][1] != state:
                moves[state, rows[i + 1][1]] += 1
    return moves, ends


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5.0, 45.0, 400.0]))
def test_counts_equal_the_slow_program(seed: int, gap_s: float) -> None:
    frame = random_log(seed)
    moves, ends = slow(frame, gap_s)
    counts = counted(frame, gap_s)
    assert as_dict(counts.moves, 2) == dict(moves)
    assert {state: n for state, (n, _) in as_dict(counts.ends, 1).items()} == dict(ends)


def test_files_and_frames_count_the_same(tmp_path: Path) -> None:
    BY_HAND.to_csv(tmp_path / "log.csv", index=False)
    assert_same(counted(BY_HAND), count(duckdb_table(tmp_path / "log.csv"), gap_s=45.0))
    pq.write_table(pa.Table.from_pandas(BY_HAND), tmp_path / "log.parquet")
    assert_same(counted(BY_HAND), count(duckdb_table(tmp_path / "log.parquet"), gap_s=45.0))
    assert_same(counted(BY_HAND), count(duckdb_table(tmp_path), gap_s=45.0))


def test_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no log at"):
        duckdb_table(tmp_path / "none.csv")
    (tmp_path / "log.xlsx").write_text("x")
    with pytest.raises(ValueError, match=r"log.xlsx: expected a .csv or .parquet file, got .xlsx"):
        duckdb_table(tmp_path / "log.xlsx")


def test_timestamps_count_as_seconds_and_fractions_count() -> None:
    moments = ["2026-01-01 10:00:00.500", "2026-01-01 10:00:45.600"]
    rows = log(("a", 0.0, "x", "x", 0), ("a", 0.0, "y", "y", 1)).assign(
        time=pd.to_datetime(moments, format="ISO8601")
    )
    assert len(counted(rows, gap_s=45.05).moves) == 0
    assert len(counted(rows, gap_s=45.15).moves) == 1


@pytest.mark.parametrize("column", ["device", "time"])
def test_turns_without_device_or_time_are_sessions_of_their_own(column: str) -> None:
    rows = log(("a", 0.0, "x", "x", 0), ("a", 1.0, "y", "y", 1))
    counts = counted(rows.assign(**{column: None}))
    assert len(counts.moves) == 0
    assert as_dict(counts.ends, 1) == {"x": (1, 0), "y": (1, 1)}


def test_true_and_false_are_outcomes() -> None:
    rows = log(("a", 0.0, "x", "x", False), ("a", 1.0, "y", "y", True))
    assert as_dict(counted(rows).ends, 1) == {"y": (1, 1)}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("outcome", [1, 2], r"outcome must be 1 \(wanted\), 0 \(not\) or empty; text 'y' has 2"),
        ("outcome", [0.5, 1], r"text 'x' has 0.5"),
        (
            "outcome",
            ["yes", "no"],
            "column outcome is text, or empty throughout a file; expected 1, 0 or empty",
        ),
        ("time", ["noon", "one"], "column time is text, or empty throughout a file; expected seconds"),
    ],
)
def test_outcomes_and_times_of_another_kind_are_refused(column: str, values: list, message: str) -> None:
    rows = log(("a", 0.0, "x", "x", 0), ("a", 1.0, "y", "y", 1)).assign(**{column: values})
    with pytest.raises(ValueError, match=message):
        counted(rows)


@pytest.fixture(scope="module")
def spark():
    """A local Spark; its Python side warns about its own use of pandas and sockets."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17; none is on the path")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = local_spark()
        yield session
        session.stop()


def messy(seed: int) -> pd.DataFrame:
    """A log with all that may be wrong at once: repeats, disorder, clocks set back, gaps in every column."""
    frame = random_log(seed, 300).assign(sequence=range(300))
    frame = pd.concat([frame, frame.head(40)]).sample(frac=1, random_state=seed)
    hole = np.random.default_rng(seed).random((len(frame), 3)) < 0.05
    return frame.assign(
        device=frame.device.mask(hole[:, 0]),
        interpretation=frame.interpretation.mask(hole[:, 1]),
        outcome=frame.outcome.astype("Int64").mask(hole[:, 2]),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by_text", [False, True], ids=["interpretations", "texts"])
@pytest.mark.parametrize("kind", ["clean", "messy", "stamped"])
def test_spark_counts_what_duckdb_counts(spark, tmp_path: Path, kind: str, by_text: bool) -> None:
    frame = random_log(5, 400) if kind == "clean" else messy(6)
    if kind == "stamped":
        frame["time"] = pd.Timestamp("2026-03-01 12:00") + pd.to_timedelta(frame.time * 1.25, unit="s")
    frame["time"] = frame.time if kind != "stamped" else frame.time.astype("datetime64[us]")
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "log.parquet")
    theirs = count(spark_table(tmp_path / "log.parquet", spark), gap_s=45.0, by_text=by_text)
    assert_same(count(duckdb_table(tmp_path / "log.parquet"), gap_s=45.0, by_text=by_text), theirs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_spark_reads_frames_files_and_addresses(spark, tmp_path: Path) -> None:
    BY_HAND.to_csv(tmp_path / "log.csv", index=False)
    for source in (BY_HAND, tmp_path / "log.csv", (tmp_path / "log.csv").as_uri()):
        assert_same(counted(BY_HAND), count(spark_table(source, spark), gap_s=45.0))
    with pytest.raises(FileNotFoundError, match="no log at"):
        spark_table(tmp_path / "none.parquet", spark)


def test_spark_without_java_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="Spark needs Java 17 and none is on the path"):
        local_spark()


def assert_same(left: Counts, right: Counts) -> None:
    for name in ("emissions", "moves", "ends", "visits"):
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name), check_dtype=False)
